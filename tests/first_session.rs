//! README's first session: the program is built as it says, and its three terminals are shells with the lines that stand there; a
//! fault reaches the agent.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use squall_tests::coordinator::{PATIENCE, wait};
use squall_tests::nats::free_port;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const README: &str = include_str!("../README.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// How README builds the program, and how long that may take: on two busy cores, from nothing.
const BUILD: &str = "cargo build --package squall";
const BUILD_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How README's address of NATS ends.
const NATS_PORT: &str = ":4222";
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

/// What README exports: two lines for the agent, one for the commands.
fn exports() -> Result<[&'static str; 3]> {
    commands("export").try_into().map_err(|exports| anyhow!("README exports {exports:?}"))
}

/// Where the program is, and the ports of this test, where README has the usual ones.
#[derive(Clone, Debug)]
struct Place {
    path: String,
    doors: u16,
    nats: u16,
}

impl Place {
    /// Builds the program as README says.
    async fn prepare() -> Result<Self> {
        ensure!(README.contains(&format!("`{BUILD}`")), "README builds it in another way");
        let (cargo, words) = BUILD.split_once(' ').context("a command")?;
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| cargo.into()));
        build.args(words.split(' ')).arg("--quiet").current_dir(ROOT);
        let built = timeout(BUILD_WITHIN, build.status()).await.context("it builds for long")??;
        ensure!(built.success(), "`{BUILD}` ended with {built}");

        ensure!(README.contains("`export PATH=$PWD/target/debug:$PATH`"));
        let programs = Path::new(env!("CARGO_BIN_EXE_agent")).parent().context("a folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let (doors, nats) = (free_port()?, free_port()?);
        Ok(Self {
            path: format!("{}:{path}", programs.display()),
            doors: doors.local_addr()?.port(),
            nats: nats.local_addr()?.port(),
        })
    }

    /// A line of README in a shell of the repository.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new(env!("CARGO_BIN_EXE_demo-recorder"));
        shell.args(["tether", "sh", "-c", line]).current_dir(ROOT).kill_on_drop(true);
        shell
            .env("PATH", &self.path)
            .env("SQUALL_SERVER", format!("http://127.0.0.1:{}", self.doors));
        shell
    }

    /// The first terminal.
    fn serve(&self, dev: &str) -> Result<Child> {
        let Self { doors, nats, .. } = self;
        let line = format!("exec {dev} --listen 127.0.0.1:{doors} --nats-port {nats}");
        Ok(self.shell(&line).stdout(Stdio::null()).spawn()?)
    }

    /// A command of the third terminal.
    async fn squall(&self, line: &str) -> Result<()> {
        let [_, _, tenant] = exports()?;
        let mut command = self.shell(&format!("{tenant} && {line}"));
        let ended = timeout(PATIENCE, command.status()).await.context("it takes too long");
        let ended = ended.with_context(|| format!("`{line}`"))??;
        ensure!(ended.success(), "`{line}` ended with {ended}");
        Ok(())
    }

    /// How many calls the report says were affected: a slow machine alone makes an answer late, too.
    async fn applied(&self, report: &str) -> Result<u64> {
        let [_, _, tenant] = exports()?;
        let mut command = self.shell(&format!("{tenant} && {report} --output json"));
        let output = timeout(PATIENCE, command.stdout(Stdio::piped()).output()).await??;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(report["applied"].as_str().context("no count")?.parse()?)
    }
}

/// The second terminal.
struct Agent {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start(place: &Place) -> Result<Self> {
        let [enabled, nats, _] = exports()?;
        ensure!(nats.ends_with(NATS_PORT), "{nats}");
        let nats = nats.replace(NATS_PORT, &format!(":{}", place.nats));
        let agent = env!("CARGO_BIN_EXE_agent");
        let mut process = place
            .shell(&format!("{enabled} && {nats} && exec '{agent}'"))
            .stdout(Stdio::piped())
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

    async fn end(self) -> Result<()> {
        end(self.process).await.context("the agent")
    }
}

/// Ctrl-C.
async fn end(mut process: Child) -> Result<()> {
    let id = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    kill_process(id.context("it ended before")?, Signal::INT)?;
    let status = timeout(PATIENCE, process.wait()).await.context("it does not end")??;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

#[tokio::test]
async fn the_first_session_of_the_readme_works_and_its_fault_reaches_the_agent() -> Result<()> {
    let all = commands("squall");
    let [dev, before @ .., watch, abort, report] = all.as_slice() else { bail!("{all:?}") };
    ensure!(*dev == "squall dev" && watch.starts_with("squall session watch"), "{all:?}");
    ensure!(commands("cargo").contains(&AGENT) && README.contains(FELT));

    let place = Place::prepare().await?;
    let servers = place.serve(dev)?;
    wait("squall dev", async || place.squall("squall fleet").await.ok()).await?;
    let mut agent = Agent::start(&place)?;
    for command in before {
        place.squall(command).await?;
    }
    let stop = async {
        agent.feels().await?;
        place.squall(abort).await
    };
    // Who watches sees it end.
    tokio::try_join!(place.squall(watch), stop)?;
    place.squall(report).await?;
    ensure!(place.applied(report).await? > 0, "no fault was applied");
    agent.end().await?;
    end(servers).await.context("squall dev")
}
