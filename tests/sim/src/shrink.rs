//! From a run that fails to the smallest one that fails the same way: what a person can read.

use crate::run;
use crate::scenario::{Clocks, Scenario, Weather};

/// Most runs that it takes: a run is some 20 ms, and whoever waits wants an answer in a minute.
const RUNS_MAX: usize = 1_500;

/// Makes `scenario` smaller as long as it breaks `promise`.
#[must_use]
pub fn shrink(scenario: &Scenario, promise: &str) -> Scenario {
    let mut shrinker = Shrinker { smallest: scenario.clone(), promise, runs: 0 };
    loop {
        let before = shrinker.smallest.clone();
        shrinker.happenings();
        shrinker.sessions();
        shrinker.shims();
        shrinker.surroundings();
        if shrinker.smallest == before || shrinker.runs >= RUNS_MAX {
            return shrinker.smallest;
        }
    }
}

struct Shrinker<'a> {
    smallest: Scenario,
    promise: &'a str,
    runs: usize,
}

impl Shrinker<'_> {
    /// Keeps a change if the run still fails in the same way.
    fn attempt(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut smaller = self.smallest.clone();
        change(&mut smaller);
        smaller.tidy();
        if smaller == self.smallest || self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let fails = run(&smaller).violation.is_some_and(|found| found.promise == self.promise);
        if fails {
            self.smallest = smaller;
        }
        fails
    }

    /// Halves first, then quarters, down to single ones.
    fn happenings(&mut self) {
        let mut size = self.smallest.happenings.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.smallest.happenings.len() {
                let end = (at + size).min(self.smallest.happenings.len());
                if !self.attempt(|scenario| drop(scenario.happenings.drain(at..end))) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    /// Sessions are numbered by their place, so that only the last can go; others become harmless.
    fn sessions(&mut self) {
        while self.smallest.sessions.len() > 1
            && self.attempt(|scenario| scenario.sessions.truncate(scenario.sessions.len() - 1))
        {
        }
        for at in 0..self.smallest.sessions.len() {
            self.attempt(|scenario| scenario.sessions[at].at_ms = u64::from(u32::MAX));
            self.attempt(|scenario| scenario.sessions[at].draft.experiments.truncate(1));
            self.attempt(|scenario| scenario.sessions[at].draft.safety.max_duration_s = None);
        }
    }

    fn shims(&mut self) {
        while self.smallest.shims.len() > 1
            && self.attempt(|scenario| scenario.shims.truncate(scenario.shims.len() - 1))
        {}
        for at in 0..self.smallest.shims.len() {
            self.attempt(|scenario| scenario.shims[at].joins_ms = u64::from(u32::MAX));
            self.attempt(|scenario| scenario.shims[at].joins_ms = 0);
            self.attempt(|scenario| scenario.shims[at].agents = 1);
            self.attempt(|scenario| scenario.shims[at].journal = false);
        }
    }

    fn surroundings(&mut self) {
        while self.smallest.replicas > 1 && self.attempt(|scenario| scenario.replicas -= 1) {}
        self.attempt(|scenario| scenario.network = Weather::FAIR);
        self.attempt(|scenario| scenario.clocks = Clocks::Honest);
        self.attempt(|scenario| scenario.snapshot_every = 100_000);
        self.attempt(|scenario| scenario.trouble_ms /= 2);
    }
}
