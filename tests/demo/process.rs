//! Processes that never outlive this one, whichever way it ends.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

/// First argument of this program when it is to become another one that dies with its parent.
pub(crate) const TETHER: &str = "tether";

/// Becomes the command, which gets SIGKILL when the process that started it is gone.
///
/// # Errors
/// When the command can't be started; otherwise it does not return.
pub(crate) fn become_tethered(mut command: impl Iterator<Item = OsString>) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let program = command.next().context("no command to tether")?;
    Err(std::process::Command::new(program).args(command).exec().into())
}

/// The command `program`, tethered to this process, with its output in the file `log`.
///
/// # Errors
/// When the file can't be opened.
pub(crate) fn tethered(program: &Path, log: &Path) -> Result<Command> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(TETHER)
        .arg(program)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// Sends `signal` to a child that was not waited for yet.
///
/// # Errors
/// When it is gone.
pub(crate) fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    Ok(kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?)
}
