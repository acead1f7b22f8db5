//! Hellos and Renews that name aborts: who waits, for what, and how long.

use std::time::Duration;

use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::message::{Hello, Reply, Request};

use super::bench::{Bench, Fate, incarnation, reporting, spec};

/// Another session that runs.
fn start(bench: &mut Bench, session: &str) {
    bench.create_named(session, spec(10));
    let token = bench.command_for(session, &format!("start-{session}"), ClientCommand::Start);
    assert!(bench.ordered(token).expect("no answer").is_ok());
}

#[test]
fn what_a_shim_says_of_another_tenants_session_is_not_waited_for_and_changes_nothing() {
    let mut bench = Bench::running(10);
    let token = bench.intrude("bad", Request::Hello(reporting("bad", &["main"])));
    assert!(matches!(bench.reply(token), Some(Reply::Welcome(_))));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.session().phase, Phase::Running);
}

#[test]
fn a_report_waits_for_all_sessions_that_it_names() {
    let mut bench = Bench::running(10);
    start(&mut bench, "other");
    bench.fate(Fate::Hold);
    let token = bench.send(0, "shim-9", Request::Hello(reporting("shim-9", &["main", "other"])));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.reply(token), None);
    bench.fate(Fate::Commit);
    assert!(matches!(bench.reply(token), Some(Reply::Welcome(_))));
    assert_eq!(bench.session().phase, Phase::Aborted);
    assert_eq!(bench.session_named("other").phase, Phase::Aborted);
}

#[test]
fn the_newer_report_of_a_process_takes_the_place_of_the_older_one() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let older = bench.hello_with_abort("shim-9");
    let other = bench.hello_with_abort("shim-8");
    let newer = bench.hello_with_abort("shim-9");
    assert!(matches!(bench.reply(older), Some(Reply::Unavailable(_))));
    bench.fate(Fate::Commit);
    for token in [other, newer] {
        assert!(matches!(bench.reply(token), Some(Reply::Welcome(_))));
    }
}

#[test]
fn processes_of_one_name_wait_beside_each_other() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let first = bench.hello_with_abort("shim-9");
    let hello = Hello { incarnation: incarnation("shim-8"), ..reporting("shim-9", &["main"]) };
    let second = bench.send(0, "shim-9", Request::Hello(hello));
    bench.fate(Fate::Commit);
    for token in [first, second] {
        assert!(matches!(bench.reply(token), Some(Reply::Welcome(_))));
    }
}

#[test]
fn a_report_that_waited_too_long_is_told_to_come_back() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let token = bench.hello_with_abort("shim-9");
    bench.pass(LEASE_TTL * 2);
    let renewal = bench.renew("shim-9");
    assert_eq!(bench.reply(token), None);
    bench.pass(LEASE_TTL);
    assert!(matches!(bench.reply(token), Some(Reply::Unavailable(_))));
    assert_eq!(bench.reply(renewal), None);
    bench.pass(LEASE_TTL * 2);
    assert!(matches!(bench.reply(renewal), Some(Reply::Unavailable(_))));
}
