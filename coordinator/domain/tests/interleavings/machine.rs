//! The log, the network, two replicas and three shims; and one step of any of them.

use std::sync::Arc;
use std::time::Duration;

use squall_domain::event::{AbortCause, Event, LeverEvent, Record};
use squall_domain::local::Ages;
use squall_domain::session::{Phase, Session};
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::id::{AppendId, Holder, SessionKey};
use squall_proto::vocabulary::message::{Ask, Close, GrantRef, GrantScope, Inert};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::BootNanos;

use crate::book::{Book, bounds};
use crate::cast::{ACME, GLOBEX, key_of, tenant};
use crate::replica::own;
use crate::shim::{Injection, Shim};

/// What the log holds when a run begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    /// The session was started; both replicas know.
    Started,
    /// It waits to be started.
    Draft,
    /// The same, and nobody knows yet that a lever is engaged.
    Lever,
}

/// One step; numbers choose among what is there.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Ask(usize, u8),
    AskAgain(usize),
    GiveUp(usize),
    /// A chosen request meets one of the shims that hold permits.
    Inject(u8),
    GiveBack(usize),
    Resend(usize),
    Restart(usize),
    /// A shim sends a Close of a grant that it never had, under its own name: nothing else gets past the transport.
    Forge(usize, u8),
    /// An Ask that nothing delays.
    Serve(usize, usize, u8),
    /// Two shims ask, and one append answers both.
    ServeTwo(usize, u8),
    /// A Close that nothing delays.
    TakeBack(usize, usize),
    /// A replica receives a message.
    Up(usize, u8),
    /// It decides two in one append.
    UpTwo(usize, u8, u8),
    /// A shim receives one.
    Down(u8),
    /// An append reaches the log.
    Arrive(u8),
    /// A replica gives up its append, which may arrive all the same.
    Unanswered(usize),
    Fold(usize),
    Command(usize, u8),
    Engage(u8),
    Release(u8),
    /// What an owner does by itself.
    OwnWork(usize),
    /// A shim learns of a stop from a plan.
    Sync(usize, usize),
    /// A replica goes on from its own snapshot.
    Snapshot(usize),
    /// A replica starts anew and reads the log again.
    Reborn(usize),
    Wait(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Up {
    Ask(Holder, Ask),
    Close(Holder, Close),
    Inert(Holder, Inert),
}

#[derive(Clone, Debug)]
pub(crate) enum Down {
    Grant(Holder, u64, u32, GrantScope),
    Refused(Holder, u64),
    CloseAck(Holder, u64),
    Abort(AbortEpoch),
}

/// An append on its way.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) by: usize,
    pub(crate) expected: u64,
    pub(crate) record: Record<Event>,
}

#[derive(Debug, Default)]
pub(crate) struct Replica {
    pub(crate) world: World,
    pub(crate) ages: Ages,
    pub(crate) since: BootNanos,
    pub(crate) pending: Option<AppendId>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) spec: Arc<SessionSpec>,
    pub(crate) key: SessionKey,
    pub(crate) now: BootNanos,
    pub(crate) log: Vec<Entry>,
    pub(crate) wire: Vec<Append>,
    pub(crate) up: Vec<Up>,
    pub(crate) down: Vec<Down>,
    pub(crate) replicas: [Replica; 2],
    pub(crate) shims: Vec<Shim>,
    pub(crate) injections: Vec<Injection>,
    pub(crate) appends: u64,
    pub(crate) commands: u64,
    pub(crate) stopped_at: Option<BootNanos>,
    pub(crate) proven: bool,
    pub(crate) conflicts: u64,
    /// What was checked last: lengths of the log and the injections, and how far the replicas are.
    pub(crate) checked: (usize, usize, [u64; 2]),
}

impl Machine {
    pub(crate) fn new(spec: &Arc<SessionSpec>, opening: Opening) -> Self {
        let mut machine = Self {
            key: key_of(spec),
            spec: Arc::clone(spec),
            now: BootNanos(0).plus(Duration::from_secs(1000)),
            log: Vec::new(),
            wire: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            replicas: Default::default(),
            shims: (0..3).map(Shim::new).collect(),
            injections: Vec::new(),
            appends: 0,
            commands: 0,
            stopped_at: None,
            proven: false,
            conflicts: 0,
            checked: Default::default(),
        };
        let created = Session::created(Arc::clone(spec), 1, [1; 32]);
        let started = matches!(opening, Opening::Started).then_some(Event::Started { shims: 3 });
        for event in [created].into_iter().chain(started) {
            machine.append(0, vec![own(event)]);
            machine.arrive(0);
            machine.fold(0);
            machine.fold(1);
        }
        if matches!(opening, Opening::Lever) {
            machine.step(&Step::Engage(0));
        }
        machine
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match *step {
            Step::Ask(shim, with) => {
                if self.shims[shim].ask(with, self.now) {
                    self.send_ask(shim);
                }
            }
            Step::AskAgain(shim) => self.send_ask(shim),
            Step::GiveUp(shim) => self.shims[shim].give_up(),
            Step::Inject(with) => self.inject(with),
            Step::GiveBack(shim) => {
                self.shims[shim].give_back(self.now);
                self.send_closes(shim);
            }
            Step::Resend(shim) => self.send_closes(shim),
            Step::Restart(shim) => self.restart(shim),
            Step::Forge(from, used) => self.forge(from, used),
            Step::Serve(shim, replica, with) => {
                if self.shims[shim].ask(with, self.now) {
                    self.send_ask(shim);
                    self.round_trip(replica, &[NEWEST]);
                }
            }
            Step::ServeTwo(replica, with) => {
                if self.shims[0].ask(with, self.now) & self.shims[1].ask(with, self.now) {
                    self.send_ask(0);
                    self.send_ask(1);
                    self.round_trip(replica, &[NEWEST, NEWEST + 1]);
                }
            }
            Step::TakeBack(shim, replica) => {
                self.shims[shim].give_back(self.now);
                self.send_closes(shim);
                self.round_trip(replica, &[NEWEST]);
            }
            Step::Up(replica, at) => self.receive(replica, &[at]),
            Step::UpTwo(replica, at, other) => self.receive(replica, &[at, other]),
            Step::Down(at) => self.deliver(at),
            Step::Arrive(at) => self.arrive(at),
            Step::Unanswered(replica) => self.replicas[replica].pending = None,
            Step::Fold(replica) => self.fold(replica),
            Step::Command(replica, with) => self.command(replica, with),
            Step::Engage(with) => {
                self.pull(with, LeverEvent::Engaged { reason: "fire".to_owned() });
            }
            Step::Release(with) => {
                self.pull(with, LeverEvent::Released { reason: "out".to_owned() })
            }
            Step::OwnWork(replica) => self.own_work(replica),
            Step::Sync(replica, shim) => self.sync(replica, shim),
            Step::Snapshot(replica) => self.snapshot(replica),
            Step::Reborn(replica) => self.reborn(replica),
            Step::Wait(with) => {
                let ms = [1, 40, 300, 900, 1100, 2500, 10_000, 12_000][usize::from(with) % 8];
                self.now = self.now.plus(Duration::from_millis(ms));
            }
        }
    }

    /// Checks every invariant, where something changed that one is about.
    pub(crate) fn check(&mut self) {
        let spec = &self.spec;
        let usable: u64 = self.shims.iter().map(|shim| shim.usable(self.now)).sum();
        assert!(usable <= u64::from(spec.safety.max_outstanding), "{usable} permits in hands");
        let applied = self.replicas.each_ref().map(|replica| replica.world.applied);
        let seen = (self.log.len(), self.injections.len(), applied);
        if std::mem::replace(&mut self.checked, seen) == seen {
            return;
        }
        bounds(spec, &self.injections);
        let book = Book::read(spec, &self.log);
        book.covers(spec, &self.injections);
        for replica in &self.replicas {
            let session = replica.world.session(&self.key).unwrap();
            assert_eq!(session.damage, None);
            let seen = Book::read(spec, &self.log[..replica.world.applied as usize]);
            assert_eq!(i64::try_from(session.ledger.available()).unwrap(), seen.available(spec));
            assert!(!seen.is_stopped() || session.phase != Phase::Running, "nothing stopped runs");
            assert!(!seen.halted || session.phase.is_terminal(), "a halt is for good");
            assert_eq!(session.deadline().is_some(), !session.phase.is_terminal());
            for name in [ACME, GLOBEX] {
                let of = tenant(name);
                assert!(replica.world.plan_version(&of) >= replica.world.stop_version(&of));
            }
        }
        let [one, other] = &self.replicas;
        if one.world.applied == other.world.applied {
            assert!(one.world == other.world, "I12");
        }
    }

    /// Everything is folded: all replicas, old and new, are in the same state.
    pub(crate) fn settle(&mut self) {
        for replica in 0..2 {
            while self.fold_next(replica) {}
            self.snapshot(replica);
            self.reborn(replica);
        }
        self.checked = Default::default();
        self.check();
    }

    // Shims.

    pub(crate) fn send_ask(&mut self, shim: usize) {
        let shim = &self.shims[shim];
        let Some((req_no, scope, _)) = &shim.waiting else { return };
        let ask = Ask {
            incarnation: shim.holder().incarnation,
            session: self.key.clone(),
            req_no: *req_no,
            want: 4,
            scope: scope.clone(),
            sent: self.now,
        };
        self.up.push(Up::Ask(shim.holder(), ask));
    }

    pub(crate) fn send_closes(&mut self, shim: usize) {
        let holder = self.shims[shim].holder();
        for (req_no, used) in self.shims[shim].unacked.clone() {
            self.send_close(holder.clone(), req_no, used);
        }
    }

    pub(crate) fn send_close(&mut self, holder: Holder, req_no: u64, used: u32) {
        let grant = GrantRef { session: self.key.clone(), req_no };
        self.up.push(Up::Close(
            holder.clone(),
            Close { incarnation: holder.incarnation, grant, used },
        ));
    }

    /// A lie about used permits is what log damage is made of, so that only those tell it who must not be believed.
    pub(crate) fn forge(&mut self, from: usize, used: u8) {
        let forger = self.shims[from].holder();
        let covered = self.session(0).covers(&forger.tenant);
        let used = if covered { 0 } else { u32::from(used % 3) };
        self.send_close(forger, u64::from(u32::MAX), used);
    }

    /// These messages reach a replica that has seen everything, its append the log, and the answers the shims.
    fn round_trip(&mut self, replica: usize, messages: &[u8]) {
        while self.fold_next(replica) {}
        self.receive(replica, messages);
        if let Some(at) = self.wire.iter().position(|append| append.by == replica) {
            self.arrive(u8::try_from(at).unwrap_or(u8::MAX));
        }
        while self.fold_next(replica) {}
        for answer in 0..messages.len() {
            self.deliver(NEWEST + u8::try_from(answer).unwrap_or(0));
        }
    }

    /// With a process, its faults end.
    pub(crate) fn restart(&mut self, shim: usize) {
        let died = self.shims[shim].holder();
        for injection in self.injections.iter_mut().filter(|injection| injection.holder == died) {
            injection.until = injection.until.min(self.now);
        }
        self.shims[shim].restart();
    }

    pub(crate) fn inject(&mut self, with: u8) {
        let armed = |shim: &usize| self.shims[*shim].usable(self.now) > 0;
        let armed: Vec<usize> = (0..self.shims.len()).filter(armed).collect();
        let Some(shim) = pick(&armed, with) else { return };
        let Some(injection) = self.shims[*shim].inject(with, self.now) else { return };
        assert!(!self.proven, "an injection after the stop was proven");
        self.injections.push(injection);
    }

    pub(crate) fn deliver(&mut self, at: u8) {
        let Some(message) = pick(&self.down, at).cloned() else { return };
        match message {
            Down::Grant(holder, req_no, permits, scope) => {
                let Some(shim) = self.living(&holder) else { return };
                if self.shims[shim].granted(req_no, permits, scope).is_some() {
                    self.send_close(holder, req_no, 0);
                }
            }
            Down::Refused(holder, req_no) => {
                if let Some(shim) = self.living(&holder) {
                    self.shims[shim].waiting.take_if(|(no, ..)| *no == req_no);
                }
            }
            Down::CloseAck(holder, req_no) => {
                if let Some(shim) = self.living(&holder) {
                    self.shims[shim].unacked.remove(&req_no);
                }
            }
            Down::Abort(epoch) => {
                for shim in 0..self.shims.len() {
                    self.shims[shim].sticky.get_or_insert(epoch);
                    self.confirm(shim);
                }
            }
        }
    }

    pub(crate) fn living(&self, holder: &Holder) -> Option<usize> {
        self.shims.iter().position(|shim| shim.holder() == *holder)
    }

    /// A shim that keeps an abort says so once nothing runs in it.
    pub(crate) fn confirm(&mut self, shim: usize) {
        let shim = &self.shims[shim];
        if let Some(epoch) = shim.sticky.filter(|_| !shim.is_busy(self.now)) {
            let inert = Inert {
                incarnation: shim.holder().incarnation,
                session: self.key.clone(),
                epoch,
                used: 0,
                last_injection_ago: None,
            };
            self.up.push(Up::Inert(shim.holder(), inert));
        }
    }

    pub(crate) fn sync(&mut self, replica: usize, shim: usize) {
        let session = self.session(replica);
        if let Some(stop) = session.stop.as_ref() {
            let epoch = AbortEpoch::Logged(stop.epoch);
            self.shims[shim].sticky = Some(epoch);
            self.confirm(shim);
        } else if self.shims[shim].sticky.is_some() {
            // The log lacks an abort that was pushed: it is recorded.
            let reason = "a shim kept it".to_owned();
            self.append(replica, vec![own(Event::Aborted { reason, cause: AbortCause::Reported })]);
        }
    }
}

/// Picks the newest message.
const NEWEST: u8 = 32;

/// Any message, and mostly one of the newest, so that most of what is delivered matters.
pub(crate) fn pick<T>(from: &[T], at: u8) -> Option<&T> {
    let newest = from.len().checked_sub(1 + usize::from(at) % 8).or(from.len().checked_sub(1))?;
    from.get(if at < NEWEST { usize::from(at) % from.len() } else { newest })
}
