//! Runs are what their seeds say, to the byte; and no promise is broken in any of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_sim::coverage::Coverage;
use squall_sim::run;
use squall_sim::scenario::Scenario;

/// Seeds of every test run. More are for `make sim`.
const SEEDS: u64 = 1_000;

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    let mut hashes = BTreeSet::new();
    for seed in 0..20 {
        let scenario = Scenario::draw(seed);
        let (first, second) = (run(&scenario), run(&scenario));
        assert_eq!((first.hash, first.events), (second.hash, second.events), "seed {seed}");
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 20, "two seeds made the same run");
}

#[test]
fn two_processes_make_the_same_runs() {
    let say = || {
        let program = env!("CARGO_BIN_EXE_sim");
        let output = Command::new(program).args(["--seeds", "20"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (first, second) = (say(), say());
    assert!(first.contains("traces: "), "{first}");
    assert_eq!(first, second);
}

/// What must have taken place somewhere in all those runs, beside every kind of trouble: or nothing of it was put to the test.
const MUST_HAPPEN: [&str; 37] = [
    "appends answered as duplicates",
    "appends on a full log",
    "appends stored after their sender gave up",
    "appends that lost a race",
    "appends unanswered",
    "aborts",
    "calls given up",
    "changes of owners",
    "claims",
    "commands without an answer in time",
    "confirmations",
    "connections lost",
    "error",
    "faults applied",
    "faults cut short",
    "forks",
    "graceful stops",
    "grants closed by a journal",
    "grants sent after a takeover",
    "halts",
    "latency",
    "leases lengthened",
    "malformed output",
    "pauses",
    "processes that left",
    "refused: as many outstanding as may be",
    "refused: concurrency or rate",
    "refused: dry",
    "refused: not running",
    "refused: out of scope",
    "releases",
    "replicas without evidence",
    "requests that nobody listened to",
    "resumes",
    "starts from a snapshot",
    "stops pushed and not durable yet",
    "time-out",
];

/// Every kind of trouble that a scenario can have.
const KINDS_OF_TROUBLE: usize = 20;

#[test]
fn no_promise_is_broken_in_a_thousand_runs_and_everything_is_put_to_the_test() {
    let (next, sums) = (AtomicU64::new(0), Mutex::new(Coverage::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let outcome = run(&Scenario::draw(seed));
                    assert_eq!(outcome.violation, None, "seed {seed}: {}", outcome.lines.concat());
                    sums.lock().unwrap().merge(&outcome.coverage);
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap();
    let missing: Vec<_> = MUST_HAPPEN.into_iter().filter(|what| sums.of(what) == 0).collect();
    assert!(missing.is_empty(), "in {SEEDS} runs there were no {missing:?}");
    let trouble = sums.iter().filter(|(what, _)| what.starts_with("trouble: ")).count();
    assert_eq!(trouble, KINDS_OF_TROUBLE);
}

#[test]
fn what_failed_once_does_not_fail_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files: BTreeSet<_> =
        files.filter(|file| file.extension().is_some_and(|ext| ext == "json")).collect();
    for file in files {
        let scenario: Scenario =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(!scenario.reason.is_empty(), "{} says no reason", file.display());
        let outcome = run(&scenario);
        assert_eq!(outcome.violation, None, "{}: {}", file.display(), scenario.reason);
    }
}
