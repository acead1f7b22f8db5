//! A short drill, as `make drill` runs a long one.

use std::process::Command;

use anyhow::{Result, ensure};

#[test]
fn the_three_promises_hold_under_twenty_faults() -> Result<()> {
    let drill = env!("CARGO_BIN_EXE_drill");
    let ended = Command::new(drill).args(["--faults", "20", "--seed", "20"]).output()?;
    let (out, err) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.success(), "{out}\n{err}");
    ensure!(out.trim_end().ends_with("violations: 0"), "{out}");
    ensure!(out.contains("faults: 20 ("), "not all faults were performed: {out}");
    Ok(())
}
