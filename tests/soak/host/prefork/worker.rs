//! The life of one forked worker.

use std::sync::atomic::Ordering;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use squall_shim::Shim;
use squall_shim::vocabulary::call::{Point, Shape};
use squall_shim::vocabulary::seam::{Capabilities, Seam};
use squall_soak::said::{Block, Part, Said, Worker, say};

use crate::blocking::Agent;
use crate::{PANICS, Setting, state};

/// Between two measured calls.
const BREATH: Duration = Duration::from_millis(1);
/// Between two calls that faults are for.
const REST: Duration = Duration::from_millis(20);

/// Works for `life`, says what it did, and ends in one of the ways in which workers end.
pub(super) fn live(
    setting: &Setting,
    part: Part,
    parent: Option<&Shim>,
    life: Duration,
    seed: u64,
) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    PANICS.store(0, Ordering::Relaxed);
    let until = Instant::now() + life;
    let (shim, midway) = match part {
        Part::Own => (setting.shim("own", false)?, false),
        Part::OwnWithJournal => (setting.shim("own-journal", true)?, false),
        Part::Again => (parent.cloned(), parent.is_some_and(|shim| shim.after_fork().is_err())),
        Part::Silent => (parent.cloned(), false),
    };
    if let Some(shim) = &shim {
        // A place that nobody called from before, as a new tool of an agent is.
        let (point, shape, capabilities) = (Point::Tool, Shape::Json, Capabilities::ALL);
        let seam = Seam { name: "linked".to_owned(), point, shape, capabilities };
        let _ = shim.site(&"planner".parse()?, &format!("tool-{seed:x}").parse()?, &seam);
    }
    let agent = Agent::new(shim.as_ref(), seed)?;
    while Instant::now() < until {
        work(setting, &agent)?;
    }
    let ended = state(shim.as_ref(), agent.calls(), agent.injected());
    let descriptors = std::fs::read_dir("/proc/self/fd").context("look at its files")?.count();
    say(&Said::Worker(Worker { part, state: ended, descriptors: descriptors as u64, midway }))?;
    match (shim, seed % 3) {
        (Some(shim), 0) => shim.shut_down(),
        (Some(shim), 1) => drop(shim),
        // As a process that is ended in the middle of its work.
        (Some(shim), _) => std::mem::forget(shim),
        (None, _) => {}
    }
    Ok(())
}

/// A turn, or a call that faults are for.
fn work(setting: &Setting, agent: &Agent) -> Result<()> {
    let lane = setting.lane();
    let Some(turn) = lane.turn() else {
        park_timeout(lane.pause().min(REST));
        agent.search();
        agent.answer();
        return Ok(());
    };
    let mut took = Vec::new();
    while lane.turn() == Some(turn) {
        took.push(u64::try_from(agent.steady().as_nanos())?);
        park_timeout(BREATH);
    }
    Block::of("prefork", turn, took).map_or(Ok(()), |block| Ok(say(&Said::Block(block))?))
}
