//! How far a session may reach: a predicate over all of its injections, not a label (docs/protocol.md).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::TenantId;
use super::named::names;

/// What all injections of a session have in common at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlastRadius {
    /// One request: the budget is 1 and its permit is bound to the request.
    SingleRequest,
    /// One agent of one tenant, bound with the first grant.
    SingleAgent,
    /// One trace, bound with the first grant.
    SingleTrace,
    /// One tenant: the session's own.
    SingleTenant,
    /// The tenants of an explicit list.
    MultiTenant,
}

names!(BlastRadius { SingleRequest => "single_request", SingleAgent => "single_agent", SingleTrace => "single_trace", SingleTenant => "single_tenant", MultiTenant => "multi_tenant" });

/// How hard the budget is (docs/protocol.md, "Strictness").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// Permits in chunks; a chosen request with no permit in hand passes untouched. Never over the budget.
    Strict,
    /// One permit bound to the request, asked for while it waits 20 ms at most. Never over the budget.
    StrictClaim,
    /// No permits, only a lease: the overshoot is bounded by rate and time, and printed at the start. For staging.
    Eventual,
}

names!(Strictness { Strict => "strict", StrictClaim => "strict_claim", Eventual => "eventual" });

/// At most `permits` in any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Permits in one window; at least 1.
    pub permits: u32,
    /// Length of the window, 1 s to 1 h.
    pub window: Duration,
}

/// The bounds of one session. All of them hold at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    /// How far the session may reach.
    pub blast_radius: BlastRadius,
    /// The budget: affected requests in all, 1 to 1,000,000.
    pub max_affected_requests: u32,
    /// Budgets of single tenants, each 1 to the budget; their sum may exceed it.
    pub max_per_tenant: BTreeMap<TenantId, u32>,
    /// Affected requests of any one agent of one tenant.
    pub max_per_agent: Option<u32>,
    /// Affected requests of any one trace; needs [`Strictness::StrictClaim`].
    pub max_per_trace: Option<u32>,
    /// Permits in shims' hands at any time: the most that dead shims can strand. Default `max(1, budget / 10)`.
    pub max_outstanding: u32,
    /// The session ends after this time, whatever happens.
    pub max_duration: Duration,
    /// Injections under way at any time.
    pub max_concurrent: Option<u32>,
    /// Injections in any window of time.
    pub max_rate: Option<RateLimit>,
    /// How hard the budget is.
    pub strictness: Strictness,
    /// Failing traces downstream of an injection that trip the raw cascade guard; `None` leaves it off.
    pub cascade_threshold: Option<u32>,
    /// Whether a tripped guard aborts; otherwise it is only recorded.
    pub auto_abort_on_cascade: bool,
    /// The operator accepts a log that does not write through to disk (`sync_interval: always`); recorded with the session.
    pub accept_lazy_log: bool,
}
