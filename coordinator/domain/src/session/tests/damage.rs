//! What shows that the log can't be trusted. The fold never fails: it turns the session into `LogDamaged`.

use proptest::prelude::*;

use super::ways;
use crate::event::{BoundScope, Ending, Event, Hash, Recorded, Totals};
use crate::scenario::{
    ACME, Answer, Scenario, aborted, agent, ask, bound, closed, confirmed, created, damaged,
    drained, ended, given, hash, issued, started, strict, tenant,
};
use crate::session::{Phase, Session};

fn running() -> Scenario {
    given(strict(50), [started()])
}

fn damage(scenario: &Scenario) -> &str {
    assert_eq!(scenario.session().phase, Phase::LogDamaged);
    scenario.session().damage.as_deref().expect("it says why")
}

#[test]
fn a_record_must_follow_the_newest_one() {
    let mut scenario = running();
    let mut record = scenario.record(vec![Recorded { command: None, event: Event::Paused }]);
    record.previous = hash(1);
    scenario.fold_record(record);
    assert_eq!(damage(&scenario), "record 3 follows a record that is not the newest one");
    assert_eq!(scenario.session().stop.as_ref().unwrap().epoch, 3);
}

#[test]
fn the_first_record_follows_none() {
    let mut record =
        running().record(vec![Recorded { command: None, event: created(&strict(50)) }]);
    record.totals = Totals::default();
    record.previous = Hash::default();
    let key = running().key;
    let whole = Session::create(key.clone(), 1, &record, hash(1)).unwrap();
    assert_eq!((whole.phase, whole.damage), (Phase::Draft, None));
    record.previous = hash(9);
    let torn = Session::create(key, 1, &record, hash(1)).unwrap();
    assert_eq!(torn.phase, Phase::LogDamaged);
}

#[test]
fn a_record_repeats_the_totals_of_all_before_it() {
    let mut scenario = running();
    let mut record = scenario.record(vec![Recorded { command: None, event: issued("a", 1, 5) }]);
    assert_eq!(record.totals, Totals { issued: 5, refunded: 0 });
    record.totals.issued = 6;
    scenario.fold_record(record);
    assert_eq!(damage(&scenario), "record 3 has other totals than the records before it give");
}

#[test]
fn an_event_that_does_not_fit_is_told_by_its_name() {
    let scenario = given(strict(50), [issued("a", 1, 5)]);
    assert_eq!(damage(&scenario), "grant_issued while the session was draft");
}

#[test]
fn a_ledger_that_does_not_add_up_is_damage() {
    let cases: [(&[Event], &str); 9] = [
        (&[issued("a", 1, 51)], "51 permits issued with 50 available"),
        (&[issued("a", 1, 0)], "0 permits issued; allowed is 1 to 256"),
        (&[issued("a", 1, 257)], "257 permits issued; allowed is 1 to 256"),
        (&[issued("a", 1, 5), issued("a", 2, 5)], "grant 2 issued twice, or beside an open one"),
        (
            &[issued("a", 1, 5), closed("a", 1, 0), issued("a", 1, 5)],
            "grant 1 issued twice, or beside an open one",
        ),
        (&[closed("a", 1, 0)], "grant 1 closed but never issued"),
        (
            &[issued("a", 1, 5), closed("a", 1, 6)],
            "grant 1 closed with 6 used doesn't fit what was issued",
        ),
        (
            &[issued("a", 1, 5), closed("a", 1, 5), closed("a", 1, 5)],
            "grant 1 closed with 5 used doesn't fit what was issued",
        ),
        (
            &[issued("a", 1, 5), closed("a", 2, 5)],
            "grant 2 closed with 5 used doesn't fit what was issued",
        ),
    ];
    for (events, why) in cases {
        assert_eq!(damage(&running().and(events.to_vec())), why);
    }
}

#[test]
fn a_blast_radius_is_bound_once() {
    let to = |name| bound(BoundScope::Agent(tenant(ACME), agent(name)));
    let twice = running().and([to("planner"), to("writer")]);
    assert_eq!(damage(&twice), "the blast radius was bound twice");
}

#[test]
fn a_session_is_created_once() {
    let twice = running().and([created(&strict(50))]);
    assert_eq!(damage(&twice), "the session was created twice");
}

#[test]
fn an_event_that_the_state_before_it_does_not_allow_is_damage() {
    use Phase::{Aborted, Completed, Draft, Draining, Exhausted, Paused, Running};
    let any: &[Phase] = &[Draft, Running, Paused, Draining, Completed, Exhausted, Aborted];
    let table: [(Event, &[Phase]); 12] = [
        (started(), &[Draft]),
        (Event::Paused, &[Running]),
        (Event::Resumed, &[Paused]),
        (drained(), &[Running, Paused]),
        (ended(Ending::Expired), &[Draft]),
        (ended(Ending::Exhausted), &[Running]),
        (ended(Ending::Completed), &[Draining]),
        (issued("a", 1, 5), &[Running]),
        (bound(BoundScope::Agent(tenant(ACME), agent("planner"))), &[Running]),
        (Event::GuardTripped { failed_downstream: 5, threshold: 5 }, &[Running, Paused, Draining]),
        (confirmed("a"), &[Aborted]),
        (aborted(), any),
    ];
    for (event, phases) in table {
        for (phase, way) in ways().into_iter().filter(|(phase, _)| *phase != Phase::LogDamaged) {
            let after = given(strict(50), way).and([event.clone()]);
            let allowed = after.session().damage.is_none();
            assert_eq!(allowed, phases.contains(&phase), "{event:?} in {phase:?}");
        }
    }
}

#[test]
fn damage_ends_every_state_and_nothing_ends_damage() {
    for (phase, way) in ways() {
        let broken = given(strict(50), way).and([damaged()]);
        assert_eq!(broken.session().phase, Phase::LogDamaged, "{phase:?}");
    }
    let events = [aborted(), Event::Resumed, started(), ended(Ending::Completed)];
    let broken = running().and([damaged()]).and(events);
    assert_eq!(damage(&broken), "a test says so");
}

#[test]
fn a_damaged_session_gives_no_permits() {
    running()
        .and([damaged()])
        .when(ask("a", 1, 1))
        .then(Answer::Refused(squall_proto::vocabulary::message::RefusedWhy::NotRunning));
}

/// Events that mostly make no sense where they stand.
fn nonsense() -> impl Strategy<Value = Event> {
    let shim = prop::sample::select(vec!["a", "b"]);
    prop_oneof![
        Just(started()),
        Just(Event::Paused),
        Just(Event::Resumed),
        Just(drained()),
        Just(ended(Ending::Completed)),
        Just(ended(Ending::Exhausted)),
        Just(aborted()),
        Just(damaged()),
        Just(created(&strict(7))),
        Just(confirmed("a")),
        (shim.clone(), 0..4_u64, 0..300_u32).prop_map(|(shim, no, n)| issued(shim, no, n)),
        (shim, 0..4_u64, 0..300_u32).prop_map(|(shim, no, used)| closed(shim, no, used)),
    ]
}

proptest! {
    /// The fold is total, what is over stays over, and no ledger is ever overdrawn.
    #[test]
    fn no_log_breaks_the_fold(events in prop::collection::vec(nonsense(), 0..40)) {
        let mut scenario = running();
        for event in events {
            let before = scenario.session().phase;
            let grants = matches!(event, Event::GrantIssued { .. });
            scenario.fold([event]);
            let session = scenario.session();
            prop_assert!(session.ledger.spent() <= 50);
            prop_assert_eq!(session.ledger.available(), 50 - session.ledger.spent());
            prop_assert!(!before.is_terminal() || session.phase == before || session.phase == Phase::LogDamaged);
            prop_assert!(!grants || before == Phase::Running || session.phase == Phase::LogDamaged);
            prop_assert_eq!(session.damage.is_some(), session.phase == Phase::LogDamaged);
            prop_assert_eq!(session.deadline().is_some(), !session.phase.is_terminal());
            prop_assert!(session.ledger.open_permits() <= session.ledger.totals().issued);
        }
    }
}
