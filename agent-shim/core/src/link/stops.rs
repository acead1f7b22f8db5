//! Aborts and halts: kept, reported until the log has them, confirmed once nothing runs (docs/protocol.md, coordinator rule 8
//! and "When is a session stopped, proven?").

use std::time::Duration;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::limits::HELLO_LIST_MAX;
use squall_proto::vocabulary::message::{Inert, Renew, Reply, Request, StickyAbort};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::BootNanos;

use super::contact::backoff;
use super::pace::{self, DRAIN_LOOK, Retry, STOP_SPREAD};
use super::port::Plane;
use super::session::Gate;
use super::{Correlation, Link, Output, Pending};

/// Most aborts kept: those that matter no more make room. If all of them matter, nothing may run any more.
const ABORTS_MAX: usize = 1024;
/// An abort that the log has, though the plan never showed under which number, may still be confirmed anew this long.
const RECORDED_KEPT: Duration = Duration::from_secs(600);
/// A session that left the plan is kept this long: its last evidence is on its way, and is said again after 2, 6, 14, 30 and
/// 60 s, over any election and most other outages of its stream.
const LEFT_KEPT: Duration = Duration::from_secs(65);

/// An abort that this shim knows of. Its session never runs again here.
#[derive(Clone, Debug)]
pub(super) struct Sticky {
    epoch: AbortEpoch,
    since: BootNanos,
    /// The log has it, so nobody needs to hear of it from us.
    recorded: bool,
    report: Retry,
    /// The confirmation of `epoch`.
    inert: Retry,
}

impl Sticky {
    /// Whether `epoch` says more than what is known: a number in the log beats a push, and an earlier one a later, since a
    /// session is stopped by what hits it first in log order; a halt that comes after its abort has another number.
    fn is_news(&self, epoch: AbortEpoch) -> bool {
        match (self.epoch, epoch) {
            (AbortEpoch::Pushed(_), AbortEpoch::Logged(_)) => true,
            (AbortEpoch::Pushed(known), AbortEpoch::Pushed(new)) => known != new,
            (AbortEpoch::Logged(known), AbortEpoch::Logged(new)) => new < known,
            (AbortEpoch::Logged(_), AbortEpoch::Pushed(_)) => false,
        }
    }

    /// Whether nothing is left to be said of it.
    fn is_settled(&self, now: BootNanos) -> bool {
        let last = match self.epoch {
            AbortEpoch::Logged(_) => true,
            AbortEpoch::Pushed(_) => now.since(self.since) >= RECORDED_KEPT,
        };
        self.recorded && !self.inert.is_wanted() && last
    }
}

impl Link {
    /// The session is over for good.
    pub(super) fn abort(&mut self, key: &SessionKey, epoch: AbortEpoch) {
        if self.aborts.len() >= ABORTS_MAX {
            self.make_room();
        }
        let (now, full) = (self.now, self.aborts.len() >= ABORTS_MAX);
        match self.aborts.get_mut(key) {
            Some(sticky) if sticky.is_news(epoch) => {
                sticky.epoch = epoch;
                sticky.inert = Retry::at(pace::INERT, now);
            }
            Some(_) => {}
            None if full => self.jammed = true,
            None => {
                let mut report = Retry::idle(pace::REPORT);
                report.failed(now, Duration::ZERO, &mut self.random);
                let inert = Retry::at(pace::INERT, now);
                let sticky = Sticky { epoch, since: now, recorded: false, report, inert };
                self.aborts.insert(key.clone(), sticky);
            }
        }
        if matches!(epoch, AbortEpoch::Logged(_)) {
            self.recorded(key);
        }
    }

    /// Drops the oldest abort of which nothing is left to be said, and whose session is not known here any more.
    fn make_room(&mut self) {
        let settled = |(key, sticky): &(&SessionKey, &Sticky)| {
            sticky.is_settled(self.now) && !self.sessions.contains_key(*key)
        };
        let oldest = self.aborts.iter().filter(settled).min_by_key(|(_, sticky)| sticky.since);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.aborts.remove(&key);
        }
    }

    /// Every session of the tenant is over for good.
    ///
    /// A lever counts in the plan's version, so the plan in force has told what a halt up to its version stopped; what is live
    /// in it was started after that lever was released. A pushed halt has no number yet: it stops everything.
    pub(super) fn halt(&mut self, epoch: AbortEpoch) {
        let is_late = |lever| self.versions.version().is_some_and(|plan| lever <= plan.sequence);
        if matches!(epoch, AbortEpoch::Logged(lever) if is_late(lever)) {
            return;
        }
        for key in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.abort(&key, epoch);
        }
    }

    /// The log has the abort of this session.
    pub(super) fn recorded(&mut self, key: &SessionKey) {
        if let Some(sticky) = self.aborts.get_mut(key) {
            sticky.recorded = true;
            sticky.report.done();
        }
    }

    /// The aborts that the log may lack.
    pub(super) fn unrecorded(&self) -> impl Iterator<Item = StickyAbort> + '_ {
        self.aborts
            .iter()
            .filter(|(_, sticky)| !sticky.recorded)
            .map(|(key, sticky)| StickyAbort { session: key.clone(), epoch: sticky.epoch })
    }

    /// Whether [`Link::inerts_due`] has something to confirm at this moment.
    pub(super) fn confirms_now(&self, plane: &impl Plane) -> bool {
        let due = |sticky: &Sticky| sticky.inert.is_wanted() && sticky.inert.is_due(self.now);
        self.contact.welcomed
            && self.aborts.iter().any(|(key, sticky)| due(sticky) && plane.held(key).running == 0)
    }

    /// Whether an abort is to be confirmed, or its confirmation may be lost.
    pub(super) fn owes_inert(&self) -> bool {
        self.aborts.values().any(|sticky| sticky.inert.is_wanted())
    }

    /// Confirms aborts of which nothing runs any more. Who never asked and never injected holds nothing: silence.
    pub(super) fn inerts_due(&mut self, plane: &impl Plane) {
        let mut aborts = std::mem::take(&mut self.aborts);
        for (key, sticky) in aborts.iter_mut().filter(|(_, sticky)| sticky.inert.is_wanted()) {
            let held = plane.held(key);
            let asked = self.sessions.get(key).is_some_and(|session| session.asked);
            if !asked && held.burned == 0 && held.running == 0 {
                sticky.inert.done();
            } else if self.contact.welcomed && held.running == 0 && sticky.inert.is_due(self.now) {
                let inert = Inert {
                    incarnation: self.identity.incarnation,
                    session: key.clone(),
                    epoch: sticky.epoch,
                    used: held.burned,
                    last_injection_ago: held.last_ended.map(|ended| self.now.since(ended)),
                };
                let pending = Pending::Inert { session: key.clone(), epoch: sticky.epoch };
                let correlation = self.send(pending, Request::Inert(inert));
                sticky.inert.sent(correlation);
            }
        }
        self.aborts = aborts;
    }

    pub(super) fn inerts_wake(&self) -> Option<BootNanos> {
        let due = self.aborts.values().filter_map(|sticky| sticky.inert.wake()).min()?;
        // What is due and was not sent waits for a fault to end.
        let look = if due > self.now { due } else { self.now.plus(DRAIN_LOOK) };
        self.contact.welcomed.then_some(look)
    }

    pub(super) fn inert_answered(
        &mut self,
        correlation: Correlation,
        key: &SessionKey,
        epoch: AbortEpoch,
        reply: Option<Reply>,
    ) {
        let pause = backoff(reply.as_ref());
        let Some(sticky) = self.aborts.get_mut(key).filter(|sticky| sticky.epoch == epoch) else {
            return;
        };
        if reply.is_some_and(|reply| reply == Reply::InertNoted(key.clone())) {
            sticky.inert.done();
        } else if sticky.inert.awaits(correlation) {
            sticky.inert.failed(self.now, pause, &mut self.random);
        }
    }

    /// Renews the lease while something needs it, and reports aborts that the log may lack.
    pub(super) fn lease_due(&mut self, plane: &impl Plane) {
        if self.lease.ran_out(self.now) {
            self.outputs.push_back(Output::WakeDelays);
        }
        self.lease.needed = self.needs_lease(plane);
        if !self.contact.welcomed {
            return;
        }
        let report = self.aborts.values().any(|sticky| sticky.report.is_due(self.now));
        if report || (self.lease.needed && self.lease.is_due(self.now)) {
            let sticky_aborts: Vec<StickyAbort> = self.unrecorded().take(HELLO_LIST_MAX).collect();
            let reported: Vec<SessionKey> =
                sticky_aborts.iter().map(|abort| abort.session.clone()).collect();
            let request = Request::Renew(Renew {
                incarnation: self.identity.incarnation,
                sent: self.now,
                plan: self.versions.version(),
                sticky_aborts,
            });
            let pending = Pending::Renew { sent: self.now, reported: reported.clone() };
            let correlation = self.send(pending, request);
            self.lease.sent(self.now, &mut self.random);
            for key in reported {
                if let Some(sticky) = self.aborts.get_mut(&key) {
                    sticky.report.sent(correlation);
                }
            }
        }
    }

    /// Permits in hand, faults under way, or a session that needs no permits.
    fn needs_lease(&self, plane: &impl Plane) -> bool {
        self.sessions.iter().any(|(key, session)| {
            let eventual = session.strictness() == Some(Strictness::Eventual);
            session.grant.is_some()
                || (eventual && session.takes_part && session.gate == Gate::Open)
                || plane.held(key).running > 0
        })
    }

    pub(super) fn lease_wake(&self) -> Option<BootNanos> {
        let reports = self.aborts.values().filter_map(|sticky| sticky.report.wake()).min();
        let renew = self.lease.renew_wake().filter(|_| self.lease.needed);
        let ask = reports.into_iter().chain(renew).min().filter(|_| self.contact.welcomed);
        ask.into_iter().chain(self.lease.expiry_wake()).min()
    }

    pub(super) fn renew_answered(
        &mut self,
        sent: BootNanos,
        reported: &[SessionKey],
        reply: Option<Reply>,
        plane: &mut impl Plane,
    ) {
        self.lease.answered();
        if let Some(Reply::Renewed(renewed)) = reply {
            // The answer comes only once the log has what was reported (docs/protocol.md, coordinator rule 8).
            reported.iter().for_each(|key| self.recorded(key));
            let sent = renewed.echo_sent.min(sent);
            self.extend_lease(sent, renewed.remaining, renewed.stop_version, plane);
            return;
        }
        let pause = backoff(reply.as_ref());
        self.lease.failed(self.now, pause, &mut self.random);
        for key in reported {
            if let Some(sticky) = self.aborts.get_mut(key).filter(|sticky| !sticky.recorded) {
                sticky.report.failed(self.now, pause, &mut self.random);
            }
        }
    }

    /// Coordinator rule 6: who lacks the newest stop does not extend, and syncs.
    pub(super) fn extend_lease(
        &mut self,
        sent: BootNanos,
        remaining: Duration,
        stop_version: u64,
        plane: &mut impl Plane,
    ) {
        if !self.versions.covers(stop_version) {
            self.lease.blocked();
            self.sync_soon(STOP_SPREAD);
        } else if self.lease.extend(sent, remaining, &mut self.random) {
            plane.extend_lease(self.lease.until());
        }
    }

    /// Forgets sessions that are over. Their aborts stay: no plan brings them back.
    pub(super) fn forget(&mut self, plane: &mut impl Plane) {
        let now = self.now;
        let over: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(key, session)| {
                session.plan.is_none()
                    && session.ask.is_none()
                    && session.grant.is_none()
                    && self.contact.welcomed
                    && session.left_at.is_some_and(|left| now.since(left) >= LEFT_KEPT)
                    && self.aborts.get(*key).is_none_or(|sticky| sticky.is_settled(now))
                    && !self.closes.holds(key, self.identity.incarnation)
                    && plane.held(key).running == 0
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            if let Some(session) = self.sessions.remove(&key) {
                self.forgotten_req_no = self.forgotten_req_no.max(session.last_req_no);
            }
            self.outbox.forget(&key);
            plane.forget(&key);
        }
    }
}
