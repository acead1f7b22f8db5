use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::id::{Incarnation, InjectionId, SessionId, ShimId, ToolName};
use squall_proto::vocabulary::message::{CountRow, Evidence, SampleKind, TraceRow};
use squall_proto::vocabulary::time::UnixMillis;

use super::*;
use crate::scenario::{ACME, Scenario, agent, closed, eventual, given, issued, started, strict};
use crate::scenario::{holder, holder_of, tenant};

/// The session of every [`Scenario`], started.
fn running() -> Scenario {
    given(eventual(50), [started()])
}

fn counts(applied: u64) -> Counts {
    Counts { seen: 100, applied, ..Counts::default() }
}

fn row(session: &SessionKey, name: &str, applied: u64) -> CountRow {
    let experiment = ExperimentName::new("latency").unwrap();
    CountRow { session: session.clone(), experiment, agent: agent(name), counts: counts(applied) }
}

fn failing(session: &SessionKey, failed_downstream: u64) -> TraceRow {
    let counts = TraceCounts { failed_downstream, ..TraceCounts::default() };
    TraceRow { session: session.clone(), counts }
}

fn sample(session: &SessionKey) -> Sample {
    Sample {
        session: session.clone(),
        experiment: ExperimentName::new("latency").unwrap(),
        injection: InjectionId([1; 16]),
        agent: agent("planner"),
        tool: ToolName::new("search").unwrap(),
        trace: None,
        at: UnixMillis(0),
        what: SampleKind::Failed,
    }
}

fn evidence(life: u8, rows: Vec<CountRow>) -> Evidence {
    let incarnation = Incarnation([life; 16]);
    Evidence { incarnation, rows, traces: vec![], samples: vec![], samples_lost: 0 }
}

/// One of Acme's shims reports.
fn take(archive: &mut Archive, of: &Scenario, shim: &str, evidence: Evidence) -> Vec<SessionKey> {
    let session = of.session();
    let shim = ShimId::new(shim).unwrap();
    archive.intake(&tenant(ACME), &shim, evidence, |key| (*key == session.key).then_some(session))
}

fn report(archive: &mut Archive, of: &Scenario, shim: &str, applied: u64) {
    take(archive, of, shim, evidence(1, vec![row(&of.key, "planner", applied)]));
}

fn kept<'a>(archive: &'a Archive, of: &Scenario) -> &'a SessionEvidence {
    archive.of(&of.key).expect("something was kept")
}

#[test]
fn counters_are_cumulative_so_that_loss_repeats_and_disorder_are_harmless() {
    let (mut archive, session) = (Archive::default(), running());
    for applied in [3, 7, 7, 5] {
        report(&mut archive, &session, "a", applied);
    }
    assert_eq!(kept(&archive, &session).sums().total, counts(7));
}

#[test]
fn lives_processes_agents_and_experiments_add_up() {
    let (mut archive, session) = (Archive::default(), running());
    let rows = vec![row(&session.key, "planner", 3), row(&session.key, "writer", 2)];
    let changed = take(&mut archive, &session, "a", evidence(1, rows));
    assert_eq!(changed.as_slice(), std::slice::from_ref(&session.key));
    take(&mut archive, &session, "a", evidence(2, vec![row(&session.key, "planner", 1)]));
    report(&mut archive, &session, "b", 4);
    let sums = kept(&archive, &session).sums();
    assert_eq!(sums.total.applied, 10);
    assert_eq!(sums.experiments[&ExperimentName::new("latency").unwrap()].applied, 10);
    assert_eq!(sums.agents[&(tenant(ACME), agent("planner"))].applied, 8);
    assert_eq!(sums.tenants[&tenant(ACME)].applied, 10);
}

#[test]
fn nobody_reports_on_sessions_that_are_not_theirs() {
    let (mut archive, session) = (Archive::default(), running());
    report(&mut archive, &session, "a", 3);
    let other = SessionKey { session: SessionId::new("other").unwrap(), ..session.key.clone() };
    for key in [&other, &session.key] {
        let (traces, samples) = (vec![failing(key, 9)], vec![sample(key)]);
        let forged = Evidence { traces, samples, ..evidence(1, vec![row(key, "planner", 9)]) };
        let shim = ShimId::new("x").unwrap();
        assert!(archive.intake(&tenant("globex"), &shim, forged, |_| None).is_empty());
    }
    assert_eq!(archive.of(&other), None);
    assert_eq!(kept(&archive, &session).sums().total, counts(3));
    assert_eq!(kept(&archive, &session).sums().traces, TraceCounts::default());
    assert_eq!(kept(&archive, &session).samples().count(), 0);
}

#[test]
fn nothing_counts_for_an_experiment_that_the_session_does_not_have() {
    let (mut archive, session) = (Archive::default(), running());
    let experiment = ExperimentName::new("made-up").unwrap();
    let rows = vec![CountRow { experiment: experiment.clone(), ..row(&session.key, "planner", 3) }];
    let samples = vec![Sample { experiment, ..sample(&session.key) }];
    take(&mut archive, &session, "a", Evidence { samples, ..evidence(1, rows) });
    let kept = kept(&archive, &session);
    assert_eq!((kept.sums(), kept.samples().count()), (&Sums::default(), 0));
    assert_eq!(kept.rows_refused(), 1);
}

#[test]
fn traces_count_also_from_a_process_that_injected_nothing() {
    let (mut archive, session) = (Archive::default(), running());
    for (shim, failed) in [("a", 2), ("a", 2), ("b", 3)] {
        let traces = vec![failing(&session.key, failed)];
        let changed =
            take(&mut archive, &session, shim, Evidence { traces, ..evidence(1, vec![]) });
        assert_eq!(changed.as_slice(), std::slice::from_ref(&session.key));
    }
    assert_eq!(kept(&archive, &session).sums().traces.failed_downstream, 5);
}

#[test]
fn more_injections_than_permits_never_enter_the_sums_and_never_go_unseen() {
    let session = given(strict(50), [started(), issued("a", 1, 5)]);
    let mut archive = Archive::default();
    report(&mut archive, &session, "a", 5);
    report(&mut archive, &session, "a", 7);
    report(&mut archive, &session, "never-granted", u64::MAX);
    let kept = kept(&archive, &session);
    assert_eq!(kept.sums().total.applied, 5);
    let excess = |shim, reported, permits| Excess { holder: holder(shim), reported, permits };
    assert_eq!(
        kept.excess(session.session()),
        [excess("a", 7, 5), excess("never-granted", u64::MAX, 0)]
    );
    assert_eq!(kept.rows_refused(), 0, "they are kept, and shown");
}

#[test]
fn a_process_may_have_burned_no_more_than_it_kept_of_its_closed_grants() {
    let session = given(strict(50), [started(), issued("a", 1, 5), closed("a", 1, 2)]);
    let mut archive = Archive::default();
    report(&mut archive, &session, "a", 3);
    let excess = kept(&archive, &session).excess(session.session());
    assert_eq!(excess, [Excess { holder: holder("a"), reported: 3, permits: 2 }]);
}

#[test]
fn a_shim_that_was_never_granted_anything_may_say_what_it_skipped() {
    let session = given(strict(50), [started()]);
    let mut archive = Archive::default();
    let counts = Counts { seen: 9, chosen: 4, skipped: 4, ..Counts::default() };
    let rows = vec![CountRow { counts, ..row(&session.key, "planner", 0) }];
    take(&mut archive, &session, "a", evidence(1, rows));
    assert_eq!(kept(&archive, &session).sums().total, counts);
}

#[test]
fn a_report_that_came_before_its_grant_counts_once_the_grant_is_folded() {
    let mut session = given(strict(50), [started()]);
    let mut archive = Archive::default();
    report(&mut archive, &session, "a", 3);
    assert_eq!(kept(&archive, &session).sums().total.applied, 0);
    session.fold([issued("a", 1, 5)]);
    archive.reconsider(session.session());
    assert_eq!(kept(&archive, &session).sums().total.applied, 3);
    assert_eq!(kept(&archive, &session).excess(session.session()), []);
}

#[test]
fn made_up_processes_take_bounded_room_and_are_counted() {
    let session = given(strict(50), [started()]);
    let mut archive = Archive::default();
    for number in 0..70 {
        report(&mut archive, &session, &format!("liar-{number}"), 1);
    }
    let kept = kept(&archive, &session);
    assert_eq!((kept.excess(session.session()).len(), kept.rows_refused()), (64, 6));
    assert_eq!(archive.rows_refused(), 6);
}

#[test]
fn agents_beyond_those_that_are_shown_are_one_sum_and_the_total_stays_right() {
    let (mut archive, session) = (Archive::default(), running());
    for _ in 0..2 {
        let rows = (0..300).map(|n| row(&session.key, &format!("agent-{n}"), 1)).collect();
        let traces = vec![failing(&session.key, 1)];
        take(&mut archive, &session, "a", Evidence { traces, ..evidence(1, rows) });
    }
    let sums = kept(&archive, &session).sums();
    assert_eq!((sums.total.applied, sums.agents.len()), (300, AGENTS_MAX));
    assert_eq!((sums.other_agents.applied, sums.other_agents_count), (44, 44));
    let agents = BTreeMap::new();
    let listed =
        Sums { agents, other_agents: Counts::default(), other_agents_count: 0, ..sums.clone() };
    assert_eq!(sums.without_agents(), listed);
}

#[test]
fn rows_without_room_are_counted_and_those_that_have_it_go_on() {
    let session = running();
    let mut evidence = SessionEvidence::default();
    let row = |name: &str, applied| Row {
        holder: holder_of(ACME, "a", 1),
        experiment: ExperimentName::new("latency").unwrap(),
        agent: agent(name),
        counts: counts(applied),
    };
    evidence.merge(session.session(), row("planner", 1), true);
    evidence.merge(session.session(), row("writer", 1), false);
    evidence.merge(session.session(), row("planner", 2), false);
    evidence.merge_traces(&holder("a"), TraceCounts::default(), false);
    assert_eq!((evidence.sums().total.applied, evidence.rows_refused()), (2, 2));
}

#[test]
fn a_session_with_as_many_rows_as_are_kept_takes_no_other_one() {
    let session = running();
    let all = 0..ROWS_MAX;
    let place = |n| Place { process: number(n), experiment: 0, agent: 0 };
    let mut full = SessionEvidence {
        rows: all.clone().skip(1).map(|n| (place(n), Counts::default())).collect(),
        traces: all.skip(1).map(|n| (number(n), TraceCounts::default())).collect(),
        ..SessionEvidence::default()
    };
    for shim in ["a", "b"] {
        let row = row(&session.key, "planner", 1);
        let CountRow { session: _, experiment, agent, counts } = row;
        let row = Row { holder: holder(shim), experiment, agent, counts };
        full.merge(session.session(), row, true);
        full.merge_traces(&holder(shim), TraceCounts::default(), true);
    }
    assert_eq!((full.rows.len(), full.traces.len()), (ROWS_MAX, ROWS_MAX));
    assert_eq!((full.sums().total.applied, full.rows_refused()), (1, 2));
}

#[test]
fn a_forgotten_session_leaves_its_room_to_others() {
    let (mut archive, session) = (Archive::default(), running());
    report(&mut archive, &session, "a", 1);
    archive.forget(&session.key);
    assert_eq!(archive, Archive::default());
}

#[test]
fn the_newest_samples_are_kept() {
    let mut evidence = SessionEvidence::default();
    let session = running();
    for at in 0..=SAMPLES_MAX as u64 {
        evidence.sample(holder("a"), Sample { at: UnixMillis(at), ..sample(&session.key) });
    }
    assert_eq!(evidence.samples().count(), SAMPLES_MAX);
    assert_eq!(evidence.samples().next().unwrap().1.at, UnixMillis(1));
}

#[test]
fn lost_samples_are_cumulative_for_each_process_and_add_up() {
    let (mut archive, session) = (Archive::default(), running());
    for (shim, life, samples_lost) in
        [("a", 1, 3), ("a", 1, 5), ("a", 1, 4), ("a", 2, 1), ("b", 1, 0)]
    {
        let evidence = Evidence { samples_lost, ..evidence(life, vec![]) };
        take(&mut archive, &session, shim, evidence);
    }
    assert_eq!(archive.samples_lost(), 6);
}
