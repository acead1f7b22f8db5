//! The program under test, and the servers that it is tested on.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Below the ephemeral range: an ephemeral port can be taken, or connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// `.tools` is there, if `make tools` ran.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    /// Whether it ended well.
    pub(crate) fn is_done(&self) -> bool {
        self.status.success()
    }

    /// Its output; it has to have ended well.
    pub(crate) fn done(self) -> Result<String> {
        ensure!(self.status.code() == Some(0), "{self:?}");
        Ok(self.out)
    }

    /// What it said and its errors; it has to have ended with this code.
    pub(crate) fn ended(self, code: i32) -> Result<(String, String)> {
        ensure!(self.status.code() == Some(code), "{self:?}");
        Ok((self.out, self.err))
    }

    /// Its errors; it has to have failed with this code, and said nothing else.
    pub(crate) fn failed(self, code: i32) -> Result<String> {
        ensure!(self.status.code() == Some(code) && self.out.is_empty(), "{self:?}");
        Ok(self.err)
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command
        .args(words)
        .current_dir(ROOT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for variable in ["RUST_LOG", "SQUALL_SERVER", "SQUALL_TENANT"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program to its end.
pub(crate) async fn squall(
    words: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Result<Ended> {
    let mut command = command(words);
    command.envs(variables.iter().copied());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("piped")?;
    let input = input.to_owned();
    // One that reads nothing closes its end.
    let write = async move { drop(stdin.write_all(input.as_bytes()).await) };
    let ended = timeout(PATIENCE, async { tokio::join!(write, child.wait_with_output()).1 }).await;
    let output = ended.with_context(|| format!("squall {} takes too long", words.join(" ")))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { status: output.status, out: text(&output.stdout), err: text(&output.stderr) })
}

/// Runs the program with nobody who reads what it says.
pub(crate) async fn unread(words: &[&str]) -> Result<Option<i32>> {
    let mut child = command(words).spawn()?;
    drop(child.stdout.take());
    Ok(timeout(PATIENCE, child.wait()).await??.code())
}

/// A `squall dev`, or a `squall serve` beside one.
#[derive(Debug)]
pub(crate) struct Dev {
    server: Child,
    url: String,
    nats_url: String,
}

impl Dev {
    /// Starts `squall dev` on a free port, and waits until it is ready.
    pub(crate) async fn start(words: &[&str]) -> Result<Self> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let dev = ["dev", "--listen", &listen, "--output", "json"];
        let words: Vec<&str> = dev.into_iter().chain(words.iter().copied()).collect();
        let mut server = tethered(command(&words))?;
        let mut out = BufReader::new(server.stdout.take().context("piped")?);
        let mut line = String::new();
        timeout(PATIENCE, out.read_line(&mut line)).await.context("squall dev is not ready")??;
        let ready: Value = serde_json::from_str(&line).context("squall dev did not start")?;
        let text = |name: &str| ready[name].as_str().map(str::to_owned).context("a text");
        Ok(Self { server, url: text("server")?, nats_url: text("nats_url")? })
    }

    /// Starts `squall serve` on the same NATS.
    pub(crate) async fn serve_beside(&self) -> Result<Self> {
        serve(&self.nats_url, &format!("127.0.0.1:{}", free_port()?)).await
    }

    /// Starts a `squall serve` that ended again, where it was.
    pub(crate) async fn again(&self) -> Result<Self> {
        serve(&self.nats_url, self.url.trim_start_matches("http://")).await
    }

    /// Where its doors are.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its shims connect.
    pub(crate) fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// Starts a command as tenant `acme`, and lets it run.
    pub(crate) fn spawn(&self, words: &[&str]) -> Result<Running> {
        let mut command = command(words);
        command.envs([("SQUALL_SERVER", self.url.as_str()), ("SQUALL_TENANT", "acme")]);
        let mut child = command.spawn()?;
        let out = BufReader::new(child.stdout.take().context("piped")?);
        Ok(Running { child, out })
    }

    /// Runs a command as tenant `acme`.
    pub(crate) async fn squall(&self, words: &[&str]) -> Result<Ended> {
        self.squall_with("", words).await
    }

    /// The same, with a file on standard input.
    pub(crate) async fn squall_with(&self, input: &str, words: &[&str]) -> Result<Ended> {
        squall(words, &[("SQUALL_SERVER", &self.url), ("SQUALL_TENANT", "acme")], input).await
    }

    /// What a command that has to end well answers to a program.
    pub(crate) async fn json(&self, words: &[&str]) -> Result<Value> {
        self.json_with("", words).await
    }

    /// The same, with a file on standard input.
    pub(crate) async fn json_with(&self, input: &str, words: &[&str]) -> Result<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        Ok(serde_json::from_str(&self.squall_with(input, &words).await?.done()?)?)
    }

    /// Repeats a command until its answer is as wanted.
    pub(crate) async fn until(
        &self,
        words: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.squall(words).await?.done()?;
            if wanted(&answer) {
                return Ok(answer);
            }
            ensure!(Instant::now() < until, "waited in vain, last for {answer}");
        }
    }

    /// Ends it with a signal, and tells its exit code.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<Option<i32>> {
        let id = self.server.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.context("it ended before")?, signal)?;
        self.wait().await
    }

    /// Ends it as its user would, and it ends well.
    pub(crate) async fn done(mut self) -> Result<()> {
        let code = self.end(Signal::INT).await?;
        ensure!(code == Some(0), "it ended with {code:?}");
        Ok(())
    }

    /// Waits until it ends, and tells its exit code.
    pub(crate) async fn wait(&mut self) -> Result<Option<i32>> {
        Ok(timeout(PATIENCE, self.server.wait()).await.context("it does not end")??.code())
    }

    /// Waits until nothing listens on its NATS port any more.
    pub(crate) async fn nats_is_gone(&self) -> Result<()> {
        let address = self.nats_url.trim_start_matches("nats://");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_ok() {
            ensure!(Instant::now() < until, "nats-server is still there");
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Starts `squall serve` on a NATS that is there, and waits until it is ready.
pub(crate) async fn serve_on(nats_url: &str, more: &[&str]) -> Result<Dev> {
    serve_with(nats_url, &format!("127.0.0.1:{}", free_port()?), more).await
}

async fn serve(nats_url: &str, listen: &str) -> Result<Dev> {
    serve_with(nats_url, listen, &[]).await
}

async fn serve_with(nats_url: &str, listen: &str, more: &[&str]) -> Result<Dev> {
    let words = ["serve", "--nats", nats_url, "--replicas", "1", "--listen", listen];
    let server = tethered(command(&[&words, more].concat()))?;
    let other = Dev { server, url: format!("http://{listen}"), nats_url: nats_url.to_owned() };
    let until = Instant::now() + PATIENCE;
    while other.squall(&["session", "list"]).await?.done().is_err() {
        ensure!(Instant::now() < until, "squall serve is not ready");
        sleep(LOOK_EVERY).await;
    }
    Ok(other)
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    /// The next line that it says.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        timeout(PATIENCE, self.out.read_line(&mut line)).await.context("it says nothing")??;
        Ok(line)
    }

    /// Everything else that it says, and how it ends.
    pub(crate) async fn rest(mut self) -> Result<Ended> {
        let (mut out, mut err) = (String::new(), String::new());
        let mut errors = self.child.stderr.take().context("piped")?;
        let all = async {
            self.out.read_to_string(&mut out).await?;
            errors.read_to_string(&mut err).await?;
            self.child.wait().await
        };
        let status = timeout(PATIENCE, all).await.context("it does not end")??;
        Ok(Ended { status, out, err })
    }
}

pub(crate) fn free_port() -> Result<u16> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let drawn = std::iter::repeat_with(|| rand::random_range(PORTS)).take(200);
    drawn.into_iter().find(free).context("no free port")
}

/// A command on its way to the thread that starts all servers, the runtime that will wait for it, and where it goes.
type Order = (Command, Handle, mpsc::Sender<std::io::Result<Child>>);

/// Linux kills a tethered child when the thread that made it ends; a test's thread ends with the test.
static PARENT: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, runtime, answer) in inbox {
            let _entered = runtime.enter();
            // Whoever ordered waits for it.
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

/// Starts a server that does not outlive this process, even if that is killed.
pub(crate) fn tethered(mut command: Command) -> Result<Child> {
    // What a server complains about belongs to the test's own output.
    command.stderr(Stdio::inherit()).env("RUST_LOG", "warn");
    // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let (answer, child) = mpsc::channel();
    PARENT.send((command, Handle::current(), answer)).ok().context("the parent thread is gone")?;
    Ok(child.recv().context("the parent thread is gone")??)
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let name = format!("squall-cli-{}-{:x}", std::process::id(), rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("made of ASCII below the temporary folder")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is the system's to sweep.
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}
