//! Evidence says nothing that no process can reach, and is not lost for what a host's clock says.

use prost::Message;

use super::{fields, key};
use crate::vocabulary::id::{Incarnation, InjectionId, SessionKey};
use crate::vocabulary::limits::{COUNT_MAX, MOMENT_MAX};
use crate::vocabulary::message::{Evidence, Sample, SampleKind};
use crate::vocabulary::time::UnixMillis;
use crate::wire::{decode_evidence, encode_evidence, v1};

#[test]
fn a_count_or_a_moment_that_no_process_can_reach_is_refused() {
    let decoded = |count, moment| {
        let counts = v1::Counts { applied: count, ..v1::Counts::default() };
        let traces = v1::TraceCounts { failed_downstream: count, ..v1::TraceCounts::default() };
        let sample = v1::Sample {
            session: Some(key()),
            experiment: "latency".into(),
            injection: vec![1; 16],
            agent: "planner".into(),
            tool: "search".into(),
            at_unix_ms: moment,
            what: Some(v1::sample::What::Failed(v1::CallFailed {})),
            ..v1::Sample::default()
        };
        let row = v1::CountRow {
            session: Some(key()),
            experiment: "latency".into(),
            agent: "planner".into(),
            counts: Some(counts),
        };
        let evidence = v1::Evidence {
            incarnation: vec![0; 16],
            rows: vec![row],
            traces: vec![v1::TraceRow { session: Some(key()), counts: Some(traces) }],
            samples: vec![sample],
            samples_lost: 0,
        };
        decode_evidence(&evidence.encode_to_vec())
    };
    assert!(decoded(COUNT_MAX, MOMENT_MAX.0).is_ok());
    assert_eq!(
        fields(decoded(COUNT_MAX + 1, MOMENT_MAX.0 + 1)),
        ["rows[0].counts.applied", "traces[0].counts.failed_downstream", "samples[0].at_unix_ms"]
    );
}

#[test]
fn a_host_with_a_strange_clock_loses_no_evidence() {
    let mut evidence = Evidence {
        incarnation: Incarnation([1; 16]),
        rows: vec![],
        traces: vec![],
        samples: vec![],
        samples_lost: 0,
    };
    evidence.samples.push(Sample {
        session: SessionKey::try_from(key()).unwrap(),
        experiment: "latency".parse().unwrap(),
        injection: InjectionId([1; 16]),
        agent: "planner".parse().unwrap(),
        tool: "search".parse().unwrap(),
        trace: None,
        at: UnixMillis(u64::MAX),
        what: SampleKind::Failed,
    });
    let read = decode_evidence(&encode_evidence(&evidence)).unwrap();
    assert_eq!(read.samples[0].at, MOMENT_MAX);
}
