//! One process: the real link over [`Hands`], and what the adversary may still do with it.
//!
//! Not here: the network. What the link sends comes back to the caller.

use std::collections::BTreeSet;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{Close, GrantRef, Reply, Request, ScopeKeys, Welcome};
use squall_proto::vocabulary::plan::Plan;
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::Burn;
use squall_shim_core::link::{Correlation, Input, Link, Output};

use crate::cast::{Seat, log_id};
use crate::hands::{Hands, Slate};
use crate::print::Print;

/// Seed of jitter and draws: their times are the adversary's.
const SEED: u64 = 1;

/// A fault that runs.
#[derive(Clone, Debug)]
pub struct Running {
    burn: Burn,
    /// When it began, on the process's clock.
    pub since: BootNanos,
}

/// What a process is.
#[derive(Clone, Debug)]
pub struct Process {
    /// Where it lives.
    pub seat: usize,
    /// Which of the seat's lives it is, from 1.
    pub life: u8,
    /// Whose permits are in its wallets: a forked child begins with a copy of its parent's.
    pub holds_as: u8,
    /// It runs.
    pub alive: bool,
    /// It has no thread of the shim's: forked, and not started again.
    pub bare: bool,
    /// Calls that found no permit, so far.
    pub asked: u8,
    /// Steps that its own clock made.
    pub steps: u8,
    /// When it sent the newest request that was answered with a lease, in ticks of real time.
    pub contact: u8,
    /// Requests that it sent.
    pub sent: u64,
    /// Requests under way.
    pub waits: BTreeSet<Correlation>,
    /// Faults that run.
    pub running: Vec<Running>,
    link: Link,
    hands: Hands,
    /// Tells it from every other one.
    pub print: u64,
}

impl Process {
    /// A new one that nobody told anything.
    #[must_use]
    pub fn new(seat: usize, life: u8, at: &Seat, journal: bool) -> Self {
        Self {
            seat,
            life,
            holds_as: life,
            alive: true,
            bare: false,
            asked: 0,
            steps: 0,
            contact: 0,
            sent: 0,
            waits: BTreeSet::new(),
            running: Vec::new(),
            link: Link::new(at.identity(life), SEED),
            hands: Hands::new(life, journal),
            print: 0,
        }
    }

    /// Its data plane.
    #[must_use]
    pub const fn hands(&self) -> &Hands {
        &self.hands
    }

    /// The journal as it lies on the disk, before the process does something.
    pub fn find(&self, slate: Slate) {
        if let Some(file) = self.hands.file() {
            file.write(slate);
        }
    }

    /// The journal as the process leaves it.
    #[must_use]
    pub fn leave(&self, slate: Slate) -> Slate {
        self.hands.file().map_or(slate, crate::hands::File::read)
    }

    /// When the link wants to be woken.
    #[must_use]
    pub fn next_wake(&self) -> BootNanos {
        self.link.next_wake().0
    }

    /// Takes the journal of a dead life: its grant is closed as it says.
    pub fn inherit(&mut self, session: &SessionKey, at: &Seat) {
        let Some(file) = self.hands.file() else { return };
        let grant = file.read().grant;
        file.write(Slate { owner: self.life, grant: None });
        if let Some((life, req_no, _, used)) = grant {
            let grant = GrantRef { session: session.clone(), req_no };
            self.link.owe(Close { incarnation: at.incarnation(life), grant, used });
        }
    }

    /// Hello and the whole plan, as one step; what the link sends beside them comes back.
    pub fn connect(&mut self, now: BootNanos, plan: &Plan) -> Vec<(Correlation, Request)> {
        let mut sent = self.feed(now, Input::Connected);
        let mut others = Vec::new();
        while let Some((correlation, request)) = sent.pop() {
            let reply = match request {
                Request::Hello(_) => {
                    Reply::Welcome(Welcome { log: log_id(), recorded_aborts: Vec::new() })
                }
                Request::Sync(_) => Reply::Plan(plan.clone()),
                Request::Ask(_) | Request::Renew(_) | Request::Close(_) | Request::Inert(_) => {
                    others.push((correlation, request));
                    continue;
                }
            };
            sent.extend(self.feed(now, Input::Reply { correlation, result: Ok(reply) }));
        }
        others
    }

    /// The link takes an input; what it sends comes back.
    pub fn feed(&mut self, now: BootNanos, input: Input) -> Vec<(Correlation, Request)> {
        if let Input::Reply { correlation, .. } = &input {
            self.waits.remove(correlation);
        }
        self.link.handle(now, input, &mut self.hands);
        let mut sent = Vec::new();
        while let Some(output) = self.link.poll() {
            match output {
                Output::Send { correlation, request } => {
                    self.sent += 1;
                    self.waits.insert(correlation);
                    sent.push((correlation, request));
                }
                // Evidence has nothing to say in a bound; the rest wakes threads, which run when the adversary wants.
                Output::Publish { .. }
                | Output::PlanChanged
                | Output::WakeDelays
                | Output::ClaimAnswered(_) => {}
            }
        }
        self.link.reseed(SEED);
        sent
    }

    /// A chosen call burns a permit, and its fault is applied. The request that was granted it.
    pub fn burn(&mut self, session: &SessionKey, now: BootNanos, keys: &ScopeKeys) -> Option<u64> {
        let (burn, req_no) = self.hands.burn(session, now, keys).ok()?;
        self.running.push(Running { burn, since: now });
        Some(req_no)
    }

    /// The oldest fault ends.
    pub fn end(&mut self, session: &SessionKey, now: BootNanos) {
        let Running { burn, .. } = self.running.remove(0);
        self.hands.finished(session, burn, now);
    }

    /// A chosen call finds no permit.
    pub fn want(&mut self, session: &SessionKey, keys: ScopeKeys) {
        self.asked += 1;
        self.hands.demand(session, keys);
    }

    /// It dies; its faults with it.
    pub fn die(&mut self, at: &Seat) {
        let Self { seat, life, .. } = *self;
        *self = Self { alive: false, ..Self::new(seat, life, at, false) };
    }

    /// Its child, before anything but the handler of the fork ran there.
    #[must_use]
    pub fn fork(&self, life: u8) -> Self {
        let mut child = self.clone();
        child.hands.forked();
        child.life = life;
        child.bare = true;
        child.running.clear();
        child.waits.clear();
        child
    }

    /// The child is started again, under a life of its own.
    pub fn start_again(
        &mut self,
        now: BootNanos,
        at: &Seat,
        plan: &Plan,
    ) -> Vec<(Correlation, Request)> {
        self.bare = false;
        self.holds_as = self.life;
        self.asked = 0;
        self.sent = 0;
        self.hands.renew(self.life);
        let mut sent = self.feed(now, Input::Forked(at.incarnation(self.life)));
        sent.extend(self.connect(now, plan));
        sent
    }

    /// Notes that it changed.
    pub fn touch(&mut self) {
        let mut print = Print::default();
        print.add(&(self.seat, self.life, self.holds_as, self.alive, self.bare));
        print.add(&(self.asked, self.steps, self.contact));
        if self.alive {
            print.show(&(&self.waits, &self.hands));
            self.link.fingerprint(&mut print).expect("a hasher takes every text");
            for Running { burn: _, since } in &self.running {
                print.add(since);
            }
        }
        self.print = print.finish();
    }
}
