//! Contact with a coordinator: Hello first, which is a real round trip and so proves that commands arrive; then Sync.
//! Hello again and again from then on, whatever else is said: every replica hears it, and forgets who is silent.
//!
//! Until a whole plan came, broadcasts are only kept; what is not newer than that plan is dropped (docs/nats.md, "Late joiner").

use std::time::Duration;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::limits::{
    ANNOUNCED_MAX, FAULT_DURATION_MS_MAX, HELLO_EVERY, HELLO_LIST_MAX,
};
use squall_proto::vocabulary::message::{Hello, Reply, Request, Sync};
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{self, ANNOUNCE_SETTLES, GAP_SPREAD, Retry};
use super::port::Plane;
use super::random::Random;
use super::versions::Step;
use super::{Correlation, Link, Pending};
use crate::registry::Announced;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) connected: bool,
    /// A coordinator answered on this connection: everything else than Hello may be sent.
    pub(super) welcomed: bool,
    /// Contact was lost since the last whole plan: demand starts again with the next one.
    pub(super) regained: bool,
    hello: Retry,
    pub(super) sync: Retry,
    page: u32,
    /// Sites that the last Hello knew of.
    sites: usize,
}

impl Contact {
    pub(super) const fn none() -> Self {
        Self {
            connected: false,
            welcomed: false,
            regained: true,
            hello: Retry::idle(pace::HELLO),
            sync: Retry::idle(pace::SYNC),
            page: 0,
            sites: 0,
        }
    }

    /// From the beginning: Hello, then Sync.
    pub(super) fn greet(&mut self, now: BootNanos) {
        *self = Self { connected: self.connected, ..Self::none() };
        if self.connected {
            self.hello.want(now);
        }
    }
}

impl Link {
    pub(super) fn connected(&mut self) {
        self.contact.connected = true;
        self.contact.greet(self.now);
    }

    pub(super) fn disconnected(&mut self, plane: &mut impl Plane) {
        for correlation in self.pending.keys().copied().collect::<Vec<_>>() {
            self.reply(correlation, Err(super::Lost), plane);
        }
        self.contact = Contact::none();
    }

    /// Says Hello again if sites were added; more may follow at once.
    pub(super) fn announce(&mut self, plane: &impl Plane) {
        if plane.site_count() != self.contact.sites {
            self.contact.sites = plane.site_count();
            self.greet_again(ANNOUNCE_SETTLES);
        }
    }

    pub(super) fn roll_call(&mut self) {
        let spread = self.random.within(GAP_SPREAD);
        self.greet_again(spread);
    }

    fn greet_again(&mut self, after: Duration) {
        if self.contact.connected {
            self.contact.hello.want(self.now.plus(after));
        }
    }

    /// Asks for the whole plan within `spread`, unless that is already so.
    pub(super) fn sync_within(&mut self, spread: Duration) {
        let when = self.now.plus(self.random.within(spread));
        if self.contact.welcomed && !self.contact.sync.is_wanted() {
            self.contact.page = 0;
            self.contact.sync.want(when);
        }
    }

    /// As [`Self::sync_within`], but sooner than what was planned for a gap.
    pub(super) fn sync_soon(&mut self, spread: Duration) {
        let under_way = self.contact.sync.is_wanted() && self.contact.sync.wake().is_none();
        if self.contact.welcomed && !under_way {
            let when = self.now.plus(self.random.within(spread));
            self.contact.sync.want(when);
        }
    }

    pub(super) fn contact_due(&mut self, plane: &impl Plane) {
        if !self.contact.connected {
            return;
        }
        if self.contact.hello.is_due(self.now) {
            self.contact.sites = plane.site_count();
            let hello = self.hello(plane.announced());
            let reported = hello.sticky_aborts.iter().map(|abort| abort.session.clone()).collect();
            let correlation = self.send(Pending::Hello { reported }, Request::Hello(hello));
            self.contact.hello.sent(correlation);
        }
        if self.contact.welcomed && self.contact.sync.is_due(self.now) {
            let page = self.contact.page;
            let incarnation = self.identity.incarnation;
            let pending = Pending::Sync { page, sent: self.now };
            let correlation = self.send(pending, Request::Sync(Sync { incarnation, page }));
            self.contact.sync.sent(correlation);
        }
    }

    pub(super) fn contact_wake(&self) -> Option<BootNanos> {
        let Contact { connected, welcomed, hello, sync, .. } = &self.contact;
        let hello = hello.wake().filter(|_| *connected);
        let sync = sync.wake().filter(|_| *welcomed);
        hello.into_iter().chain(sync).min()
    }

    fn hello(&self, announced: Announced) -> Hello {
        let Announced { mut agents, tools, seams, sites } = announced;
        // At the end: sites point into the list.
        for agent in &self.identity.agents {
            if agents.len() < ANNOUNCED_MAX && !agents.contains(agent) {
                agents.push(agent.clone());
            }
        }
        Hello {
            incarnation: self.identity.incarnation,
            version: self.identity.version.clone(),
            environment: self.identity.environment.clone(),
            agents,
            tools,
            seams,
            sites,
            allowed: self.identity.allowed.clone(),
            max_delay_ms: self.identity.max_delay_ms.min(FAULT_DURATION_MS_MAX),
            sticky_aborts: self.unrecorded().take(HELLO_LIST_MAX).collect(),
        }
    }

    pub(super) fn hello_answered(
        &mut self,
        correlation: Correlation,
        reported: &[SessionKey],
        reply: Option<Reply>,
        plane: &mut impl Plane,
    ) {
        let Some(Reply::Welcome(welcome)) = reply else {
            if self.contact.hello.awaits(correlation) {
                self.contact.hello.failed(self.now, backoff(reply.as_ref()), &mut self.random);
            }
            return;
        };
        if self.versions.log().is_some_and(|log| *log != welcome.log) {
            return self.new_log(welcome.log, plane);
        }
        if self.versions.log().is_none() {
            self.versions = super::Versions::of_log(welcome.log);
        }
        if self.contact.hello.awaits(correlation) {
            let again = self.now.plus(hello_after(&mut self.random));
            self.contact.hello = Retry::at(pace::HELLO, again);
        }
        for abort in welcome.recorded_aborts {
            if reported.contains(&abort.session) {
                self.recorded(&abort.session);
            }
        }
        // A Hello in between tells that this process is still there: what it misses of the plan, beats tell it.
        if !self.contact.welcomed {
            self.outbox.say_all_again(self.now);
            self.contact.welcomed = true;
            self.contact.page = 0;
            self.contact.sync = Retry::at(pace::SYNC, self.now);
        }
    }

    pub(super) fn sync_answered(
        &mut self,
        correlation: Correlation,
        page: u32,
        sent: BootNanos,
        reply: Option<Reply>,
        plane: &mut impl Plane,
    ) {
        if !self.contact.sync.awaits(correlation) {
            return;
        }
        let Some(Reply::Plan(plan)) = reply else {
            self.contact.page = 0;
            self.contact.sync.failed(self.now, backoff(reply.as_ref()), &mut self.random);
            return;
        };
        match self.versions.page(page, plan) {
            Step::Apply(change) => {
                self.contact.sync.done();
                self.apply(change, sent);
                self.apply_early();
                if self.versions.is_behind() {
                    self.sync_within(GAP_SPREAD);
                }
            }
            Step::Page(next) => {
                self.contact.page = next;
                self.contact.sync = Retry::at(pace::SYNC, self.now);
            }
            Step::NewLog(log) => self.new_log(log, plane),
            Step::Again | Step::Gap | Step::Nothing => {
                self.contact.page = 0;
                self.contact.sync.failed(self.now, Duration::ZERO, &mut self.random);
            }
        }
    }
}

/// [`HELLO_EVERY`] at most, so that a fleet that started together drifts apart.
fn hello_after(random: &mut Random) -> Duration {
    HELLO_EVERY.mul_f64(0.8) + random.within(HELLO_EVERY.mul_f64(0.2))
}

/// The pause that an answer asks for.
pub(super) fn backoff(reply: Option<&Reply>) -> Duration {
    match reply {
        Some(Reply::Unavailable(unavailable)) => unavailable.backoff,
        Some(_) | None => Duration::ZERO,
    }
}
