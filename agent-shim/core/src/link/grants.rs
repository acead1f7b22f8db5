//! Grants: which are installed, for how long, what is said to the others, and when what is left goes back.

use std::time::Duration;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::limits::PERMIT_LIFE;
use squall_proto::vocabulary::message::{Close, Grant, GrantRef, Reply, Request};
use squall_proto::vocabulary::time::BootNanos;

use super::contact::backoff;
use super::pace::{DEMAND_ROUND, DRAIN_LOOK};
use super::port::{Permits, Plane};
use super::session::{Gate, OpenAsk, OpenGrant, Session};
use super::{Correlation, Link, Output, Pending};

impl Link {
    /// A grant: the answer to an Ask sent at `answered`, or one that came by itself.
    pub(super) fn granted(
        &mut self,
        grant: Grant,
        answered: Option<BootNanos>,
        plane: &mut impl Plane,
    ) {
        if grant.incarnation != self.identity.incarnation {
            return; // Shim rule 3: of a dead life, or of another copy of this process.
        }
        let key = &grant.grant.session;
        let open =
            self.sessions.get(key).is_some_and(|session| self.gate(key, session) == Gate::Open);
        let ask = self
            .sessions
            .get_mut(key)
            .and_then(|session| session.ask.take_if(|ask| ask.req_no == grant.grant.req_no));
        match ask {
            Some(ask) if open && grant.permits > 0 && self.now < ask.late_from => {
                self.install_grant(&grant, &ask, answered, plane);
            }
            Some(ask) => self.owe_unused(key, ask.req_no),
            None => self.not_waited_for(&grant.grant),
        }
    }

    /// Shim rule 1: the lease counts from the send that was answered, the permits' life from the first send.
    fn install_grant(
        &mut self,
        grant: &Grant,
        ask: &OpenAsk,
        answered: Option<BootNanos>,
        plane: &mut impl Plane,
    ) {
        let sent = match grant.echo_sent {
            Some(echo) => echo.min(answered.unwrap_or(ask.last_sent)),
            None => ask.first_sent,
        };
        self.extend_lease(sent, grant.remaining, grant.stop_version, plane);
        let key = &grant.grant.session;
        let cap = ask.first_sent.plus(PERMIT_LIFE);
        let permits = Permits {
            req_no: ask.req_no,
            count: grant.permits,
            scope: grant.scope.clone(),
            deadline: self.lease.until().min(cap),
            cap,
        };
        let burned = plane.held(key).burned;
        let installed = plane.put(key, permits);
        plane.take_demand(key); // What is left in the mailbox was chosen before these permits came.
        if let Some(session) = self.sessions.get_mut(key) {
            session.demand_seen = None;
            session.grant = installed.then(|| OpenGrant {
                req_no: ask.req_no,
                permits: grant.permits,
                cap,
                bound_to_request: grant.scope.request.is_some(),
                burned,
                quiet_since: self.now,
                drained: None,
            });
        }
        if !installed {
            self.owe_unused(key, ask.req_no);
        }
        self.outputs.push_back(Output::ClaimAnswered(key.clone()));
    }

    /// Shim rule 3.
    fn not_waited_for(&mut self, grant: &GrantRef) {
        let open = self.sessions.get(&grant.session).and_then(|session| session.grant.as_ref());
        if open.is_some_and(|open| open.req_no == grant.req_no) {
            return; // Installed already.
        }
        if !self.closes.again(self.identity.incarnation, grant, self.now) {
            self.owe_unused(&grant.session, grant.req_no);
        }
    }

    /// Shim rule 4: what is used up, idle, expired or ended goes back, but never under a running fault.
    pub(super) fn grant_due(
        &mut self,
        key: &SessionKey,
        session: &mut Session,
        plane: &mut impl Plane,
    ) {
        let Some(mut grant) = session.grant.take() else { return };
        let held = plane.held(key);
        if held.running > 0 || held.burned != grant.burned {
            grant.burned = held.burned;
            grant.quiet_since = self.now;
        }
        let over = session.gate != Gate::Open
            || held.left == 0
            || self.now >= grant.cap
            || self.now.since(grant.quiet_since) >= self.patience(session, &grant);
        if grant.drained.is_none() && over {
            session.learn(held.left);
            // Should the wallet not know the grant, nobody knows what was burned of it: then nothing is given back.
            let drained = plane.drain(key).filter(|(req_no, _)| *req_no == grant.req_no);
            grant.drained = Some(drained.map_or(grant.permits, |(_, used)| used));
        }
        match grant.drained {
            Some(used) if plane.held(key).running == 0 => {
                let incarnation = self.identity.incarnation;
                let grant = GrantRef { session: key.clone(), req_no: grant.req_no };
                self.closes.owe(Close { incarnation, grant, used }, self.now);
            }
            Some(_) | None => session.grant = Some(grant),
        }
    }

    /// How long permits may lie idle. Not long if a chosen request found them to be for others.
    fn patience(&self, session: &Session, grant: &OpenGrant) -> Duration {
        let idle = session.idle_limit(grant);
        let for_others = session.demand_seen.is_some() && self.now < self.lease.until();
        if for_others { idle.min(DEMAND_ROUND) } else { idle }
    }

    pub(super) fn grant_wake(&self, session: &Session) -> Option<BootNanos> {
        let grant = session.grant.as_ref()?;
        Some(match grant.drained {
            Some(_) => self.now.plus(DRAIN_LOOK),
            None => grant.cap.min(grant.quiet_since.plus(self.patience(session, grant))),
        })
    }

    pub(super) fn closes_due(&mut self) {
        if !self.contact.welcomed {
            return;
        }
        let due: Vec<Close> = self.closes.due(self.now).map(|(close, _)| close).collect();
        for close in due {
            let correlation =
                self.send(Pending::Close(close.clone()), Request::Close(close.clone()));
            if let Some(retry) = self.closes.retry(&close) {
                retry.sent(correlation);
            }
        }
    }

    pub(super) fn closes_wake(&self) -> Option<BootNanos> {
        self.closes.wake().filter(|_| self.contact.welcomed)
    }

    pub(super) fn close_answered(
        &mut self,
        correlation: Correlation,
        close: &Close,
        reply: Option<Reply>,
        plane: &mut impl Plane,
    ) {
        let pause = backoff(reply.as_ref());
        if reply.is_some_and(|reply| reply == Reply::Closed(close.grant.clone())) {
            self.closes.settled(close);
            if close.incarnation == self.identity.incarnation {
                plane.settled(&close.grant.session, close.grant.req_no);
            }
        } else if let Some(retry) = self.closes.retry(close)
            && retry.awaits(correlation)
        {
            retry.failed(self.now, pause, &mut self.random);
        }
    }
}
