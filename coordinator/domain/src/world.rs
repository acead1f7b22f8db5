//! The fold of the whole log. Levers and sessions are different subjects, which compare-and-swap doesn't order:
//! here they meet in stream order, the same on every replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::limits::LOG_KEEPS;
use squall_proto::vocabulary::time::UnixMillis;

use crate::event::{Event, Hash, LeverEvent, Record};
use crate::lever::{Engaged, Lever, Scope};
use crate::session::Session;

/// How often, by the log's own time, the fold looks for sessions that the log has forgotten: they may as well stay for an
/// hour after [`LOG_KEEPS`], and a look costs a walk over all of them.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// Most names that are kept from being used because the log holds records of no session under them. Ends of sessions whose
/// beginning expired are those of a day or so out of [`LOG_KEEPS`], about 3,000 where 100,000 sessions fill it; the rest is
/// garbage, which must fill neither the memory nor a snapshot. What comes beyond is only counted: who wants such a name
/// loses the race for its subject, and is told that no answer came.
const STRAYS_MAX: usize = 10_000;

/// One entry of the log that the fold cares about.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A record of a session.
    Session(SessionKey, Record<Event>),
    /// A record of a lever.
    Lever(Scope, Record<LeverEvent>),
    /// A record on a session's subject that can't be read: garbage, or a newer format. Why.
    Unreadable(SessionKey, String),
    /// Anything else: it only moves the position.
    Other,
}

/// What changed, for the live reactions of a replica. Replay drops it.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Sessions whose record was folded, or that a lever halted.
    pub sessions: Vec<SessionKey>,
    /// Tenants whose plan has a new version.
    pub plan_changed: BTreeSet<TenantId>,
    /// Whether a lever changed.
    pub lever: Option<Scope>,
    /// Sessions that are over and that the log has forgotten, and so has the fold.
    pub forgotten: Vec<SessionKey>,
}

/// Everything that the log says.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct World {
    /// Newest sequence that was folded.
    pub applied: u64,
    /// See [`Self::time`].
    time: UnixMillis,
    /// When the fold last looked for what it may forget, by the time of the log.
    looked: UnixMillis,
    sessions: BTreeMap<SessionKey, Session>,
    levers: BTreeMap<Scope, Lever>,
    plan_versions: BTreeMap<TenantId, u64>,
    stop_versions: BTreeMap<TenantId, u64>,
    fleet_stop: u64,
    /// Records on session subjects that have no session: their first record is gone. On a log that is older than what it
    /// keeps a few are usual, the ends of sessions whose beginning expired.
    pub orphans: u64,
    /// Names whose subject holds such records, with the time at which the newest was stored.
    strays: BTreeMap<SessionKey, UnixMillis>,
}

impl World {
    /// Folds the entry at `sequence` that the log's server stored at `time`, with the hash of its stored bytes.
    pub fn apply(&mut self, sequence: u64, time: UnixMillis, entry: &Entry, hash: Hash) -> Applied {
        self.applied = sequence;
        self.time = self.time.max(time);
        let mut applied = Applied {
            sessions: Vec::new(),
            plan_changed: BTreeSet::new(),
            lever: None,
            forgotten: self.forget(),
        };
        match entry {
            Entry::Session(key, record) => {
                self.fold_session(sequence, key, record, hash, &mut applied)
            }
            Entry::Lever(scope, record) => {
                self.fold_lever(sequence, time, scope, record, hash, &mut applied)
            }
            Entry::Unreadable(key, why) => self.fold_unreadable(sequence, key, why, &mut applied),
            Entry::Other => {}
        }
        applied
    }

    /// Drops sessions that are over for certain, and names without a session, whose records have all expired: the log holds
    /// nothing of them any more, and whoever replays it doesn't know them either. Only the log's own times decide, so that
    /// equal prefixes fold to equal states.
    fn forget(&mut self) -> Vec<SessionKey> {
        if self.time.since(self.looked) < FORGET_EVERY {
            return Vec::new();
        }
        self.looked = self.time;
        let now = self.time;
        self.strays.retain(|_, stored| now.since(*stored) < LOG_KEEPS);
        let expired =
            |session: &Session| session.is_over() && now.since(session.stored) >= LOG_KEEPS;
        self.sessions.extract_if(.., |_, session| expired(session)).map(|(key, _)| key).collect()
    }

    /// Nothing can be said of the session any more; the others are as they were.
    fn fold_unreadable(
        &mut self,
        sequence: u64,
        key: &SessionKey,
        why: &str,
        applied: &mut Applied,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return self.fold_stray(key) };
        let was_damaged = session.damage.is_some();
        session.revision = sequence;
        session.stored = self.time;
        session.damaged(sequence, format!("record {sequence} can't be read: {why}"));
        applied.sessions.push(key.clone());
        if !was_damaged {
            let tenants = session.tenants();
            self.stopped(sequence, tenants, applied);
        }
    }

    fn fold_session(
        &mut self,
        sequence: u64,
        key: &SessionKey,
        record: &Record<Event>,
        hash: Hash,
        applied: &mut Applied,
    ) {
        self.make_way(key, record, applied);
        let was_damaged = self.sessions.get(key).is_some_and(|session| session.damage.is_some());
        match self.sessions.get_mut(key) {
            Some(session) => session.evolve(sequence, record, hash),
            None => match Session::create(key.clone(), sequence, record, hash) {
                Some(session) => {
                    self.strays.remove(key);
                    self.sessions.insert(key.clone(), session);
                }
                None => return self.fold_stray(key),
            },
        }
        let halted = self.latch(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.stored = self.time;
        applied.sessions.push(key.clone());
        let broke = halted || (session.damage.is_some() && !was_damaged);
        let stops = broke || record.events.iter().any(|recorded| recorded.event.stops());
        let changes = stops || record.events.iter().any(|recorded| recorded.event.changes_plan());
        let tenants = session.tenants();
        if stops {
            self.stopped(sequence, tenants, applied);
        } else if changes {
            self.changed(sequence, tenants, applied);
        }
    }

    /// A name is used again whose session the log has forgotten and this fold not yet: when it looks depends on where it
    /// began, and the fold of what the log still has must not.
    fn make_way(&mut self, key: &SessionKey, record: &Record<Event>, applied: &mut Applied) {
        let creates =
            record.events.first().is_some_and(|first| matches!(first.event, Event::Created { .. }));
        let forgotten = |old: &Session| old.is_over() && self.time.since(old.stored) >= LOG_KEEPS;
        if creates && self.sessions.get(key).is_some_and(forgotten) {
            self.sessions.remove(key);
            applied.forgotten.push(key.clone());
        }
    }

    /// A record of no session: its name can't be used as long as the log holds it, since a first record expects an empty
    /// subject, and since whoever still knows the session that it ends would find it created twice.
    fn fold_stray(&mut self, key: &SessionKey) {
        self.orphans += 1;
        if self.strays.len() < STRAYS_MAX || self.strays.contains_key(key) {
            self.strays.insert(key.clone(), self.time);
        }
    }

    /// A session that is live behind an engaged lever in stream order (its Started, Resumed or GrantIssued lies there) is
    /// halted for good.
    fn latch(&mut self, key: &SessionKey) -> bool {
        let lever = self
            .sessions
            .get(key)
            .filter(|session| session.phase.is_live())
            .and_then(|session| self.engaged_for(session))
            .and_then(|(_, lever)| lever.engaged.clone());
        match (self.sessions.get_mut(key), lever) {
            (Some(session), Some(lever)) => session.halt(&lever),
            _ => return false,
        }
        true
    }

    /// The tenants' plan has a new version.
    fn changed(
        &mut self,
        sequence: u64,
        tenants: impl IntoIterator<Item = TenantId>,
        applied: &mut Applied,
    ) {
        for tenant in tenants {
            self.plan_versions.insert(tenant.clone(), sequence);
            applied.plan_changed.insert(tenant);
        }
    }

    /// Something of the tenants' was stopped: that is a new version of their plan, too.
    fn stopped(
        &mut self,
        sequence: u64,
        tenants: impl IntoIterator<Item = TenantId>,
        applied: &mut Applied,
    ) {
        for tenant in tenants {
            self.stop_versions.insert(tenant.clone(), sequence);
            self.changed(sequence, [tenant], applied);
        }
    }

    fn fold_lever(
        &mut self,
        sequence: u64,
        time: UnixMillis,
        scope: &Scope,
        record: &Record<LeverEvent>,
        hash: Hash,
        applied: &mut Applied,
    ) {
        let lever = self.levers.entry(scope.clone()).or_default();
        let fits = lever.fits(record);
        lever.evolve(sequence, time, record, hash);
        applied.lever = Some(scope.clone());
        if !fits {
            // What is missing may have been a halt.
            let why = format!("record {sequence} on the lever of {scope} follows a missing one");
            self.stop_covered(sequence, scope, applied, |session| {
                session.damaged(sequence, why.clone());
            });
        }
        // Also when the same record releases it: what is halted stays halted.
        let Some(engaged) = Engaged::first_of(sequence, record) else { return };
        match scope {
            Scope::Fleet => {
                self.fleet_stop = sequence;
                applied.plan_changed.extend(self.plan_versions.keys().cloned());
            }
            Scope::Tenant(tenant) => self.stopped(sequence, [tenant.clone()], applied),
        }
        self.stop_covered(sequence, scope, applied, |session| session.halt(&engaged));
    }

    /// Stops every live session that the lever covers.
    fn stop_covered(
        &mut self,
        sequence: u64,
        scope: &Scope,
        applied: &mut Applied,
        stop: impl Fn(&mut Session),
    ) {
        let mut tenants = Vec::new();
        for session in self.sessions.values_mut() {
            if session.phase.is_live() && covers(scope, session) {
                stop(session);
                tenants.extend(session.tenants());
                applied.sessions.push(session.key.clone());
            }
        }
        self.stopped(sequence, tenants, applied);
    }

    /// The whole log can't be trusted: every session that is live is over.
    ///
    /// This is what one replica found, and no part of the fold: a world that went through it is no snapshot of the log.
    pub fn damage_all(&mut self, why: &str) {
        let sequence = self.applied;
        for session in self.sessions.values_mut().filter(|session| session.phase.is_live()) {
            session.damaged(sequence, why.to_owned());
        }
    }

    /// Time of the log: when its newest record was stored, by its server's clock.
    #[must_use]
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// One session.
    #[must_use]
    pub fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.sessions.get(key)
    }

    /// Whether the log holds records under this name that belong to no session.
    #[must_use]
    pub fn has_strays(&self, key: &SessionKey) -> bool {
        self.strays.contains_key(key)
    }

    /// All sessions, by tenant and id.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// One lever.
    #[must_use]
    pub fn lever(&self, scope: &Scope) -> Option<&Lever> {
        self.levers.get(scope)
    }

    /// All levers that were ever engaged.
    pub fn levers(&self) -> impl Iterator<Item = (&Scope, &Lever)> {
        self.levers.iter()
    }

    /// The first engaged lever that covers the session, with its scope.
    #[must_use]
    pub fn engaged_for(&self, session: &Session) -> Option<(&Scope, &Lever)> {
        self.levers.iter().find(|(scope, lever)| lever.engaged.is_some() && covers(scope, session))
    }

    /// Sequence of the newest event that changed the tenant's plan; 0 if none did.
    #[must_use]
    pub fn plan_version(&self, tenant: &TenantId) -> u64 {
        self.plan_versions.get(tenant).copied().unwrap_or(0).max(self.fleet_stop)
    }

    /// Sequence of the newest abort, pause, end or halt for the tenant: a shim whose plan is older must not extend its lease.
    #[must_use]
    pub fn stop_version(&self, tenant: &TenantId) -> u64 {
        self.stop_versions.get(tenant).copied().unwrap_or(0).max(self.fleet_stop)
    }
}

/// Whether the lever stops this session. A session over several tenants stops as a whole: acting early is always safe.
fn covers(scope: &Scope, session: &Session) -> bool {
    match scope {
        Scope::Fleet => true,
        Scope::Tenant(tenant) => session.covers(tenant) || session.key.tenant == *tenant,
    }
}

#[cfg(test)]
mod tests;
