//! One session: the fold of its subject, and every decision about it.
//!
//! `Draft → Running ⇄ Paused → Draining → Ended`; any of them → `Aborted`, any at all → `LogDamaged`.
//! [`Session::decide`] and its siblings say what to append; [`Session::evolve`] folds what was appended and never fails:
//! a record that doesn't fit turns the session into `LogDamaged`.

pub mod commands;
mod control;
mod deadline;
mod grant;
mod guard;
pub mod ledger;
pub mod stop;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::id::{Actor, SessionKey, TenantId};
use squall_proto::vocabulary::limits::TEXT_BYTES_MAX;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use self::commands::Commands;
use self::ledger::Ledger;
use self::stop::Stop;
use crate::event::{AbortCause, BoundScope, CommandKind, DrainReason, Ending, Event, Hash, Record};
use crate::lever::Engaged;
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

    /// Folds a record of the session's subject.
    pub fn evolve(&mut self, sequence: u64, record: &Record<Event>, hash: Hash) {
        if record.previous != self.head {
            let why = format!("record {sequence} follows a record that is not the newest one");
            self.damaged(sequence, why);
        }
        self.revision = sequence;
        self.head = hash;
        for recorded in &record.events {
            if let Some(command) = &recorded.command {
                self.commands.note(command);
            }
            let by = recorded.command.as_ref().map(|command| command.actor.clone());
            self.apply(&recorded.event, Stamp { sequence, at: record.at, by }, record);
        }
        if self.ledger.totals() != record.totals {
            let why = format!("record {sequence} has other totals than the records before it give");
            self.damaged(sequence, why);
        }
    }

    /// Folds events that are not in the log yet, so that the next request of the same append is decided on what they leave.
    pub fn preview(&mut self, record: &Record<Event>) {
        for recorded in &record.events {
            if let Some(command) = &recorded.command {
                self.commands.note(command);
            }
            let stamp = Stamp { sequence: self.revision, at: record.at, by: None };
            self.apply(&recorded.event, stamp, record);
        }
    }

    fn apply(&mut self, event: &Event, stamp: Stamp, record: &Record<Event>) {
        let sequence = stamp.sequence;
        if !self.allows(event) {
            let why = format!("{} while the session was {}", event.kind(), self.phase.name());
            self.damaged(sequence, why);
        }
        match event {
            Event::Created { .. } => {
                if self.created.sequence != sequence {
                    self.damaged(sequence, "the session was created twice".to_owned());
                }
            }
            Event::Started { .. } => {
                self.active_since = Some(stamp.at);
                self.started = Some(stamp);
                self.enter(Phase::Running);
            }
            Event::Paused => self.enter(Phase::Paused),
            Event::Resumed => {
                self.active_since = Some(stamp.at);
                self.enter(Phase::Running);
            }
            Event::DrainBegan { why } => {
                self.draining = Some((stamp, *why));
                self.enter(Phase::Draining);
            }
            Event::Ended { how } => {
                self.ended = Some((stamp, *how));
                self.enter(match how {
                    Ending::Completed | Ending::Expired => Phase::Completed,
                    Ending::Exhausted => Phase::Exhausted,
                });
            }
            Event::ScopeBound { scope } => {
                if self.bound.replace(scope.clone()).is_some_and(|before| before != *scope) {
                    self.damaged(sequence, "the blast radius was bound twice".to_owned());
                }
            }
            Event::GrantIssued { holder, req_no, permits, scope, agent, trace } => {
                let fits =
                    self.ledger.issue(holder, *req_no, *permits, scope, agent, trace.as_ref());
                self.fits(sequence, fits);
            }
            Event::GrantClosed { holder, req_no, used } => {
                let fits = self.ledger.close(holder, *req_no, *used);
                self.fits(sequence, fits);
            }
            Event::Aborted { reason, cause } => {
                let held = self.holders();
                self.stop.get_or_insert_with(|| Stop::new(stamp.sequence, held)).aborted(
                    stamp,
                    record.append,
                    reason.clone(),
                    *cause,
                );
                self.enter(Phase::Aborted);
            }
            Event::InertConfirmed { holder, used, last_injection_ago } => {
                if let Some(stop) = &mut self.stop {
                    stop.confirmed(holder.clone(), stamp.at, *used, *last_injection_ago);
                }
            }
            Event::StopProven { by, out_of_contact } => {
                if let Some(stop) = &mut self.stop {
                    stop.prove(stamp.at, *by, out_of_contact.clone());
                }
            }
            Event::GuardTripped { failed_downstream, .. } => {
                self.guard_tripped.get_or_insert(*failed_downstream);
            }
            Event::LogDamaged { why } => self.damaged(sequence, why.clone()),
        }
    }

    /// Whether the state before it allows an event. Compare-and-swap orders a session's own subject, so that each event
    /// was decided on exactly this state; only a lever stands on another subject, and what was decided before its halt
    /// was known may lie behind it.
    fn allows(&self, event: &Event) -> bool {
        let fits = match event {
            Event::Started { .. } | Event::Ended { how: Ending::Expired } => {
                self.phase == Phase::Draft
            }
            Event::Paused
            | Event::ScopeBound { .. }
            | Event::GrantIssued { .. }
            | Event::Ended { how: Ending::Exhausted } => self.phase == Phase::Running,
            Event::Resumed => self.phase == Phase::Paused,
            Event::DrainBegan { .. } => matches!(self.phase, Phase::Running | Phase::Paused),
            Event::Ended { how: Ending::Completed } => self.phase == Phase::Draining,
            Event::GuardTripped { .. } => self.phase.is_live(),
            Event::InertConfirmed { .. } | Event::StopProven { .. } => self.stop.is_some(),
            Event::Created { .. }
            | Event::GrantClosed { .. }
            | Event::Aborted { .. }
            | Event::LogDamaged { .. } => true,
        };
        fits || self.abort_to_record().is_some() || self.phase == Phase::LogDamaged
    }

    /// A terminal phase is never left, but for `LogDamaged`.
    fn enter(&mut self, phase: Phase) {
        if !self.phase.is_terminal() {
            self.phase = phase;
        }
    }

    fn fits(&mut self, sequence: u64, result: Result<(), String>) {
        if let Err(why) = result {
            self.damaged(sequence, why);
        }
    }

    /// The log can't be trusted, as the entry at `sequence` shows: the session is over, whatever it was.
    pub(crate) fn damaged(&mut self, sequence: u64, why: String) {
        let held = self.holders();
        self.stop.get_or_insert_with(|| Stop::new(sequence, held));
        self.phase = Phase::LogDamaged;
        self.damage.get_or_insert(why);
    }

    /// A lever is engaged: a live session is halted for good, before anything records it.
    pub(crate) fn halt(&mut self, lever: &Engaged) {
        if self.phase.is_live() {
            let held = self.holders();
            self.stop.get_or_insert_with(|| Stop::by_lever(lever, held));
            self.phase = Phase::Aborted;
        }
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

    fn holders(&self) -> Vec<squall_proto::vocabulary::id::Holder> {
        self.ledger.open_grants().map(|(holder, _)| holder.clone()).collect()
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
