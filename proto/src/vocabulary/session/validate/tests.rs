use std::time::Duration;

mod together;

use super::*;
use crate::vocabulary::blast_radius::Strictness;
use crate::vocabulary::fault::{Delay, Fault, Latency};
use crate::vocabulary::session::{DelayDraft, ErrorCodesDraft, FaultDraft, SafetyDraft};

fn latency() -> ExperimentDraft {
    ExperimentDraft {
        fault: FaultDraft { latency: Some(DelayDraft::default()), ..FaultDraft::default() },
        ..ExperimentDraft::default()
    }
}

fn draft() -> SessionDraft {
    SessionDraft {
        experiments: vec![latency()],
        safety: SafetyDraft { max_affected_requests: Some(50), ..SafetyDraft::default() },
        ..SessionDraft::default()
    }
}

/// The fields that are named as wrong.
fn fields(draft: &SessionDraft) -> Vec<String> {
    draft
        .validate()
        .expect_err("was accepted")
        .0
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

#[test]
fn the_shortest_draft_gets_the_documented_defaults() {
    let spec = draft().validate().unwrap();
    assert_eq!(spec.experiments[0].name.as_str(), "latency");
    assert_eq!(
        spec.experiments[0].fault,
        Fault::Latency(Latency { delay: Delay::Uniform { min_ms: 100, max_ms: 5000 } })
    );
    assert_eq!(spec.safety.max_outstanding, 5);
    assert_eq!(spec.safety.max_duration, Duration::from_secs(600));
    assert_eq!(spec.safety.strictness, Strictness::Strict);
    assert!(!spec.target.allows(&crate::vocabulary::id::Environment::production()));
}

#[test]
fn all_violations_are_named_at_once_with_their_paths() {
    let mut bad = draft();
    bad.experiments[0].probability = Some(f64::NAN);
    bad.experiments[0].fault.latency =
        Some(DelayDraft { min_ms: Some(9), max_ms: Some(3), ..DelayDraft::default() });
    bad.experiments.push(ExperimentDraft { agents: vec!["a\nb".into()], ..latency() });
    bad.target.percentage = Some(1.5);
    bad.safety.max_affected_requests = Some(0);
    bad.safety.blast_radius = Some("GALAXY".into());
    assert_eq!(
        fields(&bad),
        [
            "experiments[0].fault.latency.min_ms",
            "experiments[0].probability",
            "experiments[1].name",
            "experiments[1].agents[0]",
            "safety.blast_radius",
            "safety.max_affected_requests",
            "target.percentage",
        ]
    );
}

#[test]
fn experiments_are_needed_and_their_names_are_unique() {
    assert_eq!(fields(&SessionDraft { experiments: vec![], ..draft() }), ["experiments"]);
    assert_eq!(
        fields(&SessionDraft { experiments: vec![latency(), latency()], ..draft() }),
        ["experiments[1].name"]
    );
    assert_eq!(
        fields(&SessionDraft { experiments: vec![latency(); 101], ..draft() })[0],
        "experiments"
    );
}

#[test]
fn an_experiment_names_exactly_one_fault() {
    let mut none = draft();
    none.experiments[0].fault = FaultDraft::default();
    assert_eq!(fields(&none), ["experiments[0].fault"]);
    let mut two = draft();
    two.experiments[0].fault.error = Some(ErrorCodesDraft::default());
    assert_eq!(fields(&two), ["experiments[0].fault"]);
}

#[test]
fn fields_of_another_distribution_are_refused_instead_of_ignored() {
    let mut bad = draft();
    bad.experiments[0].fault.latency = Some(DelayDraft {
        fixed_ms: Some(5),
        min_ms: Some(1),
        sigma: Some(1.0),
        ..DelayDraft::default()
    });
    assert_eq!(
        fields(&bad),
        ["experiments[0].fault.latency.min_ms", "experiments[0].fault.latency.sigma"]
    );
}

#[test]
fn a_delay_of_nothing_is_refused() {
    let delay = |fixed_ms, max_ms, min_ms| {
        let mut bad = draft();
        let latency = DelayDraft { fixed_ms, max_ms, min_ms, ..DelayDraft::default() };
        bad.experiments[0].fault.latency = Some(latency);
        bad
    };
    assert_eq!(fields(&delay(Some(0), None, None)), ["experiments[0].fault.latency.fixed_ms"]);
    assert_eq!(fields(&delay(None, Some(0), Some(0))), ["experiments[0].fault.latency.max_ms"]);
    assert!(delay(None, Some(1), Some(0)).validate().is_ok());
}

#[test]
fn a_blast_radius_bound_to_requests_takes_permits_bound_to_requests() {
    let mut trace = draft();
    trace.safety.blast_radius = Some("single_trace".into());
    assert_eq!(trace.validate().unwrap().safety.strictness, Strictness::StrictClaim);
    trace.safety.strictness = Some("strict".into());
    assert_eq!(fields(&trace), ["safety.strictness"]);
    trace.safety.blast_radius = Some("single_request".into());
    trace.safety.strictness = None;
    assert_eq!(fields(&trace), ["safety.max_affected_requests"]);
}

#[test]
fn tenants_belong_to_multi_tenant_sessions_and_only_to_them() {
    let mut multi = draft();
    multi.safety.blast_radius = Some("multi_tenant".into());
    assert_eq!(fields(&multi), ["target.tenants"]);
    multi.target.tenants = vec!["acme".into(), "b.c".into()];
    assert_eq!(fields(&multi), ["target.tenants[1]"]);
    multi.target.tenants = vec!["acme".into()];
    multi.safety.max_per_tenant.insert("other".into(), 3);
    assert_eq!(fields(&multi), ["safety.max_per_tenant.other"]);
    let mut single = draft();
    single.target.tenants = vec!["acme".into()];
    assert_eq!(fields(&single), ["target.tenants"]);
}

#[test]
fn an_eventual_session_refuses_bounds_that_only_permits_can_hold() {
    let mut eventual = draft();
    eventual.safety.strictness = Some("eventual".into());
    assert!(eventual.validate().is_ok());
    eventual.safety.max_concurrent = Some(2);
    assert_eq!(fields(&eventual), ["safety.strictness"]);
}
