//! Aborts, halts, confirmations, and when a stop is proven.

use squall_proto::vocabulary::plan::AbortEpoch;

use super::ways;
use crate::event::{AbortCause, Ending, Event, ProofKind};
use crate::lever::Scope;
use crate::scenario::{
    ACME, Answer, GLOBEX, Look, Scenario, aborted, append, close, closed, confirmed, damaged,
    drained, ended, eventual, given, hash, holder, holder_of, inert, issued, spec, started, strict,
};
use crate::session::stop::OUT_OF_CONTACT_MAX;
use crate::session::{Phase, Session};

/// Two holders; the abort is the entry at 5.
fn stopped() -> Scenario {
    given(strict(50), [started(), issued("a", 1, 5), issued("b", 1, 5), aborted()])
}

/// Two holders; the lever is the entry at 5, and nobody recorded the halt.
fn halted() -> Scenario {
    given(strict(50), [started(), issued("a", 1, 5), issued("b", 1, 5)]).halted(&Scope::Fleet)
}

fn halt_recorded() -> Event {
    Event::Aborted { reason: "halted: fire".to_owned(), cause: AbortCause::Lever(5) }
}

fn proven(by: ProofKind, out_of_contact: &[&str]) -> Event {
    let out_of_contact = out_of_contact.iter().map(|shim| holder(shim)).collect();
    Event::StopProven { by, out_of_contact }
}

const LOGGED: AbortEpoch = AbortEpoch::Logged(5);

fn look(leases_are_over: bool) -> Look {
    Look::Stop { leases_are_over }
}

#[test]
fn every_holder_confirms_this_abort_and_the_stop_is_proven() {
    let one = stopped().when(inert("a", LOGGED)).then([confirmed("a")]);
    let one = one.when(look(false)).then_nothing();
    let both = one.when(inert("b", LOGGED)).then([confirmed("b")]);
    let proof = both.when(look(false)).then([proven(ProofKind::Confirmations, &[])]);
    proof.when(look(true)).then_nothing();
}

#[test]
fn a_repeated_confirmation_is_noted_and_recorded_once() {
    let once = stopped().when(inert("a", LOGGED)).then([confirmed("a")]);
    once.when(inert("a", LOGGED)).then(Answer::Noted);
}

#[test]
fn a_confirmation_of_another_stop_does_not_count() {
    // A pushed abort that is not folded yet, or a sequence that is not this abort's.
    let other = [AbortEpoch::Logged(4), AbortEpoch::Pushed(append(99))];
    for epoch in other {
        stopped().when(inert("a", epoch)).then(Answer::Wait);
        given(strict(50), [started()]).when(inert("a", epoch)).then(Answer::Wait);
    }
}

#[test]
fn a_halt_that_comes_after_an_abort_does_not_rename_it() {
    let halted = stopped().halted(&Scope::Fleet);
    let halted = halted.when(inert("a", AbortEpoch::Logged(6))).then(Answer::Wait);
    halted.when(inert("a", LOGGED)).then([confirmed("a")]);
}

#[test]
fn a_pushed_abort_is_named_by_the_append_that_it_got() {
    let pushed = AbortEpoch::Pushed(append(5));
    given(strict(50), [started(), issued("a", 1, 5), issued("b", 1, 5)])
        .when(inert("a", pushed))
        .then(Answer::Wait)
        .and([aborted()])
        .when(inert("a", pushed))
        .then([confirmed("a")]);
}

#[test]
fn a_halt_is_named_by_its_lever_pushed_or_logged_and_by_its_record() {
    for epoch in [LOGGED, AbortEpoch::Pushed(append(5))] {
        halted().when(inert("a", epoch)).then([confirmed("a")]);
    }
    for epoch in [AbortEpoch::Logged(6), AbortEpoch::Pushed(append(6))] {
        halted().and([halt_recorded()]).when(inert("a", epoch)).then([confirmed("a")]);
    }
}

#[test]
fn who_holds_nothing_is_noted_and_not_recorded() {
    stopped().when(inert("c", LOGGED)).then(Answer::Noted);
    // A forked child has a life of its own.
    stopped().when(inert("a", LOGGED).by(holder_of(ACME, "a", 2))).then(Answer::Noted);
    stopped().when(inert("a", LOGGED).by(holder_of(GLOBEX, "a", 1))).then(Answer::Noted);
    given(eventual(50), [started(), aborted()])
        .when(inert("a", AbortEpoch::Logged(3)))
        .then(Answer::Noted);
}

#[test]
fn a_graceful_end_needs_no_confirmation() {
    given(strict(50), [started(), issued("a", 1, 5), ended(Ending::Exhausted)])
        .when(inert("a", LOGGED))
        .then(Answer::Noted);
}

#[test]
fn an_end_behind_a_halt_is_none_and_the_confirmation_is_waited_for() {
    let late = halted().and([ended(Ending::Exhausted)]);
    let late = late.when(inert("a", AbortEpoch::Pushed(append(99)))).then(Answer::Wait);
    late.when(inert("a", LOGGED)).then([confirmed("a")]);
}

#[test]
fn a_grant_that_was_closed_before_the_stop_needs_no_confirmation() {
    let held = given(strict(50), [started(), issued("a", 1, 5), closed("a", 1, 5), aborted()]);
    held.when(look(false)).then([proven(ProofKind::Confirmations, &[])]);
}

#[test]
fn a_close_behind_the_stop_proves_nothing_until_its_holder_confirms() {
    let closed = stopped()
        .when(close("a", 1, 5))
        .then([closed("a", 1, 5)])
        .when(close("b", 1, 0))
        .then([closed("b", 1, 0)]);
    let closed = closed.when(look(false)).then_nothing();
    let one = closed.when(inert("b", LOGGED)).then([confirmed("b")]);
    let one = one.when(look(false)).then_nothing();
    let both = one.when(inert("a", LOGGED)).then([confirmed("a")]);
    both.when(look(false)).then([proven(ProofKind::Confirmations, &[])]);
}

#[test]
fn a_holder_that_closed_and_was_not_heard_again_is_out_of_contact() {
    let gone = stopped().and([closed("a", 1, 5), confirmed("b")]);
    gone.when(look(true)).then([proven(ProofKind::Time, &["a"])]);
}

#[test]
fn a_grant_behind_a_halt_makes_a_holder_also_when_it_is_closed() {
    let behind = halted().and([issued("c", 1, 5), halt_recorded(), closed("c", 1, 0)]);
    let behind = behind.and([confirmed("a"), confirmed("b")]).when(look(false)).then_nothing();
    let all = behind.when(inert("c", LOGGED)).then([confirmed("c")]);
    all.when(look(false)).then([proven(ProofKind::Confirmations, &[])]);
}

#[test]
fn who_confirms_behind_the_proof_is_remembered_as_late_and_only_if_it_was_waited_for() {
    let idle = given(
        strict(50),
        [started(), issued("a", 1, 5), issued("c", 1, 5), closed("c", 1, 5), aborted()],
    );
    let stop = AbortEpoch::Logged(6);
    let early = idle.clone().when(inert("c", stop)).then([confirmed("c")]);
    assert!(!early.session().stop.as_ref().unwrap().confirmations[&holder("c")].late);
    let proven = idle.when(look(true)).then([proven(ProofKind::Time, &["a"])]);
    let proven = proven.when(inert("c", stop)).then(Answer::Noted);
    let back = proven.when(inert("a", stop)).then([confirmed("a")]);
    let stop = back.session().stop.as_ref().unwrap();
    assert!(stop.confirmations[&holder("a")].late);
    assert_eq!(stop.proof.as_ref().unwrap().out_of_contact, [holder("a")]);
    assert_eq!(stop.unconfirmed().count(), 0);
}

#[test]
fn time_proves_a_stop_and_names_who_is_out_of_contact() {
    let one = stopped().and([confirmed("a")]);
    assert_eq!(
        one.session().stop.as_ref().unwrap().unconfirmed().collect::<Vec<_>>(),
        [&holder("b")]
    );
    one.when(look(true)).then([proven(ProofKind::Time, &["b"])]);
}

#[test]
fn a_proof_names_as_many_holders_as_fit_into_a_record() {
    let budget = u32::try_from(OUT_OF_CONTACT_MAX).unwrap() + 1;
    let all = (0..budget).map(|n| issued(&format!("s{n}"), 1, 1));
    let many = given(strict(budget), [started()]).and(all).and([aborted()]);
    let Some(Event::StopProven { by: ProofKind::Time, out_of_contact }) =
        many.session().prove(true)
    else {
        panic!("time proves it");
    };
    assert_eq!(out_of_contact.len(), OUT_OF_CONTACT_MAX);
    assert_eq!(many.session().stop.as_ref().unwrap().unconfirmed().count(), OUT_OF_CONTACT_MAX + 1);
}

#[test]
fn a_session_without_permits_is_proven_by_time_only() {
    let stopped = given(eventual(50), [started(), aborted()]);
    let stopped = stopped.when(look(false)).then_nothing();
    stopped.when(look(true)).then([proven(ProofKind::Time, &[])]);
}

#[test]
fn a_damaged_log_may_lack_holders_and_is_proven_by_time_only() {
    let broken = given(strict(50), [started(), damaged()]);
    let broken = broken.when(look(false)).then_nothing();
    broken.when(look(true)).then([proven(ProofKind::Time, &[])]);
}

#[test]
fn nothing_is_proven_of_a_session_that_was_not_stopped() {
    for (phase, way) in ways() {
        if !matches!(phase, Phase::Aborted | Phase::LogDamaged) {
            given(strict(50), way).when(look(true)).then_nothing();
        }
    }
}

#[test]
fn a_halt_is_proven_once_it_is_recorded_since_a_grant_may_lie_behind_the_lever() {
    let halted = halted().and([confirmed("a"), confirmed("b")]);
    let halted = halted.when(look(true)).then_nothing();
    // Decided before the lever was known, appended behind it.
    let behind = halted.and([issued("c", 1, 5), halt_recorded()]).when(look(false)).then_nothing();
    behind.when(look(true)).then([proven(ProofKind::Time, &["c"])]);
}

#[test]
fn a_halt_is_owed_its_record_until_somebody_writes_it() {
    assert_eq!(stopped().session().abort_to_record(), None);
    let broken = given(strict(50), [started(), damaged()]);
    assert_eq!(broken.session().abort_to_record(), None);
    let mut halted = halted();
    assert_eq!(halted.session().abort_to_record(), Some(AbortCause::Lever(5)));
    halted.release(&Scope::Fleet);
    assert_eq!(halted.session().abort_to_record(), Some(AbortCause::Lever(5)));
    let recorded = halted.and([halt_recorded()]);
    assert_eq!(recorded.session().abort_to_record(), None);
    assert_eq!(recorded.session().stop.as_ref().unwrap().epoch, 5);
}

#[test]
fn whatever_was_decided_before_a_halt_was_known_is_no_damage_behind_it() {
    let running = || given(strict(50), [started()]).halted(&Scope::Fleet);
    let paused = || given(strict(50), [started(), Event::Paused]).halted(&Scope::Fleet);
    for late in [Event::Paused, drained(), ended(Ending::Exhausted), issued("a", 1, 5), aborted()] {
        let after = running().and([late]);
        assert_eq!((after.session().phase, &after.session().damage), (Phase::Aborted, &None));
    }
    let after = paused().and([Event::Resumed]);
    assert_eq!((after.session().phase, &after.session().damage), (Phase::Aborted, &None));
}

#[test]
fn a_stop_remembers_its_first_record_and_counts_it_once() {
    let again =
        stopped().and([Event::Aborted { reason: "again".to_owned(), cause: AbortCause::Reported }]);
    let stop = again.session().stop.as_ref().unwrap();
    assert_eq!((stop.epoch, stop.record.as_ref().unwrap().reason.as_str()), (5, "enough"));
    assert_eq!(stop.holders, [holder("a"), holder("b")].into());
}

#[test]
fn a_stop_is_told_apart_by_its_stages() {
    let stages = |session: &Session| {
        session.stop.as_ref().map(|stop| (stop.record.is_some(), stop.proof.is_some()))
    };
    assert_eq!(stages(given(strict(50), [started()]).session()), None);
    assert_eq!(stages(halted().session()), Some((false, false)));
    assert_eq!(stages(stopped().session()), Some((true, false)));
    let proof = stopped().when(look(true)).then([proven(ProofKind::Time, &["a", "b"])]);
    assert_eq!(stages(proof.session()), Some((true, true)));
    assert_eq!(proof.session().head, hash(6));
}

#[test]
fn a_claim_session_is_proven_by_confirmations_too() {
    let claims = spec(50, |safety| safety.strictness = Some("strict_claim".to_owned()));
    given(claims, [started(), aborted()])
        .when(look(false))
        .then([proven(ProofKind::Confirmations, &[])]);
}
