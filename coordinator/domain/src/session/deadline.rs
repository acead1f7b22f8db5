//! Every state that isn't final has a deadline: nothing waits for a dead shim or a forgotten draft.

use std::time::Duration;

use squall_proto::vocabulary::limits::PERMIT_LIFE;
use squall_proto::vocabulary::time::{UnixMillis, stretched};

use super::{Phase, Session};
use crate::event::{DrainReason, Ending, Event};

/// A draft that nobody started is closed after this time.
const DRAFT_LIFE: Duration = Duration::from_secs(24 * 3600);

/// When a session has to be looked at again, by the log's wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: UnixMillis,
    /// What for, for traces.
    pub why: &'static str,
}

/// What is due and how it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// This is to be appended.
    Append(Event),
}

impl Session {
    /// The deadline of the state it is in; `None` when it is final (a stop's proof has its own, on the owner's clock).
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        match self.phase {
            Phase::Draft => {
                Some(Deadline { at: self.created.at.plus(DRAFT_LIFE), why: "draft expires" })
            }
            Phase::Running | Phase::Paused => {
                let started = self.started.as_ref()?;
                Some(Deadline {
                    at: started.at.plus(self.spec.safety.max_duration),
                    why: "max_duration",
                })
            }
            Phase::Draining => {
                let (began, _) = self.draining.as_ref()?;
                Some(Deadline { at: began.at.plus(self.longest_use()), why: "drain ends" })
            }
            Phase::Completed | Phase::Exhausted | Phase::Aborted | Phase::LogDamaged => None,
        }
    }

    /// What is due now. `outstanding` are the permits that may still be in use by the owner's clock.
    #[must_use]
    pub fn due(&self, now: UnixMillis, outstanding: u64) -> Due {
        let passed = self.deadline().is_some_and(|deadline| now >= deadline.at);
        match self.phase {
            Phase::Draft if passed => Due::Append(Event::Ended { how: Ending::Expired }),
            Phase::Running | Phase::Paused if passed => {
                Due::Append(Event::DrainBegan { why: DrainReason::Duration })
            }
            Phase::Running if self.ledger.available() == 0 && outstanding == 0 => {
                Due::Append(Event::Ended { how: Ending::Exhausted })
            }
            // Without permits nobody knows whether something still runs: only time tells.
            Phase::Draining
                if passed || (self.has_permits() && self.ledger.open_permits() == 0) =>
            {
                let is_spent = self.drains_for(DrainReason::Budget);
                let how = if is_spent { Ending::Exhausted } else { Ending::Completed };
                Due::Append(Event::Ended { how })
            }
            Phase::Draft
            | Phase::Running
            | Phase::Paused
            | Phase::Draining
            | Phase::Completed
            | Phase::Exhausted
            | Phase::Aborted
            | Phase::LogDamaged => Due::Nothing,
        }
    }

    /// Whether it drains, and for this reason.
    pub(super) fn drains_for(&self, reason: DrainReason) -> bool {
        let is_it = self.draining.as_ref().is_some_and(|(_, why)| *why == reason);
        self.phase == Phase::Draining && is_it
    }

    /// Longest time that a permit can be in use after it was issued, on any clock: a permit's life and the longest fault.
    #[must_use]
    pub fn longest_use(&self) -> Duration {
        stretched(PERMIT_LIFE + self.spec.longest_fault())
    }
}
