//! What reports of shims lead to: the raw cascade guard, and the end of a session that has no permits.
//!
//! Not here: how traces are judged (shims count them) and how counts are added up ([`crate::evidence`]).

use squall_proto::vocabulary::counts::{Counts, TraceCounts};

use super::{Phase, Session};
use crate::event::{AbortCause, DrainReason, Event};

impl Session {
    /// What the guard appends, given how traces ended over all processes: nothing, or that it tripped, and with
    /// `auto_abort_on_cascade` the abort in the same append. It trips once, and only while the session is live.
    #[must_use]
    pub fn guard(&self, traces: TraceCounts) -> Vec<Event> {
        let safety = &self.spec.safety;
        let failed_downstream = traces.failed_downstream;
        let Some(threshold) = safety.cascade_threshold else { return Vec::new() };
        let reached = failed_downstream >= u64::from(threshold);
        if !reached || !self.phase.is_live() || self.guard_tripped.is_some() {
            return Vec::new();
        }
        let mut events = vec![Event::GuardTripped { failed_downstream, threshold }];
        if safety.auto_abort_on_cascade {
            let reason = format!(
                "{failed_downstream} traces failed downstream of an injection, cascade_threshold is {threshold}"
            );
            events.push(Event::Aborted { reason, cause: AbortCause::Cascade });
        }
        events
    }

    /// What a session without permits appends, given what was reported over all processes: it drains once that is its
    /// budget. Shims go on until they hear of it; that is the overshoot of `eventual`.
    #[must_use]
    pub fn reached(&self, total: Counts) -> Option<Event> {
        let is_active = matches!(self.phase, Phase::Running | Phase::Paused);
        let is_spent = total.applied >= u64::from(self.ledger.budget());
        (is_active && !self.has_permits() && is_spent)
            .then_some(Event::DrainBegan { why: DrainReason::Budget })
    }

    /// Whether its guard looks at what is reported: then nothing may be issued while reports can't be read.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.spec.safety.cascade_threshold.is_some() && self.guard_tripped.is_none()
    }

    /// What a session without permits appends while reports can't be read, which are all that bounds it: it pauses, until
    /// somebody resumes it.
    #[must_use]
    pub fn unwatched(&self) -> Option<Event> {
        (self.phase == Phase::Running && !self.has_permits()).then_some(Event::Paused)
    }
}
