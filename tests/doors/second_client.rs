//! A client in another language that knows nothing but the address: reflection tells it the rest.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use squall_tests::speaker::Speaker;
use tokio::process::Command;

use crate::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_made_from_reflection_alone_creates_starts_watches_and_aborts_a_session()
-> Result<()> {
    let house = House::open().await?;
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = tests.join("../.tools/venv/bin/python");
    ensure!(python.exists(), "{} is missing; `make tools` brings it", python.display());
    let script = tests.join("doors/second_client.py");
    let output = Command::new(python)
        .arg(script)
        .arg(house.address.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .context("run the second client")?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the second client failed:\n{out}\n{err}");
    assert!(out.contains("all stopped, proven"), "{out}\n{err}");
    Ok(())
}
