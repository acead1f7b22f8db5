//! What requests lead to: the domain's decision on the view, and the answer where the view holds one.

use std::time::Duration;

use squall_domain::event::{AbortCause, Event};
use squall_domain::session::ledger::OpenGrant;
use squall_domain::session::{AskDecision, CloseDecision, InertDecision, Phase, Session};
use squall_proto::vocabulary::id::{Holder, SessionKey, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, Grant, GrantRef, Inert, Refused, Renewed, Reply, Request, StickyAbort, Welcome,
};
use squall_proto::vocabulary::plan::AbortEpoch;

use super::{Moment, Outcome, Replica, own, whole_plan};
use crate::cast::log_id;
use crate::invariant::{Invariant, hold};

impl Replica {
    /// What a request of `holder` leads to, on the view and on what the same record holds already (`batch`).
    pub fn decide(
        &mut self,
        batch: &Session,
        holder: &Holder,
        request: &Request,
        at_end: bool,
        at: Moment,
    ) -> Outcome {
        match request {
            Request::Ask(ask) => self.ask(batch, holder, ask, at),
            Request::Close(close) => self.close(batch, holder, close, at_end),
            Request::Inert(inert) => self.inert(batch, holder, inert),
            Request::Renew(renew) => {
                let open = self.lacking(&holder.tenant, &renew.sticky_aborts);
                let stop_version = self.view.world.stop_version(&holder.tenant);
                let renewed = |remaining| {
                    Reply::Renewed(Renewed { echo_sent: renew.sent, remaining, stop_version })
                };
                self.reported(open, self.remaining(at).map(renewed))
            }
            Request::Hello(hello) => {
                let open = self.lacking(&holder.tenant, &hello.sticky_aborts);
                let recorded_aborts = hello.sticky_aborts.clone();
                let welcome = Reply::Welcome(Welcome { log: log_id(), recorded_aborts });
                self.reported(open, Some(welcome))
            }
            Request::Sync(sync) => {
                let plan = whole_plan(&self.view.world, &holder.tenant, sync.page);
                Outcome { reply: Some(Reply::Plan(plan)), ..Outcome::default() }
            }
        }
    }

    fn ask(&mut self, batch: &Session, holder: &Holder, ask: &Ask, at: Moment) -> Outcome {
        let Some(remaining) = self.remaining(at) else { return Outcome::default() };
        let usage = self.usage(batch, at);
        match batch.ask(holder, ask, &usage) {
            AskDecision::Issue(events) => own(events),
            AskDecision::Granted(open) => {
                let folded = self.session(&ask.session).and_then(|s| s.ledger.open_grant(holder));
                if folded != Some(&open) {
                    return Outcome::default();
                }
                let book = &self.view.book;
                let runs = hold(!book.is_stopped(), Invariant::I4, || {
                    format!("a grant leaves for {holder:?} behind a stop")
                });
                let grant = Grant {
                    incarnation: holder.incarnation,
                    grant: GrantRef { session: ask.session.clone(), req_no: open.req_no },
                    permits: open.permits,
                    scope: open.scope,
                    echo_sent: Some(ask.sent),
                    remaining,
                    stop_version: self.view.world.stop_version(&holder.tenant),
                };
                Outcome { reply: Some(Reply::Grant(grant)), breach: runs.err(), events: Vec::new() }
            }
            AskDecision::Refuse(why) => {
                let grant = GrantRef { session: ask.session.clone(), req_no: ask.req_no };
                let backoff = Duration::from_millis(100);
                let refused = Reply::Refused(Refused { grant, why, backoff });
                Outcome { reply: Some(refused), ..Outcome::default() }
            }
        }
    }

    /// Grants whose replies may be lost with the owner before (takeover): sent to their holders once more.
    #[must_use]
    pub fn taken_over(&self, key: &SessionKey, at: Moment) -> Vec<(Holder, Grant)> {
        let Some(session) = self.session(key).filter(|session| session.phase == Phase::Running)
        else {
            return Vec::new();
        };
        let Some(remaining) = self.remaining(at) else { return Vec::new() };
        let grant = |(holder, open): (&Holder, &OpenGrant)| {
            let grant = Grant {
                incarnation: holder.incarnation,
                grant: GrantRef { session: key.clone(), req_no: open.req_no },
                permits: open.permits,
                scope: open.scope.clone(),
                echo_sent: None,
                remaining,
                stop_version: self.view.world.stop_version(&holder.tenant),
            };
            (holder.clone(), grant)
        };
        session.ledger.open_grants().map(grant).collect()
    }

    fn close(&self, batch: &Session, holder: &Holder, close: &Close, at_end: bool) -> Outcome {
        match batch.close(holder, close, at_end) {
            CloseDecision::Record(event) => own(vec![event]),
            CloseDecision::Acknowledge => self.acknowledge(holder, close),
            CloseDecision::CatchUp | CloseDecision::Refuse(_) => Outcome::default(),
        }
    }

    /// An acknowledgement says that the Close is folded, not that it is about to be.
    fn acknowledge(&self, holder: &Holder, close: &Close) -> Outcome {
        let grant = (holder.clone(), close.grant.req_no);
        let Some(session) = self.session(&close.grant.session) else { return Outcome::default() };
        if session.close(holder, close, true) != CloseDecision::Acknowledge {
            return Outcome::default();
        }
        let recorded = self.view.book.closed.contains_key(&grant);
        let fine = close.used == 0 || recorded || session.phase.is_terminal();
        let breach = hold(fine, Invariant::Acknowledged, || format!("{grant:?} is not recorded"));
        let reply = Some(Reply::Closed(close.grant.clone()));
        Outcome { reply, breach: breach.err(), events: Vec::new() }
    }

    fn inert(&self, batch: &Session, holder: &Holder, inert: &Inert) -> Outcome {
        let stop = batch.stop.as_ref();
        let has_held =
            batch.ledger.knows(holder) || stop.is_some_and(|stop| stop.holders.contains(holder));
        if !has_held {
            let ahead =
                matches!(inert.epoch, AbortEpoch::Logged(at) if at > self.view.world.applied);
            let noted = (!ahead).then(|| Reply::InertNoted(inert.session.clone()));
            return Outcome { reply: noted, ..Outcome::default() };
        }
        match batch.inert(holder, inert) {
            InertDecision::Record(event) => own(vec![event]),
            InertDecision::Note => {
                let folded = self.session(&inert.session).map(|s| s.inert(holder, inert));
                let noted = Reply::InertNoted(inert.session.clone());
                let reply = (folded == Some(InertDecision::Note)).then_some(noted);
                Outcome { reply, ..Outcome::default() }
            }
            InertDecision::Wait => Outcome::default(),
        }
    }

    /// Whether the log lacks one of the aborts that a shim keeps (coordinator rule 8).
    fn lacking(&self, tenant: &TenantId, sticky: &[StickyAbort]) -> bool {
        sticky.iter().any(|abort| {
            self.session(&abort.session)
                .is_some_and(|session| !session.phase.is_terminal() && session.covers(tenant))
        })
    }

    fn reported(&self, lacking: bool, reply: Option<Reply>) -> Outcome {
        if !lacking {
            return Outcome { reply, ..Outcome::default() };
        }
        let reason = "a shim holds it".to_owned();
        own(vec![Event::Aborted { reason, cause: AbortCause::Reported }])
    }
}
