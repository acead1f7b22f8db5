use std::time::Duration;

use super::*;
use crate::site::Verdict;
use crate::testing::{StillClock, agent, call, experiment, latency, seam, tool};

fn local(max_affected: u32) -> Local {
    let experiments =
        vec![experiment("slow", latency(1), 0.5), experiment("rare", latency(2), 0.01)];
    Local::new(Arc::new(StillClock::default()), experiments, max_affected, 3)
}

fn run(local: &Local) -> Vec<usize> {
    use squall_proto::vocabulary::call::{Point, Shape};

    let seam = seam(Point::Tool, Shape::Json);
    let site = local.registry().site(&agent("a"), &tool("t"), &seam);
    let affected = |n: &usize| {
        let call = call(&format!("request {n}"));
        let Verdict::Inject(directive) = site.decide(&call) else { return false };
        directive.applied(&call, Duration::ZERO);
        true
    };
    (0..1_000).filter(affected).collect()
}

#[test]
fn a_local_session_stops_at_its_bound() {
    let local = local(50);
    assert_eq!(run(&local).len(), 50);
    let counts = local.counts();
    let affected: u64 = counts.iter().map(|(_, counts)| counts.applied).sum();
    assert_eq!(affected, 50);
    assert_eq!(counts[0].0.as_str(), "slow");
    assert_eq!(counts[0].1.seen, 1_000);
}

#[test]
fn a_reset_repeats_the_same_choices() {
    let local = local(100_000);
    let first = run(&local);
    local.reset();
    assert!(local.counts().iter().all(|(_, counts)| *counts == Counts::default()));
    assert_eq!(run(&local), first);
    assert!((400..600).contains(&first.len()));
}

#[test]
fn a_budget_of_nothing_affects_nothing() {
    assert!(run(&local(0)).is_empty());
}
