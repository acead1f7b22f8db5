//! Agent processes: how they begin, fork and end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{Environment, Holder, Incarnation, TenantId};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::link::{self, Correlation, Input, Link};
use squall_shim_core::{Clock, Policy, Registry, Site, Wake};

use super::fault::{Fault, Waits};
use super::{ForShim, World};
use crate::clock::{Hands, Host, Moment};
use crate::dice::Dice;
use crate::journal::File;
use crate::names;
use crate::scenario::Place;

/// As in the shim's worker.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

/// Where a process runs, one after the other.
pub(crate) struct Seat {
    pub(crate) place: Place,
    pub(crate) host: Host,
    pub(crate) life: u32,
    pub(crate) process: Option<Process>,
    pub(crate) dice: Dice,
    tenant: TenantId,
    file: File,
}

/// One process.
pub(crate) struct Process {
    pub(crate) holder: Holder,
    pub(crate) link: Link,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<Hands>,
    pub(super) bell: Arc<Bell>,
    pub(crate) sites: Vec<Arc<Site>>,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) claims: BTreeMap<u64, Waits>,
    pub(crate) next: u64,
    pub(crate) requests: u64,
    pub(super) unanswered: BTreeSet<(BootNanos, Correlation)>,
    pub(super) connection: Option<u32>,
    pub(super) connections: u32,
    pub(super) wake: u64,
    pub(super) wakes: (u64, u32),
    /// When a coordinator last lengthened its lease.
    pub(crate) contact: Option<Moment>,
    /// It is a copy and doesn't know it yet.
    pub(crate) is_copy: bool,
    pub(crate) leaving: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Bell(pub(super) AtomicBool);

impl Wake for Bell {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Seat {
    pub(crate) fn new(place: Place, host: Host, dice: Dice) -> Self {
        let tenant = names::tenant(place.tenant);
        Self { place, host, life: 0, process: None, dice, tenant, file: File::default() }
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant.clone()
    }

    pub(crate) fn connection(&self) -> Option<u32> {
        self.process.as_ref().and_then(|process| process.connection)
    }

    pub(super) fn now(&self, now: Moment) -> BootNanos {
        self.host.boot(now)
    }
}

fn seam() -> Seam {
    Seam {
        name: "linked".to_owned(),
        point: Point::Tool,
        shape: Shape::Json,
        capabilities: Capabilities::ALL,
    }
}

fn identity(incarnation: Incarnation, policy: &Policy) -> link::Identity {
    link::Identity {
        incarnation,
        version: "sim".to_owned(),
        environment: policy.environment.clone(),
        allowed: policy.allowed.clone(),
        max_delay_ms: policy.max_delay_ms,
        agents: Vec::new(),
    }
}

/// Every process has another one.
fn incarnation_seed(incarnation: Incarnation) -> u64 {
    let Incarnation(bytes) = incarnation;
    u64::from_le_bytes(*bytes.first_chunk().expect("16 bytes begin with 8"))
}

impl World {
    /// A process starts.
    pub(crate) fn join(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if seat.process.is_some() {
            return;
        }
        let incarnation = Incarnation(seat.dice.bytes());
        let holder = Holder { tenant: seat.tenant(), shim: names::shim(at), incarnation };
        let clock = Arc::new(Hands::default());
        clock.set(&seat.host, self.now);
        let environment = Environment::new("ci").expect("ci is a name");
        let policy = Policy::all(environment);
        let mut link = Link::new(identity(incarnation, &policy), incarnation_seed(incarnation));
        let registry = Registry::new(Arc::clone(&clock) as Arc<dyn Clock>, policy, incarnation);
        let bell = Arc::new(Bell::default());
        registry.wake_with(Arc::clone(&bell) as Arc<dyn Wake>);
        let mut owed = 0;
        if seat.place.journal {
            let (journal, closes) = seat.file.take(incarnation);
            registry.keep_journal(journal);
            owed = closes.len();
            closes.into_iter().for_each(|close| link.owe(close));
        }
        let sites = (0..seat.place.agents)
            .map(|agent| registry.site(&names::agent(agent), &names::tool(), &seam()))
            .collect();
        seat.process = Some(Process {
            holder,
            link,
            registry,
            clock,
            bell,
            sites,
            faults: BTreeMap::new(),
            claims: BTreeMap::new(),
            next: 0,
            requests: 0,
            unanswered: BTreeSet::new(),
            connection: None,
            connections: 0,
            wake: 0,
            wakes: (0, 0),
            contact: None,
            is_copy: false,
            leaving: false,
        });
        self.trace.line(self.now, format_args!("shim{at} starts, owes {owed}"));
        if owed > 0 {
            self.coverage.count("grants closed by a journal");
        }
        let (connect, call) =
            (self.seats[at].dice.within(1, 60), self.seats[at].dice.within(1, 50));
        self.send_shim(at, Duration::from_millis(connect), ForShim::Connected);
        self.send_shim(at, Duration::from_millis(call), ForShim::Call);
    }

    /// A process is gone, with everything that it held.
    pub(crate) fn kill(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        seat.life += 1;
        if let Some(process) = seat.process.take() {
            self.trace.line(self.now, format_args!("shim{at} is gone"));
            self.book.died(&process.holder);
        }
    }

    /// Only the child of a fork lives on; it finds out after a while.
    pub(crate) fn fork(&mut self, at: usize, after: Duration) {
        let Some(process) = self.seats[at].process.as_mut().filter(|process| !process.is_copy)
        else {
            return;
        };
        self.trace.line(self.now, format_args!("shim{at} forks"));
        process.registry.guard().invalidate();
        process.is_copy = true;
        process.connection = None;
        process.unanswered.clear();
        process.wake += 1;
        let holder = process.holder.clone();
        self.book.died(&holder);
        self.coverage.count("forks");
        let seat = &mut self.seats[at];
        let holder = Holder { incarnation: Incarnation(seat.dice.bytes()), ..holder };
        if let Some(process) = seat.process.as_mut() {
            process.holder = holder;
        }
        self.send_shim(at, after, ForShim::Reborn);
    }

    pub(super) fn reborn(&mut self, at: usize) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        let incarnation = process.holder.incarnation;
        process.faults.clear();
        process.claims.clear();
        if process.registry.renew(incarnation).is_err() {
            return self.book.violated("PANIC", "a fork in the middle of nothing left a lock held");
        }
        process.is_copy = false;
        process.contact = None;
        let policy = process.registry.policy().clone();
        // As the runtime does: the thread of the original, and its link, are not here.
        process.link = Link::new(identity(incarnation, &policy), incarnation_seed(incarnation));
        self.trace.line(self.now, format_args!("shim{at} is another one"));
        let connect = self.seats[at].dice.within(1, 60);
        self.send_shim(at, Duration::from_millis(connect), ForShim::Connected);
    }

    /// A process ends as it should.
    pub(crate) fn leave(&mut self, at: usize) {
        let now = self.now;
        let Some(process) = self.seats[at].process.as_mut() else { return };
        process.leaving = true;
        self.trace.line(now, format_args!("shim{at} leaves"));
        self.coverage.count("processes that left");
        self.link(at, Input::Leave);
        self.send_shim_local(at, LEAVE_WITHIN, ForShim::Gone);
    }
}
