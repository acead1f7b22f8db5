//! What shims report: what counts, in whatever order it and the log arrive, and what follows from it.

use std::time::Duration;

use squall_domain::evidence::Sums;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{Reply, Unavailable};

use super::bench::{Bench, Fate, draft, key, spec};

fn sums(bench: &Bench) -> Sums {
    bench.engines[0].archive().of(&key()).map(|kept| kept.sums().clone()).unwrap_or_default()
}

#[test]
fn a_draft_counts_nothing_until_it_is_started() {
    let mut bench = Bench::new();
    bench.hears("shim-1", super::bench::hello("shim-1"));
    bench.create(spec(10));
    bench.reports("shim-1", &key(), 0);
    assert_eq!(sums(&bench), Sums::default());
    bench.command("start", ClientCommand::Start);
    assert_eq!(sums(&bench).total.seen, 9, "what was early is taken in at the start");
}

#[test]
fn what_is_reported_on_sessions_that_never_come_takes_bounded_room_and_is_left_alone() {
    let mut bench = Bench::running(10);
    for number in 0..1000 {
        let session = format!("never-{number}").parse().unwrap();
        bench.reports("shim-1", &SessionKey { session, ..key() }, 1);
        bench.reports("shim-1", &SessionKey { tenant: "globex".parse().unwrap(), ..key() }, 1);
    }
    assert_eq!(bench.engines[0].early.len(), 128);
    assert_eq!(sums(&bench), Sums::default());
}

#[test]
fn a_tenant_that_reports_on_sessions_that_never_come_takes_no_room_from_another() {
    let mut bench = Bench::new();
    bench.hears("shim-1", super::bench::hello("shim-1"));
    bench.create(spec(10));
    bench.reports("shim-1", &key(), 0);
    let never = SessionKey { tenant: "evil".parse().unwrap(), session: "never".parse().unwrap() };
    for _ in 0..2000 {
        bench.reports_of("evil", "bad", &never, 1);
    }
    bench.command("start", ClientCommand::Start);
    assert_eq!(sums(&bench).total.seen, 9);
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.engines[0].early.len(), 0, "it is kept for ever");
}

#[test]
fn an_injection_counts_once_its_grant_is_folded() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    bench.ask("shim-1", 1, 1);
    bench.reports("shim-1", &key(), 1);
    assert_eq!(sums(&bench).total.applied, 0);
    bench.fate(Fate::Commit);
    assert_eq!(sums(&bench).total.applied, 1);
}

#[test]
fn an_eventual_session_ends_once_reports_reach_its_budget() {
    let mut draft = draft(5);
    draft.safety.strictness = Some("eventual".to_owned());
    let mut bench = Bench::new();
    bench.run(draft.validate().unwrap());
    bench.reports("shim-1", &key(), 4);
    assert_eq!(bench.session().phase, Phase::Running);
    bench.reports("shim-1", &key(), 7);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.session().phase, Phase::Draining);
    bench.reports("shim-1", &key(), 8);
    bench.pass(Duration::from_secs(15));
    assert_eq!(bench.session().phase, Phase::Exhausted);
    assert_eq!(sums(&bench).total.applied, 8, "what came late is counted");
}

#[test]
fn a_list_holds_sums_and_no_single_agents() {
    let mut bench = Bench::running(10);
    bench.reports("shim-1", &key(), 0);
    let listed = bench.listed();
    let [line] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((line.sums.total.seen, line.sums.agents.len(), line.samples.len()), (9, 0, 0));
}

#[test]
fn a_guarded_session_gets_nothing_while_its_guard_sees_nothing() {
    let mut draft = draft(10);
    draft.safety.cascade_threshold = Some(3);
    let mut bench = Bench::new();
    bench.run(draft.validate().unwrap());
    bench.loses_evidence();
    let asked = bench.ask("shim-1", 1, 1);
    let Some(Reply::Unavailable(Unavailable { why, .. })) = bench.reply(asked) else {
        panic!("an answer without a look at what was reported")
    };
    assert!(why.contains("guard"), "{why}");
    let [line] = &bench.listed()[..] else { panic!("one session") };
    let unread = line.unread.as_ref().expect("it says so");
    assert_eq!((unread.why.as_str(), line.at.since(unread.since).as_secs()), ("gone", 12));
    assert_eq!(bench.health(), Some(Err("evidence can't be read: gone".to_owned())));
    bench.reads_evidence();
    let asked = bench.ask("shim-1", 2, 1);
    assert!(matches!(bench.reply(asked), Some(Reply::Grant(_))));
    assert_eq!((bench.listed()[0].unread.clone(), bench.health()), (None, Some(Ok(()))));
}

#[test]
fn a_guard_sees_again_only_once_evidence_was_read_to_its_end() {
    let mut draft = draft(10);
    draft.safety.cascade_threshold = Some(3);
    let mut bench = Bench::new();
    bench.run(draft.validate().unwrap());
    bench.loses_evidence();
    bench.reports("shim-1", &key(), 0);
    assert!(bench.listed()[0].unread.is_some(), "what is old shows nothing of what came since");
    let asked = bench.ask("shim-1", 1, 1);
    assert!(matches!(bench.reply(asked), Some(Reply::Unavailable(_))));
    bench.reads_evidence();
    let asked = bench.ask("shim-1", 2, 1);
    assert!(matches!(bench.reply(asked), Some(Reply::Grant(_))));
}

#[test]
fn without_evidence_a_session_with_permits_and_no_guard_goes_on() {
    let mut bench = Bench::running(10);
    bench.loses_evidence();
    bench.pass(Duration::from_millis(200));
    let asked = bench.ask("shim-1", 1, 1);
    assert!(matches!(bench.reply(asked), Some(Reply::Grant(_))));
    assert_eq!(bench.session().phase, Phase::Running);
}

#[test]
fn without_evidence_a_session_that_only_reports_bound_pauses_until_somebody_resumes_it() {
    let mut draft = draft(5);
    draft.safety.strictness = Some("eventual".to_owned());
    let mut bench = Bench::new();
    bench.run(draft.validate().unwrap());
    bench.loses_evidence();
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.session().phase, Phase::Paused);
    bench.reads_evidence();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.session().phase, Phase::Paused);
    bench.command("resume", ClientCommand::Resume);
    assert_eq!(bench.session().phase, Phase::Running);
}
