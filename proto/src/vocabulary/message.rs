//! What coordinator and shims say to each other. Tenant and shim are never in a message: the subject vouches for them.

mod hello;

use std::time::Duration;

pub use self::hello::{Hello, SiteRef};
use super::counts::{Counts, TraceCounts};
use super::id::{
    AgentName, ExperimentName, Incarnation, InjectionId, LogId, SessionKey, ToolName, TraceId,
};
use super::plan::{AbortEpoch, Plan, PlanVersion};
use super::time::{BootNanos, UnixMillis};

/// From a shim, each answered once.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`Sync`].
    Sync(Sync),
    /// See [`Ask`].
    Ask(Ask),
    /// See [`Renew`].
    Renew(Renew),
    /// See [`Close`].
    Close(Close),
    /// See [`Inert`].
    Inert(Inert),
}

/// A grant of the sender's, by session and request number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantRef {
    /// The session.
    pub session: SessionKey,
    /// The request that it answered.
    pub req_no: u64,
}

/// An abort that a shim knows of, whether or not the log does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StickyAbort {
    /// The session.
    pub session: SessionKey,
    /// Which abort.
    pub epoch: AbortEpoch,
}

/// Asks for the whole plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The life of this shim.
    pub incarnation: Incarnation,
    /// Page of the plan, from 0.
    pub page: u32,
}

/// Whom the permits are for: checked against the blast radius and the sub-budgets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopeKeys {
    /// The agent whose request was chosen.
    pub agent: AgentName,
    /// Its trace, where the seam knows it.
    pub trace: Option<TraceId>,
    /// Hash of the logical request, for permits bound to one.
    pub request: u64,
}

/// Asks for permits; sent because a request was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The life of this shim.
    pub incarnation: Incarnation,
    /// The session.
    pub session: SessionKey,
    /// Counted up from 1 for each session; the same in every repetition of one Ask.
    pub req_no: u64,
    /// Permits wanted, 1 to 256.
    pub want: u32,
    /// Whom they are for.
    pub scope: ScopeKeys,
    /// The shim's clock when this repetition was sent.
    pub sent: BootNanos,
}

/// Extends the process's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    /// The life of this shim.
    pub incarnation: Incarnation,
    /// The shim's clock when this was sent.
    pub sent: BootNanos,
    /// The plan that the shim has.
    pub plan: Option<PlanVersion>,
    /// Aborts that the shim keeps.
    pub sticky_aborts: Vec<StickyAbort>,
}

/// Gives the unused rest of a grant back, for good. Resent until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Close {
    /// The life that held the grant (a journal may speak for a dead one).
    pub incarnation: Incarnation,
    /// The grant.
    pub grant: GrantRef,
    /// Permits that were burned.
    pub used: u32,
}

/// Confirms that no fault of the session runs and none will start, because of this abort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inert {
    /// The life of this shim.
    pub incarnation: Incarnation,
    /// The session.
    pub session: SessionKey,
    /// The abort that is confirmed.
    pub epoch: AbortEpoch,
    /// Permits of the session that this incarnation burned in all.
    pub used: u64,
    /// Time since its last injection of the session ended, if there was one.
    pub last_injection_ago: Option<Duration>,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To Hello.
    Welcome(Welcome),
    /// To Sync.
    Plan(Plan),
    /// To Ask.
    Grant(Grant),
    /// To Ask.
    Refused(Refused),
    /// To Renew.
    Renewed(Renewed),
    /// To Close: recorded, or void.
    Closed(GrantRef),
    /// To Inert: recorded, or not needed.
    InertNoted(SessionKey),
    /// To anything: not now. The sender tries again.
    Unavailable(Unavailable),
}

/// The answer to a Hello.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The log.
    pub log: LogId,
    /// Sticky aborts of the Hello that the log now holds.
    pub recorded_aborts: Vec<StickyAbort>,
}

/// Permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who may use them.
    pub incarnation: Incarnation,
    /// The session and the request that is answered.
    pub grant: GrantRef,
    /// Permits, 1 to 256.
    pub permits: u32,
    /// What every injection must match.
    pub scope: GrantScope,
    /// `sent` of the Ask that is answered; `None` when nothing was asked anew (after a takeover): then the lease
    /// counts from the first send of the request.
    pub echo_sent: Option<BootNanos>,
    /// The lease that is left, from the send.
    pub remaining: Duration,
    /// Newest stop that the sender folded for the tenant: a shim whose plan is older does not extend its lease.
    pub stop_version: u64,
}

/// What every injection of a grant must match. `None` matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize)]
pub struct GrantScope {
    /// The only agent.
    pub agent: Option<AgentName>,
    /// The only trace.
    pub trace: Option<TraceId>,
    /// The only request.
    pub request: Option<u64>,
}

/// No permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The session and the request that is answered.
    pub grant: GrantRef,
    /// Why.
    pub why: RefusedWhy,
    /// Time before the next Ask; the shim adds jitter.
    pub backoff: Duration,
}

/// Why an Ask was refused. Refusals are never written to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedWhy {
    /// The budget, or a part of it that applies, is spent or in other hands.
    Dry,
    /// As many permits are outstanding as may be.
    OutstandingCap,
    /// The blast radius is bound to another agent, trace or request.
    OutOfScope,
    /// The session does not run.
    NotRunning,
    /// Concurrency or rate.
    Throttled,
    /// The session, the tenant or the numbers do not fit.
    Invalid,
}

/// The lease goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// `sent` of the Renew that is answered.
    pub echo_sent: BootNanos,
    /// The lease that is left, from the send.
    pub remaining: Duration,
    /// See [`Grant::stop_version`].
    pub stop_version: u64,
}

/// Not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Why, for people.
    pub why: String,
    /// Time before the next try; the shim adds jitter.
    pub backoff: Duration,
}

/// From the coordinator, to all shims of a tenant or to one; not answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A delta.
    Plan(Plan),
    /// The version that a shim should have.
    Beat(PlanVersion),
    /// No permits are left at the moment: stop asking.
    Dry(SessionKey),
    /// Permits came back: the probability of asking starts again from `phi0`.
    Refill {
        /// The session.
        session: SessionKey,
        /// First probability of asking, 0 to 1.
        phi0: f64,
    },
    /// Stop injecting until resumed. It may come behind the plan that resumes.
    Pause {
        /// The session.
        session: SessionKey,
        /// The version of the tenant's plan that has it paused: this one and newer ones say what holds.
        plan: PlanVersion,
    },
    /// Stop for good, now.
    Abort {
        /// The session.
        session: SessionKey,
        /// Which abort.
        epoch: AbortEpoch,
    },
    /// A lever was engaged: stop every session of the tenant for good, now.
    Halt {
        /// Which halt.
        epoch: AbortEpoch,
    },
    /// A grant that was not asked for anew: to one shim, after a takeover.
    Grant(Grant),
    /// Say Hello again, after a jitter of 0 to 2 s: a coordinator that has just started does not know who is there.
    RollCall,
}

/// Evidence of one process: cumulative counters, and samples for the timeline. Never answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The life of the shim.
    pub incarnation: Incarnation,
    /// Counters that changed since the last evidence, with their newest values.
    pub rows: Vec<CountRow>,
    /// Trace counters that changed.
    pub traces: Vec<TraceRow>,
    /// Samples since the last evidence.
    pub samples: Vec<Sample>,
    /// Samples lost to full rings since the process started.
    pub samples_lost: u64,
}

/// Counters of one experiment at one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountRow {
    /// The session.
    pub session: SessionKey,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The agent.
    pub agent: AgentName,
    /// The counters, since the process started.
    pub counts: Counts,
}

/// Trace counters of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// The session.
    pub session: SessionKey,
    /// The counters, since the process started.
    pub counts: TraceCounts,
}

/// One thing that happened to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The session.
    pub session: SessionKey,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The injection.
    pub injection: InjectionId,
    /// The agent.
    pub agent: AgentName,
    /// The tool or model.
    pub tool: ToolName,
    /// The trace, where known.
    pub trace: Option<TraceId>,
    /// When, by the shim's wall clock: for the timeline only.
    pub at: UnixMillis,
    /// What.
    pub what: SampleKind,
}

/// What a sample shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// The fault was applied and held the call this long.
    Applied {
        /// Time that the fault took.
        held: Duration,
    },
    /// The fault could not be applied.
    NotApplied {
        /// Why, for people; never text of a prompt or a body.
        why: String,
    },
    /// The call itself failed after an injection in its trace.
    Failed,
}
