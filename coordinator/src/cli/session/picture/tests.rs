use prost_types::Timestamp as WireTimestamp;
use squall_proto::wire::v1::{
    AgentCounts, Budget, ConfirmedHolder, DelaySpec, ExperimentCounts, ExperimentSpec, FaultSpec,
    MalformedOutputSpec, OutOfContactHolder, ProvenBy, SafetySpec, StopReport, StopStage,
    TenantCounts,
};

use super::*;

fn at(millis: i64) -> Option<WireTimestamp> {
    let millis = 1_700_000_000_000 + millis;
    let nanos = i32::try_from(millis % 1000).unwrap() * 1_000_000;
    Some(WireTimestamp { seconds: millis / 1000, nanos })
}

fn counts(applied: u64) -> Option<Counts> {
    Some(Counts { seen: applied * 10, chosen: applied + 3, applied, skipped: 2, not_applicable: 1 })
}

/// A session that was aborted, and whose stop was proven although one shim is out of contact.
pub(in crate::cli) fn aborted() -> Session {
    let stop = StopReport {
        stage: StopStage::StoppedProven.into(),
        epoch: 17,
        reason: "seen enough".to_owned(),
        actor: "ada".to_owned(),
        accepted_at: at(60_000),
        durable_at: at(60_004),
        last_inert_at: at(60_020),
        proven_at: at(63_256),
        confirmed: vec![ConfirmedHolder {
            tenant: "acme".to_owned(),
            shim: "worker-1".to_owned(),
            incarnation: "00112233445566778899aabbccddeeff".to_owned(),
            last_injection_ago: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            confirmed_at: at(60_020),
            late: false,
        }],
        out_of_contact: vec![OutOfContactHolder {
            tenant: "acme".to_owned(),
            shim: "worker-2".to_owned(),
            incarnation: "ffeeddccbbaa99887766554433221100".to_owned(),
            inert_by: at(63_256),
        }],
        proven_by: ProvenBy::Time.into(),
        holder_count: 2,
    };
    Session {
        name: "tenants/acme/sessions/first".to_owned(),
        title: "Does the planner survive a slow search?".to_owned(),
        spec: Some(spec()),
        state: SessionState::Aborted.into(),
        create_time: at(0),
        start_time: at(1_000),
        end_time: at(60_004),
        seed: 42,
        revision: 19,
        budget: Some(Budget { budget: 20, issued: 12, refunded: 4, available: 12, outstanding: 0 }),
        counts: counts(7),
        experiments: vec![
            ExperimentCounts { experiment: "slow-search".to_owned(), counts: counts(5) },
            ExperimentCounts { experiment: "flaky-search".to_owned(), counts: counts(2) },
        ],
        tenants: vec![TenantCounts { tenant: "acme".to_owned(), counts: counts(7) }],
        agents: vec![AgentCounts {
            tenant: "acme".to_owned(),
            agent: "planner".to_owned(),
            counts: counts(7),
        }],
        stop: Some(stop),
        ..Session::default()
    }
}

fn spec() -> SessionSpec {
    let latency = DelaySpec { min_ms: Some(200), max_ms: Some(800), ..DelaySpec::default() };
    let fault = FaultSpec { latency: Some(latency), ..FaultSpec::default() };
    let all_defaults = FaultSpec {
        malformed_output: Some(MalformedOutputSpec::default()),
        ..FaultSpec::default()
    };
    let experiment = |fault, name: Option<&str>, probability| ExperimentSpec {
        name: name.map(str::to_owned),
        fault: Some(fault),
        probability,
        ..ExperimentSpec::default()
    };
    SessionSpec {
        title: "Does the planner survive a slow search?".to_owned(),
        experiments: vec![
            experiment(fault, Some("slow-search"), Some(0.3)),
            experiment(all_defaults, None, None),
        ],
        target: None,
        safety: Some(SafetySpec {
            max_affected_requests: Some(20),
            max_outstanding: Some(2),
            ..SafetySpec::default()
        }),
    }
}

fn running() -> Session {
    Session {
        state: SessionState::Running.into(),
        deadline: at(121_000),
        end_time: None,
        stop: Some(StopReport { stage: StopStage::None.into(), ..StopReport::default() }),
        ..aborted()
    }
}

#[test]
fn a_page_shows_everything() {
    insta::assert_snapshot!(whole(&aborted(), Look::PLAIN));
}

#[test]
fn the_live_view_counts_down_and_its_table_fits_the_terminal() {
    let now = read(at(1_500).as_ref()).unwrap();
    let narrow = Look { width: Some(60), ..Look::PLAIN };
    let text = live(&running(), now, narrow);
    assert!(text.contains("running, 1 m 59 s left"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn an_abort_ends_with_its_verdict() {
    insta::assert_snapshot!(ended(&aborted(), Look::PLAIN));
}

#[test]
fn a_line_says_how_far_the_stop_is() {
    insta::assert_snapshot!(format!("{}\n{}", line(&running()), line(&aborted())));
}

#[test]
fn a_sentence_says_until_when() {
    assert_eq!(
        sentence(&running(), Look::PLAIN),
        "tenants/acme/sessions/first is running, until 2023-11-14 22:15:21.000Z at the latest"
    );
}

#[test]
fn a_specification_is_shown_as_a_session_file_that_says_the_same() {
    let written = specification(spec()).unwrap();
    insta::assert_snapshot!(written);
    let file = crate::session_file::SessionFile::parse(&written).unwrap();
    assert_eq!(file.draft, SessionDraft::try_from(spec()).unwrap());
}
