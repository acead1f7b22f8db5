//! The soak's short way, as a program.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// Far beyond every wait of the program itself.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

#[tokio::test]
async fn hosts_and_forked_workers_live_through_a_death_of_nats_and_the_coordinator() -> Result<()> {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_soak"));
    soak.args(["--smoke", "--seed", "1"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, soak.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    ensure!(said.ends_with("violations: 0\n"), "{said}");
    Ok(())
}
