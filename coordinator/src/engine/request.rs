//! What shims ask, and when it can be answered.

use std::time::Duration;

use squall_domain::event::Recorded;
use squall_domain::local::Usage;
use squall_domain::session::ledger::OpenGrant;
use squall_domain::session::{AskDecision, CloseDecision, InertDecision, Session};
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, Grant, GrantRef, Hello, Refused, RefusedWhy, Renew, Renewed, Reply, Request,
    StickyAbort, Unavailable, Welcome,
};
use squall_proto::vocabulary::time::BootNanos;

use super::desk::{Batch, Job, Outcome, Place, Work, own};
use super::fleet::speaker;
use super::{Engine, Now, Output, Token};

/// A Hello or Renew waits at most this long for the aborts that it reports to be recorded; the shim repeats it.
const REPORT_PATIENCE: Duration = Duration::from_secs(8);
/// Most Hellos and Renews that wait at once: all shims of a large fleet that reconnect together are told to come back.
const REPORTS_MAX: usize = 20_000;
/// Asks for a session wait longer the more holders ask for it: a second for each thousand.
const ASKERS_PER_SECOND: u64 = 1000;

/// A Hello or Renew that reports aborts, or that can't be answered before this replica is fresh.
#[derive(Debug)]
pub(super) struct Report {
    token: Token,
    since: BootNanos,
    tenant: TenantId,
    kind: ReportKind,
}

#[derive(Debug)]
enum ReportKind {
    Hello(Vec<StickyAbort>),
    Renew(Renew),
}

impl ReportKind {
    fn sticky(&self) -> &[StickyAbort] {
        match self {
            Self::Hello(sticky) => sticky,
            Self::Renew(renew) => &renew.sticky_aborts,
        }
    }
}

impl Engine {
    pub(super) fn request(
        &mut self,
        now: Now,
        token: Token,
        tenant: TenantId,
        shim: ShimId,
        request: Request,
    ) {
        if !self.is_live() {
            self.unavailable(token, "the coordinator is still reading the log", 500);
            return;
        }
        let holder =
            |incarnation| Holder { tenant: tenant.clone(), shim: shim.clone(), incarnation };
        if let Some(speaker) = speaker(&request) {
            self.fleet.heard(&holder(speaker), now.boot);
        }
        match request {
            Request::Hello(hello) => self.hello(now, token, tenant, shim, hello),
            Request::Sync(sync) => {
                let plan = self.whole_plan(now, &tenant, sync.page);
                self.out(Output::Reply(token, Box::new(Reply::Plan(plan))));
            }
            Request::Renew(renew) => {
                self.fleet.has_plan(&holder(renew.incarnation), renew.plan.as_ref());
                self.report(now, token, tenant, ReportKind::Renew(renew));
            }
            Request::Ask(ask) => {
                let holder = holder(ask.incarnation);
                // Nothing is kept for a session that nobody knows; this replica may only be late to know it.
                if self.world.session(&ask.session).is_none() {
                    self.unavailable(token, "no such session here", 500);
                    return;
                }
                self.ages.entry(ask.session.clone()).or_default().asked(&holder, now.boot);
                let place = Place::Session(ask.session.clone());
                self.enqueue(now, place, token, Work::Ask(holder, ask));
            }
            Request::Close(close) => {
                let place = Place::Session(close.grant.session.clone());
                self.enqueue(
                    now,
                    place,
                    token,
                    Work::Close(holder(close.incarnation), close, None),
                );
            }
            Request::Inert(inert) => {
                if self.world.session(&inert.session).is_none() {
                    self.unavailable(token, "no such session here", 500);
                    return;
                }
                let place = Place::Session(inert.session.clone());
                self.enqueue(now, place, token, Work::Inert(holder(inert.incarnation), inert));
            }
        }
    }

    fn hello(&mut self, now: Now, token: Token, tenant: TenantId, shim: ShimId, hello: Hello) {
        let sticky = hello.sticky_aborts.clone();
        self.fleet.hello(tenant.clone(), shim, hello, now.boot);
        self.report(now, token, tenant, ReportKind::Hello(sticky));
    }

    fn report(&mut self, now: Now, token: Token, tenant: TenantId, kind: ReportKind) {
        if self.reports.len() >= REPORTS_MAX {
            self.unavailable(token, "too many shims report at once", 2000);
            return;
        }
        for sticky in kind.sticky() {
            let lacks = self
                .world
                .session(&sticky.session)
                .is_some_and(|session| !session.phase.is_terminal());
            if lacks
                && self
                    .world
                    .session(&sticky.session)
                    .is_some_and(|session| session.covers(&tenant))
            {
                self.report_abort(now, &sticky.session);
            }
        }
        self.reports.push(Report { token, since: now.boot, tenant, kind });
        self.answer_reports(now);
    }

    /// Answers the reports whose aborts are all folded.
    pub(super) fn answer_reports(&mut self, now: Now) {
        for report in std::mem::take(&mut self.reports) {
            let recorded =
                report.kind.sticky().iter().all(|sticky| self.is_stopped(&sticky.session));
            if now.boot.since(report.since) >= REPORT_PATIENCE {
                self.unavailable(report.token, "the log did not answer in time", 500);
            } else if !recorded || !self.answer_report(now, &report) {
                self.reports.push(report);
            }
        }
    }

    /// A session that the log doesn't have any more can't be injected either.
    fn is_stopped(&self, key: &SessionKey) -> bool {
        self.world.session(key).is_none_or(|session| session.phase.is_terminal())
    }

    fn answer_report(&mut self, now: Now, report: &Report) -> bool {
        let reply = match &report.kind {
            ReportKind::Hello(sticky) => Reply::Welcome(Welcome {
                log: self.identity.log.clone(),
                recorded_aborts: sticky.clone(),
            }),
            ReportKind::Renew(renew) => {
                let Some(remaining) = self.remaining(now) else { return false };
                let stop_version = self.world.stop_version(&report.tenant);
                Reply::Renewed(Renewed { echo_sent: renew.sent, remaining, stop_version })
            }
        };
        self.out(Output::Reply(report.token, Box::new(reply)));
        true
    }

    pub(super) fn unavailable(&mut self, token: Token, why: &str, backoff_ms: u64) {
        let unavailable =
            Unavailable { why: why.to_owned(), backoff: Duration::from_millis(backoff_ms) };
        self.out(Output::Reply(token, Box::new(Reply::Unavailable(unavailable))));
    }

    /// What the folded state says to a request that waits.
    pub(super) fn look_up(&mut self, now: Now, place: &Place, job: Job) -> Outcome {
        let Job { token, since, work } = job;
        match (work, place) {
            (Work::Ask(holder, ask), Place::Session(key)) => {
                self.look_up_ask(now, key, token, since, holder, ask)
            }
            (Work::Close(holder, close, need), Place::Session(key)) => {
                let caught_up = need.is_some_and(|need| self.barriers.met(need));
                match self.close_decision(key, &holder, &close, caught_up) {
                    CloseDecision::Acknowledge => {
                        self.answer(token, Reply::Closed(close.grant));
                        Outcome::Answered
                    }
                    CloseDecision::Refuse(why) => {
                        tracing::warn!(shim = %holder.shim, tenant = %holder.tenant, %why, "refused a close");
                        self.unavailable(token, why, 5000);
                        Outcome::Answered
                    }
                    CloseDecision::Record(_) => Outcome::Waits(Box::new(Job {
                        token,
                        since,
                        work: Work::Close(holder, close, need),
                    })),
                    CloseDecision::CatchUp => {
                        let need = need.unwrap_or_else(|| self.barriers.need());
                        self.send_barrier(now);
                        Outcome::Waits(Box::new(Job {
                            token,
                            since,
                            work: Work::Close(holder, close, Some(need)),
                        }))
                    }
                }
            }
            (Work::Inert(holder, inert), Place::Session(key)) => {
                let decision = self
                    .world
                    .session(key)
                    .map_or(InertDecision::Note, |session| session.inert(&holder, &inert));
                match decision {
                    InertDecision::Note => {
                        self.answer(token, Reply::InertNoted(inert.session));
                        Outcome::Answered
                    }
                    InertDecision::Record(_) | InertDecision::Wait => {
                        Outcome::Waits(Box::new(Job {
                            token,
                            since,
                            work: Work::Inert(holder, inert),
                        }))
                    }
                }
            }
            (Work::Order(order, append), _) => self.look_up_order(
                now,
                place,
                Job { token, since, work: Work::Order(order, append) },
            ),
            // A request about a session never comes to a lever's desk: it has nothing to say there.
            (Work::Ask(..) | Work::Close(..) | Work::Inert(..), Place::Lever(_)) => {
                Outcome::Answered
            }
        }
    }

    fn answer(&mut self, token: Token, reply: Reply) {
        self.out(Output::Reply(token, Box::new(reply)));
    }

    fn look_up_ask(
        &mut self,
        now: Now,
        key: &SessionKey,
        token: Token,
        since: BootNanos,
        holder: Holder,
        ask: Ask,
    ) -> Outcome {
        let usage = self.usage(now, key, 0);
        let decision = match self.world.session(key) {
            Some(session) => session.ask(&holder, &ask, &usage),
            None => AskDecision::Refuse(RefusedWhy::Invalid),
        };
        let reply = match decision {
            AskDecision::Issue(_) => None,
            AskDecision::Granted(open) => {
                self.grant(now, key, &holder, &open, Some(ask.sent)).map(Reply::Grant)
            }
            AskDecision::Refuse(why) => {
                self.remaining(now).map(|_| Reply::Refused(refused(&ask, why, usage.askers)))
            }
        };
        match reply {
            Some(reply) => {
                self.answer(token, reply);
                Outcome::Answered
            }
            // A replica that isn't fresh answers no Ask.
            None => Outcome::Waits(Box::new(Job { token, since, work: Work::Ask(holder, ask) })),
        }
    }

    /// The grant as it leaves now; `None` while this replica isn't fresh.
    pub(super) fn grant(
        &mut self,
        now: Now,
        key: &SessionKey,
        holder: &Holder,
        open: &OpenGrant,
        echo_sent: Option<BootNanos>,
    ) -> Option<Grant> {
        Some(Grant {
            incarnation: holder.incarnation,
            grant: GrantRef { session: key.clone(), req_no: open.req_no },
            permits: open.permits,
            scope: open.scope.clone(),
            echo_sent,
            remaining: self.remaining(now)?,
            stop_version: self.world.stop_version(&holder.tenant),
        })
    }

    /// What waiting requests append, each decided on the state that those before it leave.
    pub(super) fn decide(
        &mut self,
        now: Now,
        key: &SessionKey,
        batch: &Batch,
        job: &Job,
    ) -> Vec<Recorded<squall_domain::event::Event>> {
        let events = match (&job.work, &batch.session) {
            (Work::Ask(holder, ask), Some(session)) => {
                let usage = self.usage(now, key, session.ledger.totals().issued);
                match session.ask(holder, ask, &usage) {
                    AskDecision::Issue(events) => events,
                    AskDecision::Granted(_) | AskDecision::Refuse(_) => Vec::new(),
                }
            }
            (Work::Close(holder, close, need), Some(session)) => {
                let caught_up = need.is_some_and(|need| self.barriers.met(need));
                let decision = session.close(holder, close, caught_up);
                let vouched = self.identity.shims_are_vouched_for;
                match if vouched { decision } else { decision.of_unauthenticated() } {
                    CloseDecision::Record(event) => vec![event],
                    CloseDecision::Acknowledge
                    | CloseDecision::CatchUp
                    | CloseDecision::Refuse(_) => Vec::new(),
                }
            }
            (Work::Inert(holder, inert), Some(session)) => match session.inert(holder, inert) {
                InertDecision::Record(event) => vec![event],
                InertDecision::Note | InertDecision::Wait => Vec::new(),
            },
            (Work::Order(order, _), session) => return self.decide_order(order, session.as_ref()),
            (Work::Ask(..) | Work::Close(..) | Work::Inert(..), None) => Vec::new(),
        };
        events.into_iter().map(own).collect()
    }

    /// A session that the log lacks altogether was ended long ago, or never was.
    fn close_decision(
        &self,
        key: &SessionKey,
        holder: &Holder,
        close: &Close,
        caught_up: bool,
    ) -> CloseDecision {
        let decision = match self.world.session(key) {
            Some(session) => session.close(holder, close, caught_up),
            None if caught_up || close.used == 0 => CloseDecision::Acknowledge,
            None => CloseDecision::CatchUp,
        };
        if self.identity.shims_are_vouched_for { decision } else { decision.of_unauthenticated() }
    }

    /// What the caps are compared with. `issued` are the permits that were ever issued once a record in the making is
    /// folded: more than the fold has are in use already, whatever the same record gives back.
    fn usage(&mut self, now: Now, key: &SessionKey, issued: u64) -> Usage {
        let Some(session) = self.world.session(key) else { return Usage::default() };
        let known_since = self.live_since.unwrap_or(now.boot);
        let (longest_use, rate) = (session.longest_use(), session.spec.safety.max_rate);
        let new = issued.saturating_sub(session.ledger.totals().issued);
        let ages = self.ages.entry(key.clone()).or_default();
        let mut usage = ages.usage(now.boot, known_since, longest_use, rate);
        usage.outstanding += new;
        usage.issued_in_window += new;
        usage
    }

    /// Permits of a session that may still be in use, by this replica's clock. `session` may be what a record in the
    /// making leaves: what that record issues is in use too.
    pub(super) fn outstanding(&mut self, now: Now, session: &Session) -> u64 {
        let known_since = self.live_since.unwrap_or(now.boot);
        let folded =
            self.world.session(&session.key).map_or(0, |folded| folded.ledger.totals().issued);
        let new = session.ledger.totals().issued.saturating_sub(folded);
        let ages = self.ages.get_mut(&session.key);
        let aged = ages.map_or(0, |ages| {
            ages.usage(now.boot, known_since, session.longest_use(), None).outstanding
        });
        aged + new
    }
}

fn refused(ask: &Ask, why: RefusedWhy, askers: u64) -> Refused {
    let grant = GrantRef { session: ask.session.clone(), req_no: ask.req_no };
    let backoff = Duration::from_millis((askers * 1000 / ASKERS_PER_SECOND).clamp(100, 30_000));
    Refused { grant, why, backoff }
}
