//! Agent processes: the pump of the real link and registry, on a virtual clock and network.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use squall_proto::subject::TenantSubject;
use squall_proto::vocabulary::message::{Command, Evidence, GrantRef, Reply, Request};
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire;
use squall_shim_core::link::{Correlation, Input, Lost, Output};

use super::replica::From;
use super::{Event, ForReplica, ForShim, World};
use crate::log::Reported;
use crate::names;
use crate::scenario::{End, Way};

/// As in the shim's worker.
const ASK_WITHIN: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// More wake-ups of one process in one second mean that it goes round in circles.
const WAKES_MAX: u32 = 5_000;

/// What arrives at a process.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    Command(Rc<[u8]>),
    /// `None`: nobody is there to answer.
    Reply(Correlation, Option<Rc<[u8]>>),
}

impl World {
    pub(crate) fn send_shim(&mut self, at: usize, delay: Duration, what: ForShim) {
        let life = self.seats[at].life;
        self.after(delay, Event::Shim(at, life, what));
    }

    /// When the host's clock has gone on by `local`.
    pub(crate) fn send_shim_local(&mut self, at: usize, local: Duration, what: ForShim) {
        let seat = &self.seats[at];
        let when = seat.host.when(self.now, seat.now(self.now).plus(local));
        self.queue.add(when, Event::Shim(at, seat.life, what));
    }

    pub(crate) fn for_shim(&mut self, at: usize, what: ForShim) {
        let now = self.now;
        let seat = &mut self.seats[at];
        let Some(process) = seat.process.as_mut() else { return };
        process.clock.set(&seat.host, now);
        match what {
            ForShim::Connected => self.connected(at),
            ForShim::Disconnected => self.disconnected(at),
            ForShim::Arrived(connection, arrival) => {
                if process.connection == Some(connection) {
                    self.arrived(at, arrival);
                }
            }
            ForShim::Wake(number) => {
                if process.wake == number {
                    self.woken(at);
                }
            }
            ForShim::Stirred => {
                if process.bell.0.swap(false, Ordering::Relaxed) {
                    self.trace.line(now, format_args!("shim{at} stirred"));
                    self.link(at, Input::Stirred);
                }
            }
            ForShim::Call => self.call(at),
            ForShim::Fault(number) => self.look_at_fault(at, number),
            ForShim::Claim(number) => self.settle_claim(at, number),
            ForShim::Reborn => self.reborn(at),
            ForShim::Gone => {
                self.kill(at);
                return;
            }
        }
        self.rung(at);
    }

    /// The data plane rang the bell: the thread wakes up soon.
    fn rung(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if seat.process.as_ref().is_some_and(|process| process.bell.0.load(Ordering::Relaxed)) {
            let micros = seat.dice.within(5, 300);
            self.send_shim(at, Duration::from_micros(micros), ForShim::Stirred);
        }
    }

    fn connected(&mut self, at: usize) {
        let cut = self.is_cut(End::Shim(at), Way::In) || self.is_cut(End::Shim(at), Way::Out);
        let Some(process) = self.seats[at].process.as_mut() else { return };
        if process.connection.is_some() || process.is_copy {
            return;
        }
        if cut {
            return self.send_shim(at, Duration::from_millis(400), ForShim::Connected);
        }
        process.connections += 1;
        process.connection = Some(process.connections);
        self.trace.line(self.now, format_args!("shim{at} connected"));
        self.link(at, Input::Connected);
    }

    pub(crate) fn disconnected(&mut self, at: usize) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        if process.connection.take().is_none() {
            return;
        }
        process.unanswered.clear();
        self.trace.line(self.now, format_args!("shim{at} disconnected"));
        self.coverage.count("connections lost");
        self.link(at, Input::Disconnected);
        let again = self.seats[at].dice.within(20, 900);
        self.send_shim(at, Duration::from_millis(again), ForShim::Connected);
    }

    fn arrived(&mut self, at: usize, arrival: Arrival) {
        match arrival {
            Arrival::Command(bytes) => match wire::decode_command(&bytes) {
                Ok(command) => {
                    self.trace.line(self.now, format_args!("shim{at} is told"));
                    if let Command::Grant(grant) = &command {
                        self.in_contact(at);
                        self.heard_of(at, &grant.grant);
                    }
                    self.link(at, Input::Command(command));
                }
                Err(why) => self.book.violated("WIRE", format!("a command can't be read: {why}")),
            },
            Arrival::Reply(correlation, bytes) => {
                let result = match bytes.map(|bytes| wire::decode_reply(&bytes)) {
                    Some(Ok(reply)) => Ok(reply),
                    Some(Err(why)) => {
                        return self.book.violated("WIRE", format!("a reply can't be read: {why}"));
                    }
                    None => Err(Lost),
                };
                self.answered(at, correlation, result);
            }
        }
    }

    fn answered(&mut self, at: usize, correlation: Correlation, result: Result<Reply, Lost>) {
        let now = self.now;
        let Some(process) = self.seats[at].process.as_mut() else { return };
        process.unanswered.retain(|(_, waiting)| *waiting != correlation);
        if let Ok(Reply::Grant(_) | Reply::Renewed(_)) = &result {
            self.in_contact(at);
        }
        if let Ok(Reply::Grant(grant)) = &result {
            self.heard_of(at, &grant.grant);
        }
        self.trace
            .line(now, format_args!("shim{at} gets {} for {}", reply_name(&result), correlation.0));
        self.link(at, Input::Reply { correlation, result });
    }

    /// A coordinator may have lengthened the lease.
    fn in_contact(&mut self, at: usize) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        process.contact = Some(self.now);
        let holder = process.holder.clone();
        self.book.contact(self.now, &holder);
    }

    fn heard_of(&mut self, at: usize, grant: &GrantRef) {
        if let Some(process) = &self.seats[at].process {
            self.book.heard_of(&grant.session, &process.holder, grant.req_no);
        }
    }

    fn woken(&mut self, at: usize) {
        let second = self.now.0 / 1_000_000_000;
        let now = self.seats[at].now(self.now);
        let Some(process) = self.seats[at].process.as_mut() else { return };
        process.wakes =
            if process.wakes.0 == second { (second, process.wakes.1 + 1) } else { (second, 0) };
        if process.wakes.1 > WAKES_MAX {
            let (_, why) = process.link.next_wake();
            return self.book.violated("SPIN", format!("shim{at} wakes all the time, to {why}"));
        }
        while let Some((due, correlation)) = self.first_unanswered(at)
            && due <= now
        {
            self.answered(at, correlation, Err(Lost));
        }
        self.trace.beat(self.now, "shim", at);
        self.link(at, Input::Tick);
    }

    fn first_unanswered(&self, at: usize) -> Option<(BootNanos, Correlation)> {
        self.seats[at].process.as_ref()?.unanswered.first().copied()
    }

    /// Gives the link its input, and does what comes out.
    pub(crate) fn link(&mut self, at: usize, input: Input) {
        let seat = &mut self.seats[at];
        let now = seat.host.boot(self.now);
        let Some(process) = seat.process.as_mut().filter(|process| !process.is_copy) else {
            return;
        };
        process.clock.set(&seat.host, self.now);
        process.link.handle(now, input, &mut process.registry);
        let outputs: Vec<Output> = std::iter::from_fn(|| process.link.poll()).collect();
        for output in outputs {
            match output {
                Output::Send { correlation, request } => self.send(at, correlation, &request),
                Output::Publish { session: _, evidence } => self.publish(at, &evidence),
                Output::WakeDelays => self.look_at_faults(at),
                Output::ClaimAnswered(session) => self.look_at_claims(at, &session),
                Output::PlanChanged => {}
            }
        }
        self.plan_wake(at);
        self.rung(at);
    }

    fn plan_wake(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        let now = seat.host.boot(self.now);
        let Some(process) = seat.process.as_mut() else { return };
        if process.leaving && process.link.owes_nothing() {
            return self.send_shim(at, Duration::from_micros(50), ForShim::Gone);
        }
        let (link, _) = process.link.next_wake();
        let unanswered = process.unanswered.first().map_or(link, |(due, _)| *due);
        let next = link.min(unanswered).min(now.plus(LOOK_EVERY));
        process.wake += 1;
        let (number, life) = (process.wake, seat.life);
        // Timers are never exact.
        let late = Duration::from_micros(seat.dice.within(1, 400));
        let when = seat.host.when(self.now, next).plus(late);
        self.queue.add(when, Event::Shim(at, life, ForShim::Wake(number)));
    }

    fn send(&mut self, at: usize, correlation: Correlation, request: &Request) {
        let seat = &mut self.seats[at];
        let now = seat.host.boot(self.now);
        let (tenant, shim) = (seat.tenant(), names::shim(at));
        let Some(process) = seat.process.as_mut() else { return };
        let within = match request {
            Request::Ask(_) => ASK_WITHIN,
            Request::Hello(_)
            | Request::Sync(_)
            | Request::Renew(_)
            | Request::Close(_)
            | Request::Inert(_) => ANSWER_WITHIN,
        };
        process.unanswered.insert((now.plus(within), correlation));
        self.note_request(request);
        self.trace.line(self.now, format_args!("shim{at} sends {}", correlation.0));
        let Some(connection) = self.seats[at].connection() else { return };
        if self.is_cut(End::Shim(at), Way::Out) {
            return;
        }
        let TenantSubject::Ask { partition, .. } = TenantSubject::ask(&tenant, &shim, request)
        else {
            return;
        };
        let life = self.seats[at].life;
        let from = From { seat: at, life, connection, correlation };
        let bytes: Rc<[u8]> = wire::encode_request(request).into();
        let hello = matches!(request, Request::Hello(_));
        let mut listeners = 0;
        for replica in 0..self.replicas.len() {
            let it = &self.replicas[replica];
            let (owns, up) = (it.owned.contains(&partition), it.engine.is_some());
            listeners += u32::from(up && owns);
            if !up || self.is_cut(End::Replica(replica), Way::In) {
                continue;
            }
            let life = it.life;
            let copies = [owns.then_some(Some(from)), hello.then_some(None)];
            for from in copies.into_iter().flatten() {
                for delay in self.delays() {
                    let what =
                        ForReplica::Request(Rc::clone(&bytes), tenant.clone(), shim.clone(), from);
                    self.after(delay, Event::Replica(replica, life, what));
                }
            }
        }
        if listeners == 0 && !self.is_cut(End::Shim(at), Way::In) {
            self.coverage.count("requests that nobody listened to");
            for delay in self.delays() {
                let arrival = Arrival::Reply(correlation, None);
                self.send_shim(at, delay, ForShim::Arrived(connection, arrival));
            }
        }
    }

    fn publish(&mut self, at: usize, evidence: &Evidence) {
        let (tenant, shim) = (self.seats[at].tenant(), names::shim(at));
        if self.seats[at].connection().is_none() || self.is_cut(End::Shim(at), Way::Out) {
            return;
        }
        let bytes = Bytes::from(wire::encode_evidence(evidence));
        let reported = Rc::new(Reported { tenant, shim, bytes });
        for delay in self.delays() {
            self.after(delay, Event::Evidence(Rc::clone(&reported)));
        }
    }
}

const fn reply_name(result: &Result<Reply, Lost>) -> &'static str {
    match result {
        Err(_) => "nothing",
        Ok(Reply::Welcome(_)) => "a welcome",
        Ok(Reply::Plan(_)) => "a plan",
        Ok(Reply::Grant(_)) => "a grant",
        Ok(Reply::Refused(_)) => "a refusal",
        Ok(Reply::Renewed(_)) => "a lease",
        Ok(Reply::Closed(_)) => "a close ack",
        Ok(Reply::InertNoted(_)) => "an inert ack",
        Ok(Reply::Unavailable(_)) => "not now",
    }
}
