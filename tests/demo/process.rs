//! Processes that never outlive this one, whichever way it ends.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::tether::TETHER;

/// The command `program`, tethered to this process by `tether`, with its output in the file `log`.
///
/// # Errors
/// When the file can't be opened.
pub(crate) fn tethered(tether: &Path, program: &Path, log: &Path) -> Result<Command> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(tether);
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
