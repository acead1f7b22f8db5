use super::*;
use crate::vocabulary::violation::Violation;

/// Everything about it is sound but its probability and its budget.
fn spec() -> v1::SessionSpec {
    let experiment = v1::ExperimentSpec {
        fault: Some(v1::FaultSpec {
            error: Some(v1::ErrorCodesSpec::default()),
            ..v1::FaultSpec::default()
        }),
        probability: Some(2.0),
        ..v1::ExperimentSpec::default()
    };
    v1::SessionSpec {
        experiments: vec![experiment],
        safety: Some(v1::SafetySpec {
            max_affected_requests: Some(0),
            ..v1::SafetySpec::default()
        }),
        ..v1::SessionSpec::default()
    }
}

/// Spoils one thing more, and says which fields are named as wrong then.
fn fields(spoil: impl FnOnce(&mut v1::SessionSpec)) -> Vec<String> {
    let mut spec = spec();
    spoil(&mut spec);
    let Violations(found) = SessionSpec::try_from(spec).expect_err("was accepted");
    found.into_iter().map(|Violation { field, .. }| field).collect()
}

#[test]
fn a_list_over_its_limit_hides_nothing_that_is_wrong_elsewhere() {
    let (probability, budget) = ("experiments[0].probability", "safety.max_affected_requests");
    let found =
        fields(|spec| spec.experiments[0].agents = vec!["a".into(); SELECTOR_NAMES_MAX + 1]);
    assert_eq!(found, ["experiments[0].agents", probability, budget]);
    let found = fields(|spec| {
        let named = |index: usize| v1::ExperimentSpec {
            name: Some(format!("e{index}")),
            probability: None,
            ..spec.experiments[0].clone()
        };
        let more: Vec<_> = (0..EXPERIMENTS_MAX).map(named).collect();
        spec.experiments.extend(more);
    });
    assert_eq!(found, ["experiments", probability, budget]);
    let found = fields(|spec| {
        let tenants = (0..=TENANTS_MAX).map(|index| (format!("t{index}"), 1)).collect();
        spec.safety.as_mut().unwrap().max_per_tenant = tenants;
    });
    assert_eq!(found, ["safety.max_per_tenant", probability, budget]);
}

#[test]
fn a_status_code_that_no_draft_can_hold_hides_nothing_that_is_wrong_elsewhere() {
    let found = fields(|spec| {
        let fault = spec.experiments[0].fault.as_mut().unwrap();
        fault.error = Some(v1::ErrorCodesSpec { codes: vec![70_000, 9], message: None });
    });
    assert_eq!(
        found,
        [
            "experiments[0].fault.error.codes[0]",
            "experiments[0].fault.error.codes[1]",
            "experiments[0].probability",
            "safety.max_affected_requests",
        ]
    );
}
