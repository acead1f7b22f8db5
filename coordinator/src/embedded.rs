//! The nats-server of `squall dev`: found, configured, started, and stopped with us.
//!
//! One server on loopback, one account, no passwords; every write goes through to disk. Not for production: there
//! `squall serve` uses a cluster that is there. What is written to it is the journal's business.

mod folder;
mod process;
mod search;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::journal::jetstream::fetch_varz;
use folder::Folder;
use process::Process;
pub use search::find;

/// Where clients of NATS look first.
const PORT_WANTED: u16 = 4222;
/// Where free ports are looked for: below the ephemeral range, so that no outgoing connection can take or meet one.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Tries to find a free port.
const PORT_TRIES: usize = 200;
/// Tries to start on ports of our choice: another process may take one between the look and the start.
const START_TRIES: usize = 3;
/// Longest time until a server that started is ready; a store with a million records takes half a second.
const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for a server to end by itself.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for a server to introduce itself, and the longest introduction; it has less than a kilobyte.
const GREETING_WITHIN: Duration = Duration::from_secs(2);
const GREETING_BYTES_MAX: u64 = 64 * 1024;
/// Its configuration and log, in its folder.
const CONFIG: &str = "nats.conf";
const LOG: &str = "nats.log";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None was found.
    #[error(
        "find nats-server: $SQUALL_NATS_SERVER is not set, and there is none beside {} or in .tools of a folder above it, \
         on the PATH ({}), or in .tools of {} or of a folder above it",
        .program.display(), .path.display(), .folder.display()
    )]
    NotFound {
        /// This program.
        program: PathBuf,
        /// `$PATH`.
        path: PathBuf,
        /// The current folder.
        folder: PathBuf,
    },
    /// `$SQUALL_NATS_SERVER` leads nowhere.
    #[error("find nats-server: $SQUALL_NATS_SERVER is {}, which is no file", .0.display())]
    NoFile(PathBuf),
    /// It does not say its version.
    #[error("ask {} for its version: {why}", .binary.display())]
    Unknown {
        /// The binary.
        binary: PathBuf,
        /// What happened.
        why: String,
    },
    /// It is too old.
    #[error("use {}: it has version {version}, Squall needs 2.12 or newer", .binary.display())]
    TooOld {
        /// The binary.
        binary: PathBuf,
        /// Its version.
        version: String,
    },
    /// The folder for its files can't be used.
    #[error("use the folder {}: {source}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another `squall dev` uses the folder.
    #[error("use the folder {}: another `squall dev` uses it", .0.display())]
    InUse(PathBuf),
    /// The wanted port is taken, or no port is free.
    #[error("listen on port {port} of 127.0.0.1 for NATS: {source}")]
    Port {
        /// Which; 0 for any.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The process can't be started.
    #[error("start {}: {source}", .binary.display())]
    Start {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It started and did not become ready.
    #[error("start nats-server: {why}; it said:\n{log}")]
    NotReady {
        /// What happened.
        why: String,
        /// The end of its log.
        log: String,
    },
}

/// What a server needs to know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where it keeps its files; `None` takes a temporary folder that goes with it.
    pub folder: Option<PathBuf>,
    /// Its port; `None` takes 4222, or another one if that is taken.
    pub port: Option<u16>,
}

/// A server that runs. Killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    // Dropped in this order: the process ends before its files go.
    process: Process,
    folder: Folder,
    name: String,
    ports: Ports,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    client: u16,
    monitoring: u16,
}

/// What a server says of itself, to clients and on its monitoring port.
#[derive(Debug, Deserialize)]
struct Introduction {
    server_name: String,
}

impl NatsServer {
    /// Finds a server, starts it, and waits until it is ready.
    ///
    /// # Errors
    /// [`Error`]; nothing runs then.
    pub async fn start(settings: &Settings) -> Result<Self, Error> {
        let binary = find()?;
        search::check_version(&binary).await?;
        let mut tries = START_TRIES;
        loop {
            tries -= 1;
            match Self::attempt(&binary, settings).await {
                Err(Error::NotReady { .. }) if tries > 0 && settings.port.is_none() => {}
                result => return result,
            }
        }
    }

    async fn attempt(binary: &Path, settings: &Settings) -> Result<Self, Error> {
        let folder = Folder::open(settings.folder.as_deref())?;
        let ports = Ports::find(settings.port)?;
        let name = format!("squall-dev-{}", Uuid::new_v4().simple());
        let unusable = |source| Error::Folder { path: folder.path().to_owned(), source };
        std::fs::write(folder.path().join(CONFIG), config(&name, ports)).map_err(unusable)?;
        let log = std::fs::File::create(folder.path().join(LOG)).map_err(unusable)?;
        let process = Process::start(binary, folder.path(), CONFIG, log).await;
        let process =
            process.map_err(|source| Error::Start { binary: binary.to_owned(), source })?;
        let mut server = Self { process, folder, name, ports };
        match server.ready().await {
            Ok(()) => Ok(server),
            Err(why) => Err(Error::NotReady { why, log: server.end_of_log() }),
        }
    }

    /// Where shims and coordinators connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.client)
    }

    /// Its monitoring port, where it says how it syncs.
    #[must_use]
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.monitoring)
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until it ends by itself, and tells how, with the end of its log.
    pub async fn ended(&mut self) -> String {
        let how = self.process.ended().await;
        format!("nats-server ended ({how}); it said:\n{}", self.end_of_log())
    }

    /// Lets it end in order, and removes its temporary folder.
    pub async fn stop(mut self) {
        self.process.stop(END_WITHIN).await;
    }

    /// Waits until both ports are served by the server that we started: another process may have taken one first, and
    /// ours is about to end then. It opens its port for clients last, once JetStream has read its store.
    async fn ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + READY_WITHIN;
        while !(self.is_ours(greeting(self.ports.client).await)
            && self.is_ours(fetch_varz(&self.monitoring_url()).await))
        {
            if Instant::now() >= until {
                return Err(format!("it is not ready after {READY_WITHIN:?}"));
            }
            tokio::select! {
                how = self.process.ended() => return Err(format!("it ended ({how})")),
                () = sleep(LOOK_EVERY) => {}
            }
        }
        Ok(())
    }

    fn is_ours(&self, said: Option<Vec<u8>>) -> bool {
        let said = said.and_then(|said| serde_json::from_slice::<Introduction>(&said).ok());
        said.is_some_and(|said| said.server_name == self.name)
    }

    fn end_of_log(&self) -> String {
        const LINES: usize = 8;
        let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// What the server at `port` says to a client that connects: `INFO {...}` and the end of the line.
async fn greeting(port: u16) -> Option<Vec<u8>> {
    let read = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let mut line = Vec::new();
        BufReader::new(stream.take(GREETING_BYTES_MAX)).read_until(b'\n', &mut line).await.ok()?;
        Some(line.strip_prefix(b"INFO ")?.to_vec())
    };
    timeout(GREETING_WITHIN, read).await.ok().flatten()
}

impl Ports {
    fn find(wanted: Option<u16>) -> Result<Self, Error> {
        let taken = |port, source| Error::Port { port, source };
        // Held until the other one is found, so that they differ.
        let (client, _held) = match wanted {
            Some(port) => held(port).map_err(|source| taken(port, source))?,
            None => held(PORT_WANTED).or_else(|_| any()).map_err(|source| taken(0, source))?,
        };
        let (monitoring, _) = any().map_err(|source| taken(0, source))?;
        Ok(Self { client, monitoring })
    }
}

fn held(port: u16) -> io::Result<(u16, TcpListener)> {
    Ok((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port))?))
}

fn any() -> io::Result<(u16, TcpListener)> {
    let free = (0..PORT_TRIES).find_map(|_| held(rand::random_range(PORTS)).ok());
    free.ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

/// Paths are relative to its folder, so that none has to be quoted. See docs/nats.md: without `sync_interval: always` an
/// acknowledged permit could be lost; the monitoring port is how the coordinator knows; 1 MB is what the limits of the
/// contract are made for.
fn config(name: &str, ports: Ports) -> String {
    let Ports { client, monitoring } = ports;
    format!(
        "# Written by `squall dev` at each start.\n\
         server_name: {name}\n\
         listen: 127.0.0.1:{client}\n\
         http: 127.0.0.1:{monitoring}\n\
         pid_file: \"nats.pid\"\n\
         max_payload: 1MB\n\
         jetstream {{ store_dir: \"store\", sync_interval: always }}\n"
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_server_introduces_itself_and_whoever_does_not_is_none() {
        for (said, expected) in
            [("INFO {\"a\":1}\r\n", Some("{\"a\":1}\r\n")), ("HTTP/1.1 400\r\n", None), ("", None)]
        {
            let (port, listener) = any().unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let serve =
                async { listener.accept().await.unwrap().0.write_all(said.as_bytes()).await };
            let (heard, served) = tokio::join!(greeting(port), serve);
            served.unwrap();
            assert_eq!(heard, expected.map(|text| text.as_bytes().to_vec()), "{said:?}");
        }
    }

    #[test]
    fn two_ports_are_never_the_same_and_lie_below_the_ephemeral_ones() {
        let Ports { client, monitoring } = Ports::find(None).unwrap();
        assert!(client != monitoring && client < 32_768 && monitoring < 32_768);
    }

    #[test]
    fn a_port_that_is_taken_is_refused_and_named() {
        let (port, _held) = any().unwrap();
        let error = Ports::find(Some(port)).unwrap_err();
        assert!(matches!(error, Error::Port { port: named, .. } if named == port), "{error}");
    }
}
