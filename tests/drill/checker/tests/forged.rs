//! Whatever is broken once is found, each by its own rule; a run in which nothing is broken is clean.

mod forged {
    pub(crate) mod world;
}

use forged::world::{MS, World, holder};
use squall_drill_checker::Rule;
use squall_drill_checker::files::{Answer, Fault, Felt, Final, Report};
use squall_drill_checker::log::{Entry, Event, Radius};

#[test]
fn a_run_in_which_nothing_is_broken_is_clean() {
    World::whole().is_clean();
}

#[test]
fn i1_more_calls_than_the_budget() {
    let mut world = World::whole();
    world.spec().budget = 2;
    world.finds(Rule::I1);
}

#[test]
fn i2_more_permits_than_the_budget() {
    let mut world = World::whole();
    world.spec().budget = 3;
    world.finds(Rule::I2);
}

#[test]
fn i3_a_call_that_was_affected_before_its_permit_was_issued() {
    let mut world = World::whole();
    let call = &mut world.evidence.lives[0].calls[0];
    (call.begin.at_ns, call.end.as_mut().unwrap().at_ns) = (10 * MS, 11 * MS);
    world.finds(Rule::I3);
}

#[test]
fn i3_more_calls_than_the_ledger_calls_spent() {
    let mut world = World::whole();
    world.edit(|event| {
        if let Event::Closed { used, .. } = event {
            *used = 1;
        }
    });
    world.finds(Rule::I3);
}

#[test]
fn i4_a_grant_behind_the_abort() {
    let mut world = World::whole();
    world.append(3_500, vec![World::issued("b", 7, 1)]);
    world.finds(Rule::I4);
}

#[test]
fn i4_a_grant_behind_a_halt_that_was_used() {
    let mut world = World::whole();
    world.lever_before_the_grant();
    world.finds(Rule::I4);
}

#[test]
fn i5_two_agents_of_a_session_that_may_hit_one() {
    let mut world = World::whole();
    world.spec().radius = Radius::Agent;
    world.finds(Rule::I5);
}

#[test]
fn i5_a_tenant_that_takes_no_part() {
    let mut world = World::whole();
    world.evidence.lives[0].who.tenant = "globex".to_owned();
    world.finds(Rule::I5);
}

#[test]
fn i6_a_grant_that_is_issued_twice() {
    let mut world = World::whole();
    world.insert_behind_start(World::issued("a", 1, 4));
    world.finds(Rule::I6);
}

#[test]
fn i6_a_grant_that_is_closed_twice() {
    let mut world = World::whole();
    world.append(3_500, vec![Event::Closed { holder: holder("a"), req_no: 1, used: 2 }]);
    world.finds(Rule::I6);
}

#[test]
fn i6_a_grant_that_is_closed_with_more_than_was_issued() {
    let mut world = World::whole();
    world.edit(|event| {
        if let Event::Closed { used, .. } = event {
            *used = 5;
        }
    });
    world.finds(Rule::I6);
}

#[test]
fn i7_a_life_that_burned_more_than_it_got() {
    let mut world = World::whole();
    world.evidence.lives[1].who.incarnation = holder("a").incarnation;
    world.finds(Rule::I7);
}

#[test]
fn i7_a_forked_child_that_was_not_started_again() {
    let mut world = World::whole();
    world.evidence.lives[0].who.unarmed = true;
    world.finds(Rule::I7);
}

#[test]
fn i8_a_close_by_somebody_else() {
    let mut world = World::whole();
    world.edit(|event| {
        if let Event::Closed { holder, .. } = event {
            holder.shim = "somebody".to_owned();
        }
    });
    world.finds(Rule::I8);
}

#[test]
fn i8_a_close_of_what_nobody_issued() {
    let mut world = World::whole();
    world.append(3_500, vec![Event::Closed { holder: holder("c"), req_no: 1, used: 0 }]);
    world.finds(Rule::I8);
}

#[test]
fn i9_more_than_a_tenant_may_have_and_more_than_an_agent_may() {
    let mut world = World::whole();
    world.spec().per_tenant.insert("acme".to_owned(), 2);
    world.finds(Rule::I9);
    let mut world = World::whole();
    world.spec().per_agent = Some(1);
    world.finds(Rule::I9);
    let mut world = World::whole();
    world.spec().per_trace = Some(1);
    world.finds(Rule::I9);
}

#[test]
fn i10_two_calls_held_at_once_where_one_is_allowed() {
    let mut world = World::whole();
    world.spec().concurrent = Some(1);
    world.spec().hold_ms = 300;
    for (life, from) in [(0, 500), (1, 510)] {
        let call = &mut world.evidence.lives[life].calls[0];
        call.begin.at_ns = from * MS;
        let end = call.end.as_mut().unwrap();
        end.at_ns = (from + 301) * MS;
        end.felt = Felt::TimedOut;
    }
    world.finds(Rule::I10);
}

#[test]
fn i11_three_calls_in_a_window_for_two() {
    let mut world = World::whole();
    world.spec().rate = Some((2, 10));
    world.finds(Rule::I11);
}

#[test]
fn i12_a_state_that_the_log_does_not_give() {
    let mut world = World::whole();
    world.shown(|shown| shown.issued += 1);
    world.finds(Rule::I12);
}

#[test]
fn i12_a_coordinator_that_ends_with_another_state() {
    let mut world = World::whole();
    world.evidence.finals[0].shown.as_mut().unwrap().proven = false;
    world.finds(Rule::I12);
}

#[test]
fn i13_a_fault_of_no_session_and_one_that_nothing_explains() {
    for felt in [Felt::Marked("acme/other".to_owned()), Felt::Strange("?".to_owned())] {
        let mut world = World::whole();
        world.evidence.lives[0].calls[0].end.as_mut().unwrap().felt = felt;
        world.finds(Rule::I13);
    }
    let mut world = World::whole();
    let call = &mut world.evidence.lives[0].calls[0];
    call.begin.tool = "another".to_owned();
    call.end.as_mut().unwrap().felt = Felt::OutputChanged;
    world.finds(Rule::I13);
}

#[test]
fn t1_an_injection_too_long_after_the_stop() {
    let mut world = World::whole();
    world.late_injection(2_000 + 3_300);
    world.finds(Rule::T1);
}

#[test]
fn t2_an_injection_too_long_without_contact() {
    let mut world = World::whole();
    world.evidence.faults.push(Fault {
        n: 2,
        kind: "partition_agent".to_owned(),
        targets: vec!["a".to_owned()],
        from_ns: 0,
        to_ns: 9_000 * MS,
    });
    let call = &mut world.evidence.lives[0].calls[0];
    (call.begin.at_ns, call.end.as_mut().unwrap().at_ns) = (3_100 * MS, 3_101 * MS);
    world.finds(Rule::T2);
}

#[test]
fn an_injection_behind_the_proof() {
    let mut world = World::whole();
    world.late_injection(3_100);
    world.finds(Rule::Proof);
}

#[test]
fn a_proof_that_a_holder_did_not_confirm() {
    let mut world = World::whole();
    world.remove(|event| matches!(event, Event::Inert { .. }));
    world.finds(Rule::Proof);
}

#[test]
fn a_proof_by_time_before_the_lease_was_over() {
    let mut world = World::whole();
    world.edit(|event| {
        if let Event::Proven { by, .. } = event {
            *by = 2;
        }
    });
    world.finds(Rule::Proof);
}

#[test]
fn a_log_with_a_hole_a_broken_chain_or_other_totals() {
    let mut world = World::whole();
    world.records.remove(2);
    world.finds(Rule::Log);
    let mut world = World::whole();
    world.records[2].previous = "f".repeat(64);
    world.finds(Rule::Log);
    let mut world = World::whole();
    if let Entry::Session { issued, .. } = &mut world.records[2].entry {
        *issued += 1;
    }
    world.finds(Rule::Log);
    let mut world = World::whole();
    world.records[3].append = world.records[2].append.clone();
    world.finds(Rule::Log);
    let mut world = World::whole();
    world.records[2].entry = Entry::Unreadable("garbage".to_owned());
    world.finds(Rule::Log);
    let mut world = World::whole();
    world.append(4_000, vec![Event::LogDamaged("so it says".to_owned())]);
    world.finds(Rule::Log);
}

#[test]
fn a_command_that_was_acknowledged_and_is_not_in_the_log() {
    let mut world = World::whole();
    world.forget_command("start");
    world.finds(Rule::Acknowledged);
}

#[test]
fn a_command_that_is_in_the_log_twice() {
    let mut world = World::whole();
    world.repeat_command("abort");
    world.finds(Rule::Acknowledged);
}

#[test]
fn a_command_of_which_it_was_said_that_it_is_not_stored() {
    let mut world = World::whole();
    world.answer("abort", Answer::NothingStored("UNAVAILABLE".to_owned()));
    world.finds(Rule::Acknowledged);
}

#[test]
fn a_revision_that_was_shown_and_that_the_log_lacks() {
    let mut world = World::whole();
    world.shown(|shown| shown.revision = 99);
    world.finds(Rule::Acknowledged);
}

#[test]
fn a_session_that_a_coordinator_does_not_know() {
    let mut world = World::whole();
    let (session, coordinator) = ("acme/s".to_owned(), 1);
    world.evidence.finals.push(Final { session, coordinator, shown: None });
    world.finds(Rule::Acknowledged);
}

#[test]
fn a_refusal_that_no_order_of_the_commands_explains() {
    let mut world = World::whole();
    // The session had been started, and everybody could know.
    world.call("pause", 700, 710, Answer::Refused("WRONG_STATE".to_owned()));
    world.finds(Rule::Linearizable);
}

#[test]
fn a_refusal_that_came_while_the_start_was_under_way_is_explained() {
    let mut world = World::whole();
    world.call("pause", 150, 160, Answer::Refused("WRONG_STATE".to_owned()));
    world.is_clean();
}

#[test]
fn an_unanswered_command_may_have_happened_or_not() {
    let mut world = World::whole();
    world.answer("abort", Answer::Unknown("no answer".to_owned()));
    world.is_clean();
    let mut world = World::whole();
    world.call("pause", 700, 710, Answer::Unknown("no answer".to_owned()));
    world.is_clean();
}

#[test]
fn a_halt_that_is_released_before_anybody_engaged_it() {
    let mut world = World::whole();
    world.lever_call("release", 100, Answer::Done(None));
    world.finds(Rule::Linearizable);
}

#[test]
fn a_report_that_counts_what_reached_nobody_or_lacks_what_did() {
    for (applied, of_a) in [(4, 3), (2, 1)] {
        let mut world = World::whole();
        let Report { applied: all, agents, .. } = &mut world.evidence.reports[0];
        (*all, agents[0].2) = (applied, of_a);
        world.finds(Rule::Report);
    }
    let mut world = World::whole();
    world.evidence.reports[0].overshoot = 1;
    world.finds(Rule::Report);
}

#[test]
fn a_report_may_lack_what_died_with_its_process() {
    let mut world = World::whole();
    world.evidence.lives[0].ended_ns = None;
    let Report { applied, agents, .. } = &mut world.evidence.reports[0];
    (*applied, agents[0].2) = (2, 1);
    world.is_clean();
}
