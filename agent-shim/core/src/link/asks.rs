//! Asking for permits: one open Ask for each session, with the same number in every repetition.

use std::time::Duration;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::limits::CLAIM_WAIT;
use squall_proto::vocabulary::message::{
    Ask, Close, GrantRef, Refused, RefusedWhy, Reply, Request, ScopeKeys,
};
use squall_proto::vocabulary::time::BootNanos;

use super::contact::backoff;
use super::pace::{ASK_GIVES_UP, DEMAND_ROUND, GAP_SPREAD};
use super::port::Plane;
use super::session::{Gate, OpenAsk, Session};
use super::{Correlation, Link, Output, Pending};

/// Pause after a refusal that time alone does not cure.
const REFUSED_FOR_GOOD: Duration = Duration::from_secs(5);

impl Link {
    /// Looks after every session's Ask and grant.
    pub(super) fn sessions_due(&mut self, plane: &mut impl Plane) {
        let mut sessions = std::mem::take(&mut self.sessions);
        for (key, session) in &mut sessions {
            if session.demand_seen.is_none() && plane.has_demand(key) {
                session.demand_seen = Some(self.now);
            }
            self.grant_due(key, session, plane);
            self.ask_due(key, session);
            self.demand_due(key, session, plane);
        }
        self.sessions = sessions;
    }

    pub(super) fn sessions_wake(&self) -> Option<BootNanos> {
        let of = |(key, session): (&SessionKey, &Session)| {
            let ask = session.ask.as_ref().filter(|_| self.contact.welcomed);
            let ends = (session.gate != Gate::Stopped).then_some(session.ends_at);
            [
                ask.and_then(|ask| ask.retry.wake()),
                self.grant_wake(session),
                self.demand_wake(key, session),
                ends.filter(|ends| *ends < BootNanos(u64::MAX)),
            ]
            .into_iter()
            .flatten()
            .min()
        };
        self.sessions.iter().filter_map(of).min()
    }

    /// Repeats an Ask, or gives it up.
    fn ask_due(&mut self, key: &SessionKey, session: &mut Session) {
        let Some(ask) = &mut session.ask else { return };
        if session.gate != Gate::Open {
            self.give_up_ask(key, session);
        } else if self.contact.welcomed && ask.retry.is_due(self.now) {
            if self.now >= ask.late_from {
                self.give_up_ask(key, session);
            } else {
                self.send_ask(key, ask);
            }
        }
    }

    fn send_ask(&mut self, key: &SessionKey, ask: &mut OpenAsk) {
        ask.repeated = self.now != ask.first_sent;
        ask.last_sent = self.now;
        let request = Request::Ask(Ask {
            incarnation: self.identity.incarnation,
            session: key.clone(),
            req_no: ask.req_no,
            want: ask.want,
            scope: ask.scope.clone(),
            sent: self.now,
        });
        let pending = Pending::Ask { session: key.clone(), req_no: ask.req_no, sent: self.now };
        let correlation = self.send(pending, request);
        ask.retry.sent(correlation);
    }

    /// The ledger may hold a grant for it: so it is closed, unused, whatever was answered.
    fn give_up_ask(&mut self, key: &SessionKey, session: &mut Session) {
        if let Some(ask) = session.ask.take() {
            self.owe_unused(key, ask.req_no);
            self.outputs.push_back(Output::ClaimAnswered(key.clone()));
        }
    }

    pub(super) fn owe_unused(&mut self, key: &SessionKey, req_no: u64) {
        let grant = GrantRef { session: key.clone(), req_no };
        let incarnation = self.identity.incarnation;
        self.closes.owe(Close { incarnation, grant, used: 0 }, self.now);
    }

    /// Asks if a chosen request had no permit, and this shim's turn has come.
    fn demand_due(&mut self, key: &SessionKey, session: &mut Session, plane: &mut impl Plane) {
        let Some(seen) = session.demand_seen else { return };
        if !self.may_ask(key, session) || self.now < session.phi.not_before() {
            return;
        }
        session.demand_seen = None;
        let Some((wanted, scope)) = plane.take_demand(key) else { return };
        session.demanded(self.now);
        let claims = session.strictness() == Some(Strictness::StrictClaim);
        let fresh = if claims { CLAIM_WAIT } else { DEMAND_ROUND };
        if self.now.since(seen) <= fresh && session.phi.admits(self.now, &mut self.random) {
            self.ask(key, session, wanted, scope);
        } else if claims {
            self.outputs.push_back(Output::ClaimAnswered(key.clone()));
        }
    }

    /// Whether the session may ask at all. A Close of its own that is not acknowledged holds it back: the ledger would
    /// only answer with the grant that is being closed.
    fn may_ask(&self, key: &SessionKey, session: &Session) -> bool {
        session.gate == Gate::Open
            && session.takes_part
            && session.ask.is_none()
            && session.grant.is_none()
            && session.strictness() != Some(Strictness::Eventual)
            && self.contact.welcomed
            && !self.closes.holds(key, self.identity.incarnation)
    }

    fn demand_wake(&self, key: &SessionKey, session: &Session) -> Option<BootNanos> {
        let waits = session.demand_seen.is_some() && self.may_ask(key, session);
        waits.then(|| session.phi.not_before())
    }

    fn ask(&mut self, key: &SessionKey, session: &mut Session, wanted: u32, scope: ScopeKeys) {
        session.last_req_no += 1;
        session.asked = true;
        let late_after = match session.strictness() {
            Some(Strictness::StrictClaim) => CLAIM_WAIT,
            Some(Strictness::Strict | Strictness::Eventual) | None => ASK_GIVES_UP,
        };
        let want = session.want(wanted);
        let mut ask = OpenAsk::new(session.last_req_no, want, scope, self.now, late_after);
        self.send_ask(key, &mut ask);
        session.ask = Some(ask);
    }

    pub(super) fn ask_answered(
        &mut self,
        correlation: Correlation,
        key: &SessionKey,
        (req_no, sent): (u64, BootNanos),
        reply: Option<Reply>,
        plane: &mut impl Plane,
    ) {
        let pause = backoff(reply.as_ref());
        match reply {
            Some(Reply::Grant(grant)) => self.granted(grant, Some(sent), plane),
            Some(Reply::Refused(refused))
                if refused.grant.req_no == req_no && refused.grant.session == *key =>
            {
                self.refused(key, &refused);
            }
            Some(
                Reply::Refused(_)
                | Reply::Welcome(_)
                | Reply::Plan(_)
                | Reply::Renewed(_)
                | Reply::Closed(_)
                | Reply::InertNoted(_)
                | Reply::Unavailable(_),
            )
            | None => {}
        }
        let ask = self.sessions.get_mut(key).and_then(|session| session.ask.as_mut());
        if let Some(ask) = ask.filter(|ask| ask.retry.awaits(correlation)) {
            ask.retry.failed(self.now, pause, &mut self.random);
        }
    }

    fn refused(&mut self, key: &SessionKey, refused: &Refused) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(ask) = session.ask.take_if(|ask| ask.req_no == refused.grant.req_no) else {
            return;
        };
        let backoff = match refused.why {
            RefusedWhy::Dry | RefusedWhy::OutstandingCap | RefusedWhy::Throttled => refused.backoff,
            RefusedWhy::OutOfScope | RefusedWhy::NotRunning | RefusedWhy::Invalid => {
                refused.backoff.max(REFUSED_FOR_GOOD)
            }
        };
        session.phi.refused(self.now, backoff, &mut self.random);
        self.outputs.push_back(Output::ClaimAnswered(key.clone()));
        let ended = refused.why == RefusedWhy::NotRunning;
        if ask.repeated || ended {
            // Another repetition may have been granted, and its answer lost; or the session ended between the grant and
            // its answer.
            self.owe_unused(key, ask.req_no);
        }
        if ended {
            self.sync_within(GAP_SPREAD);
        }
    }
}
