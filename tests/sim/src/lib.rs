//! The simulator: the project's own engine, fold, link, registry and wallet on a virtual clock, network and log.
//!
//! A seed is a [`Scenario`], and a scenario is a run: the same to the byte, whenever and wherever it is run. The [`book`] holds
//! what really happens at agents against what the log says, after every event. Nothing here reads a clock of the machine, draws
//! a number of its own, starts a thread or sleeps.
//!
//! Real are `squall::engine` and all that it decides with, the stored bytes of records and snapshots, the bytes of messages, and
//! `squall_shim_core` from the hook to the link. Made here are what lies around: NATS ([`log`] and the network of [`world`]), the
//! pumps (a pump decides nothing), agents and their tools, clients, and the file of a shim's journal.

pub mod book;
pub mod clock;
pub mod coverage;
pub mod dice;
mod journal;
pub mod log;
pub mod names;
mod queue;
pub mod scenario;
pub mod shrink;
pub mod trace;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::book::Violation;
use crate::coverage::Coverage;
use crate::scenario::Scenario;
use crate::world::World;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that wasn't kept, if one wasn't.
    pub violation: Option<Violation>,
    /// BLAKE3 of its trace.
    pub hash: [u8; 32],
    /// Events.
    pub events: u64,
    /// The last lines of its trace, where a promise wasn't kept.
    pub lines: Vec<String>,
    /// What took place.
    pub coverage: Coverage,
}

/// Runs a scenario to its end, or to the first promise that isn't kept. A panic of the product is one, too.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match ran {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => Some(Violation { promise: "PANIC", what: said(&*panic) }),
    };
    let lines = match violation {
        Some(_) => world.trace().lines().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let (hash, events) = (world.trace().hash(), world.events());
    let mut coverage = world.coverage().clone();
    for (kind, times) in &world.book().begun {
        coverage.add(kind, *times);
    }
    Outcome { violation, hash, events, lines, coverage }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
