//! A child process that never outlives this one.
//!
//! Linux kills a child when the *thread* that made it ends (`PR_SET_PDEATHSIG`), and threads of a runtime come and go. So
//! the child is made by a thread that does nothing else, and that waits until the child is not needed any more.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A running child. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    // Dropped in this order: the child is killed before its thread ends.
    child: Child,
    _release: oneshot::Sender<()>,
}

impl Process {
    /// Starts `binary` in `folder`, with its output in `log`.
    pub(super) async fn start(
        binary: &Path,
        folder: &Path,
        config: &str,
        log: File,
    ) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["--config", config])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C goes to the whole group: the child must live until we are done with it.
            .process_group(0)
            .kill_on_drop(true);
        let (answer, started) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        thread::Builder::new().name("nats-server".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            // Whoever ordered waits for it, or is gone and the child with it.
            let _ = answer.send(tethered(command).spawn());
            // Ends when the other end is dropped.
            let _ = released.blocking_recv();
        })?;
        let child = started.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Self { child, _release: release })
    }

    /// Waits until it ends, and tells how. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end, and kills it if it doesn't within `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let asked = id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
        if asked && timeout(patience, self.child.wait()).await.is_ok() {
            return;
        }
        // One that ended already can't be killed.
        let _ = self.child.kill().await;
    }
}

/// The command's process gets SIGKILL when this process is gone.
fn tethered(mut command: Command) -> Command {
    let parent = getpid();
    let tether = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only two system calls are made, which are async-signal-safe.
    unsafe { command.pre_exec(tether) };
    command
}
