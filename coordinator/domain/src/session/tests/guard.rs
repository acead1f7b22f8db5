//! The raw cascade guard.

use std::sync::Arc;

use squall_proto::vocabulary::session::SessionSpec;

use super::ways;
use crate::event::{AbortCause, Event};
use crate::scenario::{Look, eventual, given, spec, started, strict};
use crate::session::Phase;

fn guarded(abort: bool) -> Arc<SessionSpec> {
    spec(50, |safety| {
        safety.cascade_threshold = Some(5);
        safety.auto_abort_on_cascade = Some(abort);
    })
}

fn tripped(failed_downstream: u64) -> Event {
    Event::GuardTripped { failed_downstream, threshold: 5 }
}

fn abort(failed: u64) -> Event {
    let reason =
        format!("{failed} traces failed downstream of an injection, cascade_threshold is 5");
    Event::Aborted { reason, cause: AbortCause::Cascade }
}

#[test]
fn as_many_failing_traces_as_the_threshold_abort_in_the_same_append() {
    let calm = given(guarded(true), [started()]).when(Look::Guard(4)).then_nothing();
    let over = calm.when(Look::Guard(5)).then([tripped(5), abort(5)]);
    assert_eq!(over.session().phase, Phase::Aborted);
    assert_eq!(over.session().guard_tripped, Some(5));
    over.when(Look::Guard(6)).then_nothing();
}

#[test]
fn without_automatic_abort_it_is_recorded_once_and_nothing_more() {
    let noted = given(guarded(false), [started()]).when(Look::Guard(9)).then([tripped(9)]);
    assert_eq!(noted.session().phase, Phase::Running);
    noted.when(Look::Guard(10)).then_nothing();
}

#[test]
fn a_session_without_a_threshold_has_no_guard() {
    given(strict(50), [started()]).when(Look::Guard(u64::MAX)).then_nothing();
}

#[test]
fn only_live_sessions_are_guarded() {
    for (phase, way) in ways() {
        let outcome = given(guarded(true), way).when(Look::Guard(5));
        if phase.is_live() {
            outcome.then([tripped(5), abort(5)]);
        } else {
            outcome.then_nothing();
        }
    }
}

#[test]
fn a_guard_looks_at_reports_until_it_tripped() {
    let guarded_one = given(guarded(false), [started()]);
    assert!(guarded_one.session().is_guarded());
    assert!(!guarded_one.and([tripped(5)]).session().is_guarded());
    assert!(!given(strict(5), [started()]).session().is_guarded());
}

#[test]
fn only_a_running_session_without_permits_pauses_while_reports_cannot_be_read() {
    let running = given(eventual(5), [started()]);
    assert_eq!(running.session().unwatched(), Some(Event::Paused));
    assert_eq!(running.and([Event::Paused]).session().unwatched(), None);
    assert_eq!(given(eventual(5), []).session().unwatched(), None);
    assert_eq!(given(strict(5), [started()]).session().unwatched(), None);
}
