//! A stop gets through, whatever else waits, and whoever makes it wait.

use std::time::Duration;

use squall_domain::event::{Event, LeverEvent};
use squall_domain::lever::Scope;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::message::{
    Close, Command, GrantRef, RefusedWhy, Reply, Request, Unavailable,
};
use squall_proto::vocabulary::plan::AbortEpoch;

use super::bench::{self, Bench, Fate, inert, key};
use crate::engine::{OrderError, Token, Write};

/// More than two records hold.
const MANY: usize = 600;

fn shim(n: usize) -> String {
    format!("s-{n}")
}

/// A session that runs, with one append under way and many who wait for it.
fn crowded() -> Bench {
    let mut bench = Bench::running(10_000);
    bench.fate(Fate::Hold);
    for n in 0..MANY {
        bench.ask(&shim(n), 1, 1);
    }
    bench
}

/// The append ids that aborts were pushed under.
fn pushed(bench: &Bench) -> Vec<AppendId> {
    let pushed = |(_, command): &(_, Command)| {
        let Command::Abort { epoch: AbortEpoch::Pushed(id), .. } = command else { return None };
        Some(*id)
    };
    bench.commands.iter().filter_map(pushed).collect()
}

fn aborts(write: &Write) -> bool {
    let Write::Session(_, _, record) = write else { return false };
    record.events.iter().any(|recorded| matches!(recorded.event, Event::Aborted { .. }))
}

fn is_done(bench: &Bench, token: Token) -> bool {
    bench.ordered(token).is_some_and(|answer| answer.is_ok())
}

#[test]
fn an_abort_goes_before_all_who_wait_and_its_id_stands_for_its_own_record() {
    let mut bench = crowded();
    let token = bench.abort();
    let pushed = pushed(&bench);
    assert!(bench.ordered(token).is_none(), "an abort was turned away by those who wait");
    bench.fate(Fate::Commit);
    assert!(is_done(&bench, token), "{:?}", bench.ordered(token));
    let of_push = bench.log.iter().find(|(id, _)| pushed.contains(id)).expect("no record of it");
    assert!(aborts(&of_push.1), "another record took the abort's id: {:?}", of_push.1);
    assert_eq!(bench.session().ledger.totals().issued, 1, "permits were issued past the abort");
}

#[test]
fn an_abort_that_is_lost_with_the_record_that_it_was_in_is_appended_again() {
    for fate in [Fate::Lose, Fate::CommitUnanswered] {
        let mut bench = crowded();
        let token = bench.abort();
        bench.fate(fate);
        bench.fate(Fate::Commit);
        bench.pass(Duration::from_secs(3));
        assert!(is_done(&bench, token), "{fate:?}: {:?}", bench.ordered(token));
        assert_eq!(bench.session().phase, Phase::Aborted);
        assert_eq!(bench.log.iter().filter(|(_, write)| aborts(write)).count(), 1);
    }
}

#[test]
fn an_abort_that_no_answer_came_to_is_recorded_as_soon_as_the_log_is_back() {
    let mut bench = crowded();
    let token = bench.abort();
    bench.pass(Duration::from_secs(30));
    let Some(Err(OrderError::Pushed(_))) = bench.ordered(token) else { panic!("no time-out") };
    assert_eq!(bench.session().phase, Phase::Running);
    bench.fate(Fate::Lose);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.session().phase, Phase::Aborted);
    let Some(Err(OrderError::Pushed(_))) = bench.ordered(token) else { panic!("answered twice") };
}

#[test]
fn stops_are_kept_up_to_a_limit_that_other_requests_have_no_part_in() {
    let mut bench = crowded();
    let mut turned_away = 0;
    for n in 0..300 {
        let abort = ClientCommand::Abort { reason: "enough".into() };
        let token = bench.command(&format!("abort-{n}"), abort);
        turned_away += usize::from(bench.ordered(token).is_some());
    }
    assert_eq!(turned_away, 300 - 256);
    bench.fate(Fate::Commit);
    assert_eq!(bench.session().phase, Phase::Aborted);
}

#[test]
fn a_halt_goes_to_a_desk_that_is_full_of_releases_and_is_the_last_word() {
    let mut bench = Bench::running(10);
    bench.engage();
    bench.fate(Fate::Hold);
    for n in 0..MANY {
        bench.release_as(&format!("release-{n}"));
    }
    let token = bench.engage_as("again");
    assert!(bench.ordered(token).is_none(), "a halt was turned away by those who wait");
    bench.fate(Fate::Commit);
    assert!(is_done(&bench, token), "{:?}", bench.ordered(token));
    assert!(bench.lever().engaged.is_some(), "an older release undid the halt");
    let engages = |write: &Write| match write {
        Write::Lever(_, _, record) => record
            .events
            .iter()
            .any(|recorded| matches!(recorded.event, LeverEvent::Engaged { .. })),
        Write::Session(..) | Write::Barrier => false,
    };
    let halts = bench.commands.iter().filter_map(|(_, command)| {
        let Command::Halt { epoch: AbortEpoch::Pushed(id) } = command else { return None };
        Some(*id)
    });
    for id in halts {
        let (_, write) = bench.log.iter().find(|(known, _)| *known == id).expect("no record");
        assert!(engages(write), "another record took the halt's id: {write:?}");
    }
}

#[test]
fn a_halt_that_no_answer_came_to_is_recorded_as_soon_as_the_log_is_back() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let token = bench.engage();
    bench.pass(Duration::from_secs(30));
    let Some(Err(OrderError::Pushed(_))) = bench.ordered(token) else { panic!("no time-out") };
    bench.fate(Fate::Lose);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(5));
    assert!(bench.engines[0].world().lever(&Scope::Fleet).is_some_and(|l| l.engaged.is_some()));
}

#[test]
fn what_the_owner_appends_by_itself_has_its_room_in_a_full_record() {
    let mut bench = crowded();
    bench.leap(Duration::from_secs(601));
    bench.fate(Fate::Commit);
    let after_the_end = bench.session().ledger.totals().issued;
    assert_eq!(after_the_end, 1 + 254, "its time was over, and it went on granting");
}

#[test]
fn an_abort_that_a_shim_reports_is_tried_again_after_the_log_was_full() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Full);
    bench.hello_with_abort("shim-9");
    bench.fate(Fate::Commit);
    assert_eq!(bench.session().phase, Phase::Running);
    bench.hello_with_abort("shim-9");
    assert_eq!(bench.session().phase, Phase::Aborted);
}

#[test]
fn shims_of_other_tenants_take_no_room_at_a_sessions_desk() {
    let mut bench = Bench::running(10);
    for n in 0..2 * MANY {
        let stranger = shim(n);
        let confirmed = bench.intrude(&stranger, inert(&stranger, AbortEpoch::Logged(999_999)));
        assert!(matches!(bench.reply(confirmed), Some(Reply::InertNoted(_))));
        let ask = bench.asks(&stranger, 1, 1);
        let asked = bench.intrude(&stranger, ask);
        let Some(Reply::Refused(refused)) = bench.reply(asked) else { panic!("no refusal") };
        assert_eq!(refused.why, RefusedWhy::Invalid);
        let grant = GrantRef { session: key(), req_no: 1 };
        let incarnation = bench::incarnation(&stranger);
        let close = Request::Close(Close { incarnation, grant, used: 1 });
        let closed = bench.intrude(&stranger, close);
        assert!(matches!(bench.reply(closed), Some(Reply::Unavailable(_))));
    }
    let asked = bench.ask("shim-1", 1, 4);
    let Some(Reply::Grant(grant)) = bench.reply(asked) else { panic!("no grant") };
    assert_eq!(grant.permits, 4, "strangers count as asking");
    let token = bench.abort();
    assert!(is_done(&bench, token));
}

#[test]
fn who_was_never_granted_anything_has_nothing_to_confirm_and_does_not_wait() {
    let mut bench = Bench::running(10);
    let epoch = AbortEpoch::Pushed(AppendId([5; 16]));
    let noted = bench.inert("stranger", epoch);
    assert!(matches!(bench.reply(noted), Some(Reply::InertNoted(_))));
    let ahead = bench.inert("stranger", AbortEpoch::Logged(999_999));
    let Some(Reply::Unavailable(Unavailable { why, .. })) = bench.reply(ahead) else {
        panic!("its grant may lie ahead, as the stop does")
    };
    assert_eq!(why, "the stop is not known here yet");
}

#[test]
fn a_stop_whose_client_was_told_that_it_will_be_recorded_outlasts_a_full_log() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Lose);
    let token = bench.abort();
    bench.pass(Duration::from_secs(9));
    let Some(Err(OrderError::Pushed(_))) = bench.ordered(token) else { panic!("no time-out") };
    bench.fate(Fate::Full);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.session().phase, Phase::Running, "it was recorded in a full log");
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.session().phase, Phase::Aborted);
}

#[test]
fn who_is_told_that_the_log_did_not_answer_is_told_what_it_said_instead() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Lose);
    let abort = bench.abort();
    let asked = bench.ask("shim-1", 1, 1);
    bench.pass(Duration::from_secs(9));
    let said = "the log did not answer in time: no space left on device";
    let Some(Err(error)) = bench.ordered(abort) else { panic!("no time-out") };
    assert!(error.to_string().contains(said), "{error}");
    let Some(Reply::Unavailable(Unavailable { why, .. })) = bench.reply(asked) else {
        panic!("no time-out")
    };
    assert!(why.starts_with(said), "{why}");
}

#[test]
fn asking_for_a_session_that_is_over_keeps_nothing() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.abort();
    let asked = bench.ask("shim-2", 1, 1);
    assert!(matches!(bench.reply(asked), Some(Reply::Refused(_))));
    assert!(!bench.engines[0].ages.contains_key(&key()));
}

#[test]
fn nobody_waits_for_a_log_that_is_damaged() {
    let mut bench = crowded();
    let abort = bench.abort();
    let halt = bench.engage();
    let report = bench.hello_with_abort("shim-1");
    bench.damage("a gap");
    for token in [abort, halt] {
        let answer = bench.ordered(token);
        assert!(matches!(answer, Some(Err(OrderError::LogDamaged(_)))), "{answer:?}");
    }
    assert!(matches!(bench.reply(report), Some(Reply::Unavailable(_))));
}

/// The bench holds each command to its lane.
#[test]
fn pauses_aborts_and_halts_take_the_lane_where_no_plan_and_no_beat_goes() {
    let mut bench = Bench::running(10);
    bench.command("pause", ClientCommand::Pause);
    bench.abort();
    bench.engage();
    bench.pass(Duration::from_secs(5));
    let told = |which: fn(&Command) -> bool| bench.commands.iter().any(|(_, told)| which(told));
    assert!(told(|told| matches!(told, Command::Pause { .. })), "nobody was told of the pause");
    assert!(told(|told| matches!(told, Command::Abort { .. })), "nobody was told of the abort");
    assert!(told(|told| matches!(told, Command::Halt { .. })), "nobody was told of the halt");
    assert!(told(|told| matches!(told, Command::Plan(_))), "nobody was told the plan");
    assert!(told(|told| matches!(told, Command::Beat(_))), "nobody was told the plan's version");
}

#[test]
fn a_log_that_takes_no_writes_is_named_in_health_and_errors_until_it_does() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Lose);
    let paused = bench.command("pause", ClientCommand::Pause);
    bench.pass(Duration::from_secs(9));
    let Some(Err(OrderError::TimedOut(why))) = bench.ordered(paused) else { panic!("no time-out") };
    assert!(why.contains("after making room restart them"), "{why}");
    assert_eq!(bench.health(), Some(Ok(())), "as long as a change of leaders may take");
    bench.pass(Duration::from_secs(4));
    let Some(Err(why)) = bench.health() else { panic!("healthy without a log") };
    assert!(why.starts_with("the log has answered no write for 1"), "{why}");
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.health(), Some(Ok(())));
}

#[test]
fn a_full_log_that_says_so_is_not_silent() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Full);
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.health(), Some(Ok(())));
}
