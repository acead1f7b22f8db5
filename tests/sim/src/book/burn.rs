//! What really happens at agents: each burn, each fault while it runs, and its end.

use std::time::Duration;

use squall_proto::vocabulary::id::{AgentName, Holder, SessionKey, TraceId};
use squall_proto::vocabulary::limits::CANCEL_GRACE;

use super::stop::longest_lease;
use super::{Account, Book};
use crate::clock::Moment;

/// A fault that begins: its permit was just burned.
#[derive(Clone, Debug)]
pub struct Began {
    /// The process, as it really is.
    pub holder: Holder,
    /// Where, for people.
    pub who: String,
    /// The session.
    pub session: SessionKey,
    /// The request number of the grant whose permit was burned; `None` in sessions without permits.
    pub grant: Option<u64>,
    /// The agent.
    pub agent: AgentName,
    /// The trace of the call.
    pub trace: TraceId,
    /// The logical request.
    pub request: u64,
    /// What the fault does.
    pub kind: &'static str,
    /// When the process last heard of a coordinator that lengthened its lease.
    pub contact: Option<Moment>,
    /// The process is a copy that doesn't know it yet.
    pub is_copy: bool,
}

/// A fault under way.
#[derive(Clone, Debug)]
pub struct Running {
    /// The session.
    pub session: SessionKey,
    /// The process.
    pub holder: Holder,
    /// Where, for people.
    pub who: String,
    /// The grant, where permits are needed.
    pub grant: Option<u64>,
    /// Its host stood still since it began: then it is outside of T1.
    pub frozen: bool,
    /// It reached its agent.
    reached: bool,
    contact: Option<Moment>,
}

impl Book {
    /// A fault begins. Returns its number.
    pub fn began(&mut self, now: Moment, began: Began) -> u64 {
        *self.begun.entry(began.kind).or_default() += 1;
        self.next += 1;
        self.look_at_session(now, &began);
        self.look_at_grant(&began);
        self.look_at_contact(now, &began);
        self.look_at_pace(now, &began);
        let Began { holder, who, session, grant, contact, .. } = began;
        let running =
            Running { session, holder, who, grant, frozen: false, reached: false, contact };
        self.running.insert(self.next, running);
        self.next
    }

    /// Nothing may begin in a session that isn't started, was stopped too long ago, or is paused (I4, T1).
    fn look_at_session(&mut self, now: Moment, began: &Began) {
        let key = &began.session;
        if began.is_copy {
            self.violated("I7", format!("{}: a copy used the permits of its original", began.who));
        }
        let trusts_clocks = self.trusts_clocks();
        let Some(account) = self.accounts.get_mut(key) else {
            return self
                .violated("I3", format!("{}: a fault of {key}, which nobody created", began.who));
        };
        account.burned += 1;
        account.burned_at = now;
        let (started, stopped, paused) = (account.started, account.stopped, account.paused);
        if !started {
            self.violated("I4", format!("{}: a fault of {key}, which was not started", began.who));
        }
        if let Some(stopped) = stopped {
            if trusts_clocks && now > Self::begins_until(stopped.at) {
                let late = now.since(stopped.at);
                self.violated(
                    "T1",
                    format!("{}: a fault of {key} began {late:?} after its stop", began.who),
                );
            }
            if let Some(proven) = stopped.proven.filter(|_| trusts_clocks) {
                let late = now.since(proven);
                self.violated(
                    "PROOF",
                    format!("{}: a fault of {key} began {late:?} after the proof", began.who),
                );
            }
        }
        if paused.is_some_and(|at| trusts_clocks && now > Self::begins_until(at)) {
            self.violated(
                "T1",
                format!("{}: a fault of {key} began while it was paused", began.who),
            );
        }
    }

    /// A permit must be one of a grant that the log issued to this very process and has not taken back (I1, I3, I5, I7, I9).
    fn look_at_grant(&mut self, began: &Began) {
        let key = &began.session;
        let Some(account) = self.accounts.get_mut(key) else { return };
        let mut problems: Vec<(&'static str, String)> = Vec::new();
        if account.is_strict() {
            let grant = began
                .grant
                .and_then(|req_no| account.grants.get_mut(&(began.holder.clone(), req_no)));
            match grant {
                None => problems
                    .push(("I3", "a permit was burned that the log never issued".to_owned())),
                Some(grant) => {
                    grant.burned += 1;
                    if grant.burned > grant.permits {
                        problems
                            .push(("I7", format!("{} burned of {}", grant.burned, grant.permits)));
                    }
                    if let Some(used) = grant.closed {
                        problems
                            .push(("I8", format!("burned after the grant was closed as {used}")));
                    }
                    if grant.behind_lever {
                        problems.push(("I4", "its grant lies behind a lever".to_owned()));
                    }
                }
            }
            let (burned, spent, budget) = (account.burned, account.spent, account.budget());
            if burned > spent {
                problems.push(("I3", format!("{burned} burned, the log says {spent} spent")));
            }
            if burned > budget {
                problems.push(("I1", format!("{burned} injections of {budget}")));
            }
        }
        problems.extend(account.outside_of_radius(began));
        for (promise, what) in problems {
            self.violated(promise, format!("{}: {key}: {what}", began.who));
        }
    }

    /// Without contact a process is inert (T2).
    fn look_at_contact(&mut self, now: Moment, began: &Began) {
        if !self.trusts_clocks() {
            return;
        }
        let silent = began.contact.is_none_or(|at| now.since(at) > longest_lease());
        if silent {
            let key = &began.session;
            self.violated("T2", format!("{}: a fault of {key} began without contact", began.who));
        }
    }

    /// Concurrency and rate hold in real time (I10, I11).
    fn look_at_pace(&mut self, now: Moment, began: &Began) {
        if !self.trusts_clocks() {
            return;
        }
        let key = &began.session;
        let under_way =
            self.running.values().filter(|other| other.session == *key && !other.frozen).count()
                + 1;
        let Some(account) = self.accounts.get_mut(key) else { return };
        let most = account.spec.safety.max_concurrent;
        let (in_window, rate) = account.in_window(now);
        if most.is_some_and(|most| under_way > most as usize) {
            self.violated(
                "I10",
                format!("{key}: {under_way} faults at once of {}", most.unwrap_or(0)),
            );
        }
        if rate.is_some_and(|(permits, _)| in_window > permits as usize) {
            self.violated("I11", format!("{key}: {in_window} faults in a window of {rate:?}"));
        }
    }

    /// The fault has reached its agent, or goes on to: it still may only if it might have begun or was going on (T1, T2).
    pub fn reaches(&mut self, now: Moment, number: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        let first = !std::mem::replace(&mut running.reached, true);
        let (key, holder) = (running.session.clone(), running.holder.clone());
        if first && let Some(account) = self.accounts.get_mut(&key) {
            *account.reached.entry(holder).or_default() += 1;
        }
        self.still_may(now, number);
    }

    /// The fault runs at this moment.
    pub fn still_may(&mut self, now: Moment, number: u64) {
        let Some(running) = self.running.get(&number) else { return };
        if running.frozen || !self.trusts_clocks() {
            return;
        }
        let (key, who, contact) = (running.session.clone(), running.who.clone(), running.contact);
        let stopped = self.accounts.get(&key).and_then(|account| account.stopped);
        if let Some(stopped) = stopped.filter(|stopped| now > Self::ends_until(stopped.at)) {
            let late = now.since(stopped.at);
            self.violated("T1", format!("{who}: a fault of {key} ran {late:?} after its stop"));
        }
        if contact.is_some_and(|at| now.since(at) > longest_lease() + CANCEL_GRACE) {
            self.violated("T2", format!("{who}: a fault of {key} ran without contact"));
        }
    }

    /// A process heard of a grant of its own.
    pub fn heard_of(&mut self, key: &SessionKey, holder: &Holder, req_no: u64) {
        let account = self.accounts.get_mut(key);
        if let Some(grant) =
            account.and_then(|account| account.grants.get_mut(&(holder.clone(), req_no)))
        {
            grant.heard = true;
        }
    }

    /// A coordinator lengthened the lease of a process.
    pub fn contact(&mut self, now: Moment, holder: &Holder) {
        for running in self.running.values_mut().filter(|running| running.holder == *holder) {
            running.contact = Some(now);
        }
    }

    /// The host of a process stands still.
    pub fn frozen(&mut self, holder: &Holder) {
        for running in self.running.values_mut().filter(|running| running.holder == *holder) {
            running.frozen = true;
        }
    }

    /// The fault ended.
    pub fn ended(&mut self, now: Moment, number: u64) {
        if self.running.get(&number).is_some_and(|running| running.reached) {
            self.still_may(now, number);
        }
        self.running.remove(&number);
    }

    /// The process is gone, and its faults with it.
    pub fn died(&mut self, holder: &Holder) {
        self.running.retain(|_, running| running.holder != *holder);
    }
}

impl Account {
    /// Burns in the window that ends now, with this one, and the limit.
    fn in_window(&mut self, now: Moment) -> (usize, Option<(u32, Duration)>) {
        let Some(rate) = self.spec.safety.max_rate else { return (0, None) };
        self.window.push_back(now);
        while self.window.front().is_some_and(|first| now.since(*first) >= rate.window) {
            self.window.pop_front();
        }
        (self.window.len(), Some((rate.permits, rate.window)))
    }
}
