//! Two things that are wrong are both named, wherever they stand.

use crate::vocabulary::session::{
    DelayDraft, ErrorCodesDraft, ExperimentDraft, FaultDraft, MalformedOutputDraft, RateDraft,
    SafetyDraft, SessionDraft, TargetDraft, ToolUnavailableDraft, TruncationDraft,
    UncooperativeDraft,
};

/// Makes one field wrong.
struct Spoiler {
    field: &'static str,
    spoil: fn(&mut SessionDraft),
}

/// Each experiment has another kind of fault, and the session every bound that another one allows.
fn sound() -> SessionDraft {
    let faults = [
        FaultDraft { latency: Some(DelayDraft::default()), ..FaultDraft::default() },
        FaultDraft { error: Some(ErrorCodesDraft::default()), ..FaultDraft::default() },
        FaultDraft {
            tool_unavailable: Some(ToolUnavailableDraft::default()),
            ..FaultDraft::default()
        },
        FaultDraft {
            uncooperative_agent: Some(UncooperativeDraft::default()),
            ..FaultDraft::default()
        },
        FaultDraft {
            context_truncation: Some(TruncationDraft::default()),
            ..FaultDraft::default()
        },
        FaultDraft {
            malformed_output: Some(MalformedOutputDraft::default()),
            ..FaultDraft::default()
        },
    ];
    let experiment = |fault| ExperimentDraft { fault, ..ExperimentDraft::default() };
    SessionDraft {
        title: "sound".to_owned(),
        experiments: faults.map(experiment).to_vec(),
        target: TargetDraft {
            tenants: vec!["acme".into(), "globex".into()],
            ..TargetDraft::default()
        },
        safety: SafetyDraft {
            blast_radius: Some("multi_tenant".into()),
            max_affected_requests: Some(50),
            max_per_tenant: [("acme".into(), 3)].into(),
            max_rate: Some(RateDraft { permits: 5, window_s: 5 }),
            ..SafetyDraft::default()
        },
    }
}

macro_rules! spoilers {
    ($($field:literal => |$draft:ident| $spoil:expr),+ $(,)?) => {
        vec![$(Spoiler { field: $field, spoil: |$draft| $spoil }),+]
    };
}

/// No two stand at the same place, and none decides whether another one is wrong.
fn spoilers() -> Vec<Spoiler> {
    fn fault(draft: &mut SessionDraft, index: usize) -> &mut FaultDraft {
        &mut draft.experiments[index].fault
    }
    fn delay(draft: &mut SessionDraft) -> &mut DelayDraft {
        fault(draft, 0).latency.as_mut().unwrap()
    }
    fn unavailable(draft: &mut SessionDraft) -> &mut ToolUnavailableDraft {
        fault(draft, 2).tool_unavailable.as_mut().unwrap()
    }
    fn uncooperative(draft: &mut SessionDraft) -> &mut UncooperativeDraft {
        fault(draft, 3).uncooperative_agent.as_mut().unwrap()
    }
    fn truncation(draft: &mut SessionDraft) -> &mut TruncationDraft {
        fault(draft, 4).context_truncation.as_mut().unwrap()
    }
    fn malformed(draft: &mut SessionDraft) -> &mut MalformedOutputDraft {
        fault(draft, 5).malformed_output.as_mut().unwrap()
    }
    spoilers! {
        "title" => |draft| draft.title = "a\nb".into(),
        "experiments[0].probability" => |draft| draft.experiments[0].probability = Some(2.0),
        "experiments[1].name" => |draft| {
            draft.experiments[0].name = Some("a".into());
            draft.experiments[1].name = Some("a".into());
        },
        "experiments[1].agents[0]" => |draft| draft.experiments[1].agents = vec!["a\nb".into()],
        "experiments[1].tools" => |draft| draft.experiments[1].tools = vec!["a".into(); 300],
        "experiments[0].fault.latency.distribution" => |draft| delay(draft).distribution = Some("foo".into()),
        "experiments[0].fault.latency.max_ms" => |draft| delay(draft).max_ms = Some(999_999_999),
        "experiments[1].fault.error.codes[0]" => |draft| {
            fault(draft, 1).error.as_mut().unwrap().codes = Some(vec![9])
        },
        "experiments[2].fault.tool_unavailable.mode" => |draft| unavailable(draft).mode = Some("foo".into()),
        "experiments[2].fault.tool_unavailable.timeout_ms" => |draft| unavailable(draft).timeout_ms = Some(999_999_999),
        "experiments[3].fault.uncooperative_agent.behaviors[0]" => |draft| uncooperative(draft).behaviors = Some(vec!["foo".into()]),
        "experiments[3].fault.uncooperative_agent.keep" => |draft| uncooperative(draft).keep = Some(7.0),
        "experiments[3].fault.uncooperative_agent.delay.fixed_ms" => |draft| {
            uncooperative(draft).delay = Some(DelayDraft { fixed_ms: Some(0), ..DelayDraft::default() })
        },
        "experiments[4].fault.context_truncation.from" => |draft| truncation(draft).from = Some("foo".into()),
        "experiments[4].fault.context_truncation.unit" => |draft| truncation(draft).unit = Some("foo".into()),
        "experiments[4].fault.context_truncation.fraction" => |draft| truncation(draft).fraction = Some(0.0),
        "experiments[5].fault.malformed_output.mode" => |draft| malformed(draft).mode = Some("foo".into()),
        "experiments[5].fault.malformed_output.keep" => |draft| malformed(draft).keep = Some(7.0),
        "experiments[6].fault" => |draft| draft.experiments.push(ExperimentDraft::default()),
        "target.agents[0]" => |draft| draft.target.agents = vec!["a\nb".into()],
        "target.tenants[2]" => |draft| draft.target.tenants.push("a b".into()),
        "target.percentage" => |draft| draft.target.percentage = Some(2.0),
        "target.percentage_unit" => |draft| draft.target.percentage_unit = Some("foo".into()),
        "target.environments[0]" => |draft| draft.target.environments = vec!["a\nb".into()],
        "safety.max_affected_requests" => |draft| draft.safety.max_affected_requests = None,
        "safety.strictness" => |draft| draft.safety.strictness = Some("foo".into()),
        "safety.max_per_tenant.acme" => |draft| { draft.safety.max_per_tenant.insert("acme".into(), 0); },
        "safety.max_per_tenant.b c" => |draft| { draft.safety.max_per_tenant.insert("b c".into(), 1); },
        "safety.max_per_tenant.other" => |draft| { draft.safety.max_per_tenant.insert("other".into(), 1); },
        "safety.max_per_agent" => |draft| draft.safety.max_per_agent = Some(0),
        "safety.max_outstanding" => |draft| draft.safety.max_outstanding = Some(0),
        "safety.max_duration_s" => |draft| draft.safety.max_duration_s = Some(0),
        "safety.max_concurrent" => |draft| draft.safety.max_concurrent = Some(0),
        "safety.max_rate.permits" => |draft| draft.safety.max_rate.as_mut().unwrap().permits = 0,
        "safety.max_rate.window_s" => |draft| draft.safety.max_rate.as_mut().unwrap().window_s = 0,
        "safety.cascade_threshold" => |draft| draft.safety.cascade_threshold = Some(0),
    }
}

/// The fields that are named as wrong, sorted.
fn wrong(draft: &SessionDraft) -> Vec<String> {
    let found = draft.validate().expect_err("was accepted").0;
    let mut fields: Vec<_> = found.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    fields
}

#[test]
fn two_things_that_are_wrong_are_both_named() {
    assert!(sound().validate().is_ok());
    let all = spoilers();
    for (index, first) in all.iter().enumerate() {
        let mut one = sound();
        (first.spoil)(&mut one);
        assert_eq!(wrong(&one), [first.field]);
        for second in &all[index + 1..] {
            let mut two = one.clone();
            (second.spoil)(&mut two);
            let mut expected = [first.field, second.field];
            expected.sort_unstable();
            assert_eq!(wrong(&two), expected);
        }
    }
}

#[test]
fn everything_that_is_wrong_at_once_is_named_at_once() {
    let mut bad = sound();
    let mut expected: Vec<_> = Vec::new();
    for Spoiler { field, spoil } in spoilers() {
        spoil(&mut bad);
        expected.push(field);
    }
    expected.sort_unstable();
    assert_eq!(wrong(&bad), expected);
}

#[test]
fn an_unknown_blast_radius_hides_nothing_that_does_not_depend_on_it() {
    let mut bad = sound();
    bad.safety.blast_radius = Some("galaxy".into());
    bad.safety.strictness = Some("foo".into());
    assert_eq!(wrong(&bad), ["safety.blast_radius", "safety.strictness"]);
    bad.safety.strictness = Some("eventual".into());
    assert_eq!(wrong(&bad), ["safety.blast_radius", "safety.strictness"]);
}

#[test]
fn an_unknown_strictness_does_not_hide_the_budget_of_a_single_request() {
    let mut bad = sound();
    bad.target.tenants.clear();
    bad.safety = SafetyDraft {
        blast_radius: Some("single_request".into()),
        strictness: Some("foo".into()),
        max_affected_requests: Some(7),
        ..SafetyDraft::default()
    };
    assert_eq!(wrong(&bad), ["safety.max_affected_requests", "safety.strictness"]);
}

#[test]
fn the_parameters_of_two_faults_in_one_experiment_are_both_checked() {
    let mut bad = sound();
    bad.experiments[0].fault = FaultDraft {
        latency: Some(DelayDraft { fixed_ms: Some(0), ..DelayDraft::default() }),
        error: Some(ErrorCodesDraft { codes: Some(vec![9]), message: None }),
        ..FaultDraft::default()
    };
    assert_eq!(
        wrong(&bad),
        [
            "experiments[0].fault",
            "experiments[0].fault.error.codes[0]",
            "experiments[0].fault.latency.fixed_ms",
        ]
    );
}
