//! Processes that never outlive this one, whichever way it ends.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// First argument of `demo-recorder` when it is to become another program that dies with its parent.
const TETHER: &str = "tether";

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

/// This program's path, as it was when it was asked for first: a build meanwhile puts a new file in its place, and the
/// system then knows the running one as deleted only.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn myself() -> io::Result<PathBuf> {
    static MYSELF: OnceLock<PathBuf> = OnceLock::new();
    match MYSELF.get() {
        Some(path) => Ok(path.clone()),
        None => {
            let path = std::env::current_exe()?;
            Ok(MYSELF.get_or_init(|| path).clone())
        }
    }
}
