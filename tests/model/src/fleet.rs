//! A configuration, the states of it, and what can happen in each.
//!
//! Not here: what a step does ([`crate::step`]), what must hold ([`crate::truth`]).

mod known;
mod possible;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use squall_domain::lever::Scope;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::link::Correlation;

pub use self::known::{Act, Decision, Known, Letter};
use crate::cast::Seat;
use crate::chain::Node;
use crate::hands::Slate;
use crate::invariant::Breach;
use crate::mail::Mail;
use crate::print::Print;
use crate::process::Process;
use crate::replica::{Append, Moment, Replica};

/// Every clock begins here.
pub const BASE: BootNanos = BootNanos(1_000_000_000_000);

/// Something that holds in at least one state.
pub type Sometimes = (&'static str, fn(&Fleet, &State) -> bool);

/// From each state in which the first holds, one in which the second holds can still be reached.
#[derive(Clone, Copy, Debug)]
pub struct Hope {
    /// The name in reports.
    pub name: &'static str,
    /// Where it is hoped.
    pub from: fn(&Fleet, &State) -> bool,
    /// What for.
    pub good: fn(&Fleet, &State) -> bool,
}

/// What a client, or an operator, does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Starts the session.
    Start,
    /// Pauses it.
    Pause,
    /// Resumes it.
    Resume,
    /// Ends it gracefully.
    Stop,
    /// Aborts it: pushed before it commits.
    Abort,
    /// Engages a lever: pushed before it commits.
    Engage(Scope),
    /// Releases it.
    Release(Scope),
}

/// How time passes.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Not at all, but that each process's own clock may jump so far.
    Still {
        /// How far each jump of a process goes; as many as there are.
        jumps: &'static [Duration],
    },
    /// In ticks, which clocks show apart.
    Ticking {
        /// A tick of real time.
        tick: Duration,
        /// How many there are.
        ticks: u8,
        /// How much faster the clocks of replicas and of shims run, in millionths; every pair is explored.
        rates: &'static [(i64, i64)],
        /// Replicas are always fresh: leases are the matter of other configurations.
        fresh: bool,
    },
}

/// How often the adversary may do what could be done without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Requests that are lost for certain, so that their sender knows.
    pub lost: u8,
    /// Appends that are given up, and may land all the same.
    pub unanswered: u8,
    /// Replicas that start anew.
    pub reborn: u8,
    /// Closes under another shim's name.
    pub forged: u8,
    /// Records that the log loses.
    pub records: u8,
    /// Times that open grants are sent again (takeover).
    pub resent: u8,
    /// Barriers of each replica; none are needed where no time passes.
    pub barriers: u8,
    /// Times that each deed is tried.
    pub tries: u8,
    /// Forks.
    pub forks: u8,
    /// New lives beside a running one.
    pub overlaps: u8,
}

/// A configuration: who takes part, and how far the adversary goes.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// What the session is.
    pub spec: Arc<SessionSpec>,
    /// Where it lives.
    pub key: SessionKey,
    /// It waits to be started.
    pub draft: bool,
    /// Who takes part.
    pub seats: Vec<Seat>,
    /// Replicas, each of which believes that it owns the session.
    pub replicas: usize,
    /// Processes keep a journal.
    pub journal: bool,
    /// Two requests may be decided in one append.
    pub batch: bool,
    /// Most records in the log; grants and Closes beyond are not decided.
    pub records: u64,
    /// Most requests of each process, Hello and Sync included: what is repeated without end is cut here.
    pub requests: u64,
    /// How time passes.
    pub clock: Clock,
    /// What clients may do.
    pub deeds: Vec<Deed>,
    /// How often the adversary may do what could be done without end.
    pub limits: Limits,
    /// What must happen somewhere, so that an empty exploration can't pass.
    pub sometimes: Vec<Sometimes>,
    /// What must stay possible.
    pub hopes: Vec<Hope>,
    /// What was computed before.
    pub known: Arc<Known>,
}

/// A call that was changed: what really happened, whatever anybody believes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Injection {
    /// In which process.
    pub process: usize,
    /// Under whose permit.
    pub life: u8,
    /// The request that was granted it.
    pub req_no: u64,
    /// Which of the seat's calls.
    pub wish: usize,
    /// When, in ticks of real time.
    pub tick: u8,
    /// It still runs.
    pub runs: bool,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    /// The log.
    pub log: Arc<Node>,
    /// Appends on their way, by print.
    pub wire: BTreeMap<u64, Arc<Append>>,
    /// The replicas.
    pub replicas: Vec<Arc<Replica>>,
    /// The processes, dead ones included.
    pub processes: Vec<Arc<Process>>,
    /// Every message that was ever sent and can still matter, by print.
    pub net: BTreeMap<u64, Arc<Mail>>,
    /// The journals of the seats.
    pub slates: Vec<Slate>,
    /// What really happened, in a canonical order.
    pub injections: Vec<Injection>,
    /// Real time, in ticks.
    pub tick: u8,
    /// Which pair of clock rates holds.
    pub rates: usize,
    /// When the session was stopped for good in the log.
    pub stopped_at: Option<u8>,
    /// Commands that were answered with a refusal.
    pub refused: Vec<usize>,
    /// How often each deed was tried.
    pub tried: Vec<u8>,
    /// What the adversary spent of its limits; barriers by replica.
    pub spent: Limits,
    /// Barriers sent.
    pub barriers: Vec<u8>,
    /// What is broken, once something is.
    pub breach: Option<Breach>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            log,
            wire,
            replicas,
            processes,
            net,
            slates,
            injections,
            tick,
            rates,
            stopped_at,
            refused,
            tried,
            spent,
            barriers,
            breach,
        } = self;
        log.print.hash(state);
        wire.keys().for_each(|print| print.hash(state));
        replicas.iter().for_each(|replica| replica.print.hash(state));
        processes.iter().for_each(|process| process.print.hash(state));
        net.keys().for_each(|print| print.hash(state));
        (slates, injections, tick, rates, stopped_at).hash(state);
        (refused, tried, spent, barriers, breach).hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let print = |state: &Self| {
            let mut print = Print::default();
            print.add(state);
            print.finish()
        };
        print(self) == print(other)
    }
}

/// One step of the world. Numbers are places in [`State`] and [`Fleet`]; messages and appends go by print.
#[expect(missing_docs, reason = "the fields say what they are")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A chosen call finds no permit and wants some.
    Want { process: usize, wish: usize },
    /// A chosen call burns a permit, and is changed.
    Burn { process: usize, wish: usize },
    /// The oldest fault ends.
    End { process: usize },
    /// The process's own clock jumps.
    Jump { process: usize },
    /// The link wakes up.
    Wake { process: usize },
    /// A request is known to be lost.
    Lose { process: usize, correlation: Correlation },
    /// The process dies.
    Crash { process: usize },
    /// A new life begins, and learns the plan from a replica; beside an old one, if that still runs.
    Live { seat: usize, replica: usize },
    /// The process forks.
    Fork { process: usize },
    /// The child is started again, and learns the plan from a replica.
    StartAgain { process: usize, replica: usize },
    /// A message arrives: a request at a replica, everything else at a process.
    Deliver { mail: u64, to: usize },
    /// Two requests are decided in one append.
    Both { mails: (u64, u64), replica: usize },
    /// An append reaches the log.
    Arrive { append: u64 },
    /// A replica gives up its append, which may arrive all the same.
    GiveUp { replica: usize },
    /// A replica folds the next entry.
    Fold { replica: usize },
    /// A client's command reaches a replica.
    Do { deed: usize, replica: usize },
    /// A replica does what it owes by itself.
    OwnWork { replica: usize },
    /// A replica starts anew.
    Reborn { replica: usize },
    /// A replica sends open grants once more.
    Resend { replica: usize },
    /// A replica sends a barrier.
    SendBarrier { replica: usize },
    /// It lands, and is acknowledged.
    LandBarrier { replica: usize },
    /// A shim sends a Close of another one's grant under its own name.
    Forge { process: usize },
    /// The log loses its newest record.
    LoseRecord,
    /// Time passes.
    Tick,
}

impl Fleet {
    /// Its bounds, for people.
    #[must_use]
    pub fn bounds(&self) -> String {
        let seats = self.seats.iter().map(|seat| {
            let Seat { shim, asks, lives, wishes, .. } = seat;
            format!("{shim}: {asks} asks of {} calls, {lives} lives", wishes.len())
        });
        let clock = match &self.clock {
            Clock::Still { jumps } => format!("clocks jump {} times", jumps.len()),
            Clock::Ticking { tick, ticks, rates, .. } => {
                format!("{ticks} ticks of {tick:?}, {} pairs of clock rates", rates.len())
            }
        };
        let Self { replicas, records, requests, limits, spec, deeds, .. } = self;
        let budget = spec.safety.max_affected_requests;
        let seats = seats.collect::<Vec<_>>().join("; ");
        let limits = format!("{limits:?}").replace("Limits ", "");
        format!(
            "budget {budget}; {replicas} replicas; {seats}; {records} records; {requests} requests each; {clock}; \
             commands {deeds:?}; {limits}"
        )
    }

    /// A process's clock.
    #[must_use]
    pub fn clock_of(&self, state: &State, process: &Process) -> BootNanos {
        self.clock_after(state, process.steps)
    }

    /// The clock of a process after so many jumps of its own.
    #[must_use]
    pub fn clock_after(&self, state: &State, jumped: u8) -> BootNanos {
        match &self.clock {
            Clock::Still { jumps } => BASE.plus(jumps.iter().take(usize::from(jumped)).sum()),
            Clock::Ticking { tick, rates, .. } => shown(*tick, state.tick, rates[state.rates].1),
        }
    }

    /// A replica's clock.
    #[must_use]
    pub fn moment(&self, state: &State) -> Moment {
        match &self.clock {
            Clock::Still { .. } => Moment { now: BASE, fresh: true },
            Clock::Ticking { tick, rates, fresh, .. } => {
                Moment { now: shown(*tick, state.tick, rates[state.rates].0), fresh: *fresh }
            }
        }
    }

    /// Real time between two ticks.
    #[must_use]
    pub fn between(&self, earlier: u8, later: u8) -> Duration {
        match &self.clock {
            Clock::Still { .. } => Duration::ZERO,
            Clock::Ticking { tick, .. } => *tick * u32::from(later.saturating_sub(earlier)),
        }
    }
}

/// What a clock that is this many millionths too fast shows after so many ticks.
fn shown(tick: Duration, ticks: u8, rate: i64) -> BootNanos {
    let real = i64::try_from(tick.as_nanos()).unwrap_or(i64::MAX) * i64::from(ticks);
    let apart = real / 1_000_000 * rate;
    BootNanos(BASE.0.saturating_add_signed(real + apart))
}
