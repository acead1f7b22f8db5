//! What is done to the house: drawn from the seed, performed in overlap, written down with when it was in force.

mod perform;

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::house::{AGENTS, REPLICAS};
use crate::network::Node;
use crate::traffic::CLIENTS;

pub(crate) use perform::Performance;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `kill -9`, and a new start.
    Kill,
    /// `SIGSTOP`, then `SIGCONT`.
    Freeze,
    /// `SIGTERM`, and a new start.
    Terminate,
    /// No way from some nodes to others, or back, or both.
    Partition,
    /// Connections are reset, and none is made.
    Cut,
    /// Everything comes late.
    Delay,
    /// Packets are lost.
    Loss,
    /// Few bytes a second pass.
    Throttle,
    /// A server's disk is full.
    FullDisk,
    /// Wall clocks jump.
    ClockStep,
    /// All coordinators, or all servers, are ended and started one after the other.
    Roll,
    /// Snapshots are gone, and a coordinator is killed that would have used them.
    LoseSnapshot,
    /// The log's leader is killed, or steps down.
    LoseLeader,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    Servers,
    Coordinators,
    Agents,
    Clients,
}

/// Which directions are disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
    Both,
}

/// A fault that is to be performed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Its number in the run, from 1.
    pub(crate) number: u32,
    /// After the fault before it.
    pub(crate) after: Duration,
    pub(crate) kind: Kind,
    pub(crate) whom: Whom,
    pub(crate) nodes: Vec<Node>,
    pub(crate) direction: Direction,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// Any number that its kind needs.
    pub(crate) dice: u32,
}

/// What a machine can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// Servers have disks of their own.
    pub(crate) disks: bool,
    /// Clocks can be stepped.
    pub(crate) clocks: bool,
}

/// Draws the faults of a run. The same seed, count and means give the same faults.
pub(crate) fn draw(random: &mut StdRng, count: u32, means: Means) -> Vec<Fault> {
    (1..=count).map(|number| one(random, number, means)).collect()
}

fn one(random: &mut StdRng, number: u32, means: Means) -> Fault {
    let (kind, whom) = loop {
        let drawn = kind(random);
        let possible = match drawn.0 {
            Kind::FullDisk => means.disks,
            Kind::ClockStep => means.clocks,
            Kind::Kill
            | Kind::Freeze
            | Kind::Terminate
            | Kind::Partition
            | Kind::Cut
            | Kind::Delay
            | Kind::Loss
            | Kind::Throttle
            | Kind::Roll
            | Kind::LoseSnapshot
            | Kind::LoseLeader => true,
        };
        if possible {
            break drawn;
        }
    };
    let direction = [Direction::Out, Direction::In, Direction::Both][random.random_range(0..3)];
    Fault {
        number,
        after: Duration::from_millis(random.random_range(300..4_500)),
        kind,
        whom,
        nodes: nodes(random, whom),
        direction,
        // Leases last 3 s, permits 10 s: some faults outlive each, some don't.
        lasts: Duration::from_millis(random.random_range(500..13_000)),
        dice: random.random(),
    }
}

fn kind(random: &mut StdRng) -> (Kind, Whom) {
    let processes =
        [Whom::Servers, Whom::Coordinators, Whom::Coordinators, Whom::Agents, Whom::Agents];
    let whom = processes[random.random_range(0..processes.len())];
    let linked = [Whom::Servers, Whom::Coordinators, Whom::Agents, Whom::Agents, Whom::Clients];
    let link = linked[random.random_range(0..linked.len())];
    match random.random_range(0..100) {
        0..=13 => (Kind::Kill, whom),
        14..=25 => (Kind::Freeze, whom),
        26..=33 => (Kind::Terminate, whom),
        34..=55 => (Kind::Partition, link),
        56..=61 => (Kind::Cut, link),
        62..=67 => (Kind::Delay, link),
        68..=73 => (Kind::Loss, link),
        74..=77 => (Kind::Throttle, link),
        78..=81 => (Kind::FullDisk, Whom::Servers),
        82..=87 if random.random_bool(0.6) => (Kind::ClockStep, Whom::Coordinators),
        82..=87 => (Kind::ClockStep, Whom::Agents),
        88..=91 if random.random_bool(0.5) => (Kind::Roll, Whom::Coordinators),
        88..=91 => (Kind::Roll, Whom::Servers),
        92..=94 => (Kind::LoseSnapshot, Whom::Coordinators),
        _ => (Kind::LoseLeader, Whom::Servers),
    }
}

fn nodes(random: &mut StdRng, whom: Whom) -> Vec<Node> {
    let mut several = |all: usize, most: usize, node: fn(usize) -> Node| {
        let first = random.random_range(0..all);
        let count = random.random_range(1..=most);
        (0..count).map(|step| node((first + step * 7) % all)).collect()
    };
    match whom {
        Whom::Servers => several(REPLICAS, 1, Node::Nats),
        Whom::Coordinators => several(REPLICAS, 1, Node::Coordinator),
        Whom::Agents => several(AGENTS, 5, Node::Agent),
        Whom::Clients => several(CLIENTS, 4, Node::Client),
    }
}

impl Fault {
    /// Its name in files and figures; `partition_agent` and `freeze_agent` mean something to the checker.
    pub(crate) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Kill => "kill",
            Kind::Freeze => "freeze",
            Kind::Terminate => "terminate",
            Kind::Partition => "partition",
            Kind::Cut => "cut",
            Kind::Delay => "delay",
            Kind::Loss => "loss",
            Kind::Throttle => "throttle",
            Kind::FullDisk => return "full_disk".to_owned(),
            Kind::ClockStep => "clock_step",
            Kind::Roll => "roll",
            Kind::LoseSnapshot => return "lose_snapshot".to_owned(),
            Kind::LoseLeader => return "lose_leader".to_owned(),
        };
        let whom = match self.whom {
            Whom::Servers => "server",
            Whom::Coordinators => "coordinator",
            Whom::Agents => "agent",
            Whom::Clients => "client",
        };
        format!("{kind}_{whom}")
    }
}
