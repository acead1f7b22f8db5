//! Liveness as "can always still reach": from every state in which something is hoped for, a good one is reachable.
//!
//! stateright's `eventually` is unsound where ways meet or go in circles. So the whole graph is made, with its edges, and
//! walked backwards from the good states: whoever isn't met has lost all hope. That is weaker than "will happen", which
//! no adversary that may lose everything allows, and stronger than any number of runs that ended well.
//!
//! What lies beyond the bounds counts as out of reach: a hope that holds here doesn't hold thanks to a bound.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::{Duration, Instant};

use stateright::Model;

use crate::fleet::{Fleet, State};
use crate::memo::Identity;
use crate::print::Print;
use crate::search::line;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// How long it took.
    pub time: Duration,
    /// Each hope, and in how many states it was hoped.
    pub hoped: Vec<(&'static str, usize)>,
    /// Ways to states without hope, as readable steps.
    pub violations: Vec<String>,
}

/// The graph; a state is its number in the order in which they were found.
#[derive(Default)]
struct Graph {
    numbers: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    /// By which step, of which state, each was found first.
    parents: Vec<(u32, u16)>,
    /// For each hope one bit: it is hoped here.
    from: Vec<u8>,
    /// For each hope one bit: it is fulfilled here.
    good: Vec<u8>,
    edges: Vec<(u32, u32)>,
}

/// Most hopes of one configuration: a bit for each.
const HOPES_MAX: usize = 8;

/// Checks every hope of a configuration.
#[must_use]
pub fn check(fleet: &Fleet) -> Report {
    assert!(fleet.hopes.len() <= HOPES_MAX, "a bit for each hope");
    let began = Instant::now();
    let graph = Graph::of(fleet);
    let (mut hoped, mut violations) = (Vec::new(), Vec::new());
    let reached = graph.reached();
    for (bit, hope) in fleet.hopes.iter().enumerate() {
        let bit = 1 << bit;
        hoped.push((hope.name, graph.from.iter().filter(|from| **from & bit > 0).count()));
        let lost = |at: &usize| graph.from[*at] & bit > 0 && reached[*at] & bit == 0;
        if let Some(at) = (0..graph.from.len()).find(lost) {
            violations.push(format!("out of reach: {}\n{}", hope.name, graph.way(fleet, at)));
        }
    }
    let (states, steps) = (graph.from.len(), graph.edges.len());
    Report { states, steps, time: began.elapsed(), hoped, violations }
}

impl Graph {
    fn of(fleet: &Fleet) -> Self {
        let mut graph = Self::default();
        let mut queue = VecDeque::new();
        for (number, state) in fleet.init_states().into_iter().enumerate() {
            graph.find(fleet, &state, (u32::MAX, u16::try_from(number).unwrap_or(u16::MAX)));
            queue.push_back(state);
        }
        let (mut at, mut steps) = (0, Vec::new());
        while let Some(state) = queue.pop_front() {
            fleet.actions(&state, &mut steps);
            for (step, action) in steps.drain(..).enumerate() {
                let Some(next) = fleet.next(&state, &action) else { continue };
                if !fleet.within_boundary(&next) {
                    continue;
                }
                let parent = (at, u16::try_from(step).unwrap_or(u16::MAX));
                let (number, new) = graph.find(fleet, &next, parent);
                graph.edges.push((at, number));
                if new {
                    queue.push_back(next);
                }
            }
            at += 1;
        }
        graph
    }

    /// The number of a state, and whether it is a new one.
    fn find(&mut self, fleet: &Fleet, state: &State, parent: (u32, u16)) -> (u32, bool) {
        let mut print = Print::default();
        print.add(state);
        let next =
            u32::try_from(self.parents.len()).expect("the bounds keep far below 2^32 states");
        let number = *self.numbers.entry(print.finish()).or_insert(next);
        if number < next {
            return (number, false);
        }
        let bits = |holds: &dyn Fn(usize) -> bool| {
            (0..fleet.hopes.len()).filter(|at| holds(*at)).fold(0, |bits, at| bits | 1 << at)
        };
        self.parents.push(parent);
        self.from.push(bits(&|at| (fleet.hopes[at].from)(fleet, state)));
        self.good.push(bits(&|at| (fleet.hopes[at].good)(fleet, state)));
        (number, true)
    }

    /// For each state the hopes that can still be fulfilled.
    fn reached(&self) -> Vec<u8> {
        // Edges by where they lead, so that each is walked backwards.
        let mut begins = vec![0_usize; self.from.len() + 1];
        self.edges.iter().for_each(|(_, to)| begins[*to as usize + 1] += 1);
        (1..begins.len()).for_each(|at| begins[at] += begins[at - 1]);
        let (mut filled, mut backwards) = (begins.clone(), vec![0_u32; self.edges.len()]);
        for (from, to) in &self.edges {
            backwards[filled[*to as usize]] = *from;
            filled[*to as usize] += 1;
        }
        let mut reached = self.good.clone();
        let mut waiting: Vec<usize> = (0..reached.len()).filter(|at| reached[*at] > 0).collect();
        while let Some(at) = waiting.pop() {
            let bits = reached[at];
            for from in &backwards[begins[at]..begins[at + 1]] {
                let from = *from as usize;
                if reached[from] | bits != reached[from] {
                    reached[from] |= bits;
                    waiting.push(from);
                }
            }
        }
        reached
    }

    /// The way to a state, as readable steps.
    fn way(&self, fleet: &Fleet, at: usize) -> String {
        let mut steps = Vec::new();
        let mut number = u32::try_from(at).unwrap_or(u32::MAX);
        while number != u32::MAX {
            let (parent, step) = self.parents[number as usize];
            steps.push(usize::from(step));
            number = parent;
        }
        let mut steps = steps.into_iter().rev();
        let begin = steps.next().and_then(|at| fleet.init_states().into_iter().nth(at));
        let Some(mut state) = begin else { return String::new() };
        let mut text = String::new();
        for (number, step) in steps.enumerate() {
            let mut all = Vec::new();
            fleet.actions(&state, &mut all);
            let step = &all[step];
            text.push_str(&format!("{:4}. {}\n", number + 1, line(fleet, &state, step)));
            let Some(next) = fleet.next(&state, step) else { break };
            state = next;
        }
        text
    }
}
