//! Every state that isn't final has a deadline, and what happens then.

use squall_proto::vocabulary::time::UnixMillis;

use super::ways;
use crate::event::{DrainReason, Ending, Event};
use crate::scenario::{
    Look, Scenario, closed, drained, ended, eventual, given, issued, spec, started, strict,
};
use crate::session::Phase;

/// Events are a second apart, the first at 1 s: this session starts at 2 s and ends at 62 s.
fn minute() -> Scenario {
    given(spec(5, |safety| safety.max_duration_s = Some(60)), [started()])
}

/// How long a permit can be in use: 10 s of life, 1 s of latency, 250 ms to cancel it, stretched by the clocks.
const LONGEST_USE_MS: u64 = 11_261;

#[test]
fn every_state_that_is_not_final_has_a_deadline() {
    for (phase, way) in ways() {
        let deadline = given(strict(50), way).session().deadline();
        assert_eq!(deadline.is_some(), !phase.is_terminal(), "{phase:?}");
    }
}

#[test]
fn a_draft_that_nobody_starts_expires_after_a_day() {
    let day = 24 * 3600 * 1000;
    let draft = given(strict(50), []).when(Look::Clock(1000 + day - 1, 0)).then_nothing();
    let over = draft.when(Look::Clock(1000 + day, 0)).then([ended(Ending::Expired)]);
    assert_eq!(over.session().phase, Phase::Completed);
}

#[test]
fn the_longest_duration_ends_a_session_also_while_it_pauses() {
    let over = Event::DrainBegan { why: DrainReason::Duration };
    for way in [vec![], vec![Event::Paused], vec![Event::Paused, Event::Resumed]] {
        let session = minute().and(way);
        let session = session.when(Look::Clock(61_999, 0)).then_nothing();
        session.when(Look::Clock(62_000, 0)).then([over.clone()]);
    }
}

#[test]
fn a_spent_budget_ends_a_session_once_nothing_of_it_can_be_in_use() {
    let spent = minute().and([issued("a", 1, 5)]);
    let spent = spent.when(Look::Clock(5000, 5)).then_nothing();
    let over = spent.when(Look::Clock(5000, 0)).then([ended(Ending::Exhausted)]);
    assert_eq!(over.session().phase, Phase::Exhausted);
}

#[test]
fn a_budget_with_a_rest_goes_on() {
    minute().and([issued("a", 1, 4)]).when(Look::Clock(5000, 0)).then_nothing();
    minute().and([issued("a", 1, 5), closed("a", 1, 4)]).when(Look::Clock(5000, 0)).then_nothing();
}

#[test]
fn draining_ends_when_all_permits_are_back() {
    let drain = minute().and([issued("a", 1, 5), drained()]);
    let drain = drain.when(Look::Clock(5000, 5)).then_nothing();
    drain.and([closed("a", 1, 5)]).when(Look::Clock(5000, 0)).then([ended(Ending::Completed)]);
}

#[test]
fn a_dead_shim_holds_up_draining_no_longer_than_its_permits_can_be_used() {
    let drain = minute().and([issued("dead", 1, 5), drained()]);
    assert_eq!(drain.session().longest_use().as_millis(), u128::from(LONGEST_USE_MS));
    let drain = drain.when(Look::Clock(4000 + LONGEST_USE_MS - 1, 0)).then_nothing();
    let over = drain.when(Look::Clock(4000 + LONGEST_USE_MS, 0)).then([ended(Ending::Completed)]);
    assert_eq!(over.session().phase, Phase::Completed);
}

#[test]
fn without_permits_only_time_ends_draining() {
    let drain = given(eventual(50), [started(), drained()]);
    let drain = drain.when(Look::Clock(3000, 0)).then_nothing();
    drain.when(Look::Clock(3000 + LONGEST_USE_MS, 0)).then([ended(Ending::Completed)]);
}

#[test]
fn a_session_without_permits_ends_once_reports_reach_its_budget() {
    let reached = Event::DrainBegan { why: DrainReason::Budget };
    for way in [vec![], vec![Event::Paused]] {
        let session = given(eventual(5), [started()]).and(way);
        let session = session.when(Look::Reported(4)).then_nothing();
        let drains = session.when(Look::Reported(9)).then([reached.clone()]);
        let drains = drains.when(Look::Reported(9)).then_nothing();
        let over = drains.when(Look::Clock(60_000, 0)).then([ended(Ending::Exhausted)]);
        assert_eq!(over.session().phase, Phase::Exhausted);
    }
}

#[test]
fn reports_end_no_session_that_has_permits_and_none_that_is_not_active() {
    given(strict(5), [started()]).when(Look::Reported(9)).then_nothing();
    given(eventual(5), [started(), drained()]).when(Look::Reported(9)).then_nothing();
    given(eventual(5), []).when(Look::Reported(9)).then_nothing();
}

#[test]
fn a_session_that_is_over_does_nothing_by_itself() {
    for (phase, way) in ways() {
        if phase.is_terminal() {
            given(strict(50), way).when(Look::Clock(u64::MAX, 0)).then_nothing();
        }
    }
}

#[test]
fn a_deadline_says_what_it_is_for() {
    let of = |session: Scenario| session.session().deadline().map(|at| (at.at, at.why));
    assert_eq!(of(minute()), Some((UnixMillis(62_000), "max_duration")));
    let drains = Some((UnixMillis(3000 + LONGEST_USE_MS), "drain ends"));
    assert_eq!(of(minute().and([drained()])), drains);
}
