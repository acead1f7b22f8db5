//! What a shim was granted and told, and what it did: kept from its messages alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::{Incarnation, SessionKey};
use squall_proto::vocabulary::limits::PERMIT_LIFE;
use squall_proto::vocabulary::message::{Command, Grant, Reply, Request};
use squall_proto::vocabulary::time::BootNanos;

use super::cast;

/// One life of a process, and what outlives it.
#[derive(Debug)]
pub(super) struct Books {
    life: Incarnation,
    /// The most permits that any grant brought for a request of this life.
    granted: BTreeMap<(SessionKey, u64), u32>,
    /// Used permits, as the Close of each grant says.
    closed: BTreeMap<(SessionKey, u64), u32>,
    /// Grants whose Close was acknowledged: should one come again, nothing of it is held any more.
    acknowledged: BTreeSet<(SessionKey, u64)>,
    injected: BTreeMap<SessionKey, u64>,
    /// When the newest request for permits was sent first.
    asked: BTreeMap<SessionKey, (u64, BootNanos)>,
    /// No lease that was ever given lasts longer.
    lease: BootNanos,
    /// Sessions whose abort was heard. They never run again, not even after a fork.
    aborted: BTreeSet<SessionKey>,
    leaving: bool,
}

impl Books {
    pub(super) fn of(life: Incarnation) -> Self {
        Self {
            life,
            granted: BTreeMap::new(),
            closed: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            injected: BTreeMap::new(),
            asked: BTreeMap::new(),
            lease: BootNanos(0),
            aborted: BTreeSet::new(),
            leaving: false,
        }
    }

    pub(super) fn life(&self) -> Incarnation {
        self.life
    }

    pub(super) fn reborn(&mut self, life: Incarnation) {
        let (aborted, leaving) = (std::mem::take(&mut self.aborted), self.leaving);
        *self = Self { aborted, leaving, ..Self::of(life) };
    }

    pub(super) fn leaves(&mut self) {
        self.leaving = true;
    }

    pub(super) fn answered(&mut self, now: BootNanos, reply: &Reply) {
        match reply {
            Reply::Grant(grant) => self.granted(now, grant),
            Reply::Renewed(renewed) => self.leased(now, renewed.remaining),
            Reply::Closed(grant) => {
                self.acknowledged.insert((grant.session.clone(), grant.req_no));
            }
            Reply::Welcome(_)
            | Reply::Plan(_)
            | Reply::Refused(_)
            | Reply::InertNoted(_)
            | Reply::Unavailable(_) => {}
        }
    }

    pub(super) fn told(&mut self, now: BootNanos, command: &Command) {
        match command {
            Command::Grant(grant) => self.granted(now, grant),
            Command::Abort { session, .. } => drop(self.aborted.insert(session.clone())),
            Command::Plan(_)
            | Command::Beat(_)
            | Command::Dry(_)
            | Command::Refill { .. }
            | Command::Pause { .. }
            | Command::Halt { .. }
            | Command::RollCall => {}
        }
    }

    fn granted(&mut self, now: BootNanos, grant: &Grant) {
        if grant.incarnation == self.life {
            let key = (grant.grant.session.clone(), grant.grant.req_no);
            let permits = self.granted.entry(key).or_default();
            *permits = (*permits).max(grant.permits);
            self.leased(now, grant.remaining);
        }
    }

    /// It was sent before it is heard, so that it is over before this.
    fn leased(&mut self, now: BootNanos, remaining: Duration) {
        self.lease = self.lease.max(now.plus(remaining));
    }

    pub(super) fn injected(&mut self, now: BootNanos, session: &SessionKey) {
        assert!(!self.aborted.contains(session), "{session} was aborted before");
        assert!(!self.leaving, "it is leaving");
        assert!(now < self.lease, "there is no lease at {now:?}: {self:?}");
        let spec = cast::spec(session).expect("no other session was ever told of");
        match spec.safety.strictness {
            Strictness::Eventual => return,
            Strictness::Strict | Strictness::StrictClaim => {}
        }
        let injected = self.injected.entry(session.clone()).or_default();
        *injected += 1;
        let injected = *injected;
        let asked = self.asked.get(session).map(|(_, first_sent)| first_sent.plus(PERMIT_LIFE));
        assert!(
            asked.is_some_and(|ends| now < ends),
            "{session}: permits are older than they live"
        );
        let of_session = self.granted.iter().filter(|((of, _), _)| of == session);
        let granted: u64 = of_session.map(|(_, permits)| u64::from(*permits)).sum();
        assert!(injected <= granted, "{session}: {injected} faults and {granted} permits");
    }

    pub(super) fn sent(
        &mut self,
        now: BootNanos,
        request: &Request,
        runs: impl Fn(&SessionKey) -> bool,
    ) {
        match request {
            Request::Ask(ask) => {
                let newest = self.asked.entry(ask.session.clone()).or_insert((ask.req_no, now));
                assert!(ask.req_no >= newest.0, "{ask:?} repeats a number that was over");
                if ask.req_no > newest.0 {
                    *newest = (ask.req_no, now);
                }
            }
            Request::Close(close) if close.incarnation == self.life => {
                let key = (close.grant.session.clone(), close.grant.req_no);
                let granted = self.granted.get(&key).copied().unwrap_or_default();
                assert!(close.used <= granted, "{close:?} of {granted} permits");
                let settled = self.acknowledged.contains(&key);
                let said = *self.closed.entry(key).or_insert(close.used);
                assert!(settled || said == close.used, "{close:?} of which {said} was said before");
                self.covers(&close.grant.session);
            }
            Request::Inert(inert) => {
                assert!(!runs(&inert.session), "{inert:?} while a fault runs");
                self.aborted.insert(inert.session.clone());
            }
            Request::Close(_) | Request::Hello(_) | Request::Sync(_) | Request::Renew(_) => {}
        }
    }

    /// What was used of closed grants, and all of the others: what the ledger calls spent.
    fn covers(&self, session: &SessionKey) {
        let of_session = self.granted.iter().filter(|((of, _), _)| of == session);
        let spent = |(key, permits): (&(SessionKey, u64), &u32)| {
            u64::from(*self.closed.get(key).unwrap_or(permits))
        };
        let spent: u64 = of_session.map(spent).sum();
        let injected = self.injected.get(session).copied().unwrap_or_default();
        assert!(injected <= spent, "{session}: {injected} faults, and {spent} permits are spent");
    }
}
