use std::time::Duration;

use squall_proto::vocabulary::counts::TraceCounts;
use squall_proto::vocabulary::message::SampleKind;

use super::*;
use crate::site::{Call, Verdict};
use crate::testing::{Process, call, experiment, grant, latency, session, spec, trace};

/// A process with the session `s`, which hits the calls that a test says it hits.
struct Agent(Process);

impl Agent {
    fn new() -> Self {
        let process = Process::new();
        process.registry.install(&[session("s", spec(vec![experiment("e", latency(1), 1.0)]))]);
        Self(process)
    }

    fn call(&self, trace: &TraceId, ended: Ended) {
        self.0.site("a", "t").ended(&Call { trace: Some(trace), ..call("r") }, ended);
    }

    fn hit(&self, trace: &TraceId) {
        let live = self.0.live("s");
        grant(&live, live.wallet().used_total() + 1, 1);
        let call = Call { trace: Some(trace), ..call("r") };
        let Verdict::Inject(directive) = self.0.site("a", "t").decide(&call) else {
            panic!("not chosen")
        };
        directive.applied(&call, Duration::ZERO);
        live.wallet().drain();
    }

    fn counts(&self) -> (u64, u64, u64) {
        self.0.clock.forward(TRACE_IDLE);
        let TraceCounts { failed_downstream, failed_background, succeeded } =
            self.0.registry.trace_counts()[0].counts;
        (failed_downstream, failed_background, succeeded)
    }
}

const OK: Ended = Ended::Ok;
const FAILED: Ended = Ended::Failed;

#[test]
fn a_trace_fails_if_its_last_call_failed_and_nothing_succeeded_after_it() {
    for (calls, expected) in [
        (&[OK, FAILED][..], (0, 1, 0)),
        (&[FAILED, OK], (0, 0, 1)),
        (&[FAILED, FAILED], (0, 1, 0)),
        (&[OK], (0, 0, 1)),
        (&[Ended::FailedByInjection], (0, 0, 0)),
    ] {
        let agent = Agent::new();
        calls.iter().for_each(|ended| agent.call(&trace("t"), *ended));
        assert_eq!(agent.counts(), expected, "{calls:?}");
    }
}

#[test]
fn only_calls_after_the_injection_are_evidence_against_it() {
    for (before, after, expected) in [
        (&[OK][..], &[FAILED][..], (1, 0, 0)),
        (&[FAILED], &[OK], (0, 0, 1)),
        (&[FAILED], &[Ended::FailedByInjection], (0, 0, 0)),
        (&[OK], &[Ended::FailedByInjection], (0, 0, 0)),
        (&[], &[Ended::FailedByInjection, FAILED], (1, 0, 0)),
        (&[], &[Ended::FailedByInjection, OK], (0, 0, 1)),
    ] {
        let agent = Agent::new();
        before.iter().for_each(|ended| agent.call(&trace("t"), *ended));
        agent.hit(&trace("t"));
        after.iter().for_each(|ended| agent.call(&trace("t"), *ended));
        assert_eq!(agent.counts(), expected, "{before:?}, hit, {after:?}");
    }
}

#[test]
fn the_hosts_word_beats_inference() {
    for (outcome, expected) in [
        (Outcome::Failed, (1, 0, 0)),
        (Outcome::Ok, (0, 0, 1)),
        (Outcome::Degraded, (0, 0, 1)),
        (Outcome::Escalated, (0, 0, 1)),
    ] {
        let agent = Agent::new();
        agent.hit(&trace("t"));
        agent.call(&trace("t"), if outcome == Outcome::Failed { OK } else { FAILED });
        agent.0.registry.outcome(&trace("t"), outcome);
        assert_eq!(agent.counts(), expected, "{outcome:?}: and counted once");
    }
    let agent = Agent::new();
    agent.0.registry.outcome(&trace("never seen"), Outcome::Failed);
    assert_eq!(agent.counts(), (0, 1, 0));
}

#[test]
fn a_trace_is_open_until_it_was_idle_for_long() {
    let agent = Agent::new();
    agent.call(&trace("t"), FAILED);
    agent.0.clock.forward(TRACE_IDLE.saturating_sub(Duration::from_millis(1)));
    assert_eq!(agent.0.registry.trace_counts()[0].counts, TraceCounts::default());
    agent.call(&trace("t"), OK);
    assert_eq!(agent.counts(), (0, 0, 1));
}

#[test]
fn the_oldest_trace_is_judged_when_there_are_too_many() {
    let agent = Agent::new();
    agent.call(&trace("first"), FAILED);
    for n in 0..TRACES_MAX {
        agent.call(&trace(&n.to_string()), OK);
    }
    let counts = agent.0.registry.trace_counts()[0].counts;
    assert_eq!((counts.failed_background, counts.succeeded), (1, 0));
    assert_eq!(agent.counts(), (0, 1, TRACES_MAX as u64));
}

#[test]
fn a_failure_after_an_injection_is_on_the_timeline() {
    let agent = Agent::new();
    agent.hit(&trace("t"));
    agent.call(&trace("t"), FAILED);
    let whats: Vec<_> = agent.0.registry.drain_samples(9).into_iter().map(|s| s.what).collect();
    assert_eq!(whats, [SampleKind::Applied { held: Duration::ZERO }, SampleKind::Failed]);
}

#[test]
fn nobody_looks_at_traces_while_no_session_runs() {
    let agent = Agent::new();
    agent.0.registry.install(&[]);
    agent.call(&trace("t"), FAILED);
    assert_eq!(agent.counts(), (0, 0, 0));
}

#[test]
fn a_copy_of_the_process_waits_for_no_trace_that_was_touched_when_it_was_forked() {
    let agent = Agent::new();
    let Process { registry, .. } = &agent.0;
    let (site, live) = (agent.0.site("a", "t"), agent.0.live("s"));
    grant(&live, 1, 1);
    let trace = trace("t");
    let Verdict::Inject(directive) = site.decide(&Call { trace: Some(&trace), ..call("r") }) else {
        panic!("not chosen")
    };
    // What another thread was at, who is not there in the copy; and what the handler of the fork does.
    let _held = lock(&registry.shared().traces.0);
    registry.guard().invalidate();
    let (over, ended) = std::sync::mpsc::channel();
    let registry = Arc::clone(registry);
    std::thread::spawn(move || {
        let call = Call { trace: Some(&trace), ..call("r") };
        site.ended(&call, Ended::Failed);
        registry.outcome(&trace, Outcome::Failed);
        directive.applied(&call, Duration::ZERO);
        over.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("it waits");
}
