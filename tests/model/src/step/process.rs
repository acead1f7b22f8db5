//! What happens in a process.

use std::hash::Hash;
use std::sync::Arc;

use squall_proto::vocabulary::message::{Close, Command, GrantRef, Reply, Request};
use squall_proto::vocabulary::plan::Plan;
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::link::{Correlation, Input};

use super::{Done, letter, post};
use crate::cast::tenant;
use crate::fleet::{Act, Fleet, Injection, State};
use crate::mail::Mail;
use crate::print::Print;
use crate::process::Process;
use crate::replica::whole_plan;

/// The number of a request that no link sent.
const FORGED: Correlation = Correlation(u64::MAX);

impl Fleet {
    /// What a process does is decided by what it is, its clock, the journal, and what happens to it.
    pub(super) fn act_print(&self, state: &State, process: usize, what: &impl Hash) -> u64 {
        let it = &state.processes[process];
        let mut print = Print::default();
        print.add(&(
            process,
            it.print,
            self.clock_of(state, it),
            state.slates[it.seat],
            state.tick,
        ));
        print.add(what);
        print.finish()
    }

    /// A process does something; what its link sends goes out.
    pub(super) fn with(
        &self,
        state: &mut State,
        process: usize,
        what: &impl Hash,
        act: impl FnOnce(&mut Process, BootNanos) -> Vec<(Correlation, Request)>,
    ) -> Done {
        self.act(state, process, what, |it, now| (act(it, now), None)).map(|_| Ok(()))
    }

    pub(super) fn act(
        &self,
        state: &mut State,
        process: usize,
        what: &impl Hash,
        act: impl FnOnce(&mut Process, BootNanos) -> (Vec<(Correlation, Request)>, Option<u64>),
    ) -> Option<Arc<Act>> {
        let print = self.act_print(state, process, what);
        let act = self.known.acts.get(print, || {
            let before = &state.processes[process];
            let mut it = Process::clone(before);
            let now = self.clock_of(state, &it);
            it.find(state.slates[it.seat]);
            let (sent, burned) = act(&mut it, now);
            let slate = it.leave(state.slates[it.seat]);
            it.touch();
            let changes = it.print != before.print || !sent.is_empty();
            let tick = state.tick;
            let up = |(correlation, request)| {
                letter(Mail::Up { from: process, sent: tick, correlation, request })
            };
            let sent = sent.into_iter().map(up).collect();
            changes.then(|| Arc::new(Act { after: Arc::new(it), sent, slate, burned }))
        })?;
        let seat = act.after.seat;
        state.slates[seat] = act.slate;
        state.processes[process] = Arc::clone(&act.after);
        for letter in &act.sent {
            post(state, letter);
        }
        self.sweep(state, process);
        Some(act)
    }

    /// Forgets answers that nobody waits for, grants excepted: the link drops them unread.
    pub(super) fn sweep(&self, state: &mut State, process: usize) {
        let it = Arc::clone(&state.processes[process]);
        state.net.retain(|_, mail| match &**mail {
            Mail::Reply { to, correlation, reply, .. } if *to == process => {
                it.alive && (it.waits.contains(correlation) || matches!(reply, Reply::Grant(_)))
            }
            Mail::Command { to: Some(to), .. } if *to == process => it.alive,
            Mail::Up { .. } | Mail::Reply { .. } | Mail::Command { .. } => true,
        });
    }

    pub(super) fn burn(&self, state: &mut State, process: usize, wish: usize) -> Done {
        let seat = &self.seats[state.processes[process].seat];
        let (keys, life) = (seat.keys(wish), state.processes[process].holds_as);
        let burn = |it: &mut Process, now| (Vec::new(), it.burn(&self.key, now, &keys));
        let act = self.act(state, process, &(8, wish), burn)?;
        let Some(req_no) = act.burned else { return Some(Ok(())) };
        let begins = self.begins(state, process);
        let tick = state.tick;
        state.injections.push(Injection { process, life, req_no, wish, tick, runs: true });
        state.injections.sort();
        Some(begins)
    }

    pub(super) fn next_life(&self, state: &State, process: usize) -> u8 {
        let seat = state.processes[process].seat;
        let lives = state.processes.iter().filter(|it| it.seat == seat).count();
        u8::try_from(lives + 1).unwrap_or(u8::MAX)
    }

    pub(super) fn live(&self, state: &mut State, seat: usize, replica: usize) -> Done {
        if state.processes.iter().any(|it| it.seat == seat && it.alive) {
            state.spent.overlaps += 1;
        }
        let lives = state.processes.iter().filter(|it| it.seat == seat).count();
        let life = u8::try_from(lives + 1).unwrap_or(u8::MAX);
        let at = &self.seats[seat];
        state.processes.push(Arc::new(Process::new(seat, life, at, self.journal)));
        let process = state.processes.len() - 1;
        let plan = self.plan_at(state, process, replica);
        let what = (7, seat, life, plan.version.sequence);
        self.with(state, process, &what, |it, now| {
            it.inherit(&self.key, at);
            it.connect(now, &plan)
        })
    }

    pub(super) fn plan_at(&self, state: &State, process: usize, replica: usize) -> Plan {
        let of = tenant(self.seats[state.processes[process].seat].tenant);
        whole_plan(&state.replicas[replica].view.world, &of, 0)
    }

    /// A reply or a command reaches a process.
    pub(super) fn hear(&self, state: &mut State, print: u64, mail: &Mail, process: usize) -> Done {
        let (input, contact) = match mail {
            Mail::Reply { asked, correlation, reply, .. } => {
                let (correlation, result) = (*correlation, Ok(reply.clone()));
                let lends = matches!(reply, Reply::Grant(_) | Reply::Renewed(_));
                (Input::Reply { correlation, result }, lends.then_some(*asked))
            }
            Mail::Command { command, .. } => {
                let lends = matches!(command, Command::Grant(_));
                (Input::Command(command.clone()), lends.then_some(state.tick))
            }
            Mail::Up { .. } => return None,
        };
        self.with(state, process, &print, |it, now| {
            it.contact = it.contact.max(contact.unwrap_or(0));
            it.feed(now, input)
        })
    }

    pub(super) fn forge(&self, state: &mut State, process: usize) -> Done {
        state.spent.forged += 1;
        let seat = state.processes[process].seat;
        let other = state.processes.iter().find(|it| it.seat != seat)?;
        let grant = GrantRef { session: self.key.clone(), req_no: 1 };
        let incarnation = self.seats[other.seat].incarnation(other.life);
        let close = Close { incarnation, grant, used: 0 };
        let (sent, request) = (state.tick, Request::Close(close));
        let forged = Mail::Up { from: process, sent, correlation: FORGED, request };
        post(state, &letter(forged));
        Some(Ok(()))
    }
}
