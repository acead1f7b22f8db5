//! README's first session: its three terminals, with the commands that stand there, and a fault reaches the agent.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser as _;
use rustix::process::{Pid, Signal, kill_process};
use squall::cli::Cli;
use squall_tests::coordinator::{PATIENCE, wait};
use squall_tests::nats::free_port;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const README: &str = include_str!("../README.md");
/// How README starts the program that the test starts.
const AGENT: &str = "cargo run --package squall-shim --features tower --example agent";
/// What README says that the agent says.
const FELT: &str = "the answer came late";

/// The commands that README shows for `program`, in their order, without their comments.
fn commands(program: &str) -> Vec<&'static str> {
    let lines = README.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    commands.filter(|command| command.split(' ').next() == Some(program)).collect()
}

/// Ports of this test, where README has the usual ones.
#[derive(Clone, Copy, Debug)]
struct Ports {
    doors: u16,
    nats: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        let (doors, nats) = (free_port()?, free_port()?);
        Ok(Self { doors: doors.local_addr()?.port(), nats: nats.local_addr()?.port() })
    }

    /// The first terminal.
    async fn serve(self) -> Result<()> {
        let Self { doors, nats } = self;
        run(&format!("squall dev --listen 127.0.0.1:{doors} --nats-port {nats}")).await
    }

    /// A command of the third terminal.
    async fn squall(self, command: &str) -> Result<()> {
        run(&format!("{command} --server http://127.0.0.1:{} --tenant acme", self.doors)).await
    }
}

/// Runs a command of the program, in the repository.
async fn run(command: &str) -> Result<()> {
    let command = command.replace("deploy/", concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/"));
    let words = command.replace("\"seen enough\"", "seen-enough");
    let cli = Cli::try_parse_from(words.split_whitespace())?;
    Box::pin(cli.run()).await.with_context(|| format!("`{command}`"))
}

/// The second terminal.
struct Agent {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start(nats_port: u16) -> Result<Self> {
        let set = commands("export").into_iter().flat_map(|export| export.split(' ').skip(1));
        let set: Vec<_> = set.filter_map(|variable| variable.split_once('=')).collect();
        ensure!(set.iter().any(|(name, _)| *name == "SQUALL_NATS_URL"), "{set:?}");
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo-recorder"))
            .args(["tether", env!("CARGO_BIN_EXE_agent")])
            .envs(set)
            .env("SQUALL_NATS_URL", format!("nats://127.0.0.1:{nats_port}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let says = BufReader::new(process.stdout.take().context("piped")?).lines();
        Ok(Self { process, says })
    }

    /// Waits until it says that it feels the fault.
    async fn feels(&mut self) -> Result<()> {
        let felt = async {
            while let Some(line) = self.says.next_line().await? {
                if line.contains(FELT) {
                    return Ok(());
                }
            }
            bail!("the agent ended")
        };
        timeout(PATIENCE, felt).await.context("the agent feels nothing")?
    }

    /// Ctrl-C.
    async fn end(mut self) -> Result<()> {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.context("it ended before")?, Signal::INT)?;
        let status = timeout(PATIENCE, self.process.wait()).await.context("it does not end")??;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

async fn session(ports: Ports) -> Result<()> {
    let all = commands("squall");
    let [dev, before @ .., watch, abort, report] = all.as_slice() else { bail!("{all:?}") };
    ensure!(*dev == "squall dev" && watch.starts_with("squall session watch"), "{all:?}");
    ensure!(commands("cargo").contains(&AGENT) && README.contains(FELT));

    wait("squall dev", async || ports.squall("squall fleet").await.ok()).await?;
    let mut agent = Agent::start(ports.nats)?;
    for command in before {
        ports.squall(command).await?;
    }
    let stop = async {
        agent.feels().await?;
        ports.squall(abort).await
    };
    // Who watches sees it end.
    tokio::try_join!(ports.squall(watch), stop)?;
    ports.squall(report).await?;
    agent.end().await
}

#[tokio::test]
async fn the_first_session_of_the_readme_works_and_its_fault_reaches_the_agent() -> Result<()> {
    let ports = Ports::free()?;
    tokio::select! {
        ended = ports.serve() => bail!("squall dev ended: {ended:?}"),
        result = session(ports) => result,
    }
}
