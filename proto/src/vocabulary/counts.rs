//! What shims count. Counters only grow, so that merging by the larger value makes loss and repeats harmless.

use serde::{Deserialize, Serialize};

/// Counters of one experiment at one agent in one process, since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that the experiment's target matched.
    pub seen: u64,
    /// Calls that the draw chose.
    pub chosen: u64,
    /// Calls to which the fault was applied: only these are affected.
    pub applied: u64,
    /// Chosen calls that passed because no permit was in hand.
    pub skipped: u64,
    /// Chosen calls, permit in hand, to which the fault could not be applied (the permit stays burned).
    pub not_applicable: u64,
}

impl Counts {
    /// The larger value of each counter: both are views of the same process, one newer.
    #[must_use]
    pub fn newest(self, other: Self) -> Self {
        let Self { seen, chosen, applied, skipped, not_applicable } = other;
        Self {
            seen: self.seen.max(seen),
            chosen: self.chosen.max(chosen),
            applied: self.applied.max(applied),
            skipped: self.skipped.max(skipped),
            not_applicable: self.not_applicable.max(not_applicable),
        }
    }

    /// What came to each counter since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let Self { seen, chosen, applied, skipped, not_applicable } = before;
        Self {
            seen: self.seen.saturating_sub(seen),
            chosen: self.chosen.saturating_sub(chosen),
            applied: self.applied.saturating_sub(applied),
            skipped: self.skipped.saturating_sub(skipped),
            not_applicable: self.not_applicable.saturating_sub(not_applicable),
        }
    }

    /// The sum of each counter: two different processes, agents or experiments.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let Self { seen, chosen, applied, skipped, not_applicable } = other;
        Self {
            seen: self.seen.saturating_add(seen),
            chosen: self.chosen.saturating_add(chosen),
            applied: self.applied.saturating_add(applied),
            skipped: self.skipped.saturating_add(skipped),
            not_applicable: self.not_applicable.saturating_add(not_applicable),
        }
    }
}

/// How traces ended in one process while a session ran, since the process started. The raw cascade guard reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceCounts {
    /// Traces with an applied fault that failed afterwards, other than by the injected call's own error.
    pub failed_downstream: u64,
    /// Traces without an applied fault that failed.
    pub failed_background: u64,
    /// Traces that ended well.
    pub succeeded: u64,
}

impl TraceCounts {
    /// See [`Counts::newest`].
    #[must_use]
    pub fn newest(self, other: Self) -> Self {
        let Self { failed_downstream, failed_background, succeeded } = other;
        Self {
            failed_downstream: self.failed_downstream.max(failed_downstream),
            failed_background: self.failed_background.max(failed_background),
            succeeded: self.succeeded.max(succeeded),
        }
    }

    /// See [`Counts::since`].
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let Self { failed_downstream, failed_background, succeeded } = before;
        Self {
            failed_downstream: self.failed_downstream.saturating_sub(failed_downstream),
            failed_background: self.failed_background.saturating_sub(failed_background),
            succeeded: self.succeeded.saturating_sub(succeeded),
        }
    }

    /// See [`Counts::plus`].
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let Self { failed_downstream, failed_background, succeeded } = other;
        Self {
            failed_downstream: self.failed_downstream.saturating_add(failed_downstream),
            failed_background: self.failed_background.saturating_add(failed_background),
            succeeded: self.succeeded.saturating_add(succeeded),
        }
    }
}
