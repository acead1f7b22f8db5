//! A deployment as a user has it: nats-servers, coordinators as processes of their own, agents with real shims.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use squall_tests::agents::Agent;
use squall_tests::coordinator::{Site, wait};
use squall_tests::nats::{Cluster, Options, Server, free_port};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const TENANT: &str = "acme";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// How long the program may take to build: on two busy cores, from nothing.
const BUILD_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long a drill of these tests may take: its time, its proofs, and a machine that is busy.
const DRILLED_WITHIN: Duration = Duration::from_secs(300);

pub(crate) struct Place {
    pub(crate) replicas: Vec<Replica>,
    site: Site,
    _nats: Nats,
}

enum Nats {
    One { _server: Server },
    Three { _cluster: Cluster },
}

/// A coordinator.
pub(crate) struct Replica {
    pub(crate) address: String,
    /// The number of its process.
    pub(crate) process: u32,
    _server: Child,
}

/// What a drill said and how it ended.
#[derive(Debug)]
pub(crate) struct Drilled {
    pub(crate) code: Option<i32>,
    pub(crate) verdict: Value,
    pub(crate) said: String,
}

impl Place {
    pub(crate) async fn on_one_server() -> Result<Self> {
        let server = Server::start(&options()).await?;
        let site = Site::on_server(&server);
        Self::with(site, Nats::One { _server: server }, 1).await
    }

    pub(crate) async fn on_three_servers() -> Result<Self> {
        let cluster = Cluster::start(&options()).await?;
        let site = Site::on_cluster(&cluster);
        Self::with(site, Nats::Three { _cluster: cluster }, 3).await
    }

    async fn with(site: Site, nats: Nats, replicas: usize) -> Result<Self> {
        build().await?;
        let mut place = Self { replicas: Vec::new(), site, _nats: nats };
        for _ in 0..replicas {
            let replica = Replica::start(&place.site)?;
            place.replicas.push(replica);
        }
        for replica in &place.replicas {
            let ready = async || squall(&["fleet", "--server", &replica.address]).await.ok();
            wait("a coordinator that answers", ready).await?;
        }
        Ok(place)
    }

    pub(crate) fn agents(&self, count: usize) -> Result<Vec<Agent>> {
        let tenant = TENANT.parse()?;
        let start = |number| Agent::start(&self.site, &tenant, &format!("agent-{number}"));
        (0..count).map(start).collect()
    }

    /// The options that name all coordinators.
    pub(crate) fn coordinators(&self) -> Vec<String> {
        let addresses: Vec<_> =
            self.replicas.iter().map(|replica| replica.address.clone()).collect();
        let (first, others) = addresses.split_first().expect("there is one");
        let mut words = vec!["--server".to_owned(), first.clone()];
        if !others.is_empty() {
            words.extend(["--also".to_owned(), others.join(",")]);
        }
        words
    }

    /// What a command tells a program.
    pub(crate) async fn json(&self, words: &[&str]) -> Result<Value> {
        let server = &self.replicas.first().context("a coordinator")?.address;
        let words = [words, &["--server", server, "--output", "json"]].concat();
        Ok(serde_json::from_slice(&squall(&words).await?.stdout)?)
    }

    /// Every session has ended, and no halt is engaged.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        let listed = self.json(&["session", "list"]).await?;
        for session in listed["sessions"].as_array().context("a list")? {
            let state = session["state"].as_str().context("a state")?;
            let ended = ["SESSION_STATE_ABORTED", "SESSION_STATE_EXHAUSTED"];
            ensure!(ended.contains(&state), "{} is {state}", session["name"]);
        }
        let halts = self.json(&["halt", "status"]).await?;
        ensure!(!halts.to_string().contains("\"engaged\":true"), "{halts}");
        Ok(())
    }
}

impl Replica {
    fn start(site: &Site) -> Result<Self> {
        let address = free_port()?.local_addr()?.to_string();
        let (nats, monitoring) = (site.urls.join(","), site.monitoring.join(","));
        let copies = site.copies.to_string();
        let words = ["serve", "--nats", &nats, "--nats-monitoring", &monitoring];
        let server =
            command(&[&words[..], &["--replicas", &copies, "--listen", &address]].concat())
                .env("RUST_LOG", "warn")
                .stdout(Stdio::null())
                .spawn()?;
        Ok(Self { address, process: server.id().context("it runs")?, _server: server })
    }
}

/// A drill that runs.
pub(crate) struct Drill(Child);

impl Drill {
    /// Drills tenant `acme`, with the verdict as JSON.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let words = [&["drill", "--output", "json"], words].concat();
        let child = command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self(child))
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let id = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(kill_process(id.context("it ended before")?, Signal::INT)?)
    }

    pub(crate) async fn end(self) -> Result<Drilled> {
        let ended = timeout(DRILLED_WITHIN, self.0.wait_with_output()).await;
        let Output { status, stdout, stderr } = ended.context("the drill does not end")??;
        let said = String::from_utf8_lossy(&stderr).into_owned();
        let verdict = serde_json::from_slice(&stdout)
            .with_context(|| format!("no verdict, {status}: {said}"))?;
        Ok(Drilled { code: status.code(), verdict, said })
    }
}

fn options() -> Options {
    Options { sync_always: true, accounts: 1, ..Options::default() }
}

/// Cargo builds a package's own programs for its tests, and `squall` is another one's.
async fn build() -> Result<()> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "squall"]).current_dir(ROOT);
    let built = timeout(BUILD_WITHIN, build.status()).await.context("it builds for long")??;
    ensure!(built.success(), "the program does not build");
    Ok(())
}

/// The program, which ends with who starts it.
fn command(words: &[&str]) -> Command {
    let recorder = Path::new(env!("CARGO_BIN_EXE_demo-recorder"));
    let program = recorder.with_file_name("squall");
    let mut command = Command::new(recorder);
    command.arg("tether").arg(program).args(words).env("SQUALL_TENANT", TENANT).kill_on_drop(true);
    command
}

async fn squall(words: &[&str]) -> Result<Output> {
    let output = timeout(DRILLED_WITHIN, command(words).output()).await??;
    ensure!(output.status.success(), "squall {words:?}: {output:?}");
    Ok(output)
}
