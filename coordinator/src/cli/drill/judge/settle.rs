//! The end of a drill: what its sessions add up to, and what was not tested.

use std::time::Duration;

use squall_proto::wire::v1::SessionState;

use super::{Judge, Kind, Promise, Round};

/// How long a stop took, by the clock of who drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::drill) struct Stopped {
    /// From the first sending to the answer.
    pub(in crate::cli::drill) acknowledged: Duration,
    /// From the first sending until a replica showed the proof.
    pub(in crate::cli::drill) proven: Option<Duration>,
}

impl Judge {
    /// Judges everything that was seen. `answers` says whether any coordinator still does.
    pub(in crate::cli::drill) fn settle(&mut self, answers: bool) {
        for round in 0..self.rounds.len() {
            self.settle_log(round);
            self.settle_stop(round, answers);
        }
        self.settle_reach();
        self.settle_bound();
        self.settle_tests();
    }

    /// How long the stop of a round took, if one was ordered and answered.
    pub(in crate::cli::drill) fn stopped(&self, round: usize) -> Option<Stopped> {
        let (sent, answered) = self.done(round, Kind::Abort).or(self.rounds[round].halted)?;
        let proven = self.rounds[round].proven.map(|(at, _)| at.saturating_sub(sent));
        Some(Stopped { acknowledged: answered.saturating_sub(sent), proven })
    }

    /// A bound that nothing presses against is kept by chance.
    fn settle_bound(&mut self) {
        let is_reached = |round: &Round| {
            let newest = round.newest.as_ref();
            newest.is_some_and(|newest| {
                newest.state() == SessionState::Exhausted
                    || newest.budget.is_some_and(|budget| budget.available == 0)
            })
        };
        if !self.rounds.iter().any(is_reached) {
            let why = "no session came to its last permit, so that nothing pressed against the bound: lower --budget, or drill for longer";
            self.untested(Promise::Bound, why);
        }
    }

    fn settle_tests(&mut self) {
        let rounds = 0..self.rounds.len();
        let stopped: Vec<usize> = rounds.filter(|round| self.stopped(*round).is_some()).collect();
        if !stopped.iter().any(|round| self.is_confirmed(*round)) {
            let why = "no stop came while shims held permits and was confirmed by them all: proof by time, or by nobody's permits, shows less";
            self.untested(Promise::Stop, why);
        }
        if !stopped.iter().any(|round| self.rounds[*round].signs > 0) {
            let why = "no stop came while something was disturbed, as far as that shows from outside: disturb for longer (--every), or let \
                       sessions last (--budget, --probability)";
            self.untested(Promise::Stop, why);
        }
        let paused = |round| self.done(round, Kind::Resume).is_some();
        if !(0..self.rounds.len()).any(paused) {
            self.remark("no session was paused and resumed: none lasted long enough");
        }
        if self.signs.is_empty() {
            let why = "nothing was disturbed, as far as that shows from outside: kill a replica or cut a link while it runs, \
                       or let --disturb do it, and name every coordinator with --server and --also";
            Promise::ALL.iter().for_each(|promise| self.untested(*promise, why));
        }
    }
}
