//! A data plane of one thread that a test looks into, and that checks what the link hands it.

use std::collections::{BTreeMap, BTreeSet};

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{CountRow, Sample, ScopeKeys, TraceRow};
use squall_proto::vocabulary::time::BootNanos;

use crate::link::{Held, Permits, Plane, TakesPart};
use crate::plan::ActiveSession;
use crate::registry::Announced;

#[derive(Debug, Default)]
pub(crate) struct Purse {
    pub(crate) permits: Option<Permits>,
    pub(crate) used: u32,
    pub(crate) running: u32,
    pub(crate) burned: u64,
    pub(crate) last_ended: Option<BootNanos>,
    pub(crate) stopped: bool,
    pub(crate) paused: bool,
    pub(crate) end: Option<BootNanos>,
    demand: Option<(u32, ScopeKeys)>,
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) now: BootNanos,
    pub(crate) lease: BootNanos,
    pub(crate) purses: BTreeMap<SessionKey, Purse>,
    pub(crate) plan: Vec<ActiveSession>,
    pub(crate) counts: Vec<CountRow>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) sites: usize,
    /// Requests whose permits were ever put in: none may come twice.
    put: BTreeSet<(SessionKey, u64)>,
}

impl Fake {
    pub(crate) fn demand(&mut self, session: &SessionKey, scope: ScopeKeys) {
        let purse = self.purses.entry(session.clone()).or_default();
        let wanted = purse.demand.take().map_or(0, |(wanted, _)| wanted) + 1;
        purse.demand = Some((wanted, scope));
    }

    /// What a hook does: `true` if a permit was burned and its fault runs.
    pub(crate) fn burn(&mut self, session: &SessionKey, now: BootNanos) -> bool {
        let running = self.plan.iter().any(|active| active.key == *session && active.running);
        let lease = now < self.lease;
        let Some(purse) = self.purses.get_mut(session) else { return false };
        let in_time = lease && purse.end.is_none_or(|end| now < end);
        let Some(permits) = &mut purse.permits else { return false };
        let usable = running && !purse.stopped && !purse.paused && in_time;
        if !usable || permits.count == 0 || now >= permits.deadline || now >= permits.cap {
            return false;
        }
        permits.count -= 1;
        purse.used += 1;
        purse.running += 1;
        purse.burned += 1;
        true
    }

    pub(crate) fn end_fault(&mut self, session: &SessionKey, now: BootNanos) {
        let purse = self.purses.get_mut(session).unwrap();
        purse.running -= 1;
        purse.last_ended = Some(now);
    }

    pub(crate) fn left(&self, session: &SessionKey) -> u32 {
        self.held(session).left
    }
}

impl Plane for Fake {
    fn install(&mut self, sessions: &[ActiveSession]) -> TakesPart {
        self.plan = sessions.to_vec();
        for session in sessions {
            self.purses.entry(session.key.clone()).or_default();
        }
        let sessions = sessions.iter().map(|session| session.key.clone()).collect();
        TakesPart { sessions, unarmed: vec![] }
    }

    fn forget(&mut self, session: &SessionKey) {
        let purse = self.purses.remove(session).unwrap_or_default();
        assert!(purse.stopped || purse.running == 0, "forgotten while a fault runs");
        assert!(purse.stopped || purse.permits.is_none(), "forgotten with a grant open");
    }

    fn extend_lease(&mut self, until: BootNanos) {
        assert!(until >= self.lease, "the lease went back");
        self.lease = until;
        for purse in self.purses.values_mut() {
            if let Some(permits) = &mut purse.permits {
                permits.deadline = permits.deadline.max(until).min(permits.cap);
            }
        }
    }

    fn end_lease(&mut self) {
        self.lease = BootNanos(0);
    }

    fn stop(&mut self, session: &SessionKey) {
        self.purses.entry(session.clone()).or_default().stopped = true;
    }

    fn pause(&mut self, session: &SessionKey, paused: bool) {
        if let Some(purse) = self.purses.get_mut(session) {
            purse.paused = paused;
        }
    }

    fn end_by(&mut self, session: &SessionKey, moment: BootNanos) {
        if let Some(purse) = self.purses.get_mut(session) {
            purse.end = Some(purse.end.unwrap_or(moment).min(moment));
        }
    }

    fn put(&mut self, session: &SessionKey, permits: Permits) -> bool {
        assert!(self.put.insert((session.clone(), permits.req_no)), "installed twice");
        assert!(permits.deadline <= permits.cap);
        let Some(purse) = self.purses.get_mut(session) else { return false };
        assert_eq!(purse.permits, None, "two grants open at once");
        assert_eq!(purse.running, 0, "a grant opened over a running fault");
        if purse.stopped {
            return false;
        }
        purse.permits = Some(permits);
        purse.used = 0;
        true
    }

    fn drain(&mut self, session: &SessionKey) -> Option<(u64, u32)> {
        let purse = self.purses.get_mut(session)?;
        Some((purse.permits.take()?.req_no, purse.used))
    }

    fn settled(&mut self, _session: &SessionKey, _req_no: u64) {}

    fn held(&self, session: &SessionKey) -> Held {
        let Some(purse) = self.purses.get(session) else { return Held::default() };
        Held {
            left: purse.permits.as_ref().map_or(0, |permits| permits.count),
            running: purse.running,
            burned: purse.burned,
            last_ended: purse.last_ended,
        }
    }

    fn has_demand(&self, session: &SessionKey) -> bool {
        self.purses.get(session).is_some_and(|purse| purse.demand.is_some())
    }

    fn take_demand(&mut self, session: &SessionKey) -> Option<(u32, ScopeKeys)> {
        self.purses.get_mut(session)?.demand.take()
    }

    fn site_count(&self) -> usize {
        self.sites
    }

    fn announced(&self) -> Announced {
        Announced::default()
    }

    fn counts(&self) -> Vec<CountRow> {
        self.counts.clone()
    }

    fn trace_counts(&self) -> Vec<TraceRow> {
        vec![]
    }

    fn drain_samples(&mut self, max: usize) -> Vec<Sample> {
        let rest = self.samples.split_off(self.samples.len().min(max));
        std::mem::replace(&mut self.samples, rest)
    }

    fn samples_lost(&self) -> u64 {
        0
    }
}
