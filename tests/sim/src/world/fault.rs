//! Faults at agents, as an adapter applies them: hold, look again, act, say how it ended.

use std::time::Duration;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::{Act, Claim, Directive, NotApplied, Verdict};

use super::call::Made;
use super::{ForShim, World};
use crate::book::Began;
use crate::names;

/// As in the shim: how long a hold goes on before it looks by itself whether it may.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Calls that their host gives up while a fault holds them, in thousandths of looks.
const GIVEN_UP: u64 = 4;

/// A chosen request that waits for a permit of its own.
pub(crate) struct Waits {
    pub(crate) claim: Claim,
    pub(crate) made: Made,
}

/// A fault under way.
pub(crate) struct Fault {
    directive: Directive,
    made: Made,
    /// Its number in the book.
    number: u64,
    began: BootNanos,
    /// When its hold ends; `None` once it waits for the tool's answer.
    hold_until: Option<BootNanos>,
    held: Duration,
}

impl World {
    /// The hook said that this call is to be changed: its permit is burned.
    pub(crate) fn inject(&mut self, at: usize, made: Made, mut directive: Directive) {
        let now = self.now;
        let seat = &mut self.seats[at];
        let local = seat.host.boot(now);
        let Some(process) = seat.process.as_mut() else { return };
        let session = directive.session().clone();
        let wallet = process.registry.session(&session);
        let grant = wallet.and_then(|live| live.wallet().open_grant());
        let hold = directive.hold();
        let began = Began {
            holder: process.holder.clone(),
            who: format!("shim{at}"),
            session,
            grant,
            agent: names::agent(made.agent),
            trace: made.trace.clone(),
            request: made.request.as_u64(),
            kind: kind_of(&directive),
            contact: process.contact,
            is_copy: process.is_copy,
        };
        self.trace.line(
            now,
            format_args!("shim{at} burns {grant:?} of {} to {}", began.session, began.kind),
        );
        let number = self.book.began(now, began);
        let hold_until = (!hold.is_zero()).then(|| local.plus(hold));
        if hold_until.is_some() {
            directive.engage();
            self.book.reaches(now, number);
        }
        let fault =
            Fault { directive, made, number, began: local, hold_until, held: Duration::ZERO };
        match fault.hold_until {
            Some(_) => self.keep(at, fault, hold.min(LOOK_EVERY)),
            None => self.act(at, fault),
        }
    }

    fn keep(&mut self, at: usize, fault: Fault, look: Duration) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        process.next += 1;
        let number = process.next;
        process.faults.insert(number, fault);
        self.send_shim_local(at, look, ForShim::Fault(number));
    }

    pub(crate) fn look_at_fault(&mut self, at: usize, number: u64) {
        let seat = &mut self.seats[at];
        let local = seat.host.boot(self.now);
        let Some(process) = seat.process.as_mut() else { return };
        let Some(mut fault) = process.faults.remove(&number) else { return };
        let is_copy = process.is_copy;
        let Some(until) = fault.hold_until else {
            return self.answer_came(at, fault);
        };
        let given_up = seat.dice.chance(GIVEN_UP);
        let live = fault.directive.is_live();
        if is_copy && live {
            self.book
                .violated("I7", format!("shim{at}: a copy goes on with a fault of its original"));
        }
        if live && local < until && !given_up {
            self.book.still_may(self.now, fault.number);
            let look = until.since(local).min(LOOK_EVERY);
            return self.keep(at, fault, look);
        }
        fault.hold_until = None;
        fault.held = local.since(fault.began);
        if given_up && live {
            self.coverage.count("calls given up");
            let book = fault.number;
            drop(fault);
            return self.book.ended(self.now, book);
        }
        self.act(at, fault);
    }

    /// Something stopped: whatever is held looks whether it may go on.
    pub(crate) fn look_at_faults(&mut self, at: usize) {
        let Some(process) = self.seats[at].process.as_ref() else { return };
        let held: Vec<u64> = process
            .faults
            .iter()
            .filter(|(_, fault)| fault.hold_until.is_some())
            .map(|(number, _)| *number)
            .collect();
        for number in held {
            self.send_shim(at, Duration::from_micros(30), ForShim::Fault(number));
        }
    }

    /// The hold is over: acts, if that may still happen.
    fn act(&mut self, at: usize, fault: Fault) {
        let waits = match fault.directive.act() {
            Err(why) => return self.missed(at, fault, why),
            Ok(Act::Proceed) => false,
            Ok(Act::Fail(_) | Act::RewriteInput(_)) => false,
            Ok(Act::RewriteOutput(_)) => true,
        };
        if !waits {
            return self.applied(at, fault);
        }
        let seat = &mut self.seats[at];
        let tool = Duration::from_millis(seat.place.tool_ms);
        let time = seat.dice.time(tool / 4, tool);
        self.keep(at, fault, time);
    }

    /// The tool's answer came: it is changed if that may still happen.
    fn answer_came(&mut self, at: usize, fault: Fault) {
        match fault.directive.act() {
            Ok(_) => self.applied(at, fault),
            Err(why) => self.missed(at, fault, why),
        }
    }

    fn applied(&mut self, at: usize, fault: Fault) {
        let Fault { directive, made, number, held, .. } = fault;
        if self.seats[at].process.as_ref().is_some_and(|process| process.is_copy) {
            self.book.violated("I7", format!("shim{at}: a copy applied a fault of its original"));
        }
        self.book.reaches(self.now, number);
        directive.applied(&made.seen(), held);
        self.coverage.count("faults applied");
        self.trace.line(self.now, format_args!("shim{at} applied fault {number}"));
        self.book.ended(self.now, number);
    }

    fn missed(&mut self, at: usize, fault: Fault, why: NotApplied) {
        let Fault { directive, made, number, held, .. } = fault;
        directive.missed(&made.seen(), why, held);
        self.coverage.count("faults cut short");
        self.trace.line(self.now, format_args!("shim{at} missed fault {number}"));
        self.book.ended(self.now, number);
    }

    pub(crate) fn look_at_claims(&mut self, at: usize, session: &SessionKey) {
        let Some(process) = self.seats[at].process.as_ref() else { return };
        let of_session =
            |waits: &Waits| waits.claim.live().key() == session && waits.claim.is_ready();
        let ready: Vec<u64> = process
            .claims
            .iter()
            .filter(|(_, waits)| of_session(waits))
            .map(|(number, _)| *number)
            .collect();
        for number in ready {
            self.send_shim(at, Duration::from_micros(20), ForShim::Claim(number));
        }
    }

    pub(crate) fn settle_claim(&mut self, at: usize, number: u64) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        let Some(Waits { claim, made }) = process.claims.remove(&number) else { return };
        match claim.settle() {
            Verdict::Inject(directive) => self.inject(at, made, directive),
            Verdict::Pass | Verdict::Claim(_) => self.coverage.count("claims in vain"),
        }
    }
}

/// What the fault does, for the figures.
fn kind_of(directive: &Directive) -> &'static str {
    let holds = !directive.hold().is_zero();
    match directive.act() {
        Ok(Act::Proceed) => "latency",
        Ok(Act::Fail(_)) if holds => "time-out",
        Ok(Act::Fail(_)) => "error",
        Ok(Act::RewriteInput(_)) => "changed input",
        Ok(Act::RewriteOutput(_)) => "malformed output",
        Err(_) => "too late",
    }
}
