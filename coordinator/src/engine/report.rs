//! Hellos and Renews: what shims report, and when it can be answered.
//!
//! A report waits for the aborts that it names until they are in the log, and a Renew for this replica to be fresh. Only the
//! sessions that its tenant takes part in count: what somebody says of another's is nobody's to wait for.
//!
//! What waits is found by what it waits for, so that a record, a tick and a new report cost what they change and not what
//! waits. Not here: requests about one session ([`super::request`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_domain::world::World;
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{Hello, Renew, Renewed, Reply, StickyAbort, Welcome};
use squall_proto::vocabulary::time::BootNanos;

use super::{Engine, Now, Token};

/// A report waits at most this long for the aborts that it names to be recorded; the shim repeats it.
const PATIENCE: Duration = Duration::from_secs(8);
/// Most reports that wait at once: all shims of a large fleet that reconnect together are told to come back.
const REPORTS_MAX: usize = 20_000;

/// A Hello or Renew, and what it still waits for.
#[derive(Debug)]
struct Report {
    token: Token,
    since: BootNanos,
    from: Reporter,
    says: Says,
    /// Sessions that it knows an abort of, of which the log may lack the last one.
    open: Vec<SessionKey>,
}

/// Who reports. A process has one report of each kind that waits, the newest: it waits for the answer to no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reporter {
    holder: Holder,
    renews: bool,
}

#[derive(Debug)]
enum Says {
    /// With the aborts that it names.
    Hello(Vec<StickyAbort>),
    /// With when it was sent.
    Renew(BootNanos),
}

/// The reports that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Reports {
    next: u64,
    waiting: BTreeMap<u64, Report>,
    newest: BTreeMap<Reporter, u64>,
    /// Which wait for the stop of a session. One that is gone by now may still be named.
    by_session: BTreeMap<SessionKey, BTreeSet<u64>>,
    /// Which wait for nothing but this replica to be fresh.
    settled: BTreeSet<u64>,
}

impl Reports {
    /// A report waits; the older one of the same process, which it replaces, comes back.
    fn wait(&mut self, report: Report) -> Option<Report> {
        let replaced = self.newest.get(&report.from).copied().and_then(|older| self.take(older));
        let number = self.next;
        self.next += 1;
        self.newest.insert(report.from.clone(), number);
        self.index(number, report.open.last());
        self.waiting.insert(number, report);
        replaced
    }

    fn index(&mut self, number: u64, waits_for: Option<&SessionKey>) {
        match waits_for {
            Some(key) => self.by_session.entry(key.clone()).or_default().insert(number),
            None => self.settled.insert(number),
        };
    }

    fn take(&mut self, number: u64) -> Option<Report> {
        let report = self.waiting.remove(&number)?;
        self.newest.remove(&report.from);
        self.settled.remove(&number);
        if let Some(key) = report.open.last()
            && let Some(numbers) = self.by_session.get_mut(key)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_session.remove(key);
            }
        }
        Some(report)
    }

    /// A session is stopped: those that waited for it wait for the next one that isn't, if any.
    fn stopped(&mut self, key: &SessionKey, world: &World) {
        for number in self.by_session.remove(key).unwrap_or_default() {
            let Some(report) = self.waiting.get_mut(&number) else { continue };
            while report.open.pop_if(|key| is_stopped(world, key)).is_some() {}
            let waits_for = report.open.last().cloned();
            self.index(number, waits_for.as_ref());
        }
    }

    fn take_settled(&mut self) -> Vec<Report> {
        let numbers = std::mem::take(&mut self.settled);
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    fn take_late(&mut self, now: BootNanos) -> Vec<Report> {
        let is_late = |report: &Report| now.since(report.since) >= PATIENCE;
        let late = self.waiting.iter().take_while(|(_, report)| is_late(report));
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        late.into_iter().filter_map(|number| self.take(number)).collect()
    }
}

impl Engine {
    pub(super) fn hello(
        &mut self,
        now: Now,
        token: Token,
        tenant: TenantId,
        shim: ShimId,
        hello: Hello,
    ) {
        let sticky = hello.sticky_aborts.clone();
        let incarnation = hello.incarnation;
        self.fleet.hello(tenant.clone(), shim.clone(), hello, now.boot);
        let open = self.open(now, &tenant, &sticky);
        if open.is_empty() {
            return self.answer(token, self.welcome(sticky));
        }
        let from = Reporter { holder: Holder { tenant, shim, incarnation }, renews: false };
        self.wait(Report { token, since: now.boot, from, says: Says::Hello(sticky), open });
    }

    pub(super) fn renew_lease(
        &mut self,
        now: Now,
        token: Token,
        tenant: TenantId,
        shim: ShimId,
        renew: &Renew,
    ) {
        let open = self.open(now, &tenant, &renew.sticky_aborts);
        if open.is_empty()
            && let Some(remaining) = self.remaining(now)
        {
            return self.answer(token, self.renewed(&tenant, renew.sent, remaining));
        }
        let incarnation = renew.incarnation;
        let from = Reporter { holder: Holder { tenant, shim, incarnation }, renews: true };
        self.wait(Report { token, since: now.boot, from, says: Says::Renew(renew.sent), open });
    }

    /// The sessions among the reported ones whose stop the log lacks; it will be recorded.
    fn open(&mut self, now: Now, tenant: &TenantId, sticky: &[StickyAbort]) -> Vec<SessionKey> {
        let lacks = |key: &&SessionKey| {
            self.world
                .session(key)
                .is_some_and(|session| !session.phase.is_terminal() && session.covers(tenant))
        };
        let open: BTreeSet<SessionKey> =
            sticky.iter().map(|sticky| &sticky.session).filter(lacks).cloned().collect();
        for key in &open {
            self.report_abort(now, key);
        }
        open.into_iter().collect()
    }

    fn wait(&mut self, report: Report) {
        let replaces = self.reports.newest.contains_key(&report.from);
        if self.reports.waiting.len() >= REPORTS_MAX && !replaces {
            return self.unavailable(report.token, "too many shims report at once", 2000);
        }
        if let Some(older) = self.reports.wait(report) {
            self.unavailable(older.token, "the process reported anew", 500);
        }
    }

    /// These sessions were folded: who waited for their stop waits no longer, if it came.
    pub(super) fn reported_on(&mut self, now: Now, keys: &[SessionKey]) {
        for key in keys.iter().filter(|key| is_stopped(&self.world, key)) {
            self.reports.stopped(key, &self.world);
        }
        self.answer_reports(now);
    }

    /// Answers the reports whose aborts are all folded, and those that waited too long.
    pub(super) fn answer_reports(&mut self, now: Now) {
        for report in self.reports.take_late(now.boot) {
            self.unavailable(report.token, "the log did not answer in time", 500);
        }
        if self.reports.settled.is_empty() {
            return;
        }
        let Some(remaining) = self.remaining(now) else { return };
        for Report { token, from, says, .. } in self.reports.take_settled() {
            let reply = match says {
                Says::Hello(sticky) => self.welcome(sticky),
                Says::Renew(sent) => self.renewed(&from.holder.tenant, sent, remaining),
            };
            self.answer(token, reply);
        }
    }

    /// Nothing is answered any more.
    pub(super) fn refuse_reports(&mut self, why: &str) {
        for report in std::mem::take(&mut self.reports).waiting.into_values() {
            self.unavailable(report.token, why, 2000);
        }
    }

    fn welcome(&self, recorded_aborts: Vec<StickyAbort>) -> Reply {
        Reply::Welcome(Welcome { log: self.identity.log.clone(), recorded_aborts })
    }

    fn renewed(&self, tenant: &TenantId, sent: BootNanos, remaining: Duration) -> Reply {
        let stop_version = self.world.stop_version(tenant);
        Reply::Renewed(Renewed { echo_sent: sent, remaining, stop_version })
    }
}

/// A session that the log doesn't have any more can't be injected either.
fn is_stopped(world: &World, key: &SessionKey) -> bool {
    world.session(key).is_none_or(|session| session.phase.is_terminal())
}
