//! The whole shim on a wire in memory: real threads, real clocks, a coordinator in the test's hands.

use std::time::Instant;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{
    Behavior, Delay, ErrorCodes, Fault, Latency, UncooperativeAgent,
};
use squall_proto::vocabulary::seam::Capabilities;
use squall_proto::vocabulary::session::{FaultDraft, LatencyDraft, UncooperativeDraft};
use squall_proto::vocabulary::target::{Probability, Selector};
use squall_shim_core::RequestKey;

use super::answer::answer_seam;
use super::*;
use crate::pipe::pipe;
use crate::testing::{Coordinator, plan, planner};

mod every_fault;

fn slow(ms: u64) -> FaultDraft {
    FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(ms), ..LatencyDraft::default() }),
        ..FaultDraft::default()
    }
}

fn site(shim: &Shim) -> Arc<Site> {
    let capabilities = Capabilities { block: true, ..answer_seam().capabilities };
    let seam =
        Seam { name: "test".to_owned(), point: Point::Tool, shape: Shape::Text, capabilities };
    shim.site(&planner(), &ToolName::new("search").unwrap(), &seam)
}

fn any_call() -> Call<'static> {
    Call { request: RequestKey::of("any"), trace: None }
}

#[test]
fn a_shim_asks_injects_reports_and_gives_back() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(5), "strict"));
    let site = site(&shim);
    let mut directive = coordinator.injected(&shim, &site);
    let held = shim.delay_blocking(&mut directive);
    assert!(held >= Duration::from_millis(5));
    directive.applied(&any_call(), held);
    coordinator.until("the injection is reported", Coordinator::heard_of_an_injection);
    coordinator.until("the rest is given back", |coordinator| !coordinator.closes.is_empty());
    assert_eq!(coordinator.closes[0].used, 1);
}

#[test]
fn an_abort_ends_a_delay_on_a_foreign_runtime_and_is_confirmed_after_it() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(60_000), "strict"));
    let site = site(&shim);
    let mut directive = coordinator.injected(&shim, &site);
    let held = std::thread::scope(|scope| {
        let holding = scope.spawn(|| {
            // No tokio in sight: the shim's own thread ends the wait.
            let held = futures::executor::block_on(shim.delay(&mut directive));
            (held, directive)
        });
        let start = Instant::now();
        coordinator.abort();
        coordinator.until("the delay has ended", |_| holding.is_finished());
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(coordinator.inerts.is_empty(), "confirmed while the fault runs");
        let (held, directive) = holding.join().unwrap();
        directive.applied(&any_call(), held);
        held
    });
    assert!(held < Duration::from_secs(10));
    coordinator.until("the abort is confirmed", |coordinator| !coordinator.inerts.is_empty());
    assert_eq!(coordinator.inerts[0].used, 1);
}

#[test]
fn without_answers_a_delay_ends_with_the_lease() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(60_000), "strict"));
    coordinator.answers_renewals = false;
    let site = site(&shim);
    let mut directive = coordinator.injected(&shim, &site);
    let held = shim.delay_blocking(&mut directive);
    assert!(held <= Duration::from_millis(3250), "held for {held:?}");
    directive.applied(&any_call(), held);
}

#[test]
fn a_claim_gets_its_permit_while_it_waits_and_passes_without_one() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(1), "strict_claim"));
    let site = site(&shim);
    let claimed = std::thread::scope(|scope| {
        let claiming = scope.spawn(|| {
            let start = Instant::now();
            let mut in_time = (0_u64..).take_while(|_| start.elapsed() < crate::testing::LONG);
            in_time.find_map(|n| {
                let request = RequestKey::of_bytes(&n.to_le_bytes());
                shim.decide_blocking(&site, &Call { request, trace: None })
            })
        });
        coordinator.until("claims have ended", |_| claiming.is_finished());
        claiming.join().unwrap()
    });
    claimed.expect("a claim with its permit").applied(&any_call(), Duration::ZERO);
    coordinator.until("it is closed", |coordinator| !coordinator.closes.is_empty());
    coordinator.answers_asks = false;
    let start = Instant::now();
    let request = RequestKey::of("late");
    let verdict = futures::executor::block_on(shim.decide(&site, &Call { request, trace: None }));
    assert!(verdict.is_none());
    assert!(start.elapsed() < Duration::from_secs(2), "claimed for {:?}", start.elapsed());
}

#[test]
fn a_claim_waits_only_while_a_coordinator_answers() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(1), "strict_claim"));
    let site = site(&shim);
    let claim = |n: u64| {
        let request = RequestKey::of_bytes(&n.to_le_bytes());
        drop(shim.decide_blocking(&site, &Call { request, trace: None }));
    };
    let waits = || {
        let session = shim.registry().sessions().first()?.key().clone();
        shim.0.wait(shim.0.clock.now().plus(CLAIM_WAIT), Some(session))
    };
    coordinator.until("claims wait", |_| waits().is_some());
    coordinator.is_silent = true;
    let mut number = 0;
    coordinator.until("claims pass without an answer", |_| {
        number += 1;
        claim(number);
        waits().is_none()
    });
    coordinator.is_silent = false;
    coordinator.until("claims wait again", |_| waits().is_some());
    coordinator.far.disconnect();
    coordinator.until("claims pass without a connection", |_| waits().is_none());
}

#[tokio::test]
async fn an_uncooperative_agent_answers_otherwise_and_its_words_never_leave_the_process() {
    let fault = FaultDraft {
        uncooperative_agent: Some(UncooperativeDraft {
            behaviors: Some(vec!["refuse".to_owned()]),
            texts: vec!["I would rather not.".to_owned()],
            ..UncooperativeDraft::default()
        }),
        ..FaultDraft::default()
    };
    let (shim, mut coordinator) = Coordinator::with(plan(fault, "strict"));
    let secret = "SECRET: the customer's password";
    let mut refused = false;
    let mut n = 0_u64;
    let answer = async || {
        n += 1;
        let request = RequestKey::of(&format!("{secret} {n}"));
        let call = Call { request, trace: None };
        refused |= shim.answer_blocking(&planner(), &call, secret.to_owned()) != secret;
    };
    coordinator.until_reported(answer).await;
    assert!(refused);
    coordinator.assert_never_heard(&shim, "SECRET");
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(1), "strict"));
    coordinator.far.command(b"\xff\xff\xff not a command".to_vec());
    coordinator.until("it is counted", |_| shim.status().unreadable == 1);
    drop(coordinator.injected(&shim, &site(&shim)));
    assert_eq!(shim.status().panics, 0);
}

#[test]
fn a_shut_down_shim_passes_everything() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(1), "strict"));
    let site = site(&shim);
    drop(coordinator.injected(&shim, &site));
    shim.shut_down();
    assert!(shim.decide_blocking(&site, &any_call()).is_none());
    assert_eq!(shim.status().link, None);
}

#[test]
fn an_owner_who_did_not_opt_in_gets_a_shim_that_does_nothing() {
    let (pipe, mut far) = pipe();
    let shim = Shim::builder(TenantId::new("acme").unwrap(), ShimId::new("s").unwrap())
        .pipe(pipe)
        .start()
        .unwrap();
    far.connect();
    assert!(!shim.status().enabled);
    assert_eq!(far.try_sent(), None);
}

#[test]
fn the_owner_s_kill_switch_ends_what_runs() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(60_000), "strict"));
    let site = site(&shim);
    let mut directive = coordinator.injected(&shim, &site);
    std::thread::scope(|scope| {
        let holding = scope.spawn(|| shim.delay_blocking(&mut directive));
        shim.kill();
        assert!(holding.join().unwrap() < Duration::from_secs(10));
    });
    assert!(shim.decide_blocking(&site, &any_call()).is_none());
}

fn limited(fault: Fault, max_affected: u32) -> Shim {
    let experiment = Experiment {
        name: ExperimentName::new("e").unwrap(),
        fault,
        probability: Probability::ONE,
        selector: Selector::default(),
    };
    Shim::local(vec![experiment], max_affected, 7).unwrap()
}

fn inject(shim: &Shim, site: &Site, request: &str) -> bool {
    let call = Call { request: RequestKey::of(request), trace: None };
    let Some(mut directive) = shim.decide_blocking(site, &call) else { return false };
    let held = shim.delay_blocking(&mut directive);
    directive.applied(&call, held);
    true
}

#[test]
fn a_local_shim_affects_as_many_calls_as_it_may_and_starts_again() {
    let shim = limited(Fault::Error(ErrorCodes { codes: vec![503], message: None }), 2);
    let site = site(&shim);
    let affected = |shim: &Shim| (0..5).filter(|n| inject(shim, &site, &n.to_string())).count();
    assert_eq!(affected(&shim), 2);
    assert_eq!(shim.counts()[0].1.applied, 2);
    shim.reset();
    assert_eq!(shim.counts()[0].1.applied, 0);
    assert_eq!(affected(&shim), 2);
}

#[test]
fn a_local_delay_takes_its_time_without_a_host_runtime() {
    let shim = limited(Fault::Latency(Latency { delay: Delay::Fixed { ms: 30 } }), 1);
    let site = site(&shim);
    let start = Instant::now();
    assert!(inject(&shim, &site, "r"));
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_local_agent_refuses() {
    let fault = UncooperativeAgent {
        behaviors: vec![Behavior::Refuse],
        texts: vec!["No.".to_owned()],
        keep: 0.5,
        delay: Delay::Fixed { ms: 0 },
    };
    let shim = limited(Fault::UncooperativeAgent(fault), 1);
    let answer = || futures::executor::block_on(shim.answer(&planner(), "Paris".to_owned()));
    assert_eq!(answer(), "No.");
    assert_eq!(answer(), "Paris");
}

/// Runs `child` in a forked copy of this process; its exit code.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs only `child` and leaves by `_exit`, without destructors.
    match unsafe { libc::fork() } {
        0 => {
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(99);
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "failed to fork");
            let mut status = 0;
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child died of {status}");
            libc::WEXITSTATUS(status)
        }
    }
}

#[test]
fn a_forked_child_injects_nothing_until_it_starts_again_with_another_life() {
    let shim = limited(Fault::Error(ErrorCodes { codes: vec![503], message: None }), 3);
    let site = site(&shim);
    assert!(inject(&shim, &site, "parent"));
    let life = shim.registry().incarnation();
    let code = forked(|| {
        if inject(&shim, &site, "child") {
            return 1;
        }
        if shim.after_fork().is_err() {
            return 2;
        }
        if shim.registry().incarnation() == life {
            return 3;
        }
        if !inject(&shim, &site, "child again") { 4 } else { 0 }
    });
    assert_eq!(code, 0);
    assert!(inject(&shim, &site, "parent again"), "the parent goes on");
}

#[test]
fn a_forked_child_of_a_linked_process_has_no_permits() {
    let (shim, mut coordinator) = Coordinator::with(plan(slow(1), "strict"));
    let site = site(&shim);
    drop(coordinator.injected(&shim, &site));
    let child = || i32::from(shim.decide_blocking(&site, &any_call()).is_some());
    assert_eq!(forked(child), 0);
}

#[cfg(any(feature = "rmcp", feature = "tower"))]
#[test]
fn a_panic_in_the_work_of_a_fault_is_counted_and_stays_here() {
    let shim = Shim::off();
    let done: Result<(), _> = shim.unharmed(|| panic!("a fault of the shim"));
    assert_eq!((done, shim.status().panics), (Err(NotApplied::Adapter), 1));
}

/// Signals that a thread of this process blocks, by its name as the system has it.
fn blocked_by(name: &str) -> Vec<u64> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |thread: std::fs::DirEntry| {
        // A thread of another test may have ended meanwhile.
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let blocked = field("SigBlk:")?.trim();
        (field("Name:")?.trim() == name).then(|| u64::from_str_radix(blocked, 16).unwrap())
    };
    threads.filter_map(of).collect()
}

#[test]
fn no_signal_of_the_host_ends_up_on_the_shim_s_thread() {
    let shim = limited(Fault::Error(ErrorCodes { codes: vec![503], message: None }), 1);
    let start = Instant::now();
    while blocked_by("squall-shim").is_empty() && start.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    let blocked = blocked_by("squall-shim");
    assert!(!blocked.is_empty(), "it has no thread");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGPIPE, libc::SIGUSR1] {
        let bit = 1 << (signal - 1);
        assert!(blocked.iter().all(|mask| mask & bit != 0), "signal {signal}: {blocked:x?}");
    }
    assert!(blocked.iter().all(|mask| mask & 1 << (libc::SIGSEGV - 1) == 0), "{blocked:x?}");
    // The host's own thread is as it was.
    let mask = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(mask.contains("SigBlk:\t0000000000000000"), "{mask}");
    drop(shim);
}

#[test]
fn the_thread_leaves_a_name_behind_that_is_still_looked_up() {
    let (answer, question) = std::sync::mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let thread = std::thread::spawn(|| {
        run(runtime, async { drop(tokio::task::spawn_blocking(move || question.recv())) });
    });
    let start = Instant::now();
    while !thread.is_finished() && start.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    assert!(thread.is_finished(), "it waits for an answer that nobody gives");
    drop(answer);
}

#[test]
fn a_forked_child_that_shuts_its_shim_down_waits_for_nobody() {
    let shim = limited(Fault::Error(ErrorCodes { codes: vec![503], message: None }), 1);
    // As another thread of the parent may have held it.
    let held = shim.0.thread.lock().unwrap();
    let code = forked(|| {
        shim.shut_down();
        shim.reset();
        0
    });
    assert_eq!(code, 0);
    drop(held);
}

/// Where the process that is to crash keeps its journal. Set by the test below in a process of its own.
const CRASH_WITH: &str = "SQUALL_TEST_CRASH_WITH_JOURNAL";

/// Does nothing unless it is told to crash.
#[test]
fn crashes_with_a_permit_burned_if_told_to() {
    let Some(path) = std::env::var_os(CRASH_WITH) else { return };
    let (shim, mut coordinator) =
        Coordinator::and(plan(slow(60_000), "strict"), |builder| builder.journal(path));
    let _under_way = coordinator.injected(&shim, &site(&shim));
    println!("life {}", shim.registry().incarnation());
    std::process::abort();
}

#[test]
fn the_grant_of_a_crashed_process_is_closed_by_its_successor() {
    let path = std::env::temp_dir().join(format!("squall-crash-{}", std::process::id()));
    let crashed = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "shim::tests::crashes_with_a_permit_burned_if_told_to"])
        .env(CRASH_WITH, &path)
        .output()
        .unwrap();
    assert!(!crashed.status.success());
    let text = String::from_utf8_lossy(&crashed.stdout);
    let life: String = text.split("life ").nth(1).unwrap().chars().take(32).collect();
    let (shim, mut coordinator) =
        Coordinator::and(plan(slow(1), "strict"), |builder| builder.journal(&path));
    coordinator.until("the dead life's grant is closed", |c| !c.closes.is_empty());
    let close = &coordinator.closes[0];
    assert_eq!((close.incarnation.to_string(), close.used), (life, 1));
    assert_ne!(close.incarnation, shim.registry().incarnation());
    std::fs::remove_file(path).unwrap();
}
