use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::AgentName;
use squall_proto::vocabulary::message::{GrantScope, SampleKind};
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::target::{PercentageUnit, Probability};

use super::*;
use crate::clock::{Clock as _, Wake};
use crate::directive::NotApplied;
use crate::testing::{
    NEVER, Process, agent, call, experiment, grant, latency, session, spec, tool, trace,
};

fn always(name: &str) -> Experiment {
    experiment(name, latency(5), 1.0)
}

fn directive(verdict: Verdict) -> Directive {
    match verdict {
        Verdict::Inject(directive) => directive,
        other @ (Verdict::Pass | Verdict::Claim(_)) => panic!("{other:?}"),
    }
}

fn passes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Pass)
}

#[test]
fn a_site_without_a_session_passes_and_counts_nothing() {
    let process = Process::new();
    let site = process.site("planner", "search");
    assert!(passes(&site.decide(&call("r"))));
    assert!(!site.is_armed());
    assert_eq!(process.registry.counts(), []);
}

#[test]
fn sites_and_directives_may_cross_threads_and_waits() {
    fn may_cross<T: Send + Sync>() {}
    may_cross::<Site>();
    may_cross::<Verdict>();
}

#[test]
fn which_call_it_is_is_worked_out_only_while_a_session_is_armed() {
    let process = Process::new();
    let site = process.site("planner", "search");
    assert!(passes(&site.decide_with(|| panic!("nobody asked"))));
    process.registry.install(&[session("s", spec(vec![always("e")]))]);
    grant(&process.live("s"), 1, 1);
    directive(site.decide_with(|| call("r"))).applied(&call("r"), Duration::ZERO);
}

#[test]
fn a_chosen_call_with_a_permit_is_injected_and_counted_once_it_is_applied() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("slow")]))]);
    grant(&process.live("s"), 1, 1);
    let directive = directive(site.decide(&call("r1")));
    assert_eq!(directive.hold(), Duration::from_millis(5));
    assert_eq!(directive.experiment().as_str(), "slow");
    let before = process.counts("s", "slow");
    assert_eq!((before.seen, before.chosen, before.applied), (1, 1, 0));
    assert_eq!(process.live("s").wallet().running(), 1);
    let injection = directive.injection();
    directive.applied(&call("r1"), Duration::from_millis(5));
    assert!(passes(&site.decide(&call("r2"))), "the only permit is burned");
    let after = process.counts("s", "slow");
    assert_eq!((after.seen, after.chosen, after.applied, after.skipped), (2, 2, 1, 1));
    assert_eq!(process.live("s").wallet().running(), 0);
    let samples = process.registry.drain_samples(10);
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].injection, injection);
    assert_eq!(samples[0].what, SampleKind::Applied { held: Duration::from_millis(5) });
}

#[test]
fn a_fault_that_could_not_be_applied_affects_nobody_and_keeps_its_permit_burned() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("slow")]))]);
    grant(&process.live("s"), 1, 2);
    directive(site.decide(&call("r1"))).not_applied(&call("r1"), NotApplied::NoText);
    drop(directive(site.decide(&call("r2"))));
    let counts = process.counts("s", "slow");
    assert_eq!((counts.chosen, counts.applied, counts.not_applicable), (2, 0, 2));
    let wallet = process.live("s");
    assert_eq!((wallet.wallet().left(), wallet.wallet().running()), (0, 0));
    let whys: Vec<_> = process.registry.drain_samples(10).into_iter().map(|s| s.what).collect();
    let why = |why: &str| SampleKind::NotApplied { why: why.to_owned() };
    assert_eq!(
        whys,
        [
            why("there is no text to change"),
            why("the call was given up or the session stopped first")
        ]
    );
}

#[test]
fn a_call_that_the_host_cancels_during_the_fault_was_affected() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("slow")]))]);
    grant(&process.live("s"), 1, 1);
    let t = trace("t");
    let call = Call { trace: Some(&t), ..call("r1") };
    let mut directive = directive(site.decide(&call));
    directive.engage();
    process.clock.forward(Duration::from_millis(3));
    drop(directive);
    assert_eq!(process.counts("s", "slow").applied, 1);
    let samples = process.registry.drain_samples(10);
    assert_eq!(samples[0].what, SampleKind::Applied { held: Duration::from_millis(3) });
    assert_eq!(samples[0].trace, Some(t));
}

/// The coordinator gives the fault's slot to another one then.
#[test]
fn a_running_fault_ends_with_its_permits_life_and_its_longest_duration() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("slow")]))]);
    let cap = process.clock.now().plus(Duration::from_millis(10));
    let wallet = process.live("s");
    wallet.wallet().install(1, 1, GrantScope::default(), NEVER, cap).unwrap();
    let held = directive(site.decide(&call("r1")));
    wallet.wallet().drain();
    process.clock.forward(Duration::from_millis(14));
    assert!(held.is_live(), "10 ms of the permit and 5 of the fault");
    process.clock.forward(Duration::from_millis(1));
    assert!(!held.is_live());
    assert_eq!(held.act(), Err(NotApplied::Dropped));
    drop(held);
}

#[test]
fn a_running_fault_ends_with_its_session_or_its_lease() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("slow")]))]);
    grant(&process.live("s"), 1, 3);
    let held = directive(site.decide(&call("r1")));
    assert!(held.is_live());
    process.registry.lease().end();
    assert!(!held.is_live());
    process.registry.lease().extend(NEVER);
    assert!(held.is_live());
    assert!(held.act().is_ok());
    process.live("s").wallet().stop();
    assert!(!held.is_live());
    assert_eq!(held.act(), Err(NotApplied::Dropped));
    held.applied(&call("r1"), Duration::ZERO);
}

#[test]
fn the_first_chosen_experiment_of_a_session_wins_and_the_next_session_gets_what_it_leaves() {
    let process = Process::new();
    let site = process.site("planner", "search");
    let first = session("s1", spec(vec![always("a"), always("b")]));
    let second = session("s2", spec(vec![always("c")]));
    process.registry.install(&[first, second]);
    grant(&process.live("s2"), 1, 10);
    let taken = directive(site.decide(&call("r1")));
    assert_eq!(taken.experiment().as_str(), "c", "s1 has no permit");
    taken.applied(&call("r1"), Duration::ZERO);
    grant(&process.live("s1"), 1, 10);
    let taken = directive(site.decide(&call("r2")));
    assert_eq!(taken.experiment().as_str(), "a");
    taken.applied(&call("r2"), Duration::ZERO);
    let counts = |s, e| process.counts(s, e);
    assert_eq!((counts("s1", "a").chosen, counts("s1", "a").skipped), (2, 1));
    assert_eq!((counts("s1", "b").seen, counts("s1", "b").chosen), (2, 0));
    assert_eq!(counts("s2", "c").chosen, 1);
}

#[test]
fn the_choice_sticks_to_the_request_and_meets_its_rate() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![experiment("e", latency(1), 0.1)]))]);
    grant(&process.live("s"), 1, 100_000);
    let mut chosen = 0;
    for n in 0..10_000 {
        let call = call(&format!("toolu_{n}"));
        let attempts: Vec<bool> = (0..3)
            .map(|_| match site.decide(&call) {
                Verdict::Inject(directive) => {
                    directive.applied(&call, Duration::ZERO);
                    true
                }
                Verdict::Pass | Verdict::Claim(_) => false,
            })
            .collect();
        assert!(attempts.iter().all(|attempt| *attempt == attempts[0]), "{n}: {attempts:?}");
        chosen += u32::from(attempts[0]);
    }
    assert!((850..1_150).contains(&chosen), "{chosen} of 10,000, expected about 1,000");
    let counts = process.counts("s", "e");
    assert_eq!((counts.seen, counts.applied), (30_000, u64::from(chosen) * 3));
}

#[test]
fn a_probability_of_zero_sees_every_call_and_chooses_none() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![experiment("e", latency(1), 0.0)]))]);
    grant(&process.live("s"), 1, 10);
    assert!((0..5_000).all(|n| passes(&site.decide(&call(&n.to_string())))));
    let counts = process.counts("s", "e");
    assert_eq!((counts.seen, counts.chosen), (5_000, 0));
}

fn exposed(spec: SessionSpec, calls: impl Fn(&Process, u32) -> bool) -> usize {
    let process = Process::new();
    process.registry.install(&[session("s", spec)]);
    grant(&process.live("s"), 1, 100_000);
    (0..2_000).filter(|n| calls(&process, *n)).count()
}

fn share_of(unit: PercentageUnit) -> SessionSpec {
    let mut spec = spec(vec![always("e")]);
    spec.target.percentage = Probability::new(0.25).unwrap();
    spec.target.percentage_unit = unit;
    spec
}

fn injects(verdict: Verdict, call: &Call<'_>) -> bool {
    match verdict {
        Verdict::Inject(directive) => {
            directive.applied(call, Duration::ZERO);
            true
        }
        Verdict::Pass | Verdict::Claim(_) => false,
    }
}

#[test]
fn a_percentage_is_taken_of_requests_traces_or_agents() {
    let quarter = 420..580;
    let requests = exposed(share_of(PercentageUnit::Request), |process, n| {
        let call = call(&n.to_string());
        injects(process.site("a", "t").decide(&call), &call)
    });
    assert!(quarter.contains(&requests), "{requests} requests");
    let traces = exposed(share_of(PercentageUnit::Trace), |process, n| {
        let trace = trace(&format!("trace-{n}"));
        let of = |request: &str| Call { trace: Some(&trace), ..call(request) };
        let site = process.site("a", "t");
        let [first, second] = ["r1", "r2"].map(|r| injects(site.decide(&of(r)), &of(r)));
        assert_eq!(first, second, "the whole trace or nothing of it");
        first
    });
    assert!(quarter.contains(&traces), "{traces} traces");
    let without = exposed(share_of(PercentageUnit::Trace), |process, n| {
        let call = call(&n.to_string());
        injects(process.site("a", "t").decide(&call), &call)
    });
    assert_eq!(without, 0, "a call without a trace is in no share of traces");
    let agents = exposed(share_of(PercentageUnit::Agent), |process, n| {
        let site = process.site(&format!("agent {n}"), "t");
        let call = call("r");
        injects(site.decide(&call), &call)
    });
    assert!(quarter.contains(&agents), "{agents} agents");
}

struct Alarm(AtomicU32);

impl Wake for Alarm {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_chosen_request_without_a_permit_passes_at_once_and_leaves_its_demand() {
    let process = Process::new();
    let alarm = Arc::new(Alarm(AtomicU32::new(0)));
    let site = process.site("planner", "search");
    process.registry.wake_with(Arc::clone(&alarm) as Arc<dyn Wake>);
    process.registry.install(&[session("s", spec(vec![always("e")]))]);
    let live = process.live("s");
    assert!(passes(&site.decide(&call("r1"))));
    assert!(passes(&site.decide(&call("r2"))));
    assert_eq!(alarm.0.load(Ordering::SeqCst), 1, "woken once for all");
    let (wanted, keys) = live.demand().take().unwrap();
    assert_eq!((wanted, keys.agent), (2, agent("planner")));
    assert_eq!(keys.request, call("r2").request.as_u64());
    assert_eq!(process.counts("s", "e").skipped, 2);
}

#[test]
fn a_new_site_and_a_fault_that_ended_wake_the_link_once_each() {
    let process = Process::new();
    let alarm = Arc::new(Alarm(AtomicU32::new(0)));
    process.registry.wake_with(Arc::clone(&alarm) as Arc<dyn Wake>);
    let woken = || alarm.0.swap(0, Ordering::SeqCst);
    let site = process.site("planner", "search");
    process.site("planner", "search");
    assert_eq!(woken(), 1);
    process.registry.install(&[session("s", spec(vec![always("e")]))]);
    grant(&process.live("s"), 1, 5);
    for request in ["r1", "r2", "r3"] {
        let call = call(request);
        directive(site.decide(&call)).applied(&call, Duration::ZERO);
    }
    assert_eq!(woken(), 1, "once until the counters are read");
    let _ = process.registry.counts();
    directive(site.decide(&call("r4"))).applied(&call("r4"), Duration::ZERO);
    assert_eq!(woken(), 1);
}

#[test]
fn a_paused_or_stopped_session_neither_chooses_nor_asks() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("e")]))]);
    let live = process.live("s");
    grant(&live, 1, 5);
    live.wallet().pause(true);
    assert!(passes(&site.decide(&call("r1"))));
    live.wallet().pause(false);
    live.wallet().stop();
    assert!(passes(&site.decide(&call("r1"))));
    assert_eq!(live.demand().wanted(), 0);
    assert_eq!(process.counts("s", "e").chosen, 0);
}

#[test]
fn an_eventual_session_injects_on_its_lease_alone_and_asks_for_nothing() {
    let process = Process::new();
    let site = process.site("planner", "search");
    let mut spec = spec(vec![always("e")]);
    spec.safety.strictness = Strictness::Eventual;
    process.registry.install(&[session("s", spec)]);
    directive(site.decide(&call("r1"))).applied(&call("r1"), Duration::ZERO);
    process.registry.lease().end();
    assert!(passes(&site.decide(&call("r2"))));
    assert_eq!(process.live("s").demand().wanted(), 0);
    assert_eq!(process.counts("s", "e").skipped, 1);
}

#[test]
fn a_strict_claim_waits_for_a_permit_of_its_own() {
    let process = Process::new();
    let site = process.site("planner", "search");
    let mut spec = spec(vec![always("e")]);
    spec.safety.strictness = Strictness::StrictClaim;
    process.registry.install(&[session("s", spec)]);
    let live = process.live("s");
    let t = trace("t");
    let claim = |request: &str| match site.decide(&Call { trace: Some(&t), ..call(request) }) {
        Verdict::Claim(claim) => claim,
        other @ (Verdict::Pass | Verdict::Inject(_)) => panic!("{other:?}"),
    };
    let (first, second, third) = (claim("r1"), claim("r2"), claim("r3"));
    assert_eq!(live.demand().wanted(), 3);
    assert_eq!(first.keys().trace, Some(t.clone()));
    let scope = GrantScope { request: Some(first.keys().request), ..GrantScope::default() };
    assert!(!first.is_ready());
    live.wallet().install(1, 1, scope, NEVER, NEVER).unwrap();
    assert!(first.is_ready() && !second.is_ready());
    assert!(passes(&second.settle()), "the permit is for the first");
    directive(first.settle()).applied(&call("r1"), Duration::ZERO);
    drop(third);
    let counts = process.counts("s", "e");
    assert_eq!((counts.chosen, counts.applied, counts.skipped), (3, 1, 2));
}

#[test]
fn injection_ids_are_unique_and_carry_the_incarnation() {
    let process = Process::new();
    let site = process.site("planner", "search");
    process.registry.install(&[session("s", spec(vec![always("e")]))]);
    grant(&process.live("s"), 1, 100);
    let mut ids: Vec<_> = (0..100)
        .map(|_| {
            let directive = directive(site.decide(&call("the same")));
            let id = directive.injection();
            directive.applied(&call("the same"), Duration::ZERO);
            id
        })
        .collect();
    assert!(ids.iter().all(|id| id.0.starts_with(&[7; 6])));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn more_rules_than_one_group_holds_choose_like_one() {
    for rules in [2, 7, 8, 9, 40, 64, 65, 100] {
        let process = Process::new();
        let site = process.site("planner", "search");
        let mut experiments: Vec<_> =
            (1..rules).map(|n| experiment(&format!("never {n}"), latency(1), 0.0)).collect();
        experiments.push(always("last"));
        process.registry.install(&[session("s", spec(experiments))]);
        grant(&process.live("s"), 1, 10);
        let taken = directive(site.decide(&call("r")));
        assert_eq!(taken.experiment().as_str(), "last", "{rules} rules");
        taken.applied(&call("r"), Duration::ZERO);
        process.registry.install(&[]);
        assert!(passes(&site.decide(&call("r"))));
    }
}

/// Hooks on several threads while plans come and go: nothing is injected that isn't in a plan with permits, every burn is
/// reported, and no call is lost from `seen` of an experiment that stayed.
#[test]
fn plans_may_change_under_running_hooks() {
    let process = Process::new();
    let site = process.site("planner", "search");
    let staying = session("stays", spec(vec![experiment("e", latency(1), 0.5)]));
    let coming = |n: u32| {
        let rules = (0..n % 20).map(|i| experiment(&format!("x{i}"), latency(1), 0.5)).collect();
        session(&format!("comes-{}", n % 3), spec(rules))
    };
    process.registry.install(std::slice::from_ref(&staying));
    grant(&process.live("stays"), 1, 1_000_000);
    let done = AtomicBool::new(false);
    let (calls, injected) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for worker in 0..2_u32 {
            let (done, calls, injected, site) = (&done, &calls, &injected, &site);
            scope.spawn(move || {
                for n in 0_u32.. {
                    if done.load(Ordering::Acquire) {
                        break;
                    }
                    let call = Call { request: RequestKey { a: worker, b: n }, trace: None };
                    calls.fetch_add(1, Ordering::Relaxed);
                    if injects(site.decide(&call), &call) {
                        injected.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for n in 0..500 {
            process.registry.install(&[coming(n), staying.clone()]);
            process.registry.install(&[coming(n), coming(n + 1), staying.clone()]);
        }
        done.store(true, Ordering::Release);
    });
    let counts = process.counts("stays", "e");
    let (calls, injected) = (calls.into_inner(), injected.into_inner());
    assert_eq!(counts.seen, u64::from(calls));
    assert_eq!(counts.applied, u64::from(injected), "only `stays` has permits");
    assert_eq!(process.live("stays").wallet().used_total(), u64::from(injected));
    assert!(injected > 0, "of {calls} calls");
}

#[test]
fn agent_and_tool_select_the_sites_that_are_armed() {
    let process = Process::new();
    let mut spec = spec(vec![always("one"), always("any")]);
    spec.target.selector.agents = vec![agent("a"), agent("b")];
    spec.experiments[0].selector.tools = vec![tool("t")];
    spec.experiments[1].selector.agents = vec![AgentName::new("b").unwrap()];
    process.registry.install(&[session("s", spec)]);
    let armed = |a, t| process.site(a, t).seen().len();
    assert_eq!((armed("a", "t"), armed("a", "u")), (1, 0));
    assert_eq!((armed("b", "t"), armed("b", "u")), (2, 1));
    assert_eq!(armed("c", "t"), 0);
}
