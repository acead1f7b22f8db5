//! The stage: one nats-server and one coordinator, each of which can be killed, frozen and brought back.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use squall_tests::nats::{Options, Server, free_port};
use tokio::process::{Child, Command};

/// See the module.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The nats-server.
    pub(crate) nats: Server,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    coordinator: Option<Child>,
    /// Coordinators that ended by themselves: without NATS none starts.
    pub(crate) gave_up: u64,
}

impl Stage {
    /// Starts both. What the coordinator says goes to `folder`.
    ///
    /// # Errors
    /// When one can't be started.
    pub(crate) async fn set(programs: &Path, folder: &Path) -> Result<Self> {
        // Every write goes through to disk: a strict session needs it.
        let options = Options { sync_always: true, accounts: 1, ..Options::default() };
        let nats = Server::start(&options).await?;
        let port = free_port()?.local_addr()?.port();
        let (programs, folder) = (programs.to_owned(), folder.to_owned());
        let mut stage = Self { nats, programs, folder, port, coordinator: None, gave_up: 0 };
        stage.keep_coordinator()?;
        Ok(stage)
    }

    /// Where clients connect.
    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the coordinator unless it runs, as whatever supervises it would.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn keep_coordinator(&mut self) -> Result<()> {
        if let Some(coordinator) = &mut self.coordinator {
            if coordinator.try_wait()?.is_none() {
                return Ok(());
            }
            self.gave_up += 1;
        }
        let path = self.folder.join("coordinator.log");
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        let mut command = Command::new(self.programs.join("soak-coordinator"));
        command
            .args(["serve", "--replicas", "1", "--nats", &self.nats.url()])
            .args(["--nats-monitoring", &self.nats.monitoring_url()])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        tether(&mut command);
        self.coordinator = Some(command.spawn().context("start the coordinator")?);
        Ok(())
    }

    /// Kills the coordinator.
    ///
    /// # Errors
    /// When it can't be killed.
    pub(crate) async fn kill_coordinator(&mut self) -> Result<()> {
        if let Some(mut coordinator) = self.coordinator.take() {
            coordinator.kill().await?;
        }
        Ok(())
    }

    /// Freezes the coordinator; one that is gone stays gone.
    pub(crate) fn freeze_coordinator(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets the coordinator go on.
    pub(crate) fn thaw_coordinator(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.coordinator.as_ref().and_then(Child::id);
        if let Some(pid) = id.and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            // One that ended and was not waited for yet takes the signal and does nothing.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Ends the command's process with this one, whichever way this one ends.
pub(crate) fn tether(command: &mut Command) {
    // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
