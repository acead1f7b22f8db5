//! What the log forgets after a month, and what must not be lost with it.

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::limits::LOG_KEEPS;
use squall_proto::vocabulary::time::UnixMillis;

use super::{of, running};
use crate::event::{AbortCause, Ending, Event, LeverEvent, ProofKind};
use crate::lever::Scope;
use crate::scenario::{ACME, Scenario, aborted, confirmed, ended, given, issued, started, strict};
use crate::session::Phase;

fn month_after(scenario: &Scenario) -> UnixMillis {
    scenario.session().stored.plus(LOG_KEEPS)
}

fn proven() -> Event {
    Event::StopProven { by: ProofKind::Time, out_of_contact: Vec::new() }
}

#[test]
fn a_session_that_is_over_is_forgotten_when_its_newest_record_has_expired() {
    for way in [vec![ended(Ending::Exhausted)], vec![aborted(), proven()]] {
        let mut scenario = running().and(way);
        let expires = month_after(&scenario);
        assert!(scenario.pass(UnixMillis(expires.0 - 1)).forgotten.is_empty());
        // The next look is an hour of the log's time later.
        let forgotten = scenario.pass(expires.plus(super::super::FORGET_EVERY)).forgotten;
        assert_eq!(forgotten, [scenario.key.clone()]);
        assert_eq!(scenario.world.session_count(), 0);
    }
}

#[test]
fn a_session_that_is_not_over_for_certain_is_never_forgotten() {
    for way in [vec![], vec![Event::Paused], vec![issued("a", 1, 1), aborted()]] {
        let mut scenario = running().and(way);
        let later = month_after(&scenario).plus(LOG_KEEPS);
        assert!(scenario.pass(later).forgotten.is_empty());
        assert_eq!(scenario.world.session_count(), 1);
    }
}

#[test]
fn a_late_record_keeps_its_session_for_another_month() {
    let mut scenario = running().and([issued("a", 1, 1), aborted(), proven()]);
    let expires = month_after(&scenario);
    scenario.pass(UnixMillis(expires.0 - 1));
    let sequence = scenario.world.applied + 1;
    let record =
        scenario.record(vec![crate::event::Recorded { command: None, event: confirmed("a") }]);
    let entry = super::Entry::Session(scenario.key.clone(), record);
    scenario.world.apply(sequence, expires, &entry, super::hash(sequence));
    let later = expires.plus(LOG_KEEPS / 2);
    assert!(scenario.pass(later).forgotten.is_empty());
    assert_eq!(scenario.pass(later.plus(LOG_KEEPS)).forgotten, [scenario.key.clone()]);
}

#[test]
fn a_name_is_used_again_by_who_looked_just_before_its_session_expired_too() {
    let mut scenario = running().and([ended(Ending::Exhausted)]);
    let expires = month_after(&scenario);
    scenario.pass(UnixMillis(expires.0 - 1));
    assert_eq!(scenario.world.session_count(), 1);
    // A replica that began later knows nothing of the name, and made it anew.
    let event = Event::Created { spec: strict(50), seed: 2, digest: [2; 32] };
    let mut record = scenario.record(vec![crate::event::Recorded { command: None, event }]);
    record.previous = Default::default();
    record.totals = Default::default();
    let sequence = scenario.world.applied + 1;
    let entry = super::Entry::Session(scenario.key.clone(), record);
    let applied = scenario.world.apply(sequence, expires, &entry, super::hash(sequence));
    assert_eq!(applied.forgotten, [scenario.key.clone()]);
    assert_eq!((scenario.session().phase, &scenario.session().damage), (Phase::Draft, &None));
    assert_eq!(scenario.session().created.sequence, sequence);
}

#[test]
fn a_clock_that_goes_back_forgets_nothing_twice_and_moves_no_time() {
    let mut scenario = running().and([ended(Ending::Exhausted)]);
    let later = month_after(&scenario);
    scenario.pass(later);
    let before = scenario.world.clone();
    scenario.pass(UnixMillis(0));
    assert_eq!(scenario.world.time, before.time);
    assert_eq!(scenario.world.session_count(), before.session_count());
}

#[test]
fn a_renewal_changes_nothing_for_who_saw_the_engagement() {
    for scope in [Scope::Fleet, of(ACME)] {
        let mut scenario = given(strict(50), []).halted(&scope);
        let before = scenario.world.lever(&scope).unwrap().clone();
        let renewal = before.renewal(month_after(&scenario)).unwrap();
        scenario.pull(&scope, renewal);
        let after = scenario.world.lever(&scope).unwrap();
        assert_eq!((&after.engaged, &after.commands), (&before.engaged, &before.commands));
        assert!(after.revision > before.revision && after.stored > before.stored);
    }
}

/// The lever's first record has expired: only the renewal is left.
#[test]
fn a_renewal_is_the_engagement_for_who_saw_nothing_else() {
    for scope in [Scope::Fleet, of(ACME)] {
        let seen = given(strict(50), []).halted(&scope);
        let lever = seen.world.lever(&scope).unwrap();
        let renewal = lever.renewal(month_after(&seen)).unwrap();
        let mut scenario = running();
        scenario.pull(&scope, renewal.clone());
        assert_eq!(scenario.world.lever(&scope).unwrap().engaged, lever.engaged);
        // What it finds live was started behind the halt.
        assert_eq!(scenario.session().phase, Phase::Aborted);
        assert_eq!(scenario.session().abort_to_record(), Some(AbortCause::Lever(2)));
        let mut scenario = given(strict(50), []);
        scenario.pull(&scope, renewal);
        assert_eq!(scenario.and([started()]).session().phase, Phase::Aborted);
    }
}

#[test]
fn the_renewal_of_a_released_lever_stops_nothing() {
    let mut scenario = running();
    let applied = scenario.pull(&Scope::Fleet, LeverEvent::Renewed { engaged: None });
    assert!(applied.sessions.is_empty() && applied.plan_changed.is_empty());
    assert_eq!(scenario.session().phase, Phase::Running);
}

/// Garbage under a name that no session has.
fn garbage(scenario: &mut Scenario, name: &str, time: UnixMillis) -> SessionKey {
    let key = SessionKey { session: name.parse().unwrap(), ..scenario.key.clone() };
    let sequence = scenario.world.applied + 1;
    let entry = super::Entry::Unreadable(key.clone(), "garbage".to_owned());
    scenario.world.apply(sequence, time, &entry, super::hash(sequence));
    key
}

#[test]
fn a_name_with_records_of_no_session_is_free_when_the_newest_of_them_has_expired() {
    let mut scenario = running();
    let time = scenario.session().stored;
    let key = garbage(&mut scenario, "gone", time);
    let newest = time.plus(LOG_KEEPS / 2);
    garbage(&mut scenario, "gone", newest);
    let expires = newest.plus(LOG_KEEPS);
    scenario.pass(UnixMillis(expires.0 - 1));
    assert!(scenario.world.has_strays(&key));
    // The next look is an hour of the log's time later.
    scenario.pass(expires.plus(super::super::FORGET_EVERY));
    assert!(!scenario.world.has_strays(&key));
    assert_eq!(scenario.world.orphans, 2);
}

#[test]
fn garbage_under_ever_new_names_does_not_fill_the_memory() {
    let mut scenario = running();
    let time = scenario.session().stored;
    let max = super::super::STRAYS_MAX;
    let keys: Vec<_> = (0..=max).map(|n| garbage(&mut scenario, &format!("n-{n}"), time)).collect();
    let kept = keys.iter().filter(|key| scenario.world.has_strays(key)).count();
    assert_eq!((kept, scenario.world.orphans), (max, max as u64 + 1));
}
