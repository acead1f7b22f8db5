//! Who gets permits, how many, and what a repeated Ask is answered with.

use squall_proto::vocabulary::message::RefusedWhy;

use super::ways;
use crate::local::Usage;
use crate::scenario::{
    Answer, GLOBEX, Scenario, ask, close, closed, eventual, for_request, given, holder, holder_of,
    issued, issued_to, spec, started, strict,
};
use crate::session::Phase;

fn running(budget: u32) -> Scenario {
    given(strict(budget), [started()])
}

fn askers(askers: u64) -> Usage {
    Usage { askers, ..Usage::default() }
}

fn outstanding(outstanding: u64) -> Usage {
    Usage { outstanding, ..Usage::default() }
}

#[test]
fn a_grant_is_spent_the_moment_it_is_issued() {
    let after = running(50).when(ask("a", 1, 5)).then([issued("a", 1, 5)]);
    assert_eq!(after.session().ledger.available(), 45);
    assert_eq!(after.session().ledger.spent_by_tenant(&holder("a").tenant), 5);
}

#[test]
fn a_grant_is_the_wish_or_a_fair_share_but_at_least_one() {
    // budget, want, active askers, permits
    for (budget, want, active, permits) in [
        (50, 5, 1, 5),
        (50, 40, 1, 25),
        (50, 40, 5, 5),
        (50, 40, 100, 1),
        (3, 40, 1, 1),
        (1, 1, 1, 1),
        (1_000_000, 400, 1, 256),
        (50, 40, 0, 25),
    ] {
        let asked = ask("a", 1, want).while_used(askers(active));
        assert_eq!(running(budget).when(asked).permits(), permits, "{budget} {want} {active}");
    }
}

#[test]
fn an_empty_budget_is_dry_and_never_rounded_up_to_one() {
    let spent = running(5).and([issued("a", 1, 5)]);
    let spent = spent.when(ask("b", 1, 1)).then(RefusedWhy::Dry);
    let spent = spent.and([closed("a", 1, 5)]).when(ask("b", 1, 1)).then(RefusedWhy::Dry);
    assert_eq!(spent.session().ledger.available(), 0);
}

#[test]
fn what_a_close_gives_back_can_be_asked_for_again() {
    let back = running(5).and([issued("a", 1, 5)]).when(close("a", 1, 4)).then([closed("a", 1, 4)]);
    back.when(ask("b", 1, 3)).then([issued("b", 1, 1)]);
}

#[test]
fn a_repeated_ask_gets_the_same_grant_whatever_changed_meanwhile() {
    let after = running(50).when(ask("a", 1, 5)).then([issued("a", 1, 5)]);
    let again = ask("a", 1, 2).while_used(outstanding(50));
    let after = after.when(again).then(Answer::Granted { req_no: 1, permits: 5 });
    assert_eq!(after.session().ledger.available(), 45);
}

#[test]
fn another_ask_of_a_holder_with_an_open_grant_is_answered_with_that_grant() {
    let open = running(50).and([issued("a", 1, 5)]);
    open.when(ask("a", 2, 5)).then(Answer::Granted { req_no: 1, permits: 5 });
}

#[test]
fn another_life_of_the_same_shim_is_another_holder() {
    let reborn = holder_of("acme", "a", 2);
    let open = running(50).and([issued("a", 1, 5)]);
    open.when(ask("a", 1, 5).by(reborn.clone())).then([issued_to(
        reborn,
        1,
        5,
        Default::default(),
    )]);
}

#[test]
fn an_ask_whose_grant_was_closed_is_void() {
    let closed = running(50).and([issued("a", 1, 5), closed("a", 1, 0)]);
    let closed = closed.when(ask("a", 1, 5)).then(RefusedWhy::Invalid);
    closed.when(ask("a", 2, 5)).then([issued("a", 2, 5)]);
}

#[test]
fn numbers_and_tenants_that_do_not_fit_are_refused() {
    running(50).when(ask("a", 0, 5)).then(RefusedWhy::Invalid);
    running(50).when(ask("a", 1, 0)).then(RefusedWhy::Invalid);
    running(50).when(ask("a", 1, 5).by(holder_of(GLOBEX, "a", 1))).then(RefusedWhy::Invalid);
    given(eventual(50), [started()]).when(ask("a", 1, 5)).then(RefusedWhy::Invalid);
}

#[test]
fn permits_are_given_while_the_session_runs_and_at_no_other_time() {
    for (phase, way) in ways() {
        let outcome = given(strict(50), way).when(ask("a", 1, 5));
        if phase == Phase::Running {
            outcome.then([issued("a", 1, 5)]);
        } else {
            outcome.then(RefusedWhy::NotRunning);
        }
    }
}

#[test]
fn a_session_that_does_not_run_repeats_no_grant_either() {
    for way in [vec![crate::event::Event::Paused], vec![crate::scenario::aborted()]] {
        let stopped = running(50).and([issued("a", 1, 5)]).and(way);
        stopped.when(ask("a", 1, 5)).then(RefusedWhy::NotRunning);
    }
}

#[test]
fn permits_in_shims_hands_are_capped() {
    let capped = || given(spec(50, |safety| safety.max_outstanding = Some(8)), [started()]);
    assert_eq!(capped().when(ask("a", 1, 40)).permits(), 8);
    assert_eq!(capped().when(ask("a", 1, 40).while_used(outstanding(6))).permits(), 2);
    capped().when(ask("a", 1, 1).while_used(outstanding(8))).then(RefusedWhy::OutstandingCap);
    capped().when(ask("a", 1, 1).while_used(outstanding(9))).then(RefusedWhy::OutstandingCap);
}

#[test]
fn the_cap_is_a_tenth_of_the_budget_unless_said_otherwise() {
    let default = |budget| given(spec(budget, |safety| safety.max_outstanding = None), [started()]);
    assert_eq!(default(50).when(ask("a", 1, 40)).permits(), 5);
    assert_eq!(default(3).when(ask("a", 1, 40)).permits(), 1);
}

#[test]
fn old_grants_of_dead_shims_stall_nobody() {
    // The owner's clock says that nothing of the open grants is in use any more.
    let stranded = running(50).and([issued("dead", 1, 20), issued("gone", 1, 20)]);
    stranded.when(ask("a", 1, 40).while_used(outstanding(0))).then([issued("a", 1, 5)]);
}

#[test]
fn a_permit_in_hand_counts_as_an_injection_under_way() {
    let limited = || given(spec(50, |safety| safety.max_concurrent = Some(4)), [started()]);
    assert_eq!(limited().when(ask("a", 1, 40)).permits(), 4);
    assert_eq!(limited().when(ask("a", 1, 40).while_used(outstanding(3))).permits(), 1);
    limited().when(ask("a", 1, 1).while_used(outstanding(4))).then(RefusedWhy::Throttled);
}

#[test]
fn a_rate_counts_what_was_issued_in_its_window() {
    let limited = || {
        let rate = squall_proto::vocabulary::session::RateDraft { permits: 6, window_s: 60 };
        given(spec(50, |safety| safety.max_rate = Some(rate)), [started()])
    };
    let lately = |issued_in_window| Usage { issued_in_window, ..Usage::default() };
    assert_eq!(limited().when(ask("a", 1, 40)).permits(), 6);
    assert_eq!(limited().when(ask("a", 1, 40).while_used(lately(5))).permits(), 1);
    limited().when(ask("a", 1, 1).while_used(lately(6))).then(RefusedWhy::Throttled);
}

#[test]
fn a_claim_is_one_permit_for_the_request_that_waits() {
    let claims =
        given(spec(50, |safety| safety.strictness = Some("strict_claim".to_owned())), [started()]);
    let claims = claims.when(ask("a", 1, 200).trace("t1").request(42)).then([issued_to(
        holder("a"),
        1,
        1,
        for_request("planner", Some("t1"), 42),
    )]);
    // Also where the seam knows no trace.
    claims.when(ask("b", 1, 1).agent("writer").request(43)).then([issued_to(
        holder("b"),
        1,
        1,
        for_request("writer", None, 43),
    )]);
}
