//! A client's command is refused only by a replica that knows what others have written.

use squall_domain::rejection::Rejection;

use super::*;

fn is_refused(bench: &Bench, token: Token, is_it: impl Fn(&Rejection) -> bool) -> bool {
    matches!(bench.ordered(token), Some(Err(OrderError::Rejected(why))) if is_it(&why))
}

#[test]
fn a_command_that_the_state_refuses_waits_until_the_log_was_caught_up_with() {
    let mut bench = Bench::new();
    let created = bench.create(spec(10));
    assert!(bench.ordered(created).is_some_and(|done| done.is_ok()));
    bench.fate(Fate::Hold);
    let paused = bench.command("pause", ClientCommand::Pause);
    assert!(bench.ordered(paused).is_none(), "refused by a state that may be an old one");
    bench.fate(Fate::Commit);
    let wrong = |why: &Rejection| matches!(why, Rejection::WrongPhase { .. });
    assert!(is_refused(&bench, paused, wrong), "{:?}", bench.ordered(paused));
}

#[test]
fn a_session_that_is_not_known_may_have_been_created_elsewhere() {
    let mut bench = Bench::new();
    bench.fate(Fate::Hold);
    let started = bench.command("start", ClientCommand::Start);
    assert!(bench.ordered(started).is_none(), "refused by a state that may be an old one");
    bench.fate(Fate::Commit);
    let unknown = |why: &Rejection| matches!(why, Rejection::NoSession(_));
    assert!(is_refused(&bench, started, unknown), "{:?}", bench.ordered(started));
}

#[test]
fn a_halt_that_is_not_known_may_have_been_engaged_elsewhere() {
    let mut bench = Bench::new();
    bench.fate(Fate::Hold);
    let released = bench.release_as("release");
    assert!(bench.ordered(released).is_none(), "refused by a state that may be an old one");
    bench.fate(Fate::Commit);
    let nothing = |why: &Rejection| matches!(why, Rejection::NotEngaged { .. });
    assert!(is_refused(&bench, released, nothing), "{:?}", bench.ordered(released));
}

#[test]
fn a_command_that_is_wrong_by_itself_is_refused_at_once() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let aborted = bench.command("abort", ClientCommand::Abort { reason: String::new() });
    let reason = |why: &Rejection| matches!(why, Rejection::Reason { .. });
    assert!(is_refused(&bench, aborted, reason), "{:?}", bench.ordered(aborted));
}

#[test]
fn nobody_is_refused_while_the_log_does_not_answer() {
    let mut bench = Bench::new();
    bench.fate(Fate::Hold);
    let aborted = bench.command("abort", ClientCommand::Abort { reason: "enough".to_owned() });
    bench.pass(Duration::from_secs(10));
    let told = bench.ordered(aborted);
    assert!(matches!(told, Some(Err(OrderError::TimedOut(_)))), "{told:?}");
}

#[test]
fn a_resumption_that_waits_to_be_refused_does_not_undo_a_pause_that_came_after_it() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let resumed = bench.command("resume", ClientCommand::Resume);
    let paused = bench.command("pause", ClientCommand::Pause);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(1));
    assert!(bench.ordered(paused).is_some_and(|done| done.is_ok()));
    assert_eq!(bench.session().phase, Phase::Paused);
    assert!(bench.ordered(resumed).is_some_and(|done| done.is_err()));
}
