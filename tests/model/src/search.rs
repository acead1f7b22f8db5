//! A configuration explored to its end, and what came of it.
//!
//! Not here: what is looked for. stateright visits every state once; it knows states by 64 bits of them, so that two of
//! 10^7 are taken for one with a chance of 3 in a million.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::fleet::{Fleet, State, Step};

/// How to explore.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Threads that explore depth first; the whole of it is visited either way.
    pub threads: usize,
    /// Breadth first, so that a counterexample is as short as any.
    pub shortest: bool,
    /// Tell how far it is every few seconds.
    pub progress: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps that led to them.
    pub steps: usize,
    /// Steps of the longest way that was taken.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Counterexamples, one for each invariant, as readable steps.
    pub violations: Vec<String>,
    /// What should have happened somewhere and didn't.
    pub missing: Vec<&'static str>,
}

/// Explores every state within the bounds, or until something is violated.
#[must_use]
pub fn explore(fleet: &Fleet, plan: Plan) -> Report {
    let began = Instant::now();
    let checker = fleet.clone().checker().finish_when(HasDiscoveries::AnyFailures);
    let mut told = Told { name: fleet.name, plan, times: 0 };
    if plan.shortest {
        report(fleet, &checker.spawn_bfs().join_and_report(&mut told), began)
    } else {
        let checker = checker.threads(plan.threads).spawn_dfs();
        report(fleet, &checker.join_and_report(&mut told), began)
    }
}

fn report(fleet: &Fleet, checker: &impl Checker<Fleet>, began: Instant) -> Report {
    let found = checker.discoveries();
    let mut report = Report {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        time: began.elapsed(),
        violations: Vec::new(),
        missing: Vec::new(),
    };
    for property in fleet.properties() {
        let path = found.get(property.name);
        match (property.expectation, path) {
            (Expectation::Always, Some(path)) => report.violations.push(told(fleet, path.clone())),
            (Expectation::Sometimes, None) => report.missing.push(property.name),
            (Expectation::Always, None)
            | (Expectation::Sometimes, Some(_))
            | (Expectation::Eventually, _) => {}
        }
    }
    report
}

/// A way through the states, step by step, and what it breaks.
fn told(fleet: &Fleet, path: Path<State, Step>) -> String {
    let way = path.into_vec();
    let mut text = String::new();
    let breach = way.last().and_then(|(state, _)| state.breach.clone());
    if let Some(breach) = breach {
        writeln!(text, "{breach}").expect("a string takes every text");
    }
    let steps = way.iter().filter_map(|(state, step)| Some((state, step.as_ref()?)));
    for (number, (state, step)) in steps.enumerate() {
        writeln!(text, "{:4}. {}", number + 1, line(fleet, state, step))
            .expect("a string takes every text");
    }
    text
}

/// A step for people.
#[must_use]
pub fn line(fleet: &Fleet, state: &State, step: &Step) -> String {
    let mail = |print: &u64| state.net.get(print).map_or_else(String::new, |mail| mail.line());
    match step {
        Step::Deliver { mail: print, to } => format!("delivered at {to}: {}", mail(print)),
        Step::Both { mails: (one, other), replica } => {
            format!("decided together at {replica}: {} | {}", mail(one), mail(other))
        }
        Step::Arrive { append } => {
            let append = state.wire.get(append);
            let entry = append.map(|append| format!("{} wrote {:?}", append.by, append.entry));
            format!("the log takes: {}", entry.unwrap_or_default())
        }
        Step::Do { deed, replica } => format!("{:?} at replica {replica}", fleet.deeds[*deed]),
        Step::Tick => format!("tick {}", state.tick + 1),
        Step::Want { .. }
        | Step::Burn { .. }
        | Step::End { .. }
        | Step::Jump { .. }
        | Step::Wake { .. }
        | Step::Lose { .. }
        | Step::Crash { .. }
        | Step::Live { .. }
        | Step::Fork { .. }
        | Step::StartAgain { .. }
        | Step::GiveUp { .. }
        | Step::Fold { .. }
        | Step::OwnWork { .. }
        | Step::Reborn { .. }
        | Step::Resend { .. }
        | Step::SendBarrier { .. }
        | Step::LandBarrier { .. }
        | Step::Forge { .. }
        | Step::LoseRecord => format!("{step:?}"),
    }
}

/// How often stateright is asked how far it is: often enough to notice the end of a short exploration.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Every so many looks are told: 10 s.
const TOLD_EVERY: u32 = 50;

struct Told {
    name: &'static str,
    plan: Plan,
    times: u32,
}

impl Reporter<Fleet> for Told {
    fn report_checking(&mut self, data: ReportData) {
        self.times += 1;
        if self.plan.progress && !data.done && self.times.is_multiple_of(TOLD_EVERY) {
            let (name, seconds) = (self.name, data.duration.as_secs());
            let (states, depth) = (data.unique_states, data.max_depth);
            eprintln!("  {name}: {seconds} s, {states} states, depth {depth}");
        }
    }

    fn report_discoveries(
        &mut self,
        _model: &Fleet,
        _discoveries: BTreeMap<&'static str, ReportDiscovery<Fleet>>,
    ) {
    }

    fn delay(&self) -> Duration {
        LOOK_EVERY
    }
}
