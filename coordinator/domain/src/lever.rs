//! Levers: what `squall halt` engages, for one tenant or for all.

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{Actor, AppendId, RequestId, TenantId};
use squall_proto::vocabulary::limits::LOG_KEEPS;
use squall_proto::vocabulary::time::UnixMillis;

use crate::event::{CommandKind, Hash, LeverEvent, Record, Recorded};
use crate::rejection::Rejection;
use crate::session::commands::Commands;

/// Whose sessions a lever stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everybody's.
    Fleet,
    /// One tenant's, sessions over several tenants included.
    Tenant(TenantId),
}

impl Scope {
    /// Whose the lever is in subjects of the log.
    #[must_use]
    pub fn log_tenant(&self) -> TenantId {
        match self {
            Self::Fleet => TenantId::fleet(),
            Self::Tenant(tenant) => tenant.clone(),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet => f.write_str("all tenants"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
        }
    }
}

/// An engaged lever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engaged {
    /// Stream sequence of the record: the epoch of the halts that it caused.
    pub sequence: u64,
    /// The append that carried it: what a pushed halt named before it was durable.
    pub append: AppendId,
    /// Why.
    pub reason: String,
    /// Who, where a client did it.
    pub actor: Option<Actor>,
    /// When, by the writer's wall clock.
    pub at: UnixMillis,
}

impl Engaged {
    /// The first engagement in a record.
    pub(crate) fn first_of(sequence: u64, record: &Record<LeverEvent>) -> Option<Self> {
        record.events.iter().find_map(|recorded| Self::of(sequence, record, recorded))
    }

    fn of(
        sequence: u64,
        record: &Record<LeverEvent>,
        recorded: &Recorded<LeverEvent>,
    ) -> Option<Self> {
        let reason = match &recorded.event {
            LeverEvent::Engaged { reason } => reason,
            LeverEvent::Renewed { engaged } => return engaged.clone(),
            LeverEvent::Released { .. } => return None,
        };
        let actor = recorded.command.as_ref().map(|command| command.actor.clone());
        let (append, reason, at) = (record.append, reason.clone(), record.at);
        Some(Self { sequence, append, reason, actor, at })
    }
}

/// One lever: the fold of its subject.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Lever {
    /// Newest sequence on its subject; 0 before the first.
    pub revision: u64,
    /// Hash of the newest record.
    pub head: Hash,
    /// When the log stored the newest record, by its server's clock.
    pub stored: UnixMillis,
    /// Whether and by whom it is engaged.
    pub engaged: Option<Engaged>,
    /// Commands that are in the log.
    pub commands: Commands,
}

impl Lever {
    /// Decides a client's command. An empty list means that it is done already.
    ///
    /// # Errors
    /// [`Rejection`] when the reason is missing, the id was used for something else, or there is nothing to release.
    pub fn decide(
        &self,
        scope: &Scope,
        request: &RequestId,
        kind: CommandKind,
        reason: &str,
    ) -> Result<Vec<LeverEvent>, Rejection> {
        if self.commands.done(request, kind)? {
            return Ok(Vec::new());
        }
        crate::session::check_reason(reason)?;
        let reason = reason.to_owned();
        match (kind, &self.engaged) {
            (CommandKind::Engage, _) => Ok(vec![LeverEvent::Engaged { reason }]),
            (CommandKind::Release, Some(_)) => Ok(vec![LeverEvent::Released { reason }]),
            (
                CommandKind::Release
                | CommandKind::Create
                | CommandKind::Start
                | CommandKind::Pause
                | CommandKind::Resume
                | CommandKind::Stop
                | CommandKind::Abort,
                _,
            ) => Err(Rejection::NotEngaged { scope: scope.to_string() }),
        }
    }

    /// Whether a record is the next one: its hash names the newest. The first that is seen may follow records that the
    /// log no longer keeps.
    pub(crate) fn fits(&self, record: &Record<LeverEvent>) -> bool {
        self.revision == 0 || record.previous == self.head
    }

    /// What is to be appended so that the log never forgets the lever. Released ones are renewed, too: an append that
    /// expects a record which expired meanwhile would be refused for ever, and so would be the next halt.
    #[must_use]
    pub fn renewal(&self, now: UnixMillis) -> Option<LeverEvent> {
        let due = self.revision > 0 && now.since(self.stored) >= LOG_KEEPS / 2;
        due.then(|| LeverEvent::Renewed { engaged: self.engaged.clone() })
    }

    /// What an append has to expect on its subject, at this time of the log: its newest record, and nothing once that has
    /// expired. Only an outage of half of [`LOG_KEEPS`] lets it come so far.
    #[must_use]
    pub fn expected(&self, log: UnixMillis) -> u64 {
        if log.since(self.stored) >= LOG_KEEPS { 0 } else { self.revision }
    }

    /// Folds a record that was stored at `time`. A lever that is engaged again keeps its first epoch: what it halted stays
    /// halted by it.
    pub fn evolve(
        &mut self,
        sequence: u64,
        time: UnixMillis,
        record: &Record<LeverEvent>,
        hash: Hash,
    ) {
        self.revision = sequence;
        self.head = hash;
        self.stored = time;
        for recorded in &record.events {
            if let Some(command) = &recorded.command {
                self.commands.note(command);
            }
            match &recorded.event {
                LeverEvent::Engaged { .. } => {
                    let engaged = Engaged::of(sequence, record, recorded);
                    self.engaged = self.engaged.take().or(engaged);
                }
                LeverEvent::Released { .. } => self.engaged = None,
                LeverEvent::Renewed { engaged } => self.engaged = engaged.clone(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
