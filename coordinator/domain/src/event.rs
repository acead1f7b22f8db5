//! What can stand in the log. Past tense: each of these has happened.
//!
//! The bytes of stored records live in the coordinator's journal; here they are plain values.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{
    Actor, AgentName, AppendId, Holder, RequestId, TenantId, TraceId,
};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use crate::lever::Engaged;

/// BLAKE3 of a record's stored bytes; all zero before the first record of a subject.
pub type Hash = [u8; 32];

/// One append: all its events became durable together.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<E> {
    /// The append; the same over its retries.
    pub append: AppendId,
    /// When it was written, by the writer's wall clock.
    pub at: UnixMillis,
    /// Hash of the record before it on the same subject: the chain shows a lost or changed record.
    pub previous: Hash,
    /// Permits issued and given back on this subject, this record included: shows a lost record too.
    pub totals: Totals,
    /// What happened, in order; 1 to 256.
    pub events: Vec<Recorded<E>>,
}

/// Most events in one record: what a group commit may carry, well below the size limit of a message.
pub const RECORD_EVENTS_MAX: usize = 256;

/// Running totals of a session's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Permits issued since the session was created.
    pub issued: u64,
    /// Permits given back unused.
    pub refunded: u64,
}

/// An event with who caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E> {
    /// The client's command, where one caused it.
    pub command: Option<CommandRef>,
    /// What happened.
    pub event: E,
}

/// A client's command, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRef {
    /// The client's request id: a command whose id is in the log is answered as done.
    pub request: RequestId,
    /// Who gave it.
    pub actor: Actor,
    /// What kind of command: the same id with another kind is refused.
    pub kind: CommandKind,
}

/// The kinds of client commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CommandKind {
    /// Create a session.
    Create,
    /// Start it.
    Start,
    /// Pause it.
    Pause,
    /// Resume it.
    Resume,
    /// End it gracefully.
    Stop,
    /// Abort it.
    Abort,
    /// Engage a lever.
    Engage,
    /// Release a lever.
    Release,
}

impl CommandKind {
    /// The command's name, for people: the word that the command line has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Abort => "abort",
            Self::Engage => "engage",
            Self::Release => "release",
        }
    }
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It exists, as a draft.
    Created {
        /// The checked specification.
        spec: Arc<SessionSpec>,
        /// Seed of all draws.
        seed: u64,
        /// Hash of the request, to tell a repeated create from another one with the same id.
        digest: Hash,
    },
    /// It injects.
    Started {
        /// Shims that could apply at least one of its experiments.
        shims: u32,
    },
    /// It injects nothing for now.
    Paused,
    /// It injects again.
    Resumed,
    /// No new grants; what runs may end.
    DrainBegan {
        /// Why.
        why: DrainReason,
    },
    /// It ended gracefully.
    Ended {
        /// How.
        how: Ending,
    },
    /// The blast radius is bound, in the same append as the first grant.
    ScopeBound {
        /// To what.
        scope: BoundScope,
    },
    /// Permits were spent: from here on they count as injected until they are given back.
    GrantIssued {
        /// Who may use them.
        holder: Holder,
        /// The holder's number of the request.
        req_no: u64,
        /// How many, 1 to 256.
        permits: u32,
        /// What every injection must match.
        scope: GrantScope,
        /// The agent that the permits are charged to.
        agent: AgentName,
        /// The trace that the permits are charged to, where known.
        trace: Option<TraceId>,
    },
    /// The unused rest of a grant is back.
    GrantClosed {
        /// Who held it.
        holder: Holder,
        /// The holder's number of the request.
        req_no: u64,
        /// Permits that were burned.
        used: u32,
    },
    /// It was stopped for good.
    Aborted {
        /// Why, in the words of who did it.
        reason: String,
        /// What caused it.
        cause: AbortCause,
    },
    /// A holder confirmed that nothing of the session runs in it and nothing will.
    InertConfirmed {
        /// Who.
        holder: Holder,
        /// Permits that it burned in all.
        used: u64,
        /// Time between the end of its last injection and its confirmation; `None` if it never injected.
        last_injection_ago: Option<Duration>,
    },
    /// The stop is certain.
    StopProven {
        /// How it is known.
        by: ProofKind,
        /// Holders that never confirmed; their leases are over for certain.
        out_of_contact: Vec<Holder>,
    },
    /// A guard tripped; with automatic abort the abort follows in the same append.
    GuardTripped {
        /// Failing traces downstream of an injection.
        failed_downstream: u64,
        /// The threshold that they reached.
        threshold: u32,
    },
    /// The log contradicts itself or what shims hold: nothing in it can be trusted any more.
    LogDamaged {
        /// What doesn't fit.
        why: String,
    },
}

/// Why a session drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainReason {
    /// Somebody stopped it.
    Operator,
    /// Its longest duration is over.
    Duration,
    /// It has no permits, and shims reported as many injections as its budget.
    Budget,
}

/// How a session ended gracefully.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Stopped, or its duration was over.
    Completed,
    /// The whole budget is spent.
    Exhausted,
    /// Never started within the life of a draft.
    Expired,
}

/// What a blast radius is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoundScope {
    /// One agent of one tenant.
    Agent(TenantId, AgentName),
    /// One trace of one tenant.
    Trace(TenantId, TraceId),
    /// One request of one tenant, by its hash.
    Request(TenantId, u64),
}

/// What caused an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortCause {
    /// Somebody asked for it.
    Operator,
    /// A lever was engaged; its stream sequence.
    Lever(u64),
    /// The raw cascade guard.
    Cascade,
    /// A shim kept an abort that was pushed and that the log lacked.
    Reported,
}

/// How it is known that a stop is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofKind {
    /// Every holder of an open grant confirmed.
    Confirmations,
    /// Every lease is over, whoever is out of contact.
    Time,
}

/// What happened to a lever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeverEvent {
    /// Engaged: what runs in its scope is halted for good, and nothing starts.
    Engaged {
        /// Why, in the words of who did it.
        reason: String,
    },
    /// Released: sessions may start again. What was halted stays halted.
    Released {
        /// Why, in the words of who did it.
        reason: String,
    },
    /// Nothing changed: what the lever is stands in the log once more, before the log forgets it.
    Renewed {
        /// Its engagement as it was, `None` where it is released.
        engaged: Option<Engaged>,
    },
}

/// A command that was refused, as the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who tried: an actor, or a shim.
    pub who: String,
    /// What.
    pub what: String,
    /// Why it was refused.
    pub why: String,
    /// When, by the writer's wall clock.
    pub at: UnixMillis,
}

impl Event {
    /// Short name, for logs and `ListEvents`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Started { .. } => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::DrainBegan { .. } => "drain_began",
            Self::Ended { .. } => "ended",
            Self::ScopeBound { .. } => "scope_bound",
            Self::GrantIssued { .. } => "grant_issued",
            Self::GrantClosed { .. } => "grant_closed",
            Self::Aborted { .. } => "aborted",
            Self::InertConfirmed { .. } => "inert_confirmed",
            Self::StopProven { .. } => "stop_proven",
            Self::GuardTripped { .. } => "guard_tripped",
            Self::LogDamaged { .. } => "log_damaged",
        }
    }

    /// Whether shims have to know: it changes the plan of the session's tenants.
    #[must_use]
    pub const fn changes_plan(&self) -> bool {
        match self {
            Self::Started { .. }
            | Self::Paused
            | Self::Resumed
            | Self::DrainBegan { .. }
            | Self::Ended { .. }
            | Self::Aborted { .. }
            | Self::LogDamaged { .. } => true,
            Self::Created { .. }
            | Self::ScopeBound { .. }
            | Self::GrantIssued { .. }
            | Self::GrantClosed { .. }
            | Self::InertConfirmed { .. }
            | Self::StopProven { .. }
            | Self::GuardTripped { .. } => false,
        }
    }

    /// Whether shims that don't know it yet must not extend their leases.
    #[must_use]
    pub const fn stops(&self) -> bool {
        match self {
            Self::Paused
            | Self::DrainBegan { .. }
            | Self::Ended { .. }
            | Self::Aborted { .. }
            | Self::LogDamaged { .. } => true,
            Self::Created { .. }
            | Self::Started { .. }
            | Self::Resumed
            | Self::ScopeBound { .. }
            | Self::GrantIssued { .. }
            | Self::GrantClosed { .. }
            | Self::InertConfirmed { .. }
            | Self::StopProven { .. }
            | Self::GuardTripped { .. } => false,
        }
    }
}
