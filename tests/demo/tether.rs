//! A process that dies with the one that started it, whichever way that ends.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};

/// First argument of this program when it is to become another one that dies with its parent.
pub(crate) const TETHER: &str = "tether";

/// Becomes the command, which gets SIGKILL when the process that started it is gone.
///
/// # Errors
/// When the command can't be started; otherwise it does not return.
pub(crate) fn become_tethered(mut command: impl Iterator<Item = OsString>) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let program = command.next().context("no command to tether")?;
    Err(Command::new(program).args(command).exec().into())
}
