//! How permits come back: by a Close of their holder, once, and in no other way.

use super::ways;
use crate::event::{Ending, Event};
use crate::scenario::{
    Answer, GLOBEX, Scenario, aborted, close, closed, damaged, drained, ended, eventual, given,
    holder_of, inert, issued, started, strict,
};
use crate::session::Phase;

fn open() -> Scenario {
    given(strict(50), [started(), issued("a", 1, 5)])
}

fn lacks_the_grant() -> Event {
    Event::LogDamaged { why: "b used 2 permits of a grant that the log lacks".to_owned() }
}

#[test]
fn a_close_gives_back_what_was_not_used() {
    let after = open().when(close("a", 1, 2)).then([closed("a", 1, 2)]);
    assert_eq!(after.session().ledger.available(), 48);
    assert_eq!(after.session().ledger.used_by(&crate::scenario::holder("a")), 2);
}

#[test]
fn a_repeated_close_is_acknowledged_and_gives_nothing_back_again() {
    let after = open().when(close("a", 1, 2)).then([closed("a", 1, 2)]);
    let after = after.when(close("a", 1, 2)).then(Answer::Acknowledged);
    // Not even if it says something else by now.
    let after = after.when(close("a", 1, 0)).then(Answer::Acknowledged);
    assert_eq!(after.session().ledger.available(), 48);
}

#[test]
fn more_used_than_issued_is_denied_and_not_recorded() {
    open().when(close("a", 1, 6)).then(Answer::Denied);
    open().when(close("a", 1, 5)).then([closed("a", 1, 5)]);
}

#[test]
fn an_unused_grant_that_the_view_lacks_is_looked_for_first_and_then_acknowledged() {
    open().when(close("b", 1, 0)).then(Answer::CatchUp);
    open().when(close("b", 1, 0).caught_up()).then(Answer::Acknowledged);
    open().when(close("a", 2, 0).caught_up()).then(Answer::Acknowledged);
}

#[test]
fn a_used_grant_that_the_view_lacks_is_looked_for_first_and_then_log_damage() {
    let behind = open().when(close("b", 1, 2)).then(Answer::CatchUp);
    let after = behind.when(close("b", 1, 2).caught_up());
    let after = after.then_damage([lacks_the_grant()]);
    assert_eq!(after.session().phase, Phase::LogDamaged);
    after.when(close("b", 1, 2).caught_up()).then(Answer::Acknowledged);
}

#[test]
fn what_an_unauthenticated_sender_says_is_never_log_damage() {
    open().when(close("b", 1, 2).unauthenticated()).then(Answer::CatchUp);
    open().when(close("b", 1, 2).unauthenticated().caught_up()).then(Answer::Denied);
    open().when(close("a", 1, 2).unauthenticated()).then([closed("a", 1, 2)]);
}

#[test]
fn another_life_of_the_shim_closes_nothing() {
    let reborn = || holder_of("acme", "a", 2);
    open().when(close("a", 1, 0).by(reborn()).caught_up()).then(Answer::Acknowledged);
    let after = open().when(close("a", 1, 2).by(reborn())).then(Answer::CatchUp);
    assert_eq!(after.session().ledger.available(), 45);
}

#[test]
fn a_shim_of_a_tenant_that_the_session_does_not_cover_can_say_nothing() {
    for used in [0, 2] {
        let stranger = || close("a", 1, used).by(holder_of(GLOBEX, "a", 1));
        open().when(stranger()).then(Answer::Denied);
        open().when(stranger().caught_up()).then(Answer::Denied);
        open().and([aborted()]).when(stranger()).then(Answer::Denied);
    }
}

#[test]
fn permits_come_back_while_a_session_pauses_or_drains() {
    for way in [Event::Paused, drained()] {
        open().and([way]).when(close("a", 1, 2)).then([closed("a", 1, 2)]);
    }
}

#[test]
fn a_session_that_is_over_records_a_known_close_first() {
    let ends = [
        vec![aborted()],
        vec![ended(Ending::Exhausted)],
        vec![drained(), ended(Ending::Completed)],
    ];
    for end in ends {
        let after = open().and(end).when(close("a", 1, 2)).then([closed("a", 1, 2)]);
        let after = after.when(close("a", 1, 2)).then(Answer::Acknowledged);
        assert_eq!(after.session().ledger.available(), 48);
    }
    let halted = open().halted(&crate::lever::Scope::Fleet);
    halted.when(close("a", 1, 2)).then([closed("a", 1, 2)]);
}

#[test]
fn a_session_that_is_over_acknowledges_every_other_close_and_records_none() {
    for (phase, way) in ways().into_iter().filter(|(phase, _)| phase.is_terminal()) {
        let over = || given(strict(50), way.clone());
        for close in [close("b", 1, 2), close("b", 1, 2).caught_up(), close("b", 1, 0)] {
            over().when(close).then(Answer::Acknowledged);
        }
        assert!(over().session().phase == phase);
    }
    open().and([aborted()]).when(close("a", 1, 6)).then(Answer::Acknowledged);
}

#[test]
fn a_damaged_log_may_refuse_the_record_so_that_no_close_waits_for_it() {
    open().and([damaged()]).when(close("a", 1, 2)).then(Answer::Acknowledged);
}

#[test]
fn a_confirmation_gives_nothing_back() {
    let aborted = open().and([aborted()]);
    let epoch = squall_proto::vocabulary::plan::AbortEpoch::Logged(4);
    let after = aborted.when(inert("a", epoch)).then([crate::scenario::confirmed("a")]);
    assert_eq!(after.session().ledger.available(), 45);
}

#[test]
fn only_the_newest_grants_of_a_holder_are_told_apart_and_older_ones_are_closed() {
    let mut scenario = given(strict(50), [started()]);
    for req_no in 1..=70 {
        scenario = scenario.and([issued("a", req_no, 1), closed("a", req_no, 0)]);
    }
    scenario = scenario.when(close("a", 1, 1).caught_up()).then(Answer::Acknowledged);
    scenario = scenario.when(close("a", 70, 0)).then(Answer::Acknowledged);
    scenario.when(close("a", 71, 1)).then(Answer::CatchUp);
}

#[test]
fn a_session_without_permits_has_none_to_give_back() {
    let eventual = given(eventual(50), [started()]);
    eventual.when(close("a", 1, 0).caught_up()).then(Answer::Acknowledged);
}
