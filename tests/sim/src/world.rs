//! One run: everybody who takes part, the queue of what will happen, and the network between them.
//!
//! One thing happens at a time. Engines, links, registries and wallets are the product's own; here are the clocks, the
//! network, the log's servers, agents and clients around them, which a seed decides.

mod call;
mod calm;
mod client;
mod fault;
mod happen;
mod process;
mod replica;
mod shim;
mod stream;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use squall::engine::Order;
use squall::journal::{Append, AppendError, Appended};
use squall_proto::vocabulary::id::{AppendId, ReplicaId};

pub use self::calm::Stage;
use self::client::Call;
use self::process::Seat;
use self::replica::{From, Replica};
use self::shim::Arrival;
use crate::book::{Book, Violation};
use crate::clock::{Host, Moment};
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::log::Log;
use crate::queue::Queue;
use crate::scenario::{Clocks, End, Scenario, Way, Weather};
use crate::trace::Trace;

/// Most events of one run: ten times what a long one takes. More means that somebody goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;
/// Streams of random numbers, beside that of the scenario.
const NETWORK: u64 = 2;
const HOSTS: u64 = 3;
const CLIENTS: u64 = 4;
const SHIMS: u64 = 1_000;
const REPLICAS: u64 = 2_000;

/// What can happen next.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A happening of the scenario, by its number.
    Happens(usize),
    /// What it began ends.
    Heals(usize),
    /// A look at how far the run is.
    Look,
    /// To a replica, in this life of it.
    Replica(usize, u32, ForReplica),
    /// To the shim at a place, in this life of it.
    Shim(usize, u32, ForShim),
    /// A place gets a process.
    Join(usize),
    /// A replica starts.
    Boot(usize),
    /// A write arrives at the log, for the first time at this moment.
    Arrives(usize, u32, Rc<Append>, Moment),
    /// A slow write is done.
    Written(usize, u32, Rc<Append>),
    /// Evidence arrives at its stream.
    Evidence(Rc<crate::log::Reported>),
    /// A client tries.
    Client(usize),
    /// A client's call was under way for too long.
    ClientWaited(usize, u32),
}

#[derive(Clone, Debug)]
pub(crate) enum ForReplica {
    Tick,
    /// The next record.
    Tail,
    EvidenceTail,
    /// Nothing of the evidence was heard for a while.
    Blind,
    Request(
        Rc<[u8]>,
        squall_proto::vocabulary::id::TenantId,
        squall_proto::vocabulary::id::ShimId,
        Option<From>,
    ),
    Alive(ReplicaId),
    Landed(AppendId, u64, Result<Appended, AppendError>),
    /// No answer to a write came in time.
    Unanswered(AppendId, u64),
    Order(usize, u32, Rc<Order>),
}

#[derive(Clone, Debug)]
pub(crate) enum ForShim {
    /// On the connection of this number.
    Arrived(u32, Arrival),
    Connected,
    Disconnected,
    Wake(u64),
    Stirred,
    Call,
    /// A fault is to be looked at.
    Fault(u64),
    /// A claim waited long enough.
    Claim(u64),
    /// A forked child finds out.
    Reborn,
    /// A process that leaves has waited long enough.
    Gone,
}

/// See the module.
pub struct World {
    pub(crate) scenario: Rc<Scenario>,
    pub(crate) now: Moment,
    queue: Queue<Event>,
    pub(crate) trace: Trace,
    pub(crate) book: Book,
    pub(crate) coverage: Coverage,
    dice: Dice,
    weather: Vec<(usize, Weather)>,
    /// By link and direction: how many cuts are in force.
    cuts: BTreeMap<(End, Way), Vec<usize>>,
    replicas: Vec<Replica>,
    seats: Vec<Seat>,
    log: Log,
    log_host: Host,
    log_dice: Dice,
    /// The evidence stream can't be read, since the happenings of these numbers.
    blind: Vec<usize>,
    calls: Vec<Call>,
    /// Records and appends of each session so far: what happenings wait for.
    stored: Vec<u64>,
    sent: Vec<u64>,
    stage: Stage,
    quiet_since: Moment,
    events: u64,
}

impl World {
    /// The beginning of a run.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let scenario = Rc::new(scenario.clone());
        let seed = scenario.seed;
        let mut hosts = Dice::new(seed, HOSTS);
        let replicas = (0..scenario.replicas)
            .map(|at| {
                Replica::new(
                    host(&mut hosts, scenario.clocks),
                    Dice::new(seed, REPLICAS + at as u64),
                )
            })
            .collect();
        let seats = scenario
            .shims
            .iter()
            .enumerate()
            .map(|(at, place)| {
                let dice = Dice::new(seed, SHIMS + at as u64);
                Seat::new(place.clone(), host(&mut hosts, scenario.clocks), dice)
            })
            .collect();
        let mut world = Self {
            now: Moment::default(),
            queue: Queue::default(),
            trace: Trace::default(),
            book: Book::new(scenario.clocks),
            coverage: Coverage::default(),
            dice: Dice::new(seed, NETWORK),
            weather: Vec::new(),
            cuts: BTreeMap::new(),
            replicas,
            seats,
            log: Log::default(),
            log_host: host(&mut hosts, scenario.clocks),
            log_dice: Dice::new(seed, CLIENTS),
            blind: Vec::new(),
            calls: Vec::new(),
            stored: vec![0; scenario.sessions.len()],
            sent: vec![0; scenario.sessions.len()],
            stage: Stage::Trouble,
            quiet_since: Moment::default(),
            events: 0,
            scenario,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let scenario = Rc::clone(&self.scenario);
        for replica in 0..scenario.replicas {
            self.after(Duration::from_millis(replica as u64 * 7), Event::Boot(replica));
        }
        for (seat, place) in scenario.shims.iter().enumerate() {
            self.queue.add(Moment::at_ms(place.joins_ms), Event::Join(seat));
        }
        self.plan_clients();
        self.plan_happenings();
        self.queue.add(Moment::at_ms(scenario.trouble_ms), Event::Look);
    }

    /// Goes on to the end, or to the first violation.
    pub fn run(&mut self) -> Result<(), Violation> {
        while let Some((at, event)) = self.queue.next() {
            self.now = self.now.max(at);
            self.events += 1;
            self.happen(event);
            if let Some(violation) = self.book.violation() {
                return Err(violation.clone());
            }
            if self.stage == Stage::Over {
                return Ok(());
            }
            if self.events > EVENTS_MAX {
                let what = format!("{EVENTS_MAX} events and no end");
                return Err(Violation { promise: "SPIN", what });
            }
        }
        Ok(())
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The trace.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The checker.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// What took place.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn after(&mut self, time: Duration, event: Event) {
        self.queue.add(self.now.plus(time), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Happens(number) => self.happens(number),
            Event::Heals(number) => self.heals(number),
            Event::Look => self.look(),
            Event::Replica(at, life, what) => {
                let thaws = self.replicas[at].host.frozen_until;
                if thaws > self.now {
                    return self.queue.add(thaws, Event::Replica(at, life, what));
                }
                if self.replicas[at].life == life {
                    self.for_replica(at, what);
                }
            }
            Event::Shim(seat, life, what) => {
                let thaws = self.seats[seat].host.frozen_until;
                if thaws > self.now {
                    return self.queue.add(thaws, Event::Shim(seat, life, what));
                }
                if self.seats[seat].life == life {
                    self.for_shim(seat, what);
                }
            }
            Event::Join(seat) => self.join(seat),
            Event::Boot(replica) => self.boot(replica),
            Event::Arrives(from, life, append, first) => self.arrives(from, life, append, first),
            Event::Written(from, life, append) => self.written(from, life, &append),
            Event::Evidence(reported) => self.reported(&reported),
            Event::Client(call) => self.client_tries(call),
            Event::ClientWaited(call, tries) => self.client_waited(call, tries),
        }
    }

    pub(crate) fn is_cut(&self, end: End, way: Way) -> bool {
        self.cuts.get(&(end, way)).is_some_and(|cuts| !cuts.is_empty())
    }

    fn weather(&self) -> Weather {
        self.weather.last().map_or(self.scenario.network, |(_, weather)| *weather)
    }

    /// The delays after which a message arrives: none if it is lost, two if it arrives twice.
    pub(crate) fn delays(&mut self) -> impl Iterator<Item = Duration> + use<> {
        let weather = if self.stage == Stage::Trouble { self.weather() } else { Weather::FAIR };
        let lost = self.dice.chance(weather.lost);
        let doubled = self.dice.chance(weather.doubled);
        let first = (!lost).then(|| self.delay(weather));
        let second = (!lost && doubled).then(|| self.delay(weather));
        first.into_iter().chain(second)
    }

    fn delay(&mut self, weather: Weather) -> Duration {
        let mut micros = self.dice.within(30, 30 + weather.delay_us);
        if self.dice.chance(weather.late) {
            micros += self.dice.within(0, weather.late_us);
        }
        Duration::from_micros(micros)
    }
}

/// A host: started some time ago, with clocks that differ from everybody else's.
fn host(dice: &mut Dice, clocks: Clocks) -> Host {
    let ppm = match clocks {
        Clocks::Honest => 500,
        Clocks::Apart => 50_000,
    };
    // The ends of the range are the hard cases.
    let ppm = match dice.within(0, 2) {
        0 => -ppm,
        1 => ppm,
        _ => i64::try_from(dice.within(0, 1000)).unwrap_or(0) - 500,
    };
    let offset = dice.within(10_000_000_000, 9_000_000_000_000_000);
    let wall_off_ms = i64::try_from(dice.within(0, 400)).unwrap_or(0) - 200;
    Host { offset, ppm, wall_off_ms, frozen_until: Moment::default() }
}
