//! The command that disturbs: run by the shell, once or again and again. What it says goes to stderr as it is.

use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep_until};

use super::Drill;

/// Runs the command once, or every so often until the drill's time is over. It is never killed: one that cuts a link may be
/// the one that heals it.
pub(super) async fn disturb(drill: &Drill, command: &str, every: Option<Duration>, until: Instant) {
    loop {
        let began = Instant::now();
        drill.note(&format!("disturbing: {command}"));
        let told = match run(command).await {
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("could not be run: {error}"),
        };
        drill.note(&format!("the disturbance {told}"));
        drill.judge().disturbed.push((drill.at(), told));
        let Some(next) = every.map(|every| began + every).filter(|next| *next < until) else {
            return;
        };
        sleep_until(next).await;
    }
}

async fn run(command: &str) -> std::io::Result<std::process::ExitStatus> {
    let out = std::io::stderr().as_fd().try_clone_to_owned()?;
    Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(out).status().await
}
