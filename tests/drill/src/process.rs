//! Processes of the house: started, killed, frozen, ended, and started again when they end by themselves, as an init system
//! would. None outlives the drill, whichever way it ends.

use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// Least time between an end by itself and the next start.
const RESTART_AFTER: Duration = Duration::from_millis(700);

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// What is added to its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Where its output is appended.
    pub(crate) log: PathBuf,
}

/// One process, or the place of one.
#[derive(Debug)]
pub(crate) struct Process {
    recipe: Recipe,
    child: Option<Child>,
    wanted: bool,
    last_start: Instant,
    /// Deaths by a signal that nobody of us sent.
    strange_ends: Vec<String>,
}

impl Process {
    /// Starts it. Must be called by a thread that lives as long as the drill: the child dies with it.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(recipe: Recipe) -> Result<Self> {
        let mut process = Self {
            recipe,
            child: None,
            wanted: true,
            last_start: Instant::now(),
            strange_ends: Vec::new(),
        };
        process.spawn()?;
        Ok(process)
    }

    fn spawn(&mut self) -> Result<()> {
        let Recipe { program, arguments, environment, log } = &self.recipe;
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        self.child = Some(command.spawn().with_context(|| format!("start {}", program.display()))?);
        self.last_start = Instant::now();
        Ok(())
    }

    /// Starts it again if it is wanted and ended by itself.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn keep(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            self.child = None;
            if self.wanted {
                self.note(status);
            }
        }
        if self.wanted && self.child.is_none() && self.last_start.elapsed() >= RESTART_AFTER {
            self.spawn()?;
        }
        Ok(())
    }

    /// A process may give up, but never by a signal of its own: that is a crash.
    fn note(&mut self, status: ExitStatus) {
        if status.signal().is_some() || status.code() == Some(101) {
            self.strange_ends.push(format!("{}: {status}", self.recipe.log.display()));
        }
    }

    /// Ends by signals that nobody of us sent, and panics.
    pub(crate) fn strange_ends(&self) -> &[String] {
        &self.strange_ends
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it the hard way; it stays dead until [`Process::revive`].
    pub(crate) fn kill(&mut self) {
        self.wanted = false;
        if let Some(mut child) = self.child.take() {
            // One that ended already is reaped all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end; it stays ended until [`Process::revive`].
    pub(crate) fn terminate(&mut self) {
        self.wanted = false;
        self.signal(Signal::TERM);
    }

    /// It may run again.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn revive(&mut self) -> Result<()> {
        self.wanted = true;
        if self.is_running() { Ok(()) } else { self.spawn() }
    }

    /// Sends a signal, if it runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(child) = &self.child {
            // Not waited for yet, so that the id is still its own; one that ended is not there to be told.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
