//! What each step does. Nothing is left of a step that changes nothing.
//!
//! Not here: which steps there are ([`crate::fleet`]).

mod client;
mod log;
mod process;

use std::sync::Arc;

use squall_shim_core::link::{Input, Lost};

use crate::fleet::{Decision, Fleet, Injection, Letter, State, Step};
use crate::invariant::Breach;
use crate::mail::Mail;
use crate::print::Print;
use crate::replica::{Append, Replica};

/// Nothing, if nothing changes; else what it shows.
type Done = Option<Result<(), Breach>>;

impl Fleet {
    /// The state after a step, with what it breaks; none if nothing changes.
    #[must_use]
    pub fn next(&self, before: &State, step: &Step) -> Option<State> {
        if self.is_idle(before, step) {
            return None;
        }
        let mut state = before.clone();
        let shown = self.go(&mut state, step)?;
        let holds = if is_quiet(before, &state) { self.quiet(&state) } else { self.check(&state) };
        state.breach = shown.and(holds).err();
        Some(state)
    }

    /// Whether it is known that the step changes nothing: most messages were taken in before.
    fn is_idle(&self, state: &State, step: &Step) -> bool {
        let Step::Deliver { mail, to } = step else { return false };
        let Some(it) = state.net.get(mail) else { return true };
        if matches!(**it, Mail::Up { .. }) {
            return false;
        }
        let key = self.act_print(state, *to, mail);
        matches!(self.known.acts.known(key), Some(None))
    }

    fn go(&self, state: &mut State, step: &Step) -> Done {
        match *step {
            Step::Want { process, wish } => {
                let keys = self.seats[state.processes[process].seat].keys(wish);
                self.with(state, process, &(0, wish), |it, now| {
                    it.want(&self.key, keys);
                    it.feed(now, Input::Stirred)
                })
            }
            Step::Burn { process, wish } => self.burn(state, process, wish),
            Step::End { process } => {
                let ends =
                    |injection: &&mut Injection| injection.process == process && injection.runs;
                if let Some(injection) = state.injections.iter_mut().find(ends) {
                    injection.runs = false;
                    state.injections.sort();
                }
                self.with(state, process, &1, |it, now| {
                    it.end(&self.key, now);
                    it.feed(now, Input::Stirred)
                })
            }
            Step::Jump { process } => {
                let later = self.clock_after(state, state.processes[process].steps + 1);
                self.with(state, process, &2, |it, _| {
                    it.steps += 1;
                    it.feed(later, Input::Tick)
                })
            }
            Step::Wake { process } => {
                self.with(state, process, &3, |it, now| it.feed(now, Input::Tick))
            }
            Step::Lose { process, correlation } => {
                state.spent.lost += 1;
                let lost = Input::Reply { correlation, result: Err(Lost) };
                self.with(state, process, &(4, correlation), |it, now| it.feed(now, lost))
            }
            Step::Crash { process } => {
                let dies = state.injections.iter_mut().filter(|it| it.process == process);
                dies.for_each(|injection| injection.runs = false);
                state.injections.sort();
                let at = &self.seats[state.processes[process].seat];
                self.with(state, process, &5, |it, _| {
                    it.die(at);
                    Vec::new()
                })
            }
            Step::Live { seat, replica } => self.live(state, seat, replica),
            Step::Fork { process } => {
                state.spent.forks += 1;
                let mut child = state.processes[process].fork(self.next_life(state, process));
                child.touch();
                state.processes.push(Arc::new(child));
                Some(Ok(()))
            }
            Step::StartAgain { process, replica } => {
                let plan = self.plan_at(state, process, replica);
                let at = &self.seats[state.processes[process].seat];
                let what = (6, state.processes[process].life, plan.version.sequence);
                self.with(state, process, &what, |it, now| it.start_again(now, at, &plan))
            }
            Step::Deliver { mail: print, to } => {
                let mail = Arc::clone(state.net.get(&print)?);
                match &*mail {
                    Mail::Up { .. } => self.receive(state, &[(print, &mail)], to),
                    Mail::Reply { .. } | Mail::Command { .. } => self.hear(state, print, &mail, to),
                }
            }
            Step::Both { mails: (one, other), replica } => {
                let mails = [state.net.get(&one)?, state.net.get(&other)?].map(Arc::clone);
                self.receive(state, &[(one, &mails[0]), (other, &mails[1])], replica)
            }
            Step::Arrive { append } => self.arrive(state, append),
            Step::GiveUp { replica } => {
                state.spent.unanswered += 1;
                self.at(state, replica, |it| it.flight = None)
            }
            Step::Fold { replica } => self.fold(state, replica),
            Step::Do { deed, replica } => self.deed(state, deed, replica),
            Step::OwnWork { replica } => {
                let at = self.moment(state);
                let mut print = Print::default();
                print.add(&(state.replicas[replica].print, replica, at.now, "own work"));
                let decision = self.known.decisions.get(print.finish(), || {
                    let mut it = Replica::clone(&state.replicas[replica]);
                    let events = it.own_work(&self.key, at).events;
                    let append = || Arc::new(it.append(replica, &self.key, events.clone()));
                    let append = (!events.is_empty()).then(append);
                    Arc::new(Decision { append, ..Decision::default() })
                });
                let append = decision.append.as_ref()?;
                self.append(state, replica, append).then_some(Ok(()))
            }
            Step::Reborn { replica } => {
                state.spent.reborn += 1;
                let now = self.moment(state).now;
                self.at(state, replica, |it| it.reborn(&self.key, now))
            }
            Step::Resend { replica } => self.resend(state, replica),
            Step::SendBarrier { replica } => {
                state.barriers[replica] += 1;
                let now = self.moment(state).now;
                self.at(state, replica, |it| it.send_barrier(now))
            }
            Step::LandBarrier { replica } => {
                let (len, now) = (state.log.len, self.moment(state).now);
                self.at(state, replica, |it| it.land_barrier(len, now))
            }
            Step::Forge { process } => self.forge(state, process),
            Step::LoseRecord => {
                state.spent.records += 1;
                let (_, before) = state.log.newest.as_ref()?;
                state.log = Arc::clone(before);
                Some(Ok(()))
            }
            Step::Tick => {
                state.tick += 1;
                Some(Ok(()))
            }
        }
    }
}

/// Whether neither the log nor what really happened changed.
fn is_quiet(before: &State, state: &State) -> bool {
    state.log.print == before.log.print && state.injections == before.injections
}

/// A message, with its print.
fn letter(mail: Mail) -> Letter {
    (mail.print(), Arc::new(mail))
}

/// A message is sent; whether it is another one.
fn post(state: &mut State, (print, mail): &Letter) -> bool {
    state.net.insert(*print, Arc::clone(mail)).is_none()
}

/// An append leaves, unless it can't commit any more or is under way already.
fn send(state: &mut State, append: &Arc<Append>) -> bool {
    let lives = append.expected == append.revision(&state.log.world);
    lives && state.wire.insert(append.print, Arc::clone(append)).is_none()
}
