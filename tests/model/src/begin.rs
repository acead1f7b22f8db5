//! The states that a configuration begins with, and the configuration as stateright takes it.

use std::sync::Arc;

use squall_domain::event::{Event, Recorded};
use squall_domain::session::Session;
use stateright::{Model, Property};

use crate::chain::Node;
use crate::fleet::{Clock, Fleet, State, Step};
use crate::hands::Slate;
use crate::invariant::Invariant;
use crate::process::Process;
use crate::replica::{Replica, whole_plan};

impl Fleet {
    /// The log is begun, every replica has read it, and every process is connected.
    fn begin(&self, rates: usize) -> State {
        let mut log = Node::empty();
        let created = Session::created(Arc::clone(&self.spec), 1, [1; 32]);
        let started = (!self.draft).then_some(Event::Started { shims: 2 });
        let now = crate::fleet::BASE;
        for event in [created].into_iter().chain(started) {
            let writer = Replica::new(Arc::clone(&log), now);
            let event = Recorded { command: None, event };
            log = log.append(&self.spec, &writer.append(0, &self.key, vec![event]).entry);
        }
        let ticking = matches!(self.clock, Clock::Ticking { .. });
        let mut replica = Replica::new(Arc::clone(&log), now);
        if ticking {
            replica.send_barrier(now);
            replica.land_barrier(log.len, now);
        }
        replica.touch();
        let mut slates = vec![Slate::default(); self.seats.len()];
        let process = |(seat, slate): (usize, &mut Slate)| {
            let at = &self.seats[seat];
            let plan = whole_plan(&log.world, &crate::cast::tenant(at.tenant), 0);
            let mut process = Process::new(seat, 1, at, self.journal);
            process.inherit(&self.key, at);
            process.connect(now, &plan);
            *slate = process.leave(*slate);
            process.touch();
            Arc::new(process)
        };
        let processes = slates.iter_mut().enumerate().map(process).collect();
        State {
            replicas: (0..self.replicas).map(|_| Arc::new(replica.clone())).collect(),
            processes,
            log,
            wire: Default::default(),
            net: Default::default(),
            slates,
            injections: Vec::new(),
            tick: 0,
            rates,
            stopped_at: None,
            refused: Vec::new(),
            tried: vec![0; self.deeds.len()],
            spent: Default::default(),
            barriers: vec![0; self.replicas],
            breach: None,
        }
    }
}

macro_rules! always {
    ($($invariant:ident)*) => {
        [$(Property::always(Invariant::$invariant.name(), |_: &Fleet, state: &State| {
            state.breach.as_ref().is_none_or(|breach| breach.of != Invariant::$invariant)
        })),*]
    };
}

/// One for each place in [`Fleet::sometimes`]: stateright takes functions, not closures.
const SOMETIMES: [fn(&Fleet, &State) -> bool; 6] = [
    |fleet, state| (fleet.sometimes[0].1)(fleet, state),
    |fleet, state| (fleet.sometimes[1].1)(fleet, state),
    |fleet, state| (fleet.sometimes[2].1)(fleet, state),
    |fleet, state| (fleet.sometimes[3].1)(fleet, state),
    |fleet, state| (fleet.sometimes[4].1)(fleet, state),
    |fleet, state| (fleet.sometimes[5].1)(fleet, state),
];

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let pairs = match &self.clock {
            Clock::Still { .. } => 1,
            Clock::Ticking { rates, .. } => rates.len(),
        };
        (0..pairs).map(|rates| self.begin(rates)).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        self.steps(state, actions);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.next(state, &step)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.processes.iter().all(|process| process.sent <= self.requests)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = always! {
            I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 T1 T2 Outstanding Proof Acknowledged Commands Damage Install
        };
        let sometimes = self.sometimes.iter().zip(SOMETIMES);
        let sometimes = sometimes.map(|((name, _), holds)| Property::sometimes(name, holds));
        always.into_iter().chain(sometimes).collect()
    }
}
