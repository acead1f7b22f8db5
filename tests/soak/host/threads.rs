//! 64 threads that share one shim and its sites.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, park_timeout};
use std::time::Duration;

use anyhow::Result;
use squall_soak::said::{Block, Said, say};
use squall_soak::turn::Lane;

use crate::blocking::Agent;
use crate::{Setting, end_of_input, state};

const THREADS: u64 = 64;
/// Between two measured calls of a thread: together they keep a third of a core busy.
const BREATH: Duration = Duration::from_millis(4);
/// Longest pause outside the host's turn, with a call at its end that faults are for.
const REST: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What calls took, by turn.
type Taken = Mutex<BTreeMap<u64, Vec<u64>>>;

/// Runs the host.
pub(crate) fn run(setting: &Setting) -> Result<()> {
    let shim = setting.shim("threads", false)?;
    let agent = Agent::new(shim.as_ref(), setting.seed)?;
    let (end, taken, lane) = (end_of_input(), Taken::default(), setting.lane());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| work(&agent, &end, lane, &taken));
        }
        while !end.load(Ordering::Acquire) {
            park_timeout(TELL_EVERY);
            for block in over(&taken, lane.cycle()) {
                say(&Said::Block(block))?;
            }
            say(&Said::State(state(shim.as_ref(), agent.calls(), agent.injected())))?;
        }
        anyhow::Ok(())
    })?;
    if let Some(shim) = shim {
        shim.shut_down();
        say(&Said::State(state(Some(&shim), agent.calls(), agent.injected())))?;
    }
    Ok(())
}

fn work(agent: &Agent, end: &AtomicBool, lane: Lane, taken: &Taken) {
    while !end.load(Ordering::Acquire) {
        let Some(turn) = lane.turn() else {
            park_timeout(lane.pause().min(REST));
            agent.search();
            agent.answer();
            continue;
        };
        let mut took = Vec::new();
        while lane.turn() == Some(turn) {
            took.push(u64::try_from(agent.steady().as_nanos()).unwrap_or(u64::MAX));
            park_timeout(BREATH);
        }
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.entry(turn).or_default().append(&mut took);
    }
}

/// The blocks of turns before `cycle`: every thread has given its calls.
fn over(taken: &Taken, cycle: u64) -> Vec<Block> {
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    let rest = taken.split_off(&cycle);
    let over = std::mem::replace(&mut *taken, rest);
    over.into_iter().filter_map(|(turn, took)| Block::of("threads", turn, took)).collect()
}
