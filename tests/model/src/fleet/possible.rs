//! What may happen next in a state.

use std::sync::Arc;

use squall_shim_core::link::Correlation;

use super::{Clock, Fleet, State, Step};
use crate::mail::Mail;
use crate::process::Process;
use crate::replica::Replica;

impl Fleet {
    /// Whether another tick may come: faults that would last too long have to end first.
    fn may_tick(&self, state: &State) -> bool {
        let Clock::Ticking { ticks, .. } = self.clock else { return false };
        if state.tick >= ticks {
            return false;
        }
        let later = State { tick: state.tick + 1, ..state.clone() };
        state.processes.iter().all(|process| {
            let now = self.clock_of(&later, process);
            process.running.iter().all(|fault| now.since(fault.since) < self.spec.longest_fault())
        })
    }

    /// Everything that may happen next.
    pub fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        if state.breach.is_some() {
            return;
        }
        for (process, it) in state.processes.iter().enumerate().filter(|(_, it)| it.alive) {
            self.steps_of(state, process, it, steps);
        }
        for (seat, at) in self.seats.iter().enumerate() {
            let lives = state.processes.iter().filter(|it| it.seat == seat);
            let (all, alive) = (lives.clone().count(), lives.filter(|it| it.alive).count());
            let overlaps = state.spent.overlaps < self.limits.overlaps;
            if all < usize::from(at.lives) && (alive == 0 || overlaps) {
                self.each_view(state, |replica| steps.push(Step::Live { seat, replica }));
            }
        }
        self.deliveries(state, steps);
        for replica in 0..self.replicas {
            self.steps_at(state, replica, steps);
        }
        steps.extend(state.wire.keys().map(|append| Step::Arrive { append: *append }));
        if state.spent.records < self.limits.records && state.log.len > 2 {
            steps.push(Step::LoseRecord);
        }
        if self.may_tick(state) {
            steps.push(Step::Tick);
        }
    }

    fn steps_of(&self, state: &State, process: usize, it: &Process, steps: &mut Vec<Step>) {
        let (at, now) = (&self.seats[it.seat], self.clock_of(state, it));
        for wish in 0..at.wishes.len() {
            if it.hands().could_burn(&self.key, now, &at.keys(wish)) {
                steps.push(Step::Burn { process, wish });
            } else if it.asked < at.asks && !it.bare && it.hands().knows(&self.key) {
                steps.push(Step::Want { process, wish });
            }
        }
        if !it.running.is_empty() {
            steps.push(Step::End { process });
        }
        if at.lives > 1 || at.mortal {
            steps.push(Step::Crash { process });
        }
        if it.bare {
            return self
                .each_view(state, |replica| steps.push(Step::StartAgain { process, replica }));
        }
        match &self.clock {
            Clock::Still { jumps } if usize::from(it.steps) < jumps.len() => {
                steps.push(Step::Jump { process });
            }
            Clock::Still { .. } => {}
            Clock::Ticking { .. } if it.next_wake() <= now => steps.push(Step::Wake { process }),
            Clock::Ticking { .. } => {}
        }
        if state.spent.lost < self.limits.lost {
            let lose =
                |correlation: &Correlation| Step::Lose { process, correlation: *correlation };
            steps.extend(it.waits.iter().map(lose));
        }
        if state.spent.forks < self.limits.forks {
            steps.push(Step::Fork { process });
        }
        if state.spent.forged < self.limits.forged {
            steps.push(Step::Forge { process });
        }
    }

    /// Replicas with different views.
    fn each_view(&self, state: &State, mut each: impl FnMut(usize)) {
        for (replica, it) in state.replicas.iter().enumerate() {
            let same = |other: &Arc<Replica>| other.view.print == it.view.print;
            if !state.replicas[..replica].iter().any(same) {
                each(replica);
            }
        }
    }

    fn deliveries(&self, state: &State, steps: &mut Vec<Step>) {
        for (mail, it) in &state.net {
            match &**it {
                Mail::Up { .. } => {
                    steps.extend((0..self.replicas).map(|to| Step::Deliver { mail: *mail, to }));
                    if self.batch {
                        for (other, _) in state.net.range(mail + 1..) {
                            let both = |replica| Step::Both { mails: (*mail, *other), replica };
                            steps.extend((0..self.replicas).map(both));
                        }
                    }
                }
                Mail::Reply { to, .. } | Mail::Command { to: Some(to), .. } => {
                    steps.push(Step::Deliver { mail: *mail, to: *to });
                }
                Mail::Command { to: None, tenant, .. } => {
                    for (to, process) in state.processes.iter().enumerate() {
                        let hears = process.alive && !process.bare;
                        if hears && tenant.as_str() == self.seats[process.seat].tenant {
                            steps.push(Step::Deliver { mail: *mail, to });
                        }
                    }
                }
            }
        }
    }

    fn steps_at(&self, state: &State, replica: usize, steps: &mut Vec<Step>) {
        let it = &state.replicas[replica];
        if state.log.behind(it.view.len).is_some() {
            steps.push(Step::Fold { replica });
        }
        if it.flight.is_some() && state.spent.unanswered < self.limits.unanswered {
            steps.push(Step::GiveUp { replica });
        }
        if state.spent.reborn < self.limits.reborn {
            steps.push(Step::Reborn { replica });
        }
        if state.spent.resent < self.limits.resent {
            steps.push(Step::Resend { replica });
        }
        if it.barrier.is_some_and(|barrier| !barrier.has_landed()) {
            steps.push(Step::LandBarrier { replica });
        } else if it.barrier.is_none() && state.barriers[replica] < self.limits.barriers {
            steps.push(Step::SendBarrier { replica });
        }
        if it.flight.is_none() {
            steps.push(Step::OwnWork { replica });
        }
        for deed in 0..self.deeds.len() {
            if state.tried[deed] < self.limits.tries.max(1) {
                steps.push(Step::Do { deed, replica });
            }
        }
    }
}
