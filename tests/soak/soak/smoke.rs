//! The short way: everything starts, and goes on after one death of NATS and the coordinator. Nothing is timed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use squall_soak::said::Part;
use tokio::time::{Instant, sleep};

use crate::crew::{KINDS, Notes};
use crate::record::Record;
use crate::sessions::Operator;
use crate::stage::Stage;

/// Longest wait for anything. A worker has to find its way to a permit in a life of seconds, which takes many lives where
/// twenty other processes want the same core.
const PATIENCE: Duration = Duration::from_secs(4 * 60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than all waits together.
const SESSION: Duration = Duration::from_secs(3600);
const BUDGET: u32 = 100_000;
/// Workers that inject on permits of their own.
const INJECTING: [Part; 3] = [Part::Own, Part::OwnWithJournal, Part::Again];
const SEAMS: [&str; 4] = ["tower", "rmcp", "prefork", "threads"];

/// See the module.
///
/// # Errors
/// Says what didn't happen in time.
pub(crate) async fn smoke(stage: &mut Stage, operator: &mut Operator, notes: &Notes) -> Result<()> {
    operator.start("strict", BUDGET, SESSION).await?.context("no session could be started")?;
    until(stage, notes, "every host injects", |record| all(record, |_| 0)).await?;
    until(stage, notes, "turns of every host and twin", |record| {
        let has = |seam: &str, twin| record.blocks.contains_key(&(seam.to_owned(), twin));
        SEAMS.iter().all(|seam| has(seam, false) && has(seam, true))
    })
    .await?;
    println!("every host injects; now NATS and the coordinator die");

    stage.nats.kill();
    stage.kill_coordinator().await?;
    wait(
        notes,
        "every host notices",
        || Ok(()),
        |record| {
            KINDS
                .iter()
                .all(|kind| record.hosts.get(&(kind, false)).is_some_and(|h| !h.state.connected))
        },
    )
    .await?;
    let calls = |record: &Record| -> Vec<u64> {
        record.hosts.values().map(|host| host.state.calls).collect()
    };
    let before = calls(&notes.lock());
    wait(
        notes,
        "every host works on",
        || Ok(()),
        |record| calls(record).iter().zip(&before).all(|(now, before)| now > before),
    )
    .await?;
    println!("every host works on; now they come back");

    stage.nats.restart().await?;
    notes.lock().deaths += 2;
    let known: Vec<u64> = injected(&notes.lock());
    until(stage, notes, "chaos goes on", |record| all(record, |n| known[n])).await?;
    println!("chaos goes on; now everything ends");
    Ok(())
}

/// What each host, and each part of forked workers, injected.
fn injected(record: &Record) -> Vec<u64> {
    let host = |kind| record.hosts.get(&(kind, false));
    let of_hosts = KINDS.map(|kind| host(kind).map_or(0, |host| host.state.injected));
    let of_workers = INJECTING.map(|part| {
        let workers = host("prefork").and_then(|host| host.workers.get(&part));
        workers.map_or(0, |workers| workers.injected)
    });
    of_hosts.into_iter().chain(of_workers).collect()
}

/// Whether all of them injected more than `known` says.
fn all(record: &Record, known: impl Fn(usize) -> u64) -> bool {
    injected(record).iter().enumerate().all(|(n, injected)| *injected > known(n))
}

async fn until(
    stage: &mut Stage,
    notes: &Notes,
    what: &str,
    holds: impl Fn(&Record) -> bool,
) -> Result<()> {
    wait(notes, what, || stage.keep_coordinator(), holds).await
}

async fn wait(
    notes: &Notes,
    what: &str,
    mut tend: impl FnMut() -> Result<()>,
    holds: impl Fn(&Record) -> bool,
) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds(&notes.lock()) {
        if Instant::now() >= end {
            bail!("waited in vain: {what}; {:#?}", notes.lock().hosts);
        }
        tend()?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
