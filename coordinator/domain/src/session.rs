//! One session: the fold of its subject, and every decision about it.
//!
//! `Draft → Running ⇄ Paused → Draining → Ended`; any of them → `Aborted`, any at all → `LogDamaged`.
//! [`Session::decide`] and its siblings say what to append; [`Session::evolve`] folds what was appended and never fails:
//! a record that doesn't fit turns the session into `LogDamaged`.

pub mod commands;
mod control;
mod deadline;
mod fold;
mod grant;
mod guard;
pub mod ledger;
pub mod stop;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::id::{Actor, ExperimentName, Holder, SessionKey, TenantId};
use squall_proto::vocabulary::limits::TEXT_BYTES_MAX;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use self::commands::Commands;
use self::ledger::Ledger;
use self::stop::Stop;
use crate::event::{AbortCause, BoundScope, CommandKind, DrainReason, Ending, Event, Hash, Record};
use crate::rejection::Rejection;

pub use self::control::{ClientCommand, Outlook};
pub use self::deadline::{Deadline, Due};
pub use self::grant::{AskDecision, CloseDecision, InertDecision};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Created, not started.
    Draft,
    /// Injecting.
    Running,
    /// Injecting nothing until it is resumed.
    Paused,
    /// No new grants; what runs may end.
    Draining,
    /// Ended gracefully.
    Completed,
    /// Ended because the budget was spent.
    Exhausted,
    /// Stopped for good.
    Aborted,
    /// Stopped for good because the log can't be trusted.
    LogDamaged,
}

impl Phase {
    /// The name in lists and errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Completed => "completed",
            Self::Exhausted => "exhausted",
            Self::Aborted => "aborted",
            Self::LogDamaged => "log_damaged",
        }
    }

    /// Whether nothing can follow but confirmations.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Exhausted | Self::Aborted | Self::LogDamaged => true,
            Self::Draft | Self::Running | Self::Paused | Self::Draining => false,
        }
    }

    /// Whether shims may hold permits of it: it was started and has not ended.
    #[must_use]
    pub const fn is_live(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Draining => true,
            Self::Draft | Self::Completed | Self::Exhausted | Self::Aborted | Self::LogDamaged => {
                false
            }
        }
    }
}

/// A moment of a session's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Stream sequence of the record.
    pub sequence: u64,
    /// By the writer's wall clock.
    pub at: UnixMillis,
    /// Who, where a client did it.
    pub by: Option<Actor>,
}

/// A session: the fold of its subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Where it lives.
    pub key: SessionKey,
    /// What it does.
    pub spec: Arc<SessionSpec>,
    /// Seed of all draws.
    pub seed: u64,
    /// Hash of the create request.
    pub digest: Hash,
    /// Where it is in its life. A halted session is `Aborted` even before the log says so.
    pub phase: Phase,
    /// Newest sequence on its subject: what an append must expect.
    pub revision: u64,
    /// Hash of the newest record.
    pub head: Hash,
    /// When the log stored the newest record, by its server's clock.
    pub stored: UnixMillis,
    /// When it was created.
    pub created: Stamp,
    /// When it was started.
    pub started: Option<Stamp>,
    /// When it was resumed last, or started.
    pub active_since: Option<UnixMillis>,
    /// When it began to drain, and why.
    pub draining: Option<(Stamp, DrainReason)>,
    /// When it ended gracefully, and how.
    pub ended: Option<(Stamp, Ending)>,
    /// Its abort or halt.
    pub stop: Option<Stop>,
    /// What its blast radius is bound to.
    pub bound: Option<BoundScope>,
    /// Its permits.
    pub ledger: Ledger,
    /// Failing traces when the guard tripped, where it did.
    pub guard_tripped: Option<u64>,
    /// Why the log is damaged, where it is.
    pub damage: Option<String>,
    /// Client commands that are in the log.
    pub commands: Commands,
}

impl Session {
    /// The session that a first record makes; `None` if the record doesn't begin with `Created`.
    #[must_use]
    pub fn create(
        key: SessionKey,
        sequence: u64,
        record: &Record<Event>,
        hash: Hash,
    ) -> Option<Self> {
        let first = record.events.first()?;
        let Event::Created { spec, seed, digest } = &first.event else { return None };
        let by = first.command.as_ref().map(|command| command.actor.clone());
        let mut session = Self {
            key,
            spec: Arc::clone(spec),
            seed: *seed,
            digest: *digest,
            phase: Phase::Draft,
            revision: 0,
            head: Hash::default(),
            stored: UnixMillis::default(),
            created: Stamp { sequence, at: record.at, by },
            started: None,
            active_since: None,
            draining: None,
            ended: None,
            stop: None,
            bound: None,
            ledger: Ledger::new(spec.safety.max_affected_requests),
            guard_tripped: None,
            damage: None,
            commands: Commands::default(),
        };
        session.evolve(sequence, record, hash);
        Some(session)
    }

    /// Whether it has ended, and its stop is proven where it had one: nothing can follow that matters.
    pub(crate) fn is_over(&self) -> bool {
        self.phase.is_terminal() && self.stop.as_ref().is_none_or(|stop| stop.proof.is_some())
    }

    /// Halted by a lever, and nobody recorded it yet.
    #[must_use]
    pub fn abort_to_record(&self) -> Option<AbortCause> {
        let stop = self.stop.as_ref()?;
        (stop.record.is_none() && self.phase == Phase::Aborted)
            .then_some(AbortCause::Lever(stop.epoch))
    }

    /// Whether injections need permits: an `eventual` session has none, and so nobody who certainly holds one.
    fn has_permits(&self) -> bool {
        match self.spec.safety.strictness {
            Strictness::Strict | Strictness::StrictClaim => true,
            Strictness::Eventual => false,
        }
    }

    /// Permits that a process can have burned, as far as the log is folded; `None` where injections need none.
    pub(crate) fn permits_of(&self, holder: &Holder) -> Option<u64> {
        self.has_permits().then(|| self.ledger.burnable_by(holder))
    }

    /// Where an experiment stands in the specification.
    pub(crate) fn experiment(&self, name: &ExperimentName) -> Option<u16> {
        let index = self.spec.experiments.iter().position(|experiment| experiment.name == *name)?;
        u16::try_from(index).ok()
    }

    /// Whether shims of `tenant` take part.
    #[must_use]
    pub fn covers(&self, tenant: &TenantId) -> bool {
        match self.spec.safety.blast_radius {
            BlastRadius::MultiTenant => self.spec.target.tenants.contains(tenant),
            BlastRadius::SingleRequest
            | BlastRadius::SingleAgent
            | BlastRadius::SingleTrace
            | BlastRadius::SingleTenant => self.key.tenant == *tenant,
        }
    }

    /// The tenants whose shims take part.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        match self.spec.safety.blast_radius {
            BlastRadius::MultiTenant => self.spec.target.tenants.clone(),
            BlastRadius::SingleRequest
            | BlastRadius::SingleAgent
            | BlastRadius::SingleTrace
            | BlastRadius::SingleTenant => vec![self.key.tenant.clone()],
        }
    }
}

/// An abort, and everything a person should be able to read later, needs a reason.
///
/// # Errors
/// [`Rejection::Reason`] when it is empty, too long, or would break a line of a log.
pub fn check_reason(reason: &str) -> Result<(), Rejection> {
    let problem = match reason.len() {
        0 => format!("is empty; allowed is 1 to {TEXT_BYTES_MAX} bytes"),
        bytes if bytes > TEXT_BYTES_MAX => {
            format!("has {bytes} bytes; allowed is 1 to {TEXT_BYTES_MAX}")
        }
        _ if reason.trim().is_empty() => "is blank; say why".to_owned(),
        _ if reason.contains(char::is_control) => {
            "holds a control character; allowed is one line of text".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Rejection::Reason { problem })
}

impl CommandKind {
    /// What the session must be for this command, for people.
    const fn needs(self) -> &'static str {
        match self {
            Self::Create => "nothing",
            Self::Start => "draft",
            Self::Pause => "running",
            Self::Resume => "paused",
            Self::Stop => "running or paused",
            Self::Abort => "a session that has not ended",
            Self::Engage | Self::Release => "a lever",
        }
    }
}

#[cfg(test)]
mod tests;
