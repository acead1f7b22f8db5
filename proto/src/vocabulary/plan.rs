//! What a shim has to know: the live sessions of its tenant, as a level with a version.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{AppendId, LogId, SessionKey};
use super::session::SessionSpec;

/// Version of a tenant's plan: the log and the stream sequence of the newest event that changed the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlanVersion {
    /// The log; another one means that everything known is void.
    pub log: LogId,
    /// Stream sequence; 0 before any event.
    pub sequence: u64,
}

/// Which abort or halt hit a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortEpoch {
    /// Pushed before it was durable: the append id that it will have in the log.
    Pushed(AppendId),
    /// In the log: the stream sequence of its record, or of the lever's.
    Logged(u64),
}

/// A live session in a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSession {
    /// The session.
    pub key: SessionKey,
    /// What it does.
    pub spec: Arc<SessionSpec>,
    /// Seed of all draws.
    pub seed: u64,
    /// Whether it injects at the moment; `false` while it is paused.
    pub running: bool,
    /// Time since it started or was resumed, when this was sent.
    pub age: Duration,
    /// Time left of its longest duration, when this was sent: a shim stops it by itself then, contact or not.
    pub remaining: Duration,
    /// First probability of asking, `min(1, 2B/N)`; doubles every [`Self::DEMAND_TAU`] (docs/protocol.md, "Finding the demand").
    pub phi0: f64,
    /// Whether the owner said that no permits are left at the moment.
    pub dry: bool,
}

impl PlanSession {
    /// Time in which the probability of asking doubles (`tau` in docs/protocol.md; 0.2 to 0.5 s were simulated).
    pub const DEMAND_TAU: Duration = Duration::from_millis(250);
}

/// A session that ended and that shims may still hold permits of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ended gracefully: nothing new starts, what runs may end.
    Ended,
    /// Aborted: what runs ends now, and a confirmation is due.
    Aborted(AbortEpoch),
}

/// One page of a whole plan, or a delta.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The version after this plan is applied (once its last page is here).
    pub version: PlanVersion,
    /// The version that a delta builds on; `None` for a whole plan, which replaces everything.
    pub previous: Option<u64>,
    /// Page number from 0. Deltas have one page.
    pub page: u32,
    /// Pages in all, at least 1.
    pub pages: u32,
    /// Sessions that are live; in a delta, those that changed.
    pub live: Vec<PlanSession>,
    /// Sessions that ended; in a whole plan, those whose end is not proven yet.
    pub ended: Vec<(SessionKey, Ending)>,
}
