//! Ports and the configuration file of a server.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};

use super::Options;

/// Where ports are looked for: below the ephemeral range, above the well-known servers.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Tries to find a free port.
const PORT_TRIES: usize = 200;

/// The ports of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) monitoring: u16,
    pub(super) route: u16,
}

/// Route ports of all servers of a cluster.
pub(super) type Routes = Vec<u16>;

impl Ports {
    /// Three ports that are free now. Another process may still take one first.
    pub(super) fn find() -> Result<Self> {
        // All three are held until the last one is found, so that they differ.
        let held = [free_port()?, free_port()?, free_port()?];
        let [client, monitoring, route] = held.map(|(port, _)| port);
        Ok(Self { client, monitoring, route })
    }
}

pub(super) fn free_port() -> Result<(u16, TcpListener)> {
    (0..PORT_TRIES)
        .find_map(|_| {
            let port = rand::random_range(PORTS);
            Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?))
        })
        .context("find a free port")
}

pub(super) fn write(
    name: &str,
    options: &Options,
    ports: &Ports,
    routes: Option<&Routes>,
    folder: &Path,
) -> String {
    let Ports { client, monitoring, .. } = ports;
    let folder = folder.display();
    let sync = if options.sync_always { "sync_interval: always" } else { "" };
    let room = options.file_store_bytes_max.map(|bytes| format!("max_file_store: {bytes},"));
    let room = room.unwrap_or_default();
    let mut text = format!(
        "server_name: {name}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitoring}\n\
         log_file: \"{folder}/nats.log\"\npid_file: \"{folder}/nats.pid\"\n\
         jetstream {{ store_dir: \"{folder}/store\", {room} {sync} }}\n"
    );
    text.push_str(&cluster(ports, routes));
    text.push_str(&accounts(options.accounts));
    text.push_str(&options.more);
    text
}

fn cluster(ports: &Ports, routes: Option<&Routes>) -> String {
    let Some(routes) = routes else { return String::new() };
    let urls: Vec<String> =
        routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let (listen, routes) = (ports.route, urls.join(", "));
    format!("cluster {{ name: squall, listen: \"127.0.0.1:{listen}\", routes: [{routes}] }}\n")
}

fn accounts(count: usize) -> String {
    let mut text = String::from(
        "system_account: SYS\nno_auth_user: a0\naccounts {\n SYS { users: [{ user: sys, password: sys }] }\n",
    );
    for n in 0..count {
        // Writing to a String never fails.
        let _ = writeln!(
            text,
            " A{n} {{ jetstream: enabled, users: [{{ user: a{n}, password: a{n} }}, {{ user: r{n}, password: r{n}, \
             permissions {{ publish {{ deny: \"log.>\" }} }} }}] }}"
        );
    }
    text.push_str("}\n");
    text
}
