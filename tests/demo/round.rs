//! What an agent writes down about its own work: how each round of it ended, and the answer on both sides of the shim.

use serde::{Deserialize, Serialize};

use crate::record::Digest;

/// How a round of an agent's work ended, as the agent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// All as planned.
    Good,
    /// Done, with something second best: a retry's fallback, an older answer.
    Degraded,
    /// Given up.
    Failed,
}

/// One round of an agent's work, with the answer as the agent wrote it and as it left the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// When the answer was ready.
    pub(crate) at_ns: u64,
    /// When it left.
    pub(crate) done_ns: u64,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What the agent wrote.
    pub(crate) draft: Digest,
    /// What left the process.
    pub(crate) sent: Digest,
}
