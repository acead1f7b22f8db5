//! Where levers and sessions meet, and what a tenant's shims have to have seen.

mod retention;

use std::collections::BTreeSet;
use std::sync::Arc;

use squall_proto::vocabulary::id::{SessionId, SessionKey, TenantId};
use squall_proto::vocabulary::message::RefusedWhy;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use super::{Applied, Entry};
use crate::event::{AbortCause, Ending, Event, Hash, LeverEvent, Record, Recorded, Totals};
use crate::lever::Scope;
use crate::scenario::{
    ACME, GLOBEX, Scenario, aborted, append, ask, closed, confirmed, created, damaged, drained,
    ended, given, hash, issued, multi_tenant, started, strict, tenant,
};
use crate::session::Phase;

fn running() -> Scenario {
    given(strict(50), [started()])
}

fn shared() -> Arc<SessionSpec> {
    multi_tenant(50, &[ACME, GLOBEX], |_| {})
}

fn of(name: &str) -> Scope {
    Scope::Tenant(tenant(name))
}

fn tenants(names: &[&str]) -> BTreeSet<TenantId> {
    names.iter().map(|name| tenant(name)).collect()
}

/// Sequences of the newest plan and the newest stop.
fn versions(scenario: &Scenario, name: &str) -> (u64, u64) {
    let of = tenant(name);
    (scenario.world.plan_version(&of), scenario.world.stop_version(&of))
}

#[test]
fn a_lever_halts_every_live_session_that_it_covers() {
    for scope in [Scope::Fleet, of(ACME)] {
        for way in [vec![], vec![Event::Paused], vec![drained()]] {
            let mut scenario = running().and(way);
            let applied = scenario.engage(&scope);
            assert_eq!(applied.sessions, [scenario.key.clone()]);
            assert_eq!(applied.lever, Some(scope.clone()));
            assert_eq!(scenario.session().phase, Phase::Aborted);
            scenario.when(ask("a", 1, 1)).then(RefusedWhy::NotRunning);
        }
    }
}

#[test]
fn another_tenants_lever_halts_nothing_here() {
    let mut scenario = running();
    assert!(scenario.engage(&of(GLOBEX)).sessions.is_empty());
    assert_eq!(scenario.session().phase, Phase::Running);
}

#[test]
fn one_tenants_lever_stops_a_shared_session_as_a_whole() {
    let mut scenario = given(shared(), [started()]);
    let applied = scenario.engage(&of(GLOBEX));
    assert_eq!(scenario.session().phase, Phase::Aborted);
    assert_eq!(applied.plan_changed, tenants(&[ACME, GLOBEX]));
    assert_eq!(versions(&scenario, ACME), (3, 3));
    assert_eq!(versions(&scenario, GLOBEX), (3, 3));
}

#[test]
fn a_session_that_is_not_live_is_not_halted() {
    for (way, phase) in [
        (vec![], Phase::Draft),
        (vec![started(), ended(Ending::Exhausted)], Phase::Exhausted),
        (vec![started(), damaged()], Phase::LogDamaged),
    ] {
        let mut scenario = given(strict(50), way);
        assert!(scenario.engage(&Scope::Fleet).sessions.is_empty());
        assert_eq!(scenario.session().phase, phase);
    }
}

#[test]
fn a_release_brings_nothing_back() {
    let mut scenario = running().halted(&Scope::Fleet);
    let applied = scenario.release(&Scope::Fleet);
    assert!(applied.sessions.is_empty() && applied.plan_changed.is_empty());
    assert_eq!(scenario.session().phase, Phase::Aborted);
    assert!(scenario.world.engaged_for(scenario.session()).is_none());
}

#[test]
fn a_start_behind_an_engaged_lever_is_halted_by_it_for_good() {
    for scope in [Scope::Fleet, of(ACME)] {
        let mut scenario = given(strict(50), []).halted(&scope);
        let applied = scenario.fold([started()]);
        assert_eq!(scenario.session().phase, Phase::Aborted);
        assert_eq!(applied.plan_changed, tenants(&[ACME]));
        // The lever is the entry at 2, the start at 3.
        assert_eq!(scenario.session().abort_to_record(), Some(AbortCause::Lever(2)));
        assert_eq!(versions(&scenario, ACME), (3, 3));
        scenario.release(&scope);
        assert_eq!(scenario.session().phase, Phase::Aborted);
    }
}

#[test]
fn a_start_in_the_append_of_the_creation_is_halted_too() {
    let mut scenario = given(strict(50), []).halted(&Scope::Fleet);
    scenario.key.session = SessionId::new("other").unwrap();
    scenario.fold([created(&strict(50)), started()]);
    assert_eq!(scenario.session().phase, Phase::Aborted);
}

#[test]
fn a_grant_behind_an_engaged_lever_is_spent_and_never_used() {
    let scenario = running().halted(&Scope::Fleet).and([issued("a", 1, 5)]);
    assert_eq!(scenario.session().ledger.available(), 45);
    scenario.when(ask("a", 1, 5)).then(RefusedWhy::NotRunning);
}

#[test]
fn a_resumption_behind_an_engaged_lever_is_halted() {
    let scenario = running().and([Event::Paused]).halted(&Scope::Fleet).and([Event::Resumed]);
    assert_eq!(scenario.session().phase, Phase::Aborted);
}

#[test]
fn a_start_behind_a_released_lever_runs() {
    let mut scenario = given(strict(50), []).halted(&Scope::Fleet);
    scenario.release(&Scope::Fleet);
    assert_eq!(scenario.and([started()]).session().phase, Phase::Running);
}

#[test]
fn a_lever_that_is_engaged_again_keeps_its_first_epoch() {
    let mut scenario = given(strict(50), []).halted(&Scope::Fleet);
    scenario.engage(&Scope::Fleet);
    scenario.fold([started()]);
    assert_eq!(scenario.session().abort_to_record(), Some(AbortCause::Lever(2)));
}

#[test]
fn a_plan_changes_with_what_shims_have_to_know() {
    let version = |event| versions(&running().and([event]), ACME).0;
    assert_eq!(versions(&running(), ACME), (2, 0));
    for event in [Event::Paused, drained(), ended(Ending::Exhausted), aborted(), damaged()] {
        assert_eq!(version(event), 3);
    }
    for event in [issued("a", 1, 5), Event::GuardTripped { failed_downstream: 1, threshold: 1 }] {
        assert_eq!(version(event), 2);
    }
}

#[test]
fn a_stop_counts_for_the_tenants_of_its_session_only() {
    for stop in [Event::Paused, drained(), ended(Ending::Exhausted), aborted(), damaged()] {
        let stopped = running().and([stop]);
        assert_eq!(versions(&stopped, ACME), (3, 3));
        assert_eq!(versions(&stopped, GLOBEX), (0, 0));
    }
    let shared = given(shared(), [started(), Event::Paused]);
    assert_eq!(versions(&shared, ACME), (3, 3));
    assert_eq!(versions(&shared, GLOBEX), (3, 3));
    let resumed = shared.and([Event::Resumed]);
    assert_eq!(versions(&resumed, ACME), (4, 3));
}

#[test]
fn a_lever_counts_for_every_tenant_that_it_covers_whether_or_not_it_has_sessions() {
    let mut scenario = running();
    scenario.engage(&of(GLOBEX));
    assert_eq!(versions(&scenario, ACME), (2, 0));
    assert_eq!(versions(&scenario, GLOBEX), (3, 3));
    let applied = scenario.engage(&Scope::Fleet);
    assert_eq!(applied.plan_changed, tenants(&[ACME, GLOBEX]));
    for name in [ACME, GLOBEX, "initech"] {
        assert_eq!(versions(&scenario, name), (4, 4), "{name}");
    }
}

#[test]
fn a_shim_that_has_the_newest_plan_is_never_refused_its_lease() {
    let mut scenario = running().and([Event::Paused, issued("a", 1, 5), aborted()]);
    scenario.engage(&of(ACME));
    scenario.engage(&Scope::Fleet);
    for name in [ACME, GLOBEX] {
        let (plan, stop) = versions(&scenario, name);
        assert!(plan >= stop, "{name}: {plan} {stop}");
    }
}

#[test]
fn what_is_recorded_of_a_damaged_session_stops_its_tenant_only_once() {
    let broken = running().and([issued("a", 1, 51)]);
    assert_eq!(versions(&broken, ACME), (3, 3));
    let mut broken = broken.and([closed("a", 9, 0), confirmed("a")]);
    assert_eq!(versions(&broken, ACME), (3, 3));
    assert!(broken.fold([confirmed("b")]).plan_changed.is_empty());
}

/// A release that follows a record which nobody saw.
fn torn(scenario: &mut Scenario, scope: &Scope) -> Applied {
    let sequence = scenario.world.applied + 1;
    let record = Record {
        append: append(sequence),
        at: UnixMillis(0),
        previous: hash(77),
        totals: Totals::default(),
        events: vec![Recorded {
            command: None,
            event: LeverEvent::Released { reason: "out".to_owned() },
        }],
    };
    let entry = Entry::Lever(scope.clone(), record);
    scenario.world.apply(sequence, UnixMillis(0), &entry, hash(sequence))
}

#[test]
fn a_missing_record_of_a_lever_may_have_been_a_halt() {
    for scope in [Scope::Fleet, of(ACME)] {
        let mut scenario = running();
        scenario.release(&scope);
        let applied = torn(&mut scenario, &scope);
        assert_eq!(applied.sessions, [scenario.key.clone()]);
        assert_eq!(scenario.session().phase, Phase::LogDamaged);
        assert_eq!(versions(&scenario, ACME), (4, 4));
    }
}

#[test]
fn a_missing_record_of_another_tenants_lever_damages_nothing_here() {
    let mut scenario = running();
    scenario.engage(&of(GLOBEX));
    assert!(torn(&mut scenario, &of(GLOBEX)).sessions.is_empty());
    assert_eq!(scenario.session().phase, Phase::Running);
}

#[test]
fn the_first_record_that_is_seen_of_a_lever_may_follow_some_that_are_no_longer_kept() {
    let mut scenario = running();
    assert!(torn(&mut scenario, &of(ACME)).sessions.is_empty());
    assert_eq!(scenario.session().phase, Phase::Running);
}

#[test]
fn a_record_that_can_not_be_read_damages_its_session_and_no_other() {
    let garbage = |scenario: &mut Scenario, key: &SessionKey| {
        let sequence = scenario.world.applied + 1;
        let entry = Entry::Unreadable(key.clone(), "garbage".to_owned());
        scenario.world.apply(sequence, UnixMillis(0), &entry, hash(sequence))
    };
    let mut scenario = running();
    let key = scenario.key.clone();
    let other = SessionKey { session: SessionId::new("other").unwrap(), ..key.clone() };
    assert!(garbage(&mut scenario, &other).sessions.is_empty());
    assert_eq!((scenario.session().phase, scenario.world.orphans), (Phase::Running, 1));
    assert!(scenario.world.has_strays(&other) && !scenario.world.has_strays(&key));
    assert_eq!(garbage(&mut scenario, &key).plan_changed, tenants(&[ACME]));
    let session = scenario.session();
    assert_eq!((session.phase, session.revision), (Phase::LogDamaged, 4));
    assert_eq!(session.damage.as_deref(), Some("record 4 can't be read: garbage"));
    assert_eq!(versions(&scenario, ACME), (4, 4));
    // Its tenant is stopped once.
    assert!(garbage(&mut scenario, &key).plan_changed.is_empty());
    assert_eq!(versions(&scenario, ACME), (4, 4));
}

#[test]
fn a_log_that_can_not_be_trusted_ends_what_is_live_and_nothing_else() {
    for (way, phase) in [
        (vec![], Phase::Draft),
        (vec![started(), aborted()], Phase::Aborted),
        (vec![started()], Phase::LogDamaged),
        (vec![started(), Event::Paused], Phase::LogDamaged),
        (vec![started(), drained()], Phase::LogDamaged),
    ] {
        let mut scenario = given(strict(50), way);
        scenario.world.damage_all("a gap");
        assert_eq!(scenario.session().phase, phase);
    }
}

#[test]
fn a_record_without_its_session_is_counted_and_changes_nothing() {
    let mut scenario = running();
    scenario.key.session = SessionId::new("gone").unwrap();
    let record = Record {
        append: append(9),
        at: UnixMillis(0),
        previous: Hash::default(),
        totals: Totals::default(),
        events: vec![Recorded { command: None, event: Event::Paused }],
    };
    let applied = scenario.fold_record(record);
    assert!(applied.sessions.is_empty() && applied.plan_changed.is_empty());
    assert_eq!((scenario.world.orphans, scenario.world.session_count()), (1, 1));
    assert!(scenario.world.has_strays(&scenario.key));
    // Somebody wrote a first record behind it all the same.
    scenario.fold([created(&strict(50))]);
    assert!(!scenario.world.has_strays(&scenario.key));
    assert_eq!((scenario.session().phase, scenario.world.session_count()), (Phase::Draft, 2));
}
