//! All that a process knows: its sites, the sessions it takes part in, and the evidence of what it did.

use std::sync::Arc;

use squall_proto::vocabulary::id::{AgentName, Incarnation, SessionKey, ToolName, TraceId};
use squall_proto::vocabulary::message::{CountRow, Sample, TraceRow};
use squall_proto::vocabulary::seam::Seam;

use crate::clock::{Clock, Wake};
use crate::draw::RequestKey;
use crate::live::Live;
use crate::plan::{ActiveSession, Installed};
use crate::policy::Policy;
use crate::site::Site;
use crate::trace::Outcome;
use crate::wallet::{CloneGuard, Lease};

/// The process's sites, sessions and evidence. One for each process; tests and [`Local`](crate::Local) have their own.
#[derive(Debug)]
pub struct Registry {}

/// What a Hello says of the process.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Announced {
    /// Agents seen so far.
    pub agents: Vec<AgentName>,
    /// Tools and models seen so far.
    pub tools: Vec<ToolName>,
    /// Seams seen so far.
    pub seams: Vec<Seam>,
}

/// The process forked while another thread held a lock of the registry. The child stays without chaos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process forked in the middle of a change of plan")]
pub struct ForkedMidway;

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, policy: Policy, incarnation: Incarnation) -> Arc<Self> {
        let _ = (clock, policy, incarnation);
        todo!()
    }

    /// Whom to wake when a session wants permits. Only the first call counts.
    pub fn wake_with(&self, wake: Arc<dyn Wake>) {
        let _ = wake;
        todo!()
    }

    /// The life of this process.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        todo!()
    }

    /// The owner's policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        todo!()
    }

    /// The process's lease: nothing burns after its end.
    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        todo!()
    }

    /// Tells this process from a forked copy of it. The runtime's fork handler calls [`CloneGuard::invalidate`] in the
    /// child, and [`Registry::renew`] once the child is up.
    #[must_use]
    pub fn guard(&self) -> &Arc<CloneGuard> {
        todo!()
    }

    /// Starts anew in a forked child (or after a snapshot was restored): no sessions, no permits, no counters, another
    /// incarnation. The sites stay, and are armed by the next [`Registry::install`].
    ///
    /// # Errors
    /// [`ForkedMidway`] when a lock can't be had; then this process stays without chaos.
    pub fn renew(&self, incarnation: Incarnation) -> Result<(), ForkedMidway> {
        let _ = incarnation;
        todo!()
    }

    /// The site of this agent calling this tool through this seam: made at the first call, the same from then on.
    /// Keep it: looking it up takes a lock. Beyond the bound of sites it is one that always passes, and that is counted.
    pub fn site(&self, agent: &AgentName, tool: &ToolName, seam: &Seam) -> Arc<Site> {
        let _ = (agent, tool, seam);
        todo!()
    }

    /// Sites that were asked for beyond the bound.
    #[must_use]
    pub fn sites_refused(&self) -> u64 {
        todo!()
    }

    /// A request id for a seam that knows none: another one at each call, so nothing sticks over retries.
    #[must_use]
    pub fn fresh_request(&self) -> RequestKey {
        todo!()
    }

    /// Makes `sessions` the plan: arms and disarms every site. Sessions that are gone stay known, with their wallets
    /// (no permit burns any more) and counters, until [`Registry::forget`].
    pub fn install(&self, sessions: &[ActiveSession]) -> Installed {
        let _ = sessions;
        todo!()
    }

    /// A session of the plan, or one that left it and wasn't forgotten.
    #[must_use]
    pub fn session(&self, key: &SessionKey) -> Option<Arc<Live>> {
        let _ = key;
        todo!()
    }

    /// All sessions that are known.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Live>> {
        todo!()
    }

    /// Forgets a session that left the plan: its counters are reported and its permits closed.
    pub fn forget(&self, key: &SessionKey) {
        let _ = key;
        todo!()
    }

    /// The owner's kill switch: disarms every site and stops every session, for good.
    pub fn kill(&self) {
        todo!()
    }

    /// Agents, tools and seams seen so far, each in the order of their names.
    #[must_use]
    pub fn announced(&self) -> Announced {
        todo!()
    }

    /// All counters, with their newest values.
    #[must_use]
    pub fn counts(&self) -> Vec<CountRow> {
        todo!()
    }

    /// How traces ended, for each session.
    #[must_use]
    pub fn trace_counts(&self) -> Vec<TraceRow> {
        todo!()
    }

    /// The host's word on how a trace ended.
    pub fn outcome(&self, trace: &TraceId, outcome: Outcome) {
        let _ = (trace, outcome);
        todo!()
    }

    /// Takes up to `max` samples, oldest first.
    pub fn drain_samples(&self, max: usize) -> Vec<Sample> {
        let _ = max;
        todo!()
    }

    /// Samples lost because their rings were full.
    #[must_use]
    pub fn samples_lost(&self) -> u64 {
        todo!()
    }
}
