//! One session: what the log issued and got back, and what was really used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::{AgentName, Holder, TenantId, TraceId};
use squall_proto::vocabulary::session::SessionSpec;

use super::stop::Stopped;
use crate::clock::Moment;

/// Whom something was for.
pub(super) type Agent = (TenantId, AgentName);
/// In which trace something happened.
pub(super) type Trace = (TenantId, TraceId);

/// One grant, from its record to its Close.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Permits.
    pub permits: u32,
    /// What its Close said, once it is in the log.
    pub closed: Option<u32>,
    /// Permits that were really burned.
    pub burned: u32,
    /// Its holder heard of it.
    pub heard: bool,
    /// It lies behind a lever in log order: nobody may use it.
    pub behind_lever: bool,
    pub(super) agent: Agent,
    pub(super) trace: Option<Trace>,
}

/// See the module.
#[derive(Debug)]
pub struct Account {
    /// What it does.
    pub spec: Arc<SessionSpec>,
    /// Permits that the log issued and did not get back.
    pub spent: u64,
    /// By holder and request number.
    pub grants: BTreeMap<(Holder, u64), Grant>,
    /// Permits burned, or injections begun without one.
    pub burned: u64,
    /// When the newest was.
    pub burned_at: Moment,
    /// Injections that reached their agent, by process.
    pub reached: BTreeMap<Holder, u64>,
    /// Whether it was started.
    pub started: bool,
    /// Nothing may be issued any more, since this sequence.
    pub closed_at: Option<u64>,
    /// Since when it is paused, in log order.
    pub paused: Option<Moment>,
    /// Its abort or halt.
    pub stopped: Option<Stopped>,
    pub(super) spent_by_tenant: BTreeMap<TenantId, u64>,
    pub(super) spent_by_agent: BTreeMap<Agent, u64>,
    pub(super) spent_by_trace: BTreeMap<Trace, u64>,
    pub(super) burned_by_tenant: BTreeMap<TenantId, u64>,
    pub(super) burned_by_agent: BTreeMap<Agent, u64>,
    pub(super) burned_by_trace: BTreeMap<Trace, u64>,
    pub(super) requests: BTreeSet<(TenantId, u64)>,
    /// Burns of the newest window of its rate.
    pub(super) window: VecDeque<Moment>,
}

impl Account {
    pub(super) fn new(spec: Arc<SessionSpec>) -> Self {
        Self {
            spec,
            spent: 0,
            grants: BTreeMap::new(),
            burned: 0,
            burned_at: Moment::default(),
            reached: BTreeMap::new(),
            started: false,
            closed_at: None,
            paused: None,
            stopped: None,
            spent_by_tenant: BTreeMap::new(),
            spent_by_agent: BTreeMap::new(),
            spent_by_trace: BTreeMap::new(),
            burned_by_tenant: BTreeMap::new(),
            burned_by_agent: BTreeMap::new(),
            burned_by_trace: BTreeMap::new(),
            requests: BTreeSet::new(),
            window: VecDeque::new(),
        }
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> u64 {
        u64::from(self.spec.safety.max_affected_requests)
    }

    /// Whether its bound is a number: an `eventual` session's is a time.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        match self.spec.safety.strictness {
            Strictness::Strict | Strictness::StrictClaim => true,
            Strictness::Eventual => false,
        }
    }

    /// Injections that reached their agent.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.reached.values().sum()
    }
}
