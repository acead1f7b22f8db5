//! What shims ask, and when it can be answered.

use std::time::Duration;

use squall_domain::event::Recorded;
use squall_domain::local::{Ages, Usage};
use squall_domain::session::ledger::OpenGrant;
use squall_domain::session::{AskDecision, CloseDecision, InertDecision, Session};
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, Grant, GrantRef, Inert, Refused, RefusedWhy, Reply, Request, Unavailable,
};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::BootNanos;

use super::desk::{Job, Outcome, Place, Work, own};
use super::fleet::speaker;
use super::record::Batch;
use super::{Engine, Now, Output, Token};

/// Asks for a session wait longer the more holders ask for it: a second for each thousand.
const ASKERS_PER_SECOND: u64 = 1000;
/// Why a guarded session gets nothing for now.
const BLIND: &str = "evidence can't be read, and the session's guard sees nothing without it";

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
                self.renew_lease(now, token, tenant, shim, &renew);
            }
            Request::Ask(ask) => self.take_ask(now, token, holder(ask.incarnation), ask),
            Request::Close(close) => {
                let place = Place::Session(close.grant.session.clone());
                self.enqueue(
                    now,
                    place,
                    token,
                    Work::Close(holder(close.incarnation), close, None),
                );
            }
            Request::Inert(inert) => self.take_inert(now, token, holder(inert.incarnation), inert),
        }
    }

    fn take_ask(&mut self, now: Now, token: Token, holder: Holder, ask: Ask) {
        // Nothing is kept for a session that nobody knows; this replica may only be late to know it.
        let Some(session) = self.world.session(&ask.session) else {
            return self.unavailable(token, "no such session here", 500);
        };
        // Whose shims take part never changes, so that no log needs to be caught up with for this refusal.
        if !session.covers(&holder.tenant) {
            let refused = refused(&ask, RefusedWhy::Invalid, 0);
            return self.answer(token, Reply::Refused(refused));
        }
        if !session.phase.is_terminal() {
            self.ages.entry(ask.session.clone()).or_default().asked(&holder, now.boot);
        }
        let place = Place::Session(ask.session.clone());
        self.enqueue(now, place, token, Work::Ask(holder, ask));
    }

    /// Only who was ever granted something has something to confirm. Who wasn't is told so at once, so that it takes no room
    /// at the desk; unless the stop that it names lies ahead of what is folded here, as its grant may.
    fn take_inert(&mut self, now: Now, token: Token, holder: Holder, inert: Inert) {
        let Some(session) = self.world.session(&inert.session) else {
            return self.unavailable(token, "no such session here", 500);
        };
        let stop = session.stop.as_ref();
        let has_held = session.ledger.knows(&holder)
            || stop.is_some_and(|stop| stop.holders.contains(&holder));
        if has_held {
            let place = Place::Session(inert.session.clone());
            return self.enqueue(now, place, token, Work::Inert(holder, inert));
        }
        let lies_ahead = match inert.epoch {
            AbortEpoch::Logged(sequence) => sequence > self.world.applied,
            AbortEpoch::Pushed(_) => false,
        };
        if lies_ahead && session.covers(&holder.tenant) {
            return self.unavailable(token, "the stop is not known here yet", 500);
        }
        self.answer(token, Reply::InertNoted(inert.session));
    }

    pub(super) fn unavailable(&mut self, token: Token, why: &str, backoff_ms: u64) {
        let unavailable =
            Unavailable { why: why.to_owned(), backoff: Duration::from_millis(backoff_ms) };
        self.out(Output::Reply(token, Box::new(Reply::Unavailable(unavailable))));
    }

    /// What the folded state says to a request that waits.
    pub(super) fn look_up(&mut self, now: Now, place: &Place, job: Job) -> Outcome {
        let Job { token, since, work, told } = job;
        let waits = |work| Outcome::Waits(Box::new(Job { token, since, work, told }));
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
                        self.refuse_close(now, token, &holder, why);
                        Outcome::Answered
                    }
                    CloseDecision::Record(_) => waits(Work::Close(holder, close, need)),
                    CloseDecision::CatchUp => {
                        let need = need.unwrap_or_else(|| self.barriers.need());
                        self.send_barrier(now);
                        waits(Work::Close(holder, close, Some(need)))
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
                        waits(Work::Inert(holder, inert))
                    }
                }
            }
            (work @ Work::Order(..), _) => {
                self.look_up_order(now, place, Job { token, since, work, told })
            }
            // A request about a session never comes to a lever's desk: it has nothing to say there.
            (Work::Ask(..) | Work::Close(..) | Work::Inert(..), Place::Lever(_)) => {
                Outcome::Answered
            }
        }
    }

    fn refuse_close(&mut self, now: Now, token: Token, holder: &Holder, why: &'static str) {
        if let Some(times) = self.refused_closes.another(now.boot.since(BootNanos::default())) {
            let Holder { tenant, shim, .. } = holder;
            tracing::warn!(%shim, %tenant, %why, times, "refused a close; the newest of as many");
        }
        self.unavailable(token, why, 5000);
    }

    pub(super) fn answer(&mut self, token: Token, reply: Reply) {
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
            AskDecision::Issue(_) if self.is_blind(key) => {
                self.unavailable(token, BLIND, 5000);
                return Outcome::Answered;
            }
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
            None => Outcome::Waits(Box::new(Job::new(token, since, Work::Ask(holder, ask)))),
        }
    }

    /// Whether the session has a guard that sees nothing, since evidence can't be read.
    fn is_blind(&self, key: &SessionKey) -> bool {
        self.unread.is_some() && self.world.session(key).is_some_and(Session::is_guarded)
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
            (Work::Order(order, _, _), session) => {
                return self.decide_order(order, session.as_ref());
            }
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
            None if caught_up => CloseDecision::Acknowledge,
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
        // Ages of sessions that are over are gone, and stay so.
        let ages = self.ages.get_mut(key);
        let count = |ages: &mut Ages| ages.usage(now.boot, known_since, longest_use, rate);
        let mut usage = ages.map_or_else(|| count(&mut Ages::default()), count);
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
