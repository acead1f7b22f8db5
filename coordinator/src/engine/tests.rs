//! Replicas over one log in memory, on a clock that the test moves.

mod bench;
mod evidence;
mod fleet;
mod listing;
mod refusals;
mod reports;
mod retention;
mod starts;
mod stops;

use std::time::Duration;

use squall_domain::event::ProofKind;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::message::{Command, RefusedWhy, Reply};
use squall_proto::vocabulary::plan::AbortEpoch;

use self::bench::{Bench, Fate, spec};
use super::*;

#[test]
fn a_grant_leaves_only_after_it_is_in_the_log() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let token = bench.ask("shim-1", 1, 4);
    assert_eq!(bench.reply(token), None, "a grant left before its append was answered");
    bench.fate(Fate::Commit);
    let Some(Reply::Grant(grant)) = bench.reply(token) else { panic!("no grant") };
    assert!(grant.permits >= 1 && grant.permits <= 4);
    assert!(grant.remaining <= LEASE_TTL);
}

#[test]
fn a_repeated_ask_gets_the_same_grant_and_issues_nothing_more() {
    let mut bench = Bench::running(100);
    let first = bench.ask("shim-1", 1, 4);
    let again = bench.ask("shim-1", 1, 4);
    let (Some(Reply::Grant(first)), Some(Reply::Grant(again))) =
        (bench.reply(first), bench.reply(again))
    else {
        panic!("no grants")
    };
    assert_eq!(first.permits, again.permits);
    assert_eq!(bench.session().ledger.totals().issued, u64::from(first.permits));
}

#[test]
fn the_budget_is_never_passed_and_a_close_brings_permits_back() {
    let mut bench = Bench::running(3);
    for shim in ["a", "b", "c", "d", "e"] {
        bench.ask(shim, 1, 200);
    }
    assert_eq!(bench.session().ledger.available() + bench.session().ledger.spent(), 3);
    let refused = bench.ask("f", 1, 1);
    assert!(matches!(bench.reply(refused), Some(Reply::Refused(_))));
    let closed = bench.close("a", 1, 0);
    assert!(matches!(bench.reply(closed), Some(Reply::Closed(_))));
    let granted = bench.ask("f", 2, 1);
    assert!(matches!(bench.reply(granted), Some(Reply::Grant(_))));
    assert!(bench.session().ledger.spent() <= 3);
}

#[test]
fn two_replicas_that_both_believe_they_own_a_session_never_pass_its_budget() {
    let mut bench = Bench::running(5);
    let other = bench.join();
    for n in 0..20 {
        bench.fate(Fate::Hold);
        bench.ask_at(0, &format!("x{n}"), 1, 3);
        bench.ask_at(other, &format!("y{n}"), 1, 3);
        bench.fate(Fate::Commit);
    }
    assert!(bench.session().ledger.spent() <= 5);
    assert_eq!(bench.session().damage, None);
    assert_eq!(bench.engines[0].world(), bench.engines[other].world());
}

#[test]
fn an_append_that_committed_without_an_answer_is_found_in_the_log_and_not_done_twice() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::CommitUnanswered);
    let token = bench.ask("shim-1", 1, 1);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert!(matches!(bench.reply(token), Some(Reply::Grant(_))));
    assert_eq!(bench.session().ledger.totals().issued, 1);
}

#[test]
fn an_append_that_got_lost_is_decided_again() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Lose);
    let token = bench.ask("shim-1", 1, 1);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert!(matches!(bench.reply(token), Some(Reply::Grant(_))));
}

#[test]
fn a_full_log_refuses_a_command_with_the_reason_and_stores_nothing() {
    let mut bench = Bench::new();
    bench.fate(Fate::Full);
    let token = bench.create(spec(10));
    let error = bench.ordered(token).expect("no answer").unwrap_err();
    assert!(matches!(error, OrderError::LogFull(_)), "{error}");
    assert!(bench.engines[0].world().session(&bench::key()).is_none());
}

#[test]
fn a_command_that_is_repeated_is_done_once() {
    let mut bench = Bench::new();
    let first = bench.create(spec(10));
    let again = bench.create(spec(10));
    assert!(bench.ordered(first).expect("no answer").is_ok());
    assert!(bench.ordered(again).expect("no answer").is_ok());
    let other = bench.create(spec(11));
    assert!(
        bench.ordered(other).expect("no answer").is_err(),
        "the same id with another body was accepted"
    );
}

#[test]
fn a_start_is_refused_while_no_connected_shim_can_apply_the_experiment() {
    let mut bench = Bench::new();
    bench.create(spec(10));
    let token = bench.command("start", ClientCommand::Start);
    let error = bench.ordered(token).expect("no answer").unwrap_err();
    assert!(error.to_string().contains("no shim of acme is connected"), "{error}");
}

#[test]
fn an_abort_is_pushed_before_it_is_durable_and_answered_after() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.fate(Fate::Hold);
    bench.commands.clear();
    let token = bench.abort();
    assert!(bench.pushed(|epoch| matches!(epoch, AbortEpoch::Pushed(_))), "nothing was pushed");
    assert!(bench.ordered(token).is_none(), "answered before it was durable");
    bench.fate(Fate::Commit);
    assert!(bench.ordered(token).expect("no answer").is_ok());
    assert!(bench.pushed(|epoch| matches!(epoch, AbortEpoch::Logged(_))));
    assert_eq!(bench.session().phase, Phase::Aborted);
    let refused = bench.ask("shim-2", 1, 1);
    let Some(Reply::Refused(refused)) = bench.reply(refused) else { panic!("no refusal") };
    assert_eq!(refused.why, RefusedWhy::NotRunning);
}

#[test]
fn a_stop_is_proven_when_every_holder_confirmed_this_abort() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.ask("shim-2", 1, 1);
    bench.abort();
    let epoch = AbortEpoch::Logged(bench.session().stop.as_ref().unwrap().epoch);
    bench.inert("shim-1", epoch);
    bench.pass(Duration::from_millis(200));
    assert!(bench.session().stop.as_ref().unwrap().proof.is_none(), "proven with a holder missing");
    bench.inert("shim-2", epoch);
    bench.pass(Duration::from_millis(200));
    let proof = bench.session().stop.clone().unwrap().proof.expect("not proven");
    assert!(proof.out_of_contact.is_empty());
}

#[test]
fn a_stop_is_proven_by_time_when_a_holder_is_out_of_contact() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.abort();
    bench.pass(LEASE_TTL);
    assert!(
        bench.session().stop.as_ref().unwrap().proof.is_none(),
        "proven before the lease was over"
    );
    bench.pass(bench.session().spec.longest_fault() + Duration::from_secs(1));
    let proof = bench.session().stop.clone().unwrap().proof.expect("not proven");
    assert_eq!(proof.out_of_contact.len(), 1);
}

#[test]
fn a_halt_stops_what_runs_and_refuses_what_starts_until_it_is_released() {
    let mut bench = Bench::running(10);
    bench.engage();
    assert_eq!(bench.session().phase, Phase::Aborted);
    bench.pass(Duration::from_millis(200));
    assert!(bench.session().stop.as_ref().unwrap().record.is_some(), "nobody recorded the abort");
    assert!(bench.commands.iter().any(|(_, command)| matches!(command, Command::Halt { .. })));
    bench.create_named("later", spec(5));
    let token = bench.command_for("later", "start-later", ClientCommand::Start);
    let error = bench.ordered(token).expect("no answer").unwrap_err();
    assert!(error.to_string().contains("halt is engaged"), "{error}");
    bench.release();
    let token = bench.command_for("later", "start-again", ClientCommand::Start);
    assert!(bench.ordered(token).expect("no answer").is_ok());
    assert_eq!(bench.session().phase, Phase::Aborted, "a halted session came back");
}

#[test]
fn a_replica_that_is_not_fresh_answers_no_ask_and_no_renewal() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.fate(Fate::Hold);
    bench.pass(LEASE_TTL + Duration::from_millis(100));
    let ask = bench.ask("shim-1", 1, 1);
    let renew = bench.renew("shim-1");
    assert_eq!(bench.reply(ask), None);
    assert_eq!(bench.reply(renew), None);
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert!(matches!(bench.reply(renew), Some(Reply::Renewed(_))));
}

#[test]
fn an_unknown_close_with_used_permits_is_log_damage_only_after_catching_up() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let token = bench.close("shim-1", 7, 1);
    assert_eq!(bench.session().damage, None, "called damage before a barrier was passed");
    assert_eq!(bench.reply(token), None, "acknowledged permits that the log lacks");
    bench.fate(Fate::Commit);
    bench.pass(Duration::from_secs(3));
    assert!(bench.session().damage.is_some());
    assert_eq!(bench.session().phase, Phase::LogDamaged);
}

#[test]
fn an_abort_that_only_a_shim_remembers_is_recorded_before_the_shim_is_answered() {
    let mut bench = Bench::running(10);
    bench.fate(Fate::Hold);
    let token = bench.hello_with_abort("shim-9");
    assert_eq!(bench.reply(token), None);
    bench.fate(Fate::Commit);
    assert!(matches!(bench.reply(token), Some(Reply::Welcome(_))));
    assert_eq!(bench.session().phase, Phase::Aborted);
}

#[test]
fn a_replica_that_starts_later_folds_the_same_state_and_takes_over() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 2);
    let later = bench.join();
    assert_eq!(bench.engines[0].world(), bench.engines[later].world());
    bench.crash(0);
    bench.pass(Duration::from_secs(4));
    assert!(
        bench.commands.iter().any(|(_, command)| matches!(command, Command::Grant(_))),
        "the grant was not sent again"
    );
    let token = bench.ask_at(later, "shim-1", 1, 2);
    assert!(
        matches!(bench.reply(token), Some(Reply::Grant(_))),
        "the grant was not known to the new owner"
    );
    let token = bench.ask_at(later, "shim-2", 1, 2);
    assert!(matches!(bench.reply(token), Some(Reply::Grant(_))));
}

#[test]
fn dead_shims_stall_a_session_no_longer_than_their_permits_live() {
    let mut bench = Bench::running(10);
    bench.ask("dead", 1, 200);
    let refused = bench.ask("alive", 1, 1);
    let Some(Reply::Refused(refused)) = bench.reply(refused) else { panic!("no refusal") };
    assert_eq!(refused.why, RefusedWhy::OutstandingCap);
    bench.pass(bench.session().longest_use() + Duration::from_millis(100));
    let granted = bench.ask("alive", 2, 1);
    assert!(matches!(bench.reply(granted), Some(Reply::Grant(_))));
}

#[test]
fn a_close_in_the_same_record_makes_no_room_for_what_is_issued_beside_it() {
    let mut bench = Bench::new();
    bench.run(bench::rated(100, 10));
    let first = bench.ask("a", 1, 5);
    let Some(Reply::Grant(grant)) = bench.reply(first) else { panic!("no grant") };
    // The others reach the desk while an append is under way, so that one record decides them together.
    bench.fate(Fate::Hold);
    bench.ask("b", 1, 1);
    bench.close("a", 1, grant.permits);
    for shim in ["c", "d", "e"] {
        bench.ask(shim, 1, 200);
    }
    bench.fate(Fate::Commit);
    let issued = bench.session().ledger.totals().issued;
    assert!(issued <= 10, "{issued} permits were issued within a second, 10 may be");
}

#[test]
fn only_a_replica_that_did_not_see_every_permit_issued_takes_a_rate_window_for_full() {
    let mut bench = Bench::new();
    bench.run(bench::rated(100, 10));
    let first = bench.ask("a", 1, 5);
    assert!(matches!(bench.reply(first), Some(Reply::Grant(_))), "it saw the session begin");
    let late = bench.join();
    bench.crash(0);
    bench.pass(Duration::from_secs(4));
    let token = bench.ask_at(late, "b", 1, 1);
    let Some(Reply::Refused(_)) = bench.reply(token) else { panic!("the window may be full") };
    bench.pass(Duration::from_secs(15));
    let token = bench.ask_at(late, "b", 2, 1);
    assert!(matches!(bench.reply(token), Some(Reply::Grant(_))));
}

#[test]
fn a_session_does_not_end_in_the_record_that_issues_its_last_permit() {
    let mut bench = Bench::running(1);
    bench.fate(Fate::Hold);
    let token = bench.ask("a", 1, 1);
    bench.fate(Fate::Commit);
    assert!(matches!(bench.reply(token), Some(Reply::Grant(_))), "the last permit is stranded");
    assert_eq!(bench.session().phase, Phase::Running);
    bench.close("a", 1, 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.session().phase, Phase::Exhausted);
}

#[test]
fn a_damaged_log_stops_every_session_and_gives_the_partitions_away() {
    let mut bench = Bench::running(10);
    bench.commands.clear();
    bench.damage("a gap");
    assert_eq!(bench.session().phase, Phase::LogDamaged);
    let pushed = bench.commands.len();
    assert!(pushed > 0, "nothing was pushed");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.commands.len(), 3 * pushed, "it was not pushed again twice");
    assert!(!Partition::all().any(|partition| bench.owned.contains(&partition)));
}

#[test]
fn what_damaged_the_log_is_said_and_not_what_followed_from_it() {
    let mut bench = Bench::running(10);
    bench.damage("a gap");
    bench.damage("the log can't be read any more");
    assert_eq!(bench.health(), Some(Err("the log is damaged: a gap".to_owned())));
}

#[test]
fn a_record_that_can_not_be_read_stops_its_session_and_no_other() {
    let mut bench = Bench::running(10);
    bench.create_named("other", spec(5));
    let token = bench.command_for("other", "start-other", ClientCommand::Start);
    assert!(bench.ordered(token).expect("no answer").is_ok());
    bench.commands.clear();
    bench.garbage();
    assert_eq!(bench.session().phase, Phase::LogDamaged);
    assert!(bench.pushed(|_| true), "the shims were not told");
    assert_eq!(bench.session_named("other").phase, Phase::Running);
    assert!(bench.engines[0].is_live());
}

#[test]
fn a_halt_that_was_released_is_not_pushed_again() {
    let mut bench = Bench::running(10);
    bench.engage();
    bench.release();
    bench.commands.clear();
    bench.pass(Duration::from_secs(2));
    let halts = |(_, command): &(_, Command)| matches!(command, Command::Halt { .. });
    assert!(!bench.commands.iter().any(halts), "a start after the release would be stopped");
}

#[test]
fn an_abort_that_a_halt_follows_is_proven_by_the_confirmation_of_its_own_number() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.abort();
    let abort = bench.session().stop.expect("no stop").epoch;
    bench.engage();
    let halt = bench.lever().engaged.expect("no halt").sequence;
    assert!(halt > abort);
    let other = bench.inert("shim-1", AbortEpoch::Logged(halt));
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.reply(other), None, "the halt doesn't hit the session any more");
    let own = bench.inert("shim-1", AbortEpoch::Logged(abort));
    assert!(matches!(bench.reply(own), Some(Reply::InertNoted(_))));
    bench.pass(Duration::from_millis(200));
    let proof = bench.session().stop.and_then(|stop| stop.proof).expect("no proof");
    assert_eq!(proof.by, ProofKind::Confirmations);
}

/// What shims rely on when they take a halt for an old one.
#[test]
fn a_plan_that_shows_a_session_live_counts_the_lever_that_was_released_before_its_start() {
    let mut bench = Bench::running(10);
    bench.engage();
    let halt = bench.lever().engaged.expect("no halt").sequence;
    bench.release();
    bench.create_named("next", spec(10));
    bench.commands.clear();
    let start = bench.command_for("next", "start-next", ClientCommand::Start);
    assert!(bench.ordered(start).expect("no answer").is_ok());
    let live: Vec<u64> = bench
        .commands
        .iter()
        .filter_map(|(_, command)| {
            let Command::Plan(plan) = command else { return None };
            (!plan.live.is_empty()).then_some(plan.version.sequence)
        })
        .collect();
    assert!(!live.is_empty() && live.iter().all(|version| *version > halt), "{live:?}, {halt}");
}

#[test]
fn the_longest_duration_ends_a_session() {
    let mut bench = Bench::running(10);
    bench.pass(Duration::from_secs(601));
    assert_eq!(bench.session().phase, Phase::Completed);
}
