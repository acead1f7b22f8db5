use std::time::Duration;

use squall_proto::vocabulary::blast_radius::BlastRadius;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Damage, Fault, FaultKind, MalformedOutput};
use squall_proto::vocabulary::id::Environment;
use squall_proto::vocabulary::seam::Unsupported;
use squall_proto::vocabulary::site::Obstacle;

use super::*;
use crate::limits::LEFT_MAX;
use crate::plan::{Unarmed, WhyUnarmed};
use crate::site::Verdict;
use crate::testing::{
    NEVER, Process, agent, call, experiment, grant, key, latency, seam, session, spec, tool,
};

fn slow() -> crate::ActiveSession {
    session("s", spec(vec![experiment("slow", latency(500), 1.0)]))
}

fn whys(unarmed: &[Unarmed]) -> Vec<WhyUnarmed> {
    unarmed.iter().map(|unarmed| unarmed.why).collect()
}

#[test]
fn nothing_is_left_out_in_silence() {
    let test = || Environment::new("test").unwrap();
    let process = |change: fn(&mut Policy)| {
        let mut policy = Policy::all(test());
        change(&mut policy);
        Process::with(policy)
    };
    let installed = |process: &Process, session| process.registry.install(&[session]);
    let off = process(|policy| policy.enabled = false);
    assert_eq!(whys(&installed(&off, slow()).unarmed), [WhyUnarmed::Off]);
    let production = process(|policy| policy.environment = Environment::production());
    assert_eq!(
        whys(&installed(&production, slow()).unarmed),
        [WhyUnarmed::Obstacle(Obstacle::Environment)]
    );
    let errors = process(|policy| policy.allowed = vec![FaultKind::Error]);
    assert_eq!(
        whys(&installed(&errors, slow()).unarmed),
        [WhyUnarmed::Obstacle(Obstacle::Kind(FaultKind::Latency))]
    );
    let short = process(|policy| policy.max_delay_ms = 499);
    let delay = WhyUnarmed::Obstacle(Obstacle::Delay { needed_ms: 500, max_ms: 499 });
    assert_eq!(whys(&installed(&short, slow()).unarmed), [delay]);
    for process in [off, production, errors, short] {
        assert!(!process.site("a", "t").is_armed());
    }
}

#[test]
fn a_seam_that_cannot_apply_a_fault_is_named_once_with_the_reason() {
    let process = Process::new();
    let mut weak = seam(Point::Tool, Shape::Json);
    weak.capabilities.structural = false;
    weak.capabilities.knows_trace = false;
    let sites = ["t", "u"].map(|t| process.registry.site(&agent("a"), &tool(t), &weak));
    let broken = Fault::MalformedOutput(MalformedOutput { mode: Damage::Empty, keep: 0.5 });
    let experiments = vec![experiment("broken", broken, 1.0), experiment("slow", latency(1), 1.0)];
    let installed = process.registry.install(&[session("s", spec(experiments))]);
    assert_eq!(
        installed.unarmed,
        [Unarmed {
            session: key("s"),
            experiment: Some("broken".parse().unwrap()),
            seam: Some("test".into()),
            why: WhyUnarmed::Obstacle(Obstacle::Seam(Unsupported::Structural)),
        }]
    );
    assert!(sites.iter().all(|site| site.is_armed()), "the other experiment is");
    let mut traced = slow();
    std::sync::Arc::make_mut(&mut traced.spec).safety.blast_radius = BlastRadius::SingleTrace;
    assert_eq!(
        whys(&process.registry.install(&[traced]).unarmed),
        [WhyUnarmed::Obstacle(Obstacle::NoTrace)]
    );
}

#[test]
fn a_site_that_comes_after_the_plan_is_armed_too() {
    let process = Process::new();
    process.registry.install(&[slow()]);
    assert!(process.site("a", "new").is_armed());
}

#[test]
fn sites_and_sessions_have_bounds_that_are_counted_and_said() {
    let process = Process::new();
    let sessions: Vec<_> = (0..65)
        .map(|n| session(&format!("s{n}"), spec(vec![experiment("e", latency(1), 0.0)])))
        .collect();
    let installed = process.registry.install(&sessions);
    assert_eq!((installed.live.len(), whys(&installed.unarmed)), (64, vec![WhyUnarmed::Sessions]));
    process.registry.install(&[slow()]);
    for n in 0..SITES_MAX {
        assert!(process.site("a", &n.to_string()).is_armed());
    }
    assert!(!process.site("a", "one more").is_armed());
    assert_eq!(process.registry.sites_refused(), 1);
    assert!(process.site("a", "7").is_armed(), "known ones are found again");
}

#[test]
fn a_session_that_left_keeps_its_counters_until_it_is_forgotten() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    let live = process.live("s");
    grant(&live, 1, 2);
    let Verdict::Inject(directive) = site.decide(&call("r")) else { panic!("not chosen") };
    process.registry.install(&[]);
    assert!(live.wallet().is_stopped());
    assert!(matches!(site.decide(&call("r")), Verdict::Pass));
    directive.applied(&call("r"), Duration::ZERO);
    let counts = process.counts("s", "slow");
    assert_eq!((counts.seen, counts.chosen, counts.applied), (1, 1, 1));
    assert_eq!(live.wallet().drain(), Some((1, 1)));
    process.registry.forget(&key("s"));
    assert_eq!(process.registry.counts(), []);
    assert!(process.registry.session(&key("s")).is_none());
}

#[test]
fn a_session_whose_fault_still_runs_is_not_forgotten_however_many_come_and_go() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    let live = process.live("s");
    grant(&live, 1, 1);
    let Verdict::Inject(directive) = site.decide(&call("r")) else { panic!("not chosen") };
    let known = || process.registry.session(&key("s")).is_some();
    for n in 0..=LEFT_MAX {
        let later = key(&format!("later-{n}"));
        process.registry.install(&[crate::ActiveSession { key: later, ..slow() }]);
    }
    process.registry.install(&[]);
    assert!(known(), "nobody would wait for the fault to end");
    directive.applied(&call("r"), Duration::ZERO);
    process.registry.install(&[crate::ActiveSession { key: key("last"), ..slow() }]);
    process.registry.install(&[]);
    assert!(!known());
    assert_eq!(process.registry.sessions().len(), LEFT_MAX);
}

#[test]
fn a_stopped_session_stays_stopped_when_a_stale_plan_names_it_again() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    grant(&process.live("s"), 1, 2);
    process.live("s").wallet().stop();
    process.registry.install(&[]);
    process.registry.install(&[slow()]);
    assert!(matches!(site.decide(&call("r")), Verdict::Pass));
}

#[test]
fn counters_go_on_over_a_pause() {
    let process = Process::new();
    let site = process.site("a", "t");
    let seen = |running| {
        process.registry.install(&[crate::ActiveSession { running, ..slow() }]);
        let _ = site.decide(&call("r"));
        process.counts("s", "slow").seen
    };
    assert_eq!([seen(true), seen(false), seen(true), seen(true)], [1, 1, 2, 3]);
}

#[test]
fn a_forgotten_session_that_is_in_the_plan_is_not_forgotten() {
    let process = Process::new();
    process.registry.install(&[slow()]);
    process.registry.forget(&key("s"));
    assert!(process.registry.session(&key("s")).is_some());
}

#[test]
fn the_kill_switch_ends_everything_for_good() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    grant(&process.live("s"), 1, 2);
    process.registry.kill();
    assert!(matches!(site.decide(&call("r")), Verdict::Pass));
    assert!(process.live("s").wallet().is_stopped());
    assert_eq!(whys(&process.registry.install(&[slow()]).unarmed), [WhyUnarmed::Off]);
}

#[test]
fn the_owners_cap_holds_over_all_sessions_and_failed_burns_do_not_use_it() {
    let mut policy = Policy::all(Environment::new("test").unwrap());
    policy.max_injections = Some(2);
    let process = Process::with(policy);
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    for n in 0..5 {
        assert!(matches!(site.decide(&call(&n.to_string())), Verdict::Pass), "no permit");
    }
    grant(&process.live("s"), 1, 10);
    let injected = (0..10).filter(|n| {
        let call = call(&n.to_string());
        let Verdict::Inject(directive) = site.decide(&call) else { return false };
        directive.applied(&call, Duration::ZERO);
        true
    });
    assert_eq!(injected.count(), 2);
    assert_eq!(process.live("s").wallet().left(), 8);
}

#[test]
fn a_forked_child_starts_with_nothing_and_goes_on_after_renewal() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    grant(&process.live("s"), 1, 5);
    process.registry.guard().invalidate();
    assert!(matches!(site.decide(&call("r")), Verdict::Pass));
    process.registry.renew(Incarnation([9; 16])).unwrap();
    assert_eq!(process.registry.incarnation(), Incarnation([9; 16]));
    assert!(!site.is_armed());
    assert_eq!(process.registry.counts(), []);
    assert!(process.registry.sessions().is_empty());
    process.registry.install(&[slow()]);
    process.registry.lease().extend(NEVER);
    grant(&process.live("s"), 1, 5);
    let Verdict::Inject(directive) = site.decide(&call("r")) else { panic!("not chosen") };
    assert!(directive.injection().0.starts_with(&[9; 6]));
    directive.applied(&call("r"), Duration::ZERO);
    assert_eq!(process.counts("s", "slow").seen, 1, "the parent's calls are the parent's");
}

#[test]
fn what_was_seen_is_announced() {
    let process = Process::new();
    process.site("b", "t");
    process.site("a", "t");
    process.site("a", "s");
    let announced = process.registry.announced();
    assert_eq!(announced.agents, [agent("a"), agent("b")]);
    assert_eq!(announced.tools, [tool("s"), tool("t")]);
    assert_eq!(announced.seams, [seam(Point::Tool, Shape::Json)]);
    let site = |agent, tool| SiteRef { agent, tool, seam: 0 };
    assert_eq!(announced.sites, [site(0, 0), site(0, 1), site(1, 1)]);
}

#[test]
fn two_agents_with_different_seams_are_announced_apart() {
    let process = Process::new();
    let strong = seam(Point::Tool, Shape::Json);
    let mut weak = strong.clone();
    weak.capabilities.block = false;
    process.registry.site(&agent("a"), &tool("t"), &weak);
    process.registry.site(&agent("b"), &tool("t"), &strong);
    let announced = process.registry.announced();
    assert_eq!(announced.seams, [weak, strong]);
    let site = |agent, seam| SiteRef { agent, tool: 0, seam };
    assert_eq!(announced.sites, [site(0, 0), site(1, 1)]);
}

#[test]
fn sites_beyond_the_lists_of_a_hello_are_not_announced() {
    let process = Process::new();
    for n in 0..=ANNOUNCED_MAX {
        process.site("a", &n.to_string());
    }
    let announced = process.registry.announced();
    assert_eq!((announced.tools.len(), announced.sites.len()), (ANNOUNCED_MAX, ANNOUNCED_MAX));
}

#[test]
fn a_killed_process_announces_that_nothing_can_be_applied_in_it() {
    let process = Process::new();
    process.site("a", "t");
    assert_eq!(process.registry.site_count(), 1);
    process.registry.kill();
    assert_eq!(
        (process.registry.site_count(), process.registry.announced()),
        (0, Announced::default())
    );
}

#[test]
fn lost_samples_are_counted_and_counters_lose_nothing() {
    let process = Process::new();
    let site = process.site("a", "t");
    process.registry.install(&[slow()]);
    grant(&process.live("s"), 1, 5_000);
    for n in 0..2_000 {
        let call = call(&n.to_string());
        let Verdict::Inject(directive) = site.decide(&call) else { panic!("not chosen") };
        directive.applied(&call, Duration::ZERO);
    }
    let (first, rest) = (process.registry.drain_samples(10), process.registry.drain_samples(9_999));
    assert_eq!((first.len(), rest.len()), (10, 1_014));
    assert_eq!(process.registry.samples_lost(), 976);
    assert_eq!(process.counts("s", "slow").applied, 2_000);
}

#[test]
fn fresh_requests_differ() {
    let process = Process::new();
    let mut keys: Vec<_> = (0..1_000).map(|_| process.registry.fresh_request()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 1_000);
}

#[test]
fn a_copy_of_the_process_waits_for_no_plan_that_was_installed_when_it_was_forked() {
    let process = Process::new();
    process.registry.install(&[slow()]);
    let known = process.site("planner", "search");
    // What the shim's thread was at, which is not there in the copy; and what the handler of the fork does.
    let held = write(&process.registry.state);
    process.registry.guard().invalidate();
    let (over, ended) = std::sync::mpsc::channel();
    let registry = Arc::clone(&process.registry);
    std::thread::spawn(move || {
        let seam = seam(Point::Tool, Shape::Json);
        let sites =
            ["search", "new"].map(|name| registry.site(&agent("planner"), &tool(name), &seam));
        let passes = sites.iter().all(|site| matches!(site.decide(&call("r")), Verdict::Pass));
        let nothing = registry.counts().is_empty() && registry.sessions().is_empty();
        registry.install(&[]);
        registry.kill();
        over.send(passes && nothing && registry.renew(Incarnation([8; 16])).is_err()).unwrap();
    });
    assert!(ended.recv_timeout(Duration::from_secs(60)).expect("it waits"));
    drop(held);
    assert!(matches!(known.decide(&call("r")), Verdict::Pass), "a void permit burned");
}

#[test]
fn sites_of_a_copy_are_armed_once_it_has_a_life_of_its_own() {
    let process = Process::new();
    process.registry.install(&[slow()]);
    process.registry.guard().invalidate();
    let early = process.site("planner", "early");
    process.registry.renew(Incarnation([8; 16])).unwrap();
    assert!(!early.is_armed());
    process.registry.install(&[slow()]);
    assert!(early.is_armed() && process.site("planner", "late").is_armed());
    assert_eq!(process.registry.site_count(), 2);
}
