//! What happens between a replica and the log.

use std::sync::Arc;

use squall_domain::world::Entry;
use squall_proto::vocabulary::id::{AppendId, Holder};
use squall_proto::vocabulary::message::{Command, Reply, Request};

use super::client::request_of;
use super::{Done, letter, post, send};
use crate::cast::Seat;
use crate::chain::Node;
use crate::fleet::{Decision, Fleet, State};
use crate::invariant::{Invariant, hold};
use crate::mail::Mail;
use crate::print::Print;
use crate::process::Process;
use crate::replica::{Append, Outcome, Replica};

impl Fleet {
    pub(super) fn at(
        &self,
        state: &mut State,
        replica: usize,
        act: impl FnOnce(&mut Replica),
    ) -> Done {
        let mut it = Replica::clone(&state.replicas[replica]);
        act(&mut it);
        it.touch();
        state.replicas[replica] = Arc::new(it);
        Some(Ok(()))
    }

    /// Requests reach a replica, which decides them in one append or answers.
    pub(super) fn receive(
        &self,
        state: &mut State,
        mails: &[(u64, &Mail)],
        replica: usize,
    ) -> Done {
        let at_end = state.replicas[replica].view.print == state.log.print;
        let mut print = Print::default();
        print.add(&(state.replicas[replica].print, replica, at_end, self.moment(state).now));
        mails.iter().for_each(|(mail, _)| print.add(mail));
        let decision = self
            .known
            .decisions
            .get(print.finish(), || self.decide(state, mails, replica, at_end).into());
        let appended = decision.append.as_ref().is_some_and(|it| self.append(state, replica, it));
        let mut answered = false;
        for letter in &decision.answers {
            let Mail::Reply { to, correlation, reply, .. } = &*letter.1 else { continue };
            let process = &state.processes[*to];
            let grant = matches!(reply, Reply::Grant(_));
            if process.alive && (process.waits.contains(correlation) || grant) {
                answered |= post(state, letter);
            }
        }
        let shown = decision.breach.clone().map_or(Ok(()), Err);
        (appended || answered || shown.is_err()).then_some(shown)
    }

    pub(super) fn decide(
        &self,
        state: &State,
        mails: &[(u64, &Mail)],
        replica: usize,
        at_end: bool,
    ) -> Decision {
        let at = self.moment(state);
        let mut it = Replica::clone(&state.replicas[replica]);
        let mut decision = Decision::default();
        let Some(mut batch) = it.session(&self.key).cloned() else { return decision };
        let mut events = Vec::new();
        for (_, mail) in mails {
            let Mail::Up { from, sent, correlation, request } = mail else { return decision };
            let holder = holder_of(&self.seats[state.processes[*from].seat], request);
            let Outcome { events: decided, reply, breach } =
                it.decide(&batch, &holder, request, at_end, at);
            let bounded = matches!(request, Request::Ask(_) | Request::Close(_));
            let beyond = bounded && !decided.is_empty() && it.view.len >= self.records;
            if beyond || (mails.len() > 1 && decided.is_empty()) {
                return Decision::default();
            }
            events.extend(decided);
            if let Entry::Session(_, record) = &*it.append(replica, &self.key, events.clone()).entry
                && let Some(session) = it.session(&self.key)
            {
                batch = session.clone();
                batch.preview(record);
            }
            let (to, asked, correlation) = (*from, *sent, *correlation);
            let answer = |reply| letter(Mail::Reply { to, asked, correlation, reply });
            decision.answers.extend(reply.map(answer));
            decision.breach = decision.breach.or(breach);
        }
        let append = || Arc::new(it.append(replica, &self.key, events.clone()));
        decision.append = (!events.is_empty()).then(append);
        decision
    }

    /// Appends to the session, unless an append is in flight or would be lost for certain.
    pub(super) fn append(&self, state: &mut State, replica: usize, append: &Arc<Append>) -> bool {
        let free = state.replicas[replica].flight.is_none();
        let sent = free && send(state, append);
        if sent {
            self.at(state, replica, |it| it.flight = Some(append.id));
        }
        sent
    }

    pub(super) fn arrive(&self, state: &mut State, append: u64) -> Done {
        let append = state.wire.remove(&append)?;
        if append.expected == append.revision(&state.log.world) {
            let mut print = Print::default();
            print.add(&(state.log.print, append.print));
            let longer = || state.log.append(&self.spec, &append.entry);
            state.log = self.known.logs.get(print.finish(), longer);
        }
        let book = &state.log.book;
        if state.stopped_at.is_none() && (book.aborted || book.halted) {
            state.stopped_at = Some(state.tick);
        }
        // What can't commit any more is forgotten, and whoever still waits for it hears of the conflict.
        let (log, limits) = (Arc::clone(&state.log), self.limits);
        let lives = |it: &Append| limits.records > 0 || it.expected == it.revision(&log.world);
        state.wire.retain(|_, it| lives(it));
        for replica in 0..self.replicas {
            let flight = state.replicas[replica].flight;
            let under_way = state.wire.values().any(|it| Some(it.id) == flight);
            let landed = |node: &Arc<Node>| node_has(node, &state.replicas[replica], flight);
            if flight.is_some() && !under_way && !landed(&log) {
                self.at(state, replica, |it| it.flight = None);
            }
        }
        let refused = state.refused.iter().find(|deed| {
            let request = request_of(**deed);
            state.log.book.commands.contains(&request)
        });
        Some(hold(refused.is_none(), Invariant::Commands, || {
            format!("{:?} was refused, and is in the log", refused.map(|deed| &self.deeds[*deed]))
        }))
    }

    pub(super) fn fold(&self, state: &mut State, replica: usize) -> Done {
        let view = Arc::clone(&state.replicas[replica].view);
        let next = Arc::clone(state.log.behind(view.len)?);
        let next = if next.begins_with(&view) {
            next
        } else {
            let (entry, _) = next.newest.as_ref()?;
            view.append(&self.spec, entry)
        };
        let at = self.moment(state);
        let mut print = Print::default();
        print.add(&(state.replicas[replica].print, next.print, at.now));
        let folded = self.known.folds.get(print.finish(), || {
            let mut it = Replica::clone(&state.replicas[replica]);
            let told = it.fold(&self.key, &next, at).into_iter();
            let told =
                told.map(|(tenant, command)| letter(Mail::Command { tenant, to: None, command }));
            it.touch();
            Arc::new((Arc::new(it), told.collect()))
        });
        state.replicas[replica] = Arc::clone(&folded.0);
        for letter in &folded.1 {
            post(state, letter);
        }
        Some(Ok(()))
    }

    pub(super) fn resend(&self, state: &mut State, replica: usize) -> Done {
        state.spent.resent += 1;
        let at = self.moment(state);
        for (holder, grant) in state.replicas[replica].taken_over(&self.key, at) {
            let holds = |it: &Arc<Process>| {
                it.alive && !it.bare && self.seats[it.seat].holder(it.life) == holder
            };
            let to = state.processes.iter().position(holds);
            if to.is_some() {
                let (tenant, command) = (holder.tenant.clone(), Command::Grant(grant));
                post(state, &letter(Mail::Command { tenant, to, command }));
            }
        }
        Some(Ok(()))
    }
}

/// Whether what the replica hasn't folded yet holds its append.
fn node_has(log: &Arc<Node>, replica: &Replica, flight: Option<AppendId>) -> bool {
    let mut node = log;
    while node.len > replica.view.len {
        let Some((entry, before)) = &node.newest else { return false };
        if let Entry::Session(_, record) = &**entry
            && Some(record.append) == flight
        {
            return true;
        }
        node = before;
    }
    false
}

/// The subject vouches for tenant and shim, the message says the life.
fn holder_of(seat: &Seat, request: &Request) -> Holder {
    let incarnation = match request {
        Request::Hello(it) => it.incarnation,
        Request::Sync(it) => it.incarnation,
        Request::Ask(it) => it.incarnation,
        Request::Renew(it) => it.incarnation,
        Request::Close(it) => it.incarnation,
        Request::Inert(it) => it.incarnation,
    };
    Holder { incarnation, ..seat.holder(0) }
}
