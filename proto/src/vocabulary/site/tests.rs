//! What fits where.

use super::*;
use crate::vocabulary::call::{Point, Shape};
use crate::vocabulary::seam::Capabilities;
use crate::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, TargetDraft,
    ToolUnavailableDraft,
};

fn seam() -> Seam {
    let capabilities = Capabilities {
        block: true,
        rewrite_in: true,
        rewrite_out: true,
        disconnect: false,
        structural: true,
        max_delay_ms: 60_000,
        knows_trace: false,
        stable_request_id: true,
    };
    Seam { name: "test".to_owned(), point: Point::Tool, shape: Shape::Json, capabilities }
}

/// A latency of 500 ms.
fn slow() -> SessionDraft {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(500), ..LatencyDraft::default() }),
        ..FaultDraft::default()
    };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        safety: SafetyDraft { max_affected_requests: Some(5), ..SafetyDraft::default() },
        ..SessionDraft::default()
    }
}

fn fits(change: impl FnOnce(&mut SessionDraft)) -> Result<(), Obstacle> {
    let mut draft = slow();
    change(&mut draft);
    let session = draft.validate().unwrap();
    let (agent, tool) = ("planner".parse().unwrap(), "search".parse().unwrap());
    Site { agent: &agent, tool: &tool, seam: &seam() }.fits(&session, &session.experiments[0])
}

#[test]
fn the_session_s_target_and_the_experiment_s_must_both_match() {
    let target = |agents: &[&str], tools: &[&str]| TargetDraft {
        agents: agents.iter().map(|&name| name.to_owned()).collect(),
        tools: tools.iter().map(|&name| name.to_owned()).collect(),
        ..TargetDraft::default()
    };
    let named = |name: &str| vec![name.to_owned()];
    assert_eq!(fits(|_| ()), Ok(()));
    assert_eq!(fits(|draft| draft.target = target(&["x", "planner"], &["search"])), Ok(()));
    assert_eq!(fits(|draft| draft.target = target(&["x"], &["search"])), Err(Obstacle::Agent));
    assert_eq!(fits(|draft| draft.target = target(&["planner"], &["x"])), Err(Obstacle::Tool));
    assert_eq!(fits(|draft| draft.experiments[0].agents = named("x")), Err(Obstacle::Agent));
    assert_eq!(fits(|draft| draft.experiments[0].tools = named("x")), Err(Obstacle::Tool));
}

#[test]
fn the_seam_must_be_able_to_apply_the_fault() {
    let disconnect = |draft: &mut SessionDraft| {
        draft.experiments[0].fault = FaultDraft {
            tool_unavailable: Some(ToolUnavailableDraft {
                mode: Some("disconnect".to_owned()),
                ..ToolUnavailableDraft::default()
            }),
            ..FaultDraft::default()
        };
    };
    assert_eq!(fits(disconnect), Err(Obstacle::Seam(Unsupported::Disconnect)));
}

#[test]
fn a_share_of_traces_needs_their_names_and_all_of_them_do_not() {
    let share = |percentage: f64| {
        fits(|draft| {
            draft.target.percentage = Some(percentage);
            draft.target.percentage_unit = Some("trace".to_owned());
        })
    };
    assert_eq!((share(0.5), share(1.0)), (Err(Obstacle::NoTrace), Ok(())));
    let single = |draft: &mut SessionDraft| {
        draft.safety.blast_radius = Some("single_trace".to_owned());
        draft.safety.strictness = Some("strict_claim".to_owned());
    };
    assert_eq!(fits(single), Err(Obstacle::NoTrace));
}

#[test]
fn the_owner_has_the_last_word_on_place_kind_and_delay() {
    let session = slow().validate().unwrap();
    let fault = &session.experiments[0].fault;
    let (ci, production) = (Environment::new("ci").unwrap(), Environment::production());
    let kinds = [FaultKind::Latency];
    let allowance = Allowance { environment: &ci, kinds: &kinds, max_delay_ms: 500 };
    assert_eq!((allowance.admits(&session.target), allowance.lets(fault)), (Ok(()), Ok(())));
    let elsewhere = Allowance { environment: &production, ..allowance };
    assert_eq!(elsewhere.admits(&session.target), Err(Obstacle::Environment));
    let strict = Allowance { kinds: &[FaultKind::Error], ..allowance };
    assert_eq!(strict.lets(fault), Err(Obstacle::Kind(FaultKind::Latency)));
    let hasty = Allowance { max_delay_ms: 499, ..allowance };
    assert_eq!(hasty.lets(fault), Err(Obstacle::Delay { needed_ms: 500, max_ms: 499 }));
}
