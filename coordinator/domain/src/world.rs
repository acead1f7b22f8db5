//! The fold of the whole log. Levers and sessions are different subjects, which compare-and-swap doesn't order:
//! here they meet in stream order, the same on every replica.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{SessionKey, TenantId};

use crate::event::{Event, Hash, LeverEvent, Record};
use crate::lever::{Lever, Scope};
use crate::session::Session;

/// One entry of the log that the fold cares about.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A record of a session.
    Session(SessionKey, Record<Event>),
    /// A record of a lever.
    Lever(Scope, Record<LeverEvent>),
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
}

/// Everything that the log says.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct World {
    /// Newest sequence that was folded.
    pub applied: u64,
    sessions: BTreeMap<SessionKey, Session>,
    levers: BTreeMap<Scope, Lever>,
    plan_versions: BTreeMap<TenantId, u64>,
    stop_versions: BTreeMap<TenantId, u64>,
    fleet_stop: u64,
    /// Records on session subjects that have no session: their first record is gone.
    pub orphans: u64,
}

impl World {
    /// Folds the entry at `sequence`, with the hash of its stored bytes.
    pub fn apply(&mut self, sequence: u64, entry: &Entry, hash: Hash) -> Applied {
        self.applied = sequence;
        let mut applied =
            Applied { sessions: Vec::new(), plan_changed: BTreeSet::new(), lever: None };
        match entry {
            Entry::Session(key, record) => {
                self.fold_session(sequence, key, record, hash, &mut applied)
            }
            Entry::Lever(scope, record) => {
                self.fold_lever(sequence, scope, record, hash, &mut applied)
            }
            Entry::Other => {}
        }
        applied
    }

    fn fold_session(
        &mut self,
        sequence: u64,
        key: &SessionKey,
        record: &Record<Event>,
        hash: Hash,
        applied: &mut Applied,
    ) {
        match self.sessions.get_mut(key) {
            Some(session) => session.evolve(sequence, record, hash),
            None => match Session::create(key.clone(), sequence, record, hash) {
                Some(session) => drop(self.sessions.insert(key.clone(), session)),
                None => {
                    self.orphans += 1;
                    return;
                }
            },
        }
        let halted = self.latch(sequence, key, record);
        let Some(session) = self.sessions.get(key) else { return };
        applied.sessions.push(key.clone());
        let damaged = session.damage.is_some() || halted;
        let changes = damaged || record.events.iter().any(|recorded| recorded.event.changes_plan());
        let stops = damaged || record.events.iter().any(|recorded| recorded.event.stops());
        for tenant in session.tenants() {
            if stops {
                self.stop_versions.insert(tenant.clone(), sequence);
            }
            if changes || stops {
                self.plan_versions.insert(tenant.clone(), sequence);
                applied.plan_changed.insert(tenant);
            }
        }
    }

    /// A session whose Started, Resumed or GrantIssued lies behind an engaged lever in stream order is halted for good.
    fn latch(&mut self, sequence: u64, key: &SessionKey, record: &Record<Event>) -> bool {
        let begins = record.events.iter().any(|recorded| {
            matches!(
                recorded.event,
                Event::Started { .. } | Event::GrantIssued { .. } | Event::Resumed
            )
        });
        let engaged =
            self.sessions.get(key).is_some_and(|session| self.engaged_for(session).is_some());
        match self.sessions.get_mut(key) {
            Some(session) if begins && engaged && session.phase.is_live() => session.halt(sequence),
            Some(_) | None => return false,
        }
        true
    }

    fn fold_lever(
        &mut self,
        sequence: u64,
        scope: &Scope,
        record: &Record<LeverEvent>,
        hash: Hash,
        applied: &mut Applied,
    ) {
        self.levers.entry(scope.clone()).or_default().evolve(sequence, record, hash);
        applied.lever = Some(scope.clone());
        if !record
            .events
            .iter()
            .any(|recorded| matches!(recorded.event, LeverEvent::Engaged { .. }))
        {
            return;
        }
        match scope {
            Scope::Fleet => self.fleet_stop = sequence,
            Scope::Tenant(tenant) => {
                self.stop_versions.insert(tenant.clone(), sequence);
                self.plan_versions.insert(tenant.clone(), sequence);
                applied.plan_changed.insert(tenant.clone());
            }
        }
        let covered: Vec<SessionKey> = self
            .sessions
            .values()
            .filter(|session| session.phase.is_live() && covers(scope, session))
            .map(|session| session.key.clone())
            .collect();
        for key in covered {
            let Some(session) = self.sessions.get_mut(&key) else { continue };
            session.halt(sequence);
            for tenant in session.tenants() {
                self.stop_versions.insert(tenant.clone(), sequence);
                self.plan_versions.insert(tenant.clone(), sequence);
                applied.plan_changed.insert(tenant);
            }
            applied.sessions.push(key);
        }
    }

    /// One session.
    #[must_use]
    pub fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.sessions.get(key)
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
