//! Chaos without a server, for tests. Its bound reads "this process only".

use std::sync::Arc;

use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::ExperimentName;
use squall_proto::vocabulary::session::Experiment;

use crate::clock::Clock;
use crate::registry::Registry;

/// Experiments that run in this process alone: permits without a lease, and no coordinator.
#[derive(Debug)]
pub struct Local {}

impl Local {
    /// What the bound of a local session covers.
    pub const BOUND: &'static str = "this process only";

    /// Runs `experiments` until `max_affected` calls were affected. The same seed and request ids give the same choices.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        experiments: Vec<Experiment>,
        max_affected: u32,
        seed: u64,
    ) -> Self {
        let _ = (clock, experiments, max_affected, seed);
        todo!()
    }

    /// Where adapters get their sites.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        todo!()
    }

    /// Starts again: all permits, counters at zero, the same draws.
    pub fn reset(&self) {
        todo!()
    }

    /// The counters of each experiment, over all agents.
    #[must_use]
    pub fn counts(&self) -> Vec<(ExperimentName, Counts)> {
        todo!()
    }
}
