//! What a replica does when it applies an event, and what it does by itself as time passes.
//!
//! Effects belong to the owner of the subject and are performed at apply, never on replay. On a takeover the new owner
//! reconciles from the state, so that nothing is lost between an append and a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use squall_domain::event::{Event, Recorded};
use squall_domain::evidence::SessionEvidence;
use squall_domain::lever::Scope;
use squall_domain::session::{Due, Phase, Session};
use squall_domain::world::{Applied, Entry};
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::limits::{BEAT_EVERY, LEASE_TTL};
use squall_proto::vocabulary::message::Command;
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::{BootNanos, UnixMillis, stretched};

use super::barrier::Need;
use super::desk::{Place, own};
use super::{Engine, Lane, Now, Output};

/// A stop is pushed again after these times: a message that is lost once is hardly lost three times.
const PUSH_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(1000)];

/// How often deadlines are looked at: well below the shortest of them, a session of 1 s.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often levers are looked at that may have to be renewed.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// A stop that will be pushed again.
#[derive(Debug)]
pub(super) struct Push {
    at: BootNanos,
    tenant: TenantId,
    command: Command,
}

/// The clock of a proof by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProofClock {
    /// The barrier that must be passed first.
    need: Need,
    /// When it was.
    pub(super) passed: Option<BootNanos>,
}

impl Engine {
    /// Performs the effects of an entry that was just folded.
    pub(super) fn react(&mut self, now: Now, entry: &Entry, applied: &Applied) {
        if let Some(scope) = &applied.lever {
            self.forget_released(scope);
        }
        match entry {
            Entry::Unreadable(key, _) if self.owns(&Place::Session(key.clone())) => {
                self.session_effects(now, key, false);
                self.publish_deltas(now, applied);
            }
            Entry::Session(key, record) if self.owns(&Place::Session(key.clone())) => {
                let pauses =
                    record.events.iter().any(|recorded| matches!(recorded.event, Event::Paused));
                self.session_effects(now, key, pauses);
                self.publish_deltas(now, applied);
            }
            Entry::Lever(scope, _) if self.owns(&Place::Lever(scope.clone())) => {
                let engaged = self.world.lever(scope).and_then(|lever| lever.engaged.as_ref());
                if let Some(sequence) = engaged.map(|engaged| engaged.sequence) {
                    self.push_halt(now, scope, AbortEpoch::Logged(sequence));
                }
                self.publish_deltas(now, applied);
            }
            Entry::Session(..) | Entry::Lever(..) | Entry::Unreadable(..) | Entry::Other => {}
        }
        self.announced(applied);
    }

    /// A lever was released: a halt that is pushed again now would stop what was started since.
    fn forget_released(&mut self, scope: &Scope) {
        if self.world.lever(scope).is_some_and(|lever| lever.engaged.is_some()) {
            return;
        }
        self.pushes.retain(|push| {
            let covered = match scope {
                Scope::Fleet => true,
                Scope::Tenant(tenant) => push.tenant == *tenant,
            };
            !(covered && matches!(push.command, Command::Halt { .. }))
        });
    }

    fn session_effects(&mut self, now: Now, key: &SessionKey, pauses: bool) {
        let Some(session) = self.world.session(key) else { return };
        let (tenants, phase) = (session.tenants(), session.phase);
        let dry = session.ledger.available() == 0;
        let stop = session.stop.as_ref().filter(|stop| stop.proof.is_none()).map(|stop| stop.epoch);
        if pauses {
            for tenant in &tenants {
                let plan = self.plan_version(tenant);
                let pause = Command::Pause { session: key.clone(), plan };
                self.tell(tenant.clone(), Lane::Urgent, pause);
            }
        }
        if let Some(epoch) = stop
            && !self.proofs.contains_key(key)
        {
            self.push_abort(now, key, AbortEpoch::Logged(epoch));
            let need = self.barriers.need();
            self.proofs.insert(key.clone(), ProofClock { need, passed: None });
            self.send_barrier(now);
        }
        if phase == Phase::Running {
            self.dry_or_refilled(key, &tenants, dry);
        }
    }

    fn dry_or_refilled(&mut self, key: &SessionKey, tenants: &[TenantId], dry: bool) {
        let command = if dry && self.dry.insert(key.clone()) {
            Command::Dry(key.clone())
        } else if !dry && self.dry.remove(key) {
            let phi0 = self.world.session(key).map_or(1.0, |session| self.fleet.phi0(session));
            Command::Refill { session: key.clone(), phi0 }
        } else {
            return;
        };
        for tenant in tenants {
            self.tell(tenant.clone(), Lane::Bulk, command.clone());
        }
    }

    pub(super) fn tell(&mut self, tenant: TenantId, lane: Lane, command: Command) {
        self.out(Output::Command { tenant, shim: None, lane, command: Box::new(command) });
    }

    /// Pushes an abort now, and twice again.
    pub(super) fn push_abort(&mut self, now: Now, key: &SessionKey, epoch: AbortEpoch) {
        let tenants = self.world.session(key).map(Session::tenants).unwrap_or_default();
        for tenant in tenants {
            self.push(now, tenant, Command::Abort { session: key.clone(), epoch });
        }
    }

    /// Pushes a halt to every tenant that it covers and that this replica knows of.
    pub(super) fn push_halt(&mut self, now: Now, scope: &Scope, epoch: AbortEpoch) {
        let tenants: BTreeSet<TenantId> = match scope {
            Scope::Fleet => self.tenants(),
            Scope::Tenant(tenant) => BTreeSet::from([tenant.clone()]),
        };
        for tenant in tenants {
            self.push(now, tenant, Command::Halt { epoch });
        }
        // A session over several tenants stops as a whole.
        let shared: Vec<SessionKey> = self
            .world
            .sessions()
            .filter(|session| session.phase.is_live() && session.key.tenant.is_fleet())
            .filter(|session| match scope {
                Scope::Fleet => true,
                Scope::Tenant(tenant) => session.covers(tenant),
            })
            .map(|session| session.key.clone())
            .collect();
        for key in shared {
            self.push_abort(now, &key, epoch);
        }
    }

    fn push(&mut self, now: Now, tenant: TenantId, command: Command) {
        for after in PUSH_AGAIN {
            self.pushes.push(Push {
                at: now.boot.plus(after),
                tenant: tenant.clone(),
                command: command.clone(),
            });
        }
        self.tell(tenant, Lane::Urgent, command);
    }

    pub(super) fn push_again(&mut self, now: Now) {
        let (due, later) =
            std::mem::take(&mut self.pushes).into_iter().partition(|push| push.at <= now.boot);
        self.pushes = later;
        for Push { tenant, command, .. } in due {
            self.tell(tenant, Lane::Urgent, command);
        }
    }

    /// Tenants that have sessions or shims.
    pub(super) fn tenants(&self) -> BTreeSet<TenantId> {
        self.world.sessions().flat_map(Session::tenants).chain(self.fleet.tenants()).collect()
    }

    /// Repeats the plan's version to the tenants that this replica beats for.
    pub(super) fn beat(&mut self, now: Now) {
        if now.boot.since(self.beat_at) < BEAT_EVERY {
            return;
        }
        self.beat_at = now.boot;
        for tenant in self.tenants() {
            if self.owns(&Place::Lever(Scope::Tenant(tenant.clone()))) {
                let version = self.plan_version(&tenant);
                self.tell(tenant, Lane::Bulk, Command::Beat(version));
            }
        }
    }

    /// Reconciles what was gained: grants that may never have left, stops whose proof is due, shims that nobody knows.
    pub(super) fn take_over(&mut self, now: Now, gained: &BTreeSet<Partition>) {
        if gained.is_empty() && self.live_since == Some(now.boot) {
            for tenant in self.tenants() {
                self.tell(tenant, Lane::Bulk, Command::RollCall);
            }
        }
        let sessions: Vec<Session> = self
            .world
            .sessions()
            .filter(|session| gained.contains(&Partition::of_session(&session.key)))
            .filter(|session| {
                session.phase.is_live()
                    || session.stop.as_ref().is_some_and(|stop| stop.proof.is_none())
            })
            .cloned()
            .collect();
        for session in sessions {
            self.session_effects(now, &session.key, session.phase == Phase::Paused);
            if session.phase == Phase::Running {
                self.taken_over.insert(session.key);
            }
        }
    }

    /// Grants whose replies may be lost with the owner before: sent to their holders once this replica is fresh, and
    /// dated by them at the first send of their request.
    pub(super) fn send_taken_over(&mut self, now: Now) {
        if self.taken_over.is_empty() || self.remaining(now).is_none() {
            return;
        }
        for key in std::mem::take(&mut self.taken_over) {
            let Some(session) = self.world.session(&key) else { continue };
            let open: Vec<_> = session
                .ledger
                .open_grants()
                .map(|(holder, grant)| (holder.clone(), grant.clone()))
                .collect();
            for (holder, grant) in open {
                let Some(grant) = self.grant(now, &key, &holder, &grant, None) else { continue };
                self.out(Output::Command {
                    tenant: holder.tenant,
                    shim: Some(holder.shim),
                    lane: Lane::Bulk,
                    command: Box::new(Command::Grant(grant)),
                });
            }
        }
    }

    /// Looks at every owned session that has a deadline.
    pub(super) fn own_work(&mut self, now: Now) {
        if now.boot.since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now.boot;
        let keys: Vec<SessionKey> = self
            .world
            .sessions()
            .filter(|session| {
                let open_stop = session.stop.as_ref().is_some_and(|stop| stop.proof.is_none());
                (!session.phase.is_terminal() || open_stop)
                    && self.owns(&Place::Session(session.key.clone()))
            })
            .map(|session| session.key.clone())
            .collect();
        for key in keys {
            let Some(session) = self.world.session(&key).cloned() else { continue };
            if !self.due(now, &session).is_empty() {
                self.work(now, &Place::Session(key));
            }
        }
    }

    /// Appends once more what the log may forget although it still counts: levers, whoever works there. A look an hour is
    /// plenty for half a month, and bounds what a wrong wall clock makes of it.
    pub(super) fn renew_levers(&mut self, now: Now) {
        if self.renewed_at.is_some_and(|at| now.boot.since(at) < RENEW_EVERY) {
            return;
        }
        self.renewed_at = Some(now.boot);
        let due: Vec<Scope> = self
            .world
            .levers()
            .filter(|(_, lever)| lever.renewal(now.wall).is_some())
            .map(|(scope, _)| scope.clone())
            .filter(|scope| self.owns(&Place::Lever(scope.clone())))
            .collect();
        for scope in due {
            self.renew(now, &scope);
        }
    }

    /// What the owner appends by itself.
    pub(super) fn due(&mut self, now: Now, session: &Session) -> Vec<Recorded<Event>> {
        if let Some(cause) = session.abort_to_record() {
            let engaged =
                self.world.engaged_for(session).and_then(|(_, lever)| lever.engaged.as_ref());
            let why = engaged
                .map_or_else(|| "released since".to_owned(), |engaged| engaged.reason.clone());
            return vec![own(Event::Aborted { reason: format!("halted: {why}"), cause })];
        }
        let sums = self.archive.of(&session.key).map(SessionEvidence::sums);
        let (traces, total) = sums.map(|sums| (sums.traces, sums.total)).unwrap_or_default();
        let tripped = session.guard(traces);
        if !tripped.is_empty() {
            return tripped.into_iter().map(own).collect();
        }
        if let Some(drained) = session.reached(total) {
            return vec![own(drained)];
        }
        if let Some(paused) = self.unread.as_ref().and_then(|_| session.unwatched()) {
            return vec![own(paused)];
        }
        let outstanding = self.outstanding(now, session);
        if let Due::Append(event) = session.due(now.wall, outstanding) {
            return vec![own(event)];
        }
        session.prove(self.leases_are_over(now, session)).map(own).into_iter().collect()
    }

    /// (TTL + D)(1 + rho)/(1 - rho) has passed on this clock after a barrier that was sent after the stop was applied.
    fn leases_are_over(&self, now: Now, session: &Session) -> bool {
        let passed = self.proofs.get(&session.key).and_then(|clock| clock.passed);
        passed.is_some_and(|passed| now.boot.since(passed) >= longest_lease(session))
    }

    /// By when the last shim is inert, for people; `None` until the clock runs.
    pub(super) fn inert_by(&self, now: Now, session: &Session) -> Option<UnixMillis> {
        let passed = self.proofs.get(&session.key)?.passed?;
        let left = longest_lease(session).saturating_sub(now.boot.since(passed));
        Some(now.wall.plus(left))
    }

    pub(super) fn proof_clocks(&mut self, now: Now) {
        let barriers = &self.barriers;
        for clock in self.proofs.values_mut() {
            if clock.passed.is_none() && barriers.met(clock.need) {
                clock.passed = Some(now.boot);
            }
        }
        let world = &self.world;
        self.proofs.retain(|key, _| {
            world
                .session(key)
                .and_then(|session| session.stop.as_ref())
                .is_some_and(|stop| stop.proof.is_none())
        });
    }
}

fn longest_lease(session: &Session) -> Duration {
    stretched(LEASE_TTL + session.spec.longest_fault())
}
