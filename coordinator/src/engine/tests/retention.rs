//! What outlives the log's records, and what goes with them.

use squall_domain::lever::{Lever, Scope};
use squall_domain::rejection::Rejection;
use squall_domain::session::Phase;
use squall_proto::vocabulary::limits::LOG_KEEPS;
use squall_proto::vocabulary::time::UnixMillis;

use super::bench::{Bench, key, spec};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn lever(bench: &Bench, replica: usize) -> Lever {
    bench.engines[replica].world().lever(&Scope::Fleet).cloned().expect("it was engaged")
}

fn lever_records(bench: &Bench) -> usize {
    bench.log.iter().filter(|(_, write)| matches!(write, Write::Lever(..))).count()
}

#[test]
fn a_lever_that_stays_engaged_outlives_the_records_of_its_engagement() {
    let mut bench = Bench::new();
    bench.engage();
    let engaged = lever(&bench, 0).engaged;
    assert!(engaged.is_some());
    let engagement = bench.log.len();
    bench.leap(LOG_KEEPS / 2);
    bench.pass(Duration::from_secs(1));
    bench.leap(LOG_KEEPS / 2);
    bench.expire(engagement);
    assert_eq!(lever(&bench, 0).engaged, engaged);
    // This one reads only what the log still keeps.
    let later = bench.join();
    assert_eq!(lever(&bench, later).engaged, engaged);
    let token = bench.create(spec(5));
    assert!(bench.ordered(token).expect("no answer").is_ok());
    let token = bench.command("start", ClientCommand::Start);
    assert!(bench.ordered(token).expect("no answer").is_err(), "it started behind a halt");
    assert_ne!(bench.session().phase, Phase::Running);
}

#[test]
fn a_lever_that_was_released_can_be_engaged_when_the_records_of_its_release_are_gone() {
    let mut bench = Bench::new();
    bench.engage();
    bench.release();
    let release = bench.log.len();
    bench.leap(LOG_KEEPS / 2);
    bench.pass(Duration::from_secs(1));
    bench.leap(LOG_KEEPS / 2);
    bench.expire(release);
    let scope = Scope::Fleet;
    let token = bench.order("again", OrderKind::Engage { scope, reason: "smoke".into() });
    assert!(bench.ordered(token).expect("no answer").is_ok());
    assert!(lever(&bench, 0).engaged.is_some());
}

#[test]
fn a_lever_whose_records_expired_in_an_outage_can_still_be_moved() {
    let scope = || Scope::Fleet;
    let engage = OrderKind::Engage { scope: scope(), reason: "smoke".into() };
    let release = OrderKind::Release { scope: scope(), reason: "clear".into() };
    for order in [engage, release] {
        let mut bench = Bench::new();
        bench.engage();
        bench.leap(LOG_KEEPS);
        bench.expire(bench.log.len());
        // Its first try expects a record that is gone.
        let token = bench.order("after-the-outage", order);
        bench.pass(Duration::from_secs(1));
        assert!(bench.ordered(token).expect("no answer").is_ok());
    }
}

#[test]
fn one_replica_renews_a_lever_once() {
    let mut bench = Bench::new();
    bench.join();
    bench.pass(Duration::from_secs(2));
    bench.engage();
    bench.leap(LOG_KEEPS / 2);
    let before = lever_records(&bench);
    bench.pass(Duration::from_secs(5));
    assert_eq!(lever_records(&bench), before + 1);
    assert_eq!(lever(&bench, 0), lever(&bench, 1));
}

#[test]
fn a_wall_clock_that_is_years_ahead_renews_a_lever_once_an_hour() {
    let mut bench = Bench::new();
    bench.engage();
    bench.leap(HOUR);
    bench.set_wall(UnixMillis(0).plus(100 * LOG_KEEPS));
    let before = lever_records(&bench);
    bench.pass(Duration::from_secs(5));
    assert_eq!(lever_records(&bench), before + 1);
}

#[test]
fn a_session_is_forgotten_with_its_records_and_its_name_is_free_again() {
    let mut bench = Bench::running(10);
    bench.abort();
    bench.pass(Duration::from_secs(10));
    assert!(bench.session().stop.is_some_and(|stop| stop.proof.is_some()), "no proof");
    bench.leap(LOG_KEEPS + HOUR);
    bench.expire(bench.log.len());
    bench.create_named("other", spec(5));
    assert_eq!(bench.engines[0].world().session(&key()), None);
    assert_eq!(bench.engines[0].archive().of(&key()), None);
    let later = bench.join();
    assert_eq!(bench.engines[later].world().session(&key()), None);
    let token = bench.create(spec(5));
    assert!(bench.ordered(token).expect("no answer").is_ok());
    assert_eq!(bench.session().phase, Phase::Draft);
}

/// The end of a session whose beginning expired before any replica read it.
#[test]
fn a_name_under_which_the_log_holds_records_of_no_session_is_refused_at_once_until_they_expire() {
    let mut bench = Bench::new();
    let late = bench.join();
    bench.stray(true);
    let later = bench.join();
    for replica in [late, later] {
        assert_eq!(bench.engines[0].world(), bench.engines[replica].world());
    }
    let before = bench.log.len();
    let token = bench.create(spec(5));
    let refusal = bench.ordered(token).expect("no answer").unwrap_err();
    assert!(matches!(refusal, OrderError::Rejected(Rejection::NameHasStrays(_))), "{refusal}");
    assert_eq!(bench.log.len(), before, "something was written for it");
    bench.leap(LOG_KEEPS + HOUR);
    bench.expire(bench.log.len());
    bench.create_named("other", spec(5));
    let token = bench.create(spec(5));
    assert!(bench.ordered(token).expect("no answer").is_ok());
}

#[test]
fn who_loses_every_race_for_a_subject_rests_and_does_not_fill_the_log_with_barriers() {
    let mut bench = Bench::new();
    // The subject is not what any replica thinks.
    bench.stray(false);
    let before = bench.log.len();
    let token = bench.create(spec(5));
    bench.pass(Duration::from_secs(10));
    let answer = bench.ordered(token);
    assert!(matches!(answer, Some(Err(OrderError::TimedOut(_)))), "{answer:?}");
    let barriers = bench.log.len() - before;
    assert!(barriers < 40, "{barriers} barriers in 10 s");
}
