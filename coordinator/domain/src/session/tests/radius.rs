//! The five levels of blast radius, and the parts of a budget.

use std::collections::BTreeMap;

use squall_proto::vocabulary::message::RefusedWhy;

use crate::event::BoundScope;
use crate::scenario::{
    ACME, GLOBEX, Scenario, agent, ask, bound, close, closed, for_agent, for_request, given,
    holder, holder_of, issued, issued_to, multi_tenant, spec, started, strict, tenant, trace,
};

fn level(name: &str, budget: u32) -> Scenario {
    given(spec(budget, |safety| safety.blast_radius = Some(name.to_owned())), [started()])
}

#[test]
fn single_request_is_one_permit_bound_to_its_request() {
    let one = level("single_request", 1).when(ask("a", 1, 9).request(42)).then([issued_to(
        holder("a"),
        1,
        1,
        for_request("planner", None, 42),
    )]);
    one.when(ask("b", 1, 1).request(43)).then(RefusedWhy::Dry);
}

#[test]
fn a_request_that_could_not_use_its_permit_does_not_strand_the_session() {
    let unused = level("single_request", 1)
        .when(ask("a", 1, 1).request(42))
        .then([issued_to(holder("a"), 1, 1, for_request("planner", None, 42))])
        .when(close("a", 1, 0))
        .then([closed("a", 1, 0)]);
    unused.when(ask("b", 1, 1).request(43)).then([issued_to(
        holder("b"),
        1,
        1,
        for_request("planner", None, 43),
    )]);
}

#[test]
fn single_agent_is_bound_in_the_append_of_the_first_grant() {
    let planner = BoundScope::Agent(tenant(ACME), agent("planner"));
    let bound = level("single_agent", 50)
        .when(ask("a", 1, 5))
        .then([bound(planner), issued_to(holder("a"), 1, 5, for_agent("planner"))]);
    let bound = bound.when(ask("b", 1, 5).agent("writer")).then(RefusedWhy::OutOfScope);
    // The same agent may run in another process.
    bound.when(ask("b", 1, 5)).then([issued_to(holder("b"), 1, 5, for_agent("planner"))]);
}

#[test]
fn a_bound_stays_when_its_first_permits_come_back_unused() {
    let planner = BoundScope::Agent(tenant(ACME), agent("planner"));
    let back = level("single_agent", 50).and([
        bound(planner),
        issued_to(holder("a"), 1, 5, for_agent("planner")),
        closed("a", 1, 0),
    ]);
    back.when(ask("b", 1, 5).agent("writer")).then(RefusedWhy::OutOfScope);
}

#[test]
fn single_trace_is_bound_the_same_way_one_permit_at_a_time() {
    let one = BoundScope::Trace(tenant(ACME), trace("t1"));
    let bound = level("single_trace", 50)
        .when(ask("a", 1, 9).trace("t1").request(1))
        .then([bound(one), issued_to(holder("a"), 1, 1, for_request("planner", Some("t1"), 1))]);
    let bound = bound.when(ask("b", 1, 1).trace("t2")).then(RefusedWhy::OutOfScope);
    let bound = bound.when(ask("b", 1, 1)).then(RefusedWhy::OutOfScope);
    bound.when(ask("b", 1, 1).agent("writer").trace("t1").request(2)).then([issued_to(
        holder("b"),
        1,
        1,
        for_request("writer", Some("t1"), 2),
    )]);
}

#[test]
fn single_trace_is_refused_where_the_seam_knows_no_trace() {
    level("single_trace", 50).when(ask("a", 1, 1)).then(RefusedWhy::OutOfScope);
}

#[test]
fn single_tenant_is_the_tenant_of_the_session() {
    level("single_tenant", 50).when(ask("a", 1, 5)).then([issued("a", 1, 5)]);
    level("single_tenant", 50)
        .when(ask("a", 1, 5).by(holder_of(GLOBEX, "a", 1)))
        .then(RefusedWhy::Invalid);
}

#[test]
fn multi_tenant_is_an_explicit_list() {
    let fleet = given(multi_tenant(50, &[ACME, GLOBEX], |_| {}), [started()]);
    assert!(fleet.session().key.tenant.is_fleet());
    let fleet = fleet.when(ask("a", 1, 5)).then([issued("a", 1, 5)]);
    let other = holder_of(GLOBEX, "a", 1);
    let fleet = fleet.when(ask("a", 1, 5).by(other.clone())).then([issued_to(
        other,
        1,
        5,
        Default::default(),
    )]);
    fleet.when(ask("a", 1, 5).by(holder_of("initech", "a", 1))).then(RefusedWhy::Invalid);
}

#[test]
fn tenants_have_budgets_of_their_own_beside_the_total() {
    let limits = BTreeMap::from([(ACME.to_owned(), 3), (GLOBEX.to_owned(), 9)]);
    let two = multi_tenant(10, &[ACME, GLOBEX], |safety| safety.max_per_tenant = limits);
    let globex = || holder_of(GLOBEX, "g", 1);
    let part = given(two, [started()])
        .when(ask("a", 1, 9))
        .then([issued("a", 1, 1)])
        .and([closed("a", 1, 1), issued("a", 2, 2)])
        .when(ask("b", 1, 1))
        .then(RefusedWhy::Dry);
    // Globex may have 9, but 7 are left of the total.
    let part = part.and([issued_to(globex(), 1, 7, Default::default())]);
    let part = part.when(ask("h", 1, 9).by(holder_of(GLOBEX, "h", 1))).then(RefusedWhy::Dry);
    // What Acme gives back, Acme can have again.
    let back = part.when(close("a", 2, 0)).then([closed("a", 2, 0)]);
    back.when(ask("b", 1, 1)).then([issued("b", 1, 1)]);
}

#[test]
fn a_chunk_that_is_charged_to_an_agent_is_bound_to_it() {
    let limited = given(spec(50, |safety| safety.max_per_agent = Some(4)), [started()]);
    let limited = limited
        .when(ask("a", 1, 40))
        .then([issued_to(holder("a"), 1, 2, for_agent("planner"))])
        .and([issued_to(holder("b"), 1, 2, for_agent("planner"))])
        .when(ask("c", 1, 1))
        .then(RefusedWhy::Dry);
    let limited = limited.when(ask("c", 1, 2).agent("writer")).then([issued_to(
        holder("c"),
        1,
        2,
        for_agent("writer"),
    )]);
    let back = limited.when(close("b", 1, 1)).then([closed("b", 1, 1)]);
    back.when(ask("d", 1, 2)).then([issued_to(holder("d"), 1, 1, for_agent("planner"))]);
}

#[test]
fn agents_of_two_tenants_are_two_agents_whatever_their_names() {
    let limited = multi_tenant(50, &[ACME, GLOBEX], |safety| safety.max_per_agent = Some(2));
    let spent = given(limited, [started()])
        .and([issued_to(holder("a"), 1, 2, for_agent("planner"))])
        .when(ask("b", 1, 1))
        .then(RefusedWhy::Dry);
    let other = holder_of(GLOBEX, "a", 1);
    spent.when(ask("a", 1, 1).by(other.clone())).then([issued_to(
        other,
        1,
        1,
        for_agent("planner"),
    )]);
}

#[test]
fn traces_have_budgets_of_their_own() {
    let limited = given(spec(50, |safety| safety.max_per_trace = Some(1)), [started()]);
    let limited = limited.when(ask("a", 1, 1).trace("t1").request(1)).then([issued_to(
        holder("a"),
        1,
        1,
        for_request("planner", Some("t1"), 1),
    )]);
    let limited = limited.when(ask("b", 1, 1).trace("t1").request(2)).then(RefusedWhy::Dry);
    let limited = limited.when(ask("b", 1, 1).request(2)).then(RefusedWhy::OutOfScope);
    limited.when(ask("b", 1, 1).trace("t2").request(2)).then([issued_to(
        holder("b"),
        1,
        1,
        for_request("planner", Some("t2"), 2),
    )]);
}

#[test]
fn permits_that_any_agent_may_use_are_charged_to_none() {
    let free =
        given(strict(50), [started()]).when(ask("a", 1, 5).trace("t1")).then([issued("a", 1, 5)]);
    let ledger = &free.session().ledger;
    assert_eq!(ledger.spent_by_tenant(&tenant(ACME)), 5);
    assert_eq!(ledger.spent_by_agent(&tenant(ACME), &agent("planner")), 0);
    assert_eq!(ledger.spent_by_trace(&tenant(ACME), &trace("t1")), 0);
}
