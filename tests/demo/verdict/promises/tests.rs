use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::named::Named as _;

use super::super::{Abort, Referee};
use super::*;
use crate::referee::Effect;

/// A verdict in which every promise was kept.
fn kept() -> Verdict {
    let row = Row { seen: 90, chosen: 30, applied: 6, skipped: 23, not_applicable: 1 };
    let by_effect = BTreeMap::from([(Effect::Delayed, 6)]);
    Verdict {
        budget: 50,
        applied: 36,
        referee_applied: 36,
        overshoot: 0,
        by_experiment: BTreeMap::from([("slow-log".to_owned(), row)]),
        by_tenant: BTreeMap::from([("acme".to_owned(), row)]),
        by_kind: FaultKind::ALL.iter().map(|kind| (kind.name().to_owned(), 6)).collect(),
        by_effect: by_effect.clone(),
        abort: Abort {
            accepted_to_last_inert_ms: Some(17),
            accepted_to_proven_ms: Some(4500),
            confirmed: 19,
            out_of_contact: 1,
            absent: vec!["acme-3".to_owned()],
            frozen: "acme-3".to_owned(),
            delays_cut: 1,
            delays_not_cut: 0,
            held_nothing: 4,
            injections_after_inert: 0,
            proven: true,
            proven_by: "PROVEN_BY_TIME".to_owned(),
        },
        coordinator_killed: true,
        recovered_ms: 380,
        took_ms: 41_000,
        referee: Referee {
            looked_at: 3000,
            by_effect,
            by_tenant: BTreeMap::from([("acme".to_owned(), 6)]),
            longest_noise_ms: 3,
        },
        agents: BTreeMap::new(),
        broken: Vec::new(),
    }
}

fn broken_of(change: impl FnOnce(&mut Verdict)) -> Vec<String> {
    let mut verdict = kept();
    change(&mut verdict);
    broken_within(&verdict, BTreeMap::from([("acme", 12)]))
}

#[test]
fn nothing_is_said_where_every_promise_was_kept() {
    assert_eq!(broken_of(|_| {}), Vec::<String>::new());
}

#[test]
fn each_broken_promise_is_named_alone() {
    let row = |verdict: &mut Verdict, change: fn(&mut Row)| {
        change(verdict.by_experiment.get_mut("slow-log").unwrap());
    };
    let only = |broken: Vec<String>, word: &str| {
        assert!(broken.len() == 1 && broken[0].contains(word), "{word}: {broken:?}");
    };
    only(broken_of(|verdict| verdict.overshoot = 1), "budget was passed");
    only(broken_of(|verdict| verdict.referee_applied = 37), "the referee 37");
    only(broken_of(|verdict| verdict.applied = 35), "counts 35");
    only(broken_of(|verdict| verdict.budget = 35), "35 were allowed");
    only(broken_of(|verdict| verdict.abort.proven = false), "never proven");
    only(broken_of(|verdict| verdict.coordinator_killed = false), "did not die");
    only(broken_of(|verdict| verdict.abort.injections_after_inert = 1), "had to be inert");
    only(broken_of(|verdict| *verdict.by_kind.get_mut("error").unwrap() = 0), "error was never");
    only(
        broken_of(|verdict| {
            let acme = Row { seen: 90, chosen: 37, applied: 13, skipped: 23, not_applicable: 1 };
            verdict.by_tenant.insert("acme".to_owned(), acme);
            verdict.referee.by_tenant.insert("acme".to_owned(), 13);
        }),
        "13 of 12",
    );
    only(broken_of(|verdict| row(verdict, |row| row.chosen += 1)), "lost track");
}

#[test]
fn counts_that_agree_only_in_all_break_a_promise() {
    let only = |broken: Vec<String>, sentences: &[&str]| {
        assert_eq!(broken, sentences);
    };
    only(
        broken_of(|verdict| {
            verdict.referee.by_tenant = BTreeMap::from([("acme".into(), 5), ("globex".into(), 1)]);
        }),
        &[
            "Squall counts 6 calls of acme, the referee 5",
            "Squall counts 0 calls of globex, the referee 1",
        ],
    );
    only(
        broken_of(|verdict| {
            verdict.referee.by_effect = BTreeMap::from([(Effect::Broken, 6)]);
        }),
        &[
            "Squall counts 6 calls Delayed, the referee 0",
            "Squall counts 0 calls Broken, the referee 6",
        ],
    );
}

#[test]
fn a_stop_without_its_frozen_agent_or_without_any_other_breaks_a_promise() {
    let only = |broken: Vec<String>, word: &str| {
        assert!(broken.len() == 1 && broken[0].contains(word), "{word}: {broken:?}");
    };
    only(broken_of(|verdict| verdict.abort.confirmed = 0), "nobody confirmed");
    let unconfirmed = broken_of(|verdict| verdict.abort.accepted_to_last_inert_ms = None);
    only(unconfirmed, "nobody confirmed");
    only(broken_of(|verdict| verdict.abort.absent = vec!["acme-4".into()]), "acme-3 was frozen");
    only(broken_of(|verdict| verdict.abort.delays_not_cut = 1), "1 delays went on");
    only(broken_of(|verdict| verdict.took_ms = 90_000), "90000 ms");
}
