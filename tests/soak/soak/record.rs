//! What the soak saw: what hosts said of themselves, and what the machine says of them.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_soak::said::{Block, Gone, Part, Said, State, Worker};

/// A host's kind, and whether it is the twin without a shim.
pub(crate) type Who = (&'static str, bool);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) hosts: BTreeMap<Who, Host>,
    /// By seam, twin or not, and turn. Forked workers have several in one turn.
    pub(crate) blocks: BTreeMap<(String, bool), BTreeMap<u64, Vec<Block>>>,
    /// When NATS or the coordinator was away: from and to, since boot.
    pub(crate) away: Vec<(Duration, Duration)>,
    pub(crate) deaths: u64,
    pub(crate) freezes: u64,
    /// Sessions that ran, and what the last ones that didn't were told.
    pub(crate) sessions: u64,
    pub(crate) refusals: BTreeMap<String, u64>,
    /// Load averages of a minute.
    pub(crate) loads: Vec<f64>,
}

/// One host and its forked workers.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) state: State,
    pub(crate) workers: BTreeMap<Part, Workers>,
    pub(crate) vitals: Vec<Vitals>,
    /// What was wrong with the end of a process, or with what it said.
    pub(crate) wrong: Vec<String>,
}

/// All workers of one part.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    pub(crate) lives: u64,
    pub(crate) calls: u64,
    pub(crate) injected: u64,
    pub(crate) panics: u64,
    pub(crate) caught: u64,
    pub(crate) midway: u64,
    /// Open files at the end of each.
    pub(crate) descriptors: Vec<u64>,
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vitals {
    /// Since boot.
    pub(crate) at: Duration,
    pub(crate) rss_kib: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Record {
    /// Takes in what a host said.
    pub(crate) fn heard(&mut self, who: Who, said: Said) {
        let host = self.hosts.entry(who).or_default();
        match said {
            Said::Block(block) => {
                let turns = self.blocks.entry((block.seam.clone(), who.1)).or_default();
                turns.entry(block.turn).or_default().push(block);
            }
            Said::State(state) => host.state = state,
            Said::Worker(worker) => host.workers.entry(worker.part).or_default().add(&worker),
            Said::Gone(Gone { part, wrong }) => {
                host.workers.entry(part).or_default().lives += 1;
                host.wrong.extend(wrong.map(|wrong| format!("a worker ({part:?}): {wrong}")));
            }
        }
    }

    /// A host, as it is known so far.
    pub(crate) fn host(&mut self, who: Who) -> &mut Host {
        self.hosts.entry(who).or_default()
    }
}

impl Host {
    /// Calls of the host and its workers.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls + self.workers.values().map(|workers| workers.calls).sum::<u64>()
    }

    /// Calls of the host and its workers that a fault reached.
    pub(crate) fn injected(&self) -> u64 {
        self.state.injected + self.workers.values().map(|workers| workers.injected).sum::<u64>()
    }

    /// Panics of the host and its workers, and those that a shim caught.
    pub(crate) fn panics(&self) -> u64 {
        let of_workers = self.workers.values().map(|workers| workers.panics + workers.caught);
        self.state.panics + self.state.caught + of_workers.sum::<u64>()
    }
}

impl Workers {
    fn add(&mut self, worker: &Worker) {
        let Worker { part: _, state, descriptors, midway } = worker;
        self.calls += state.calls;
        self.injected += state.injected;
        self.panics += state.panics;
        self.caught += state.caught;
        self.midway += u64::from(*midway);
        self.descriptors.push(*descriptors);
    }
}
