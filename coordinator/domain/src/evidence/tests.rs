use squall_proto::vocabulary::id::{Incarnation, InjectionId, SessionId, ShimId, ToolName};
use squall_proto::vocabulary::message::{CountRow, SampleKind, TraceRow};
use squall_proto::vocabulary::time::UnixMillis;

use super::*;

fn key(session: &str) -> SessionKey {
    let tenant = TenantId::new("acme").unwrap();
    SessionKey { tenant, session: SessionId::new(session).unwrap() }
}

fn counts(applied: u64) -> Counts {
    Counts { seen: 100, applied, ..Counts::default() }
}

fn row(session: &str, experiment: &str, agent: &str, applied: u64) -> CountRow {
    let experiment = ExperimentName::new(experiment).unwrap();
    let agent = AgentName::new(agent).unwrap();
    CountRow { session: key(session), experiment, agent, counts: counts(applied) }
}

fn failing(session: &str, failed_downstream: u64) -> TraceRow {
    let counts = TraceCounts { failed_downstream, ..TraceCounts::default() };
    TraceRow { session: key(session), counts }
}

fn sample(session: &str) -> Sample {
    Sample {
        session: key(session),
        experiment: ExperimentName::new("latency").unwrap(),
        injection: InjectionId([1; 16]),
        agent: AgentName::new("planner").unwrap(),
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

fn take(archive: &mut Archive, shim: &str, evidence: Evidence) -> Vec<SessionKey> {
    let (tenant, shim) = (TenantId::new("acme").unwrap(), ShimId::new(shim).unwrap());
    archive.intake(&tenant, &shim, evidence, |known| *known == key("s"))
}

fn sums(archive: &Archive) -> Sums {
    archive.of(&key("s")).map(SessionEvidence::sums).unwrap_or_default()
}

#[test]
fn counters_are_cumulative_so_that_loss_repeats_and_disorder_are_harmless() {
    let mut archive = Archive::default();
    for applied in [3, 7, 7, 5] {
        take(&mut archive, "a", evidence(1, vec![row("s", "latency", "planner", applied)]));
    }
    assert_eq!(sums(&archive).total, counts(7));
}

#[test]
fn lives_processes_agents_and_experiments_add_up() {
    let mut archive = Archive::default();
    let rows = vec![row("s", "latency", "planner", 3), row("s", "error", "writer", 2)];
    assert_eq!(take(&mut archive, "a", evidence(1, rows)), [key("s")]);
    take(&mut archive, "a", evidence(2, vec![row("s", "latency", "planner", 1)]));
    take(&mut archive, "b", evidence(1, vec![row("s", "latency", "planner", 4)]));
    let sums = sums(&archive);
    assert_eq!(sums.total.applied, 10);
    assert_eq!(sums.experiments[&ExperimentName::new("latency").unwrap()].applied, 8);
    let planner = (TenantId::new("acme").unwrap(), AgentName::new("planner").unwrap());
    assert_eq!(sums.agents[&planner].applied, 8);
    assert_eq!(sums.tenants[&planner.0].applied, 10);
}

#[test]
fn nobody_reports_on_sessions_that_are_not_theirs() {
    let mut archive = Archive::default();
    take(&mut archive, "a", evidence(1, vec![row("s", "latency", "planner", 3)]));
    let rows = vec![row("other", "latency", "planner", 3)];
    let (traces, samples) = (vec![failing("other", 9)], vec![sample("other")]);
    let changed = take(&mut archive, "a", Evidence { traces, samples, ..evidence(1, rows) });
    assert!(changed.is_empty());
    assert_eq!(archive.of(&key("other")), None);
    // Nor if it is in the archive already, by those who may.
    let (tenant, shim) = (TenantId::new("globex").unwrap(), ShimId::new("x").unwrap());
    let (traces, samples) = (vec![failing("s", 9)], vec![sample("s")]);
    let forged = Evidence { traces, samples, ..evidence(1, vec![]) };
    assert!(archive.intake(&tenant, &shim, forged, |_| false).is_empty());
    assert_eq!(sums(&archive).traces, TraceCounts::default());
    assert_eq!(archive.of(&key("s")).unwrap().samples().count(), 0);
}

#[test]
fn traces_count_also_from_a_process_that_injected_nothing() {
    let mut archive = Archive::default();
    let changed =
        take(&mut archive, "a", Evidence { traces: vec![failing("s", 2)], ..evidence(1, vec![]) });
    assert_eq!(changed, [key("s")]);
    take(&mut archive, "b", Evidence { traces: vec![failing("s", 3)], ..evidence(1, vec![]) });
    assert_eq!(archive.of(&key("s")).unwrap().trace_counts().failed_downstream, 5);
}

#[test]
fn the_newest_samples_are_kept() {
    let mut session = SessionEvidence::default();
    let holder = Holder {
        tenant: TenantId::new("acme").unwrap(),
        shim: ShimId::new("a").unwrap(),
        incarnation: Incarnation([1; 16]),
    };
    for at in 0..=SAMPLES_MAX as u64 {
        session.sample(holder.clone(), Sample { at: UnixMillis(at), ..sample("s") });
    }
    assert_eq!(session.samples().count(), SAMPLES_MAX);
    assert_eq!(session.samples().next().unwrap().1.at, UnixMillis(1));
}

#[test]
fn lost_samples_are_cumulative_for_each_process_and_add_up() {
    let mut archive = Archive::default();
    for (shim, life, samples_lost) in
        [("a", 1, 3), ("a", 1, 5), ("a", 1, 4), ("a", 2, 1), ("b", 1, 0)]
    {
        take(&mut archive, shim, Evidence { samples_lost, ..evidence(life, vec![]) });
    }
    assert_eq!(archive.samples_lost(), 6);
}

#[test]
fn rows_without_room_are_counted() {
    let mut archive = Archive::default();
    take(&mut archive, "a", evidence(1, vec![row("s", "latency", "planner", 1)]));
    assert_eq!(archive.rows_refused(), 0);
    archive.sessions.get_mut(&key("s")).unwrap().rows_refused = 2;
    assert_eq!(archive.rows_refused(), 2);
}
