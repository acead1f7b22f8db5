use serde_json::{Value, json};
use squall_proto::wire::v1::timeline_sample::What;
use squall_proto::wire::v1::{
    Budget, ConfirmedHolder, Counts, ProvenBy, SessionState, StopReport, StopStage, TimelineSample,
};

use super::*;

mod log;

const BUDGET: u64 = 20;

fn second(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_700_000_000 + seconds, nanos: 0 })
}

/// A session of the drill that runs, at revision 7, with 12 permits issued, 2 of them given back, and 8 calls affected.
fn running() -> Session {
    Session {
        name: "tenants/acme/sessions/drill-1-0".to_owned(),
        state: SessionState::Running.into(),
        revision: 7,
        budget: Some(Budget {
            budget: BUDGET,
            issued: 12,
            refunded: 2,
            available: 10,
            outstanding: 2,
        }),
        counts: Some(Counts { seen: 90, chosen: 40, applied: 8, skipped: 30, not_applicable: 1 }),
        replica: "one".to_owned(),
        owner: "one".to_owned(),
        ..Session::default()
    }
}

fn with(change: impl FnOnce(&mut Session, &mut Budget, &mut Counts)) -> Session {
    let mut session = running();
    let (mut budget, mut counts) =
        (session.budget.unwrap_or_default(), session.counts.unwrap_or_default());
    change(&mut session, &mut budget, &mut counts);
    Session { budget: Some(budget), counts: Some(counts), ..session }
}

/// The same session, aborted at second 100 and proven a second later, by the confirmation of its one holder.
fn stopped() -> Session {
    let confirmed = ConfirmedHolder {
        tenant: "acme".to_owned(),
        shim: "planner".to_owned(),
        incarnation: "aa".to_owned(),
        ..ConfirmedHolder::default()
    };
    let stop = StopReport {
        stage: StopStage::StoppedProven.into(),
        epoch: 10,
        durable_at: second(100),
        proven_at: second(101),
        confirmed: vec![confirmed],
        proven_by: ProvenBy::Confirmations.into(),
        holder_count: 1,
        ..StopReport::default()
    };
    with(|session, budget, _| {
        session.state = SessionState::Aborted.into();
        session.revision = 12;
        session.stop = Some(stop);
        (budget.refunded, budget.available) = (3, 11);
    })
}

/// The same, of a replica that read further than any log here.
fn ahead() -> Session {
    Session { revision: 99, ..stopped() }
}

fn event(sequence: u64, kind: &str, request_id: &str, detail: Value) -> LogEvent {
    let (kind, request_id) = (kind.to_owned(), request_id.to_owned());
    let detail_json = detail.to_string();
    LogEvent { sequence, kind, request_id, detail_json, time: second(0), ..LogEvent::default() }
}

fn holder() -> Value {
    json!({"tenant": "acme", "shim": "planner", "incarnation": "aa"})
}

fn issued(sequence: u64, req_no: u64, permits: u64) -> LogEvent {
    let detail = json!({"holder": holder(), "req_no": req_no, "permits": permits});
    event(sequence, "grant_issued", "", detail)
}

fn closed(sequence: u64, req_no: u64, used: u64) -> LogEvent {
    event(sequence, "grant_closed", "", json!({"holder": holder(), "req_no": req_no, "used": used}))
}

/// The log of [`stopped`]: 12 issued, 9 burned.
fn log() -> Vec<LogEvent> {
    vec![
        event(3, "created", "make", json!({})),
        event(4, "started", "go", json!({"shims": 1})),
        issued(5, 1, 10),
        closed(6, 1, 8),
        issued(7, 2, 2),
        event(10, "aborted", "halt!", json!({"reason": "enough", "cause": "operator"})),
        closed(11, 2, 1),
        event(12, "inert_confirmed", "", json!({"holder": holder(), "used": 9})),
    ]
}

fn at(millis: u64) -> At {
    At::from_millis(millis)
}

/// A drill of one session that was stopped, as it should be.
struct Forged {
    judge: Judge,
    now: At,
}

impl Forged {
    fn new() -> Self {
        let mut judge = Judge::new(BUDGET);
        let round = judge.begin(running().name);
        for (number, (kind, id, revision)) in
            [(Kind::Create, "make", 3), (Kind::Start, "go", 4), (Kind::Abort, "halt!", 10)]
                .into_iter()
                .enumerate()
        {
            let sent = 100 * number as u64;
            let command = judge.send(at(sent), round, kind, id.to_owned());
            judge.answered(command, Outcome::Done { at: at(sent + 50), revision });
        }
        Self { judge, now: at(1000) }
    }

    fn sees(mut self, session: &Session) -> Self {
        let sent = self.now;
        self.now += at(10);
        self.judge.snapshot(sent, self.now, 0, "here", session);
        self
    }

    fn reads(mut self, server: &str, log: Vec<LogEvent>) -> Self {
        self.judge.log(0, server, log);
        self
    }

    fn reported(mut self, report: Report) -> Self {
        self.judge.report(0, "here", report);
        self
    }

    /// What it found broken, once everything is settled.
    fn found(mut self) -> Vec<(Promise, &'static str)> {
        self.judge.settle(true);
        self.judge.violations.into_keys().collect()
    }
}

/// What breaks when a coordinator shows this.
fn broken_by(session: &Session) -> Vec<(Promise, &'static str)> {
    Forged::new().sees(session).sees(&stopped()).reads("here", log()).found()
}

fn sample(seconds: i64, held: i32) -> TimelineSample {
    TimelineSample {
        time: second(seconds),
        tenant: "acme".to_owned(),
        shim: "planner".to_owned(),
        what: Some(What::Applied(prost_types::Duration { seconds: 0, nanos: held })),
        ..TimelineSample::default()
    }
}

fn report(samples: Vec<TimelineSample>) -> Report {
    let counts = running().counts;
    let agent = squall_proto::wire::v1::AgentCounts { counts, ..Default::default() };
    let tenant = squall_proto::wire::v1::TenantCounts { counts, ..Default::default() };
    let experiment = squall_proto::wire::v1::ExperimentCounts { counts, ..Default::default() };
    Report {
        session: Some(stopped()),
        applied: 8,
        experiments: vec![experiment],
        tenants: vec![tenant],
        agents: vec![agent],
        samples,
        ..Report::default()
    }
}

#[test]
fn a_drill_in_which_everything_is_as_it_should_breaks_nothing() {
    let forged = Forged::new().sees(&running()).sees(&stopped());
    let forged = forged.reads("here", log()).reads("there", log());
    assert_eq!(forged.reported(report(vec![sample(99, 1_000_000)])).found(), []);
}

#[test]
fn more_than_the_budget_is_seen() {
    let spent =
        with(|_, budget, counts| (budget.issued, counts.applied, counts.chosen) = (40, 21, 60));
    let found = broken_by(&spent);
    for what in [
        "more permits were spent than the budget has",
        "permits don't add up",
        "more requests were affected than the budget has",
    ] {
        assert!(found.contains(&(Promise::Bound, what)), "{found:?}");
    }
    let other = with(|_, budget, _| (budget.budget, budget.available) = (21, 11));
    assert_eq!(
        broken_by(&other),
        [(Promise::Bound, "the session has another budget than was ordered")]
    );
    let early = with(|_, _, counts| counts.applied = 11);
    assert!(
        broken_by(&early)
            .contains(&(Promise::Bound, "more requests were affected than permits spent"))
    );
}

#[test]
fn what_one_replica_shows_may_not_go_back() {
    let back = |session| Forged::new().sees(&running()).sees(&session).sees(&ahead()).found();
    let found = back(with(|session, _, _| session.revision = 6));
    assert!(found.contains(&(Promise::Log, "a replica went back in the log")), "{found:?}");
    let found = back(with(|session, budget, _| {
        (session.revision, budget.issued, budget.available) = (8, 11, 11);
    }));
    assert!(found.contains(&(Promise::Bound, "permits that were spent or given back are gone")));
    let found = back(with(|_, _, counts| counts.seen = 89));
    assert_eq!(found, [(Promise::Reached, "counts went back")]);
    // Two that were asked at the same time may answer in any order.
    let mut both = Forged::new().sees(&running()).judge;
    let early = with(|_, _, counts| counts.seen = 89);
    both.snapshot(at(1005), at(1020), 0, "here", &early);
    assert!(both.violations.is_empty());
    // Another replica may be behind.
    let behind = with(|session, budget, counts| {
        (session.revision, session.replica) = (6, "two".to_owned());
        (budget.issued, budget.available, counts.applied, counts.chosen) = (10, 12, 7, 38);
    });
    assert_eq!(back(behind), []);
}

#[test]
fn replicas_that_read_as_far_must_show_the_same() {
    let other = |change: fn(&mut Session, &mut Budget)| {
        let session = with(|session, budget, _| {
            session.replica = "two".to_owned();
            change(session, budget);
        });
        Forged::new().sees(&running()).sees(&session).sees(&ahead()).found()
    };
    let differs = [(Promise::Log, "replicas tell differently of the same log")];
    let more = |_: &mut Session, budget: &mut Budget| (budget.issued, budget.available) = (13, 9);
    assert_eq!(other(more), differs);
    assert_eq!(other(|session, _| session.state = SessionState::Paused.into()), differs);
    // One knows of a halt already: it stands elsewhere in the log.
    assert_eq!(other(|session, _| session.state = SessionState::Aborted.into()), []);
}

#[test]
fn outcomes_without_a_choice_and_sums_that_do_not_add_up_are_seen() {
    let vain = with(|_, _, counts| counts.chosen = 38);
    assert!(
        broken_by(&vain)
            .contains(&(Promise::Reached, "more outcomes were counted than calls chosen"))
    );
    let mut short = report(Vec::new());
    short.agents.clear();
    assert_eq!(
        Forged::new().reported(short).found(),
        [(Promise::Reached, "sums of a report don't add up")]
    );
    let held = report(vec![sample(99, 0)]);
    assert_eq!(
        Forged::new().reported(held).found(),
        [(Promise::Reached, "a fault was counted that held its call for no time")]
    );
    let over = Report { overshoot: 1, ..report(Vec::new()) };
    assert_eq!(
        Forged::new().reported(over).found(),
        [(Promise::Bound, "a shim reported more than its permits")]
    );
}

#[test]
fn a_fault_after_the_proof_is_seen_but_not_that_of_a_process_that_slept() {
    let after = |session: Session| {
        let forged = Forged::new().sees(&session).reads("here", log());
        forged.reported(report(vec![sample(104, 1_000_000)])).found()
    };
    assert_eq!(after(stopped()), [(Promise::Stop, "a fault ended after the stop was proven")]);
    let mut slept = stopped();
    slept.stop.get_or_insert_default().confirmed[0].late = true;
    assert_eq!(after(slept), []);
    let mut open = stopped();
    open.stop.get_or_insert_default().proven_at = second(200);
    let forged = Forged::new().sees(&open).reported(report(vec![sample(106, 1_000_000)]));
    assert_eq!(
        forged.found(),
        [(Promise::Stop, "a fault ended later than a lease after the abort")]
    );
}

#[test]
fn a_stop_without_proof_and_permits_behind_a_proof_are_seen() {
    let mut open = stopped();
    open.stop.get_or_insert_default().set_stage(StopStage::AbortedDurable);
    let unproven = [(Promise::Stop, "a stop was not proven in time")];
    assert_eq!(Forged::new().sees(&open).reads("here", log()).found(), unproven);
    // Where nobody answers, nobody can tell.
    let mut silent = Forged::new().sees(&open).judge;
    silent.settle(false);
    assert!(silent.violations.is_empty());
    let mut more = stopped();
    let budget = Budget { budget: BUDGET, issued: 13, refunded: 3, available: 10, outstanding: 0 };
    (more.revision, more.budget) = (13, Some(budget));
    let found = Forged::new().sees(&stopped()).sees(&more).found();
    assert_eq!(found, [(Promise::Stop, "permits were issued after the stop was proven")]);
}

#[test]
fn more_than_the_holders_confirmed_is_seen() {
    let mut log = log();
    log[7] = event(12, "inert_confirmed", "", json!({"holder": holder(), "used": 8}));
    let found = Forged::new().sees(&stopped()).reads("here", log).found();
    assert_eq!(found, [(Promise::Stop, "more permits were used than their holders confirmed")]);
}

#[test]
fn a_fault_in_a_pause_is_seen() {
    let mut log = log();
    let pause = |sequence, kind, seconds| LogEvent {
        time: second(seconds),
        ..event(sequence, kind, "", json!({}))
    };
    log.splice(5..5, [pause(8, "paused", 10), pause(9, "resumed", 20)]);
    let during = |seconds| {
        let forged = Forged::new().sees(&stopped()).reads("here", log.clone());
        forged.reported(report(vec![sample(seconds, 1_000_000)])).found()
    };
    assert_eq!(during(16), [(Promise::Stop, "a fault ended in a pause")]);
    // Within a lease it may not have heard of it.
    assert_eq!(during(12), []);
}

#[test]
fn what_was_not_tested_is_said() {
    let untested = |judge: Judge| {
        let of = |promise| judge.untested.iter().filter(move |(of, _)| *of == promise).count();
        Promise::ALL.map(of)
    };
    // Nothing at all.
    let mut judge = Judge::new(BUDGET);
    judge.settle(true);
    assert_eq!(untested(judge), [2, 3, 2, 1]);
    // A stop that was disturbed, and a bound that was reached.
    let mut judge = Forged::new().sees(&running()).judge;
    judge.sign(at(9), Sign::CoordinatorLost, "gone".to_owned());
    let mut used_up = stopped();
    used_up.budget =
        Some(Budget { budget: BUDGET, issued: 23, refunded: 3, available: 0, outstanding: 0 });
    used_up.revision = 11;
    judge.snapshot(at(2000), at(2010), 0, "here", &used_up);
    let mut whole = log();
    whole.truncate(7);
    judge.log(0, "here", whole);
    judge.settle(true);
    assert_eq!(untested(judge), [0, 0, 0, 0]);
}

#[test]
fn signs_of_disturbance_are_told_apart() {
    let mut judge = Forged::new().judge;
    judge.lost(at(1), "there", "never answered");
    assert!(judge.signs.is_empty(), "an address that never answered was not lost");
    judge.heard(at(2), "here", "one");
    assert_eq!(judge.rounds[0].signs, 0);
    judge.lost(at(3), "here", "refused");
    judge.lost(at(4), "here", "refused");
    judge.heard(at(5), "here", "two");
    let shims = |heard| BTreeMap::from([("planner (aa)".to_owned(), heard)]);
    judge.fleet(at(6), &shims(true));
    judge.fleet(at(7), &BTreeMap::new());
    assert!(!judge.signs.contains_key(&Sign::ShimLost), "who has just begun knows no shim");
    judge.fleet(at(8), &shims(false));
    assert_eq!(judge.rounds[0].signs, 3, "a change, a loss, and a shim");
    let mut judge = Forged { judge, now: at(8) }.sees(&running()).judge;
    let taken = with(|session, _, _| session.owner = "two".to_owned());
    judge.snapshot(at(20), at(21), 0, "here", &taken);
    let expected = [
        (Sign::CoordinatorLost, 1),
        (Sign::ReplicaChanged, 2),
        (Sign::Takeover, 1),
        (Sign::ShimLost, 1),
    ];
    assert_eq!(judge.signs, BTreeMap::from(expected));
    assert_eq!((judge.shims_most, judge.lives()), (1, 1));
}
