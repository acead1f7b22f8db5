//! What clients may do, in every phase.

use squall_proto::vocabulary::limits::TEXT_BYTES_MAX;
use squall_proto::vocabulary::time::UnixMillis;

use super::ways;
use crate::event::{AbortCause, CommandKind, DrainReason, Event};
use crate::rejection::{Inapplicable, Rejection, Unmet};
use crate::scenario::{
    Scenario, abort_command, aborted, command, eventual, given, spec, started, strict,
};
use crate::session::{ClientCommand, Phase};

fn draft() -> Scenario {
    given(strict(50), [])
}

#[test]
fn a_draft_starts_with_the_shims_that_can_apply_it() {
    let after = draft().when(command("r1", ClientCommand::Start)).then([started()]);
    assert_eq!(after.session().phase, Phase::Running);
}

#[test]
fn each_command_is_done_in_its_phases_and_rejected_in_all_others() {
    let drained = Event::DrainBegan { why: DrainReason::Operator };
    let table: [(ClientCommand, Event, &[Phase]); 5] = [
        (ClientCommand::Start, started(), &[Phase::Draft]),
        (ClientCommand::Pause, Event::Paused, &[Phase::Running]),
        (ClientCommand::Resume, Event::Resumed, &[Phase::Paused]),
        (ClientCommand::Stop, drained, &[Phase::Running, Phase::Paused]),
        (
            abort_command("enough"),
            aborted(),
            &[Phase::Draft, Phase::Running, Phase::Paused, Phase::Draining],
        ),
    ];
    for (wanted, event, phases) in table {
        for (phase, way) in ways() {
            let outcome = given(strict(50), way).when(command("r1", wanted.clone()));
            let is_stopped = matches!(phase, Phase::Aborted | Phase::LogDamaged);
            if phases.contains(&phase) {
                outcome.then([event.clone()]);
            } else if wanted.kind() == CommandKind::Abort && is_stopped {
                outcome.then_nothing();
            } else {
                let (command, needs) = (wanted.kind(), wanted.kind().needs());
                outcome.then(Rejection::WrongPhase { command, phase, needs });
            }
        }
    }
}

#[test]
fn a_command_that_the_log_holds_is_done_and_never_decided_again() {
    let paused = draft().and([started()]).commanded("r1", CommandKind::Pause, Event::Paused);
    let resumed = paused.and([Event::Resumed]);
    let same = resumed.when(command("r1", ClientCommand::Pause)).then_nothing();
    assert_eq!(same.session().phase, Phase::Running);
    // Also when the state would reject it by now.
    same.and([aborted()]).when(command("r1", ClientCommand::Pause)).then_nothing();
}

#[test]
fn a_request_id_stands_for_one_kind_of_command() {
    let paused = draft().and([started()]).commanded("r1", CommandKind::Pause, Event::Paused);
    let request = crate::scenario::by("r1", CommandKind::Pause).request;
    paused
        .when(command("r1", ClientCommand::Resume))
        .then(Rejection::RequestReused { request, before: CommandKind::Pause });
}

#[test]
fn the_newest_thousand_command_ids_are_kept() {
    let mut scenario = draft().and([started()]);
    for cycle in 0..600 {
        scenario = scenario
            .commanded(&format!("p{cycle}"), CommandKind::Pause, Event::Paused)
            .commanded(&format!("r{cycle}"), CommandKind::Resume, Event::Resumed);
    }
    let kept = |request: &str, kind| {
        scenario.session().commands.done(&crate::scenario::by(request, kind).request, kind)
    };
    assert_eq!(kept("r599", CommandKind::Resume), Ok(true));
    assert_eq!(kept("p88", CommandKind::Pause), Ok(true));
    assert_eq!(kept("r87", CommandKind::Resume), Ok(false));
}

#[test]
fn nothing_starts_under_an_engaged_lever() {
    let halted = Unmet::Halted { scope: "all tenants".to_owned(), reason: "fire".to_owned() };
    draft()
        .when(command("r1", ClientCommand::Start).with(|outlook| {
            outlook.engaged = Some(("all tenants".to_owned(), "fire".to_owned()));
        }))
        .then(Rejection::Unmet(vec![halted]));
}

#[test]
fn permits_need_a_log_that_writes_through_unless_the_operator_accepts_the_risk() {
    let start =
        || command("r1", ClientCommand::Start).with(|outlook| outlook.log_is_synced = false);
    draft().when(start()).then(Rejection::Unmet(vec![Unmet::LazyLog]));
    given(spec(50, |safety| safety.accept_lazy_log = Some(true)), [])
        .when(start())
        .then([started()]);
    given(eventual(50), []).when(start()).then([started()]);
}

#[test]
fn an_experiment_that_no_shim_can_apply_is_named_before_the_start() {
    let why = Inapplicable { experiment: "latency".to_owned(), why: "no shim".to_owned() };
    draft()
        .when(
            command("r1", ClientCommand::Start)
                .with(|outlook| outlook.inapplicable = vec![why.clone()]),
        )
        .then(Rejection::Unmet(vec![Unmet::Inapplicable(why)]));
}

#[test]
fn everything_that_a_start_lacks_is_named_at_once() {
    let why = Inapplicable { experiment: "latency".to_owned(), why: "no shim".to_owned() };
    let halted = Unmet::Halted { scope: "all tenants".to_owned(), reason: "fire".to_owned() };
    draft()
        .when(command("r1", ClientCommand::Start).with(|outlook| {
            outlook.engaged = Some(("all tenants".to_owned(), "fire".to_owned()));
            outlook.log_is_synced = false;
            outlook.inapplicable = vec![why.clone()];
        }))
        .then(Rejection::Unmet(vec![halted, Unmet::LazyLog, Unmet::Inapplicable(why)]));
}

#[test]
fn an_abort_says_why_in_one_line() {
    let rejected = |reason: &str, problem: &str| {
        draft()
            .when(command("r1", abort_command(reason)))
            .then(Rejection::Reason { problem: problem.to_owned() });
    };
    rejected("", "is empty; allowed is 1 to 1024 bytes");
    rejected("  ", "is blank; say why");
    rejected("two\nlines", "holds a control character; allowed is one line of text");
    rejected(&"x".repeat(TEXT_BYTES_MAX + 1), "has 1025 bytes; allowed is 1 to 1024");
    let longest = "x".repeat(TEXT_BYTES_MAX);
    draft()
        .when(command("r1", abort_command(&longest)))
        .then([Event::Aborted { reason: longest, cause: AbortCause::Operator }]);
}

#[test]
fn a_resumed_session_is_active_since_then() {
    let resumed = draft().and([started(), Event::Paused, Event::Resumed]);
    assert_eq!(resumed.session().active_since, Some(UnixMillis(4000)));
    assert_eq!(resumed.session().started.as_ref().map(|stamp| stamp.at), Some(UnixMillis(2000)));
}

#[test]
fn rejections_say_what_is_wrong_and_what_helps() {
    let phase = Rejection::WrongPhase {
        command: CommandKind::Stop,
        phase: Phase::Draft,
        needs: CommandKind::Stop.needs(),
    };
    assert_eq!(phase.to_string(), "the session is draft; stop needs running or paused");
    let halted = Unmet::Halted { scope: "tenant acme".to_owned(), reason: "fire".to_owned() };
    assert_eq!(
        halted.to_string(),
        "a halt is engaged for tenant acme: fire; release it first (`squall halt release`)"
    );
}
