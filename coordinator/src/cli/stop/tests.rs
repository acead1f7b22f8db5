use super::*;

fn holder(inert_by: Option<i64>) -> OutOfContactHolder {
    OutOfContactHolder {
        tenant: "acme".to_owned(),
        shim: "worker-2".to_owned(),
        inert_by: inert_by.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        ..OutOfContactHolder::default()
    }
}

fn report(stage: StopStage) -> StopReport {
    StopReport { stage: stage.into(), ..StopReport::default() }
}

#[test]
fn stopped_and_proven_is_said_only_when_it_is() {
    for stage in [StopStage::None, StopStage::Pushed, StopStage::AbortedDurable] {
        for out_of_contact in [vec![], vec![holder(Some(1_700_000_003))]] {
            let stop = StopReport { out_of_contact, ..report(stage) };
            assert!(!is_proven(&stop));
            assert!(!draw(&stop, Look::PLAIN).contains("all stopped, proven"), "{stage:?}");
        }
    }
    for by in [ProvenBy::Unspecified, ProvenBy::Confirmations, ProvenBy::Time] {
        let stop = StopReport { proven_by: by.into(), ..report(StopStage::StoppedProven) };
        assert!(draw(&stop, Look::PLAIN).trim_end().ends_with("all stopped, proven"), "{by:?}");
    }
}

#[test]
fn who_is_out_of_contact_is_said_with_the_latest_moment() {
    let out_of_contact =
        vec![holder(Some(1_700_000_003)), holder(Some(1_700_000_009)), holder(None)];
    let stop = StopReport { out_of_contact, ..report(StopStage::AbortedDurable) };
    assert_eq!(
        verdict(&stop),
        "aborted, not proven yet: 3 shims out of contact, inert by 2023-11-14 22:13:29.000Z at the latest"
    );
}

#[test]
fn who_is_waited_for_is_named() {
    let waiting = |out_of_contact| {
        missing(&StopReport { out_of_contact, ..report(StopStage::AbortedDurable) })
    };
    assert_eq!(waiting(vec![]), "");
    assert_eq!(waiting(vec![holder(None)]), "out of contact: acme/worker-2");
    assert_eq!(
        waiting(vec![holder(Some(1_700_000_003))]),
        "out of contact: acme/worker-2, inert by 2023-11-14 22:13:23.000Z at the latest"
    );
}

#[test]
fn a_proof_by_time_fits_into_the_wait_with_time_for_a_new_owner() {
    use squall_proto::vocabulary::limits::{CANCEL_GRACE, FAULT_DURATION_MS_MAX, LEASE_TTL};
    let fault = std::time::Duration::from_millis(FAULT_DURATION_MS_MAX) + CANCEL_GRACE;
    let takeover = std::time::Duration::from_secs(20);
    assert!(crate::cli::moment::parse(PROOF_WITHIN).unwrap() >= LEASE_TTL + fault + takeover);
}

fn confirmed(shim: &str, ago_s: i64, at: i64, late: bool) -> ConfirmedHolder {
    ConfirmedHolder {
        tenant: "acme".to_owned(),
        shim: shim.to_owned(),
        last_injection_ago: (ago_s >= 0)
            .then_some(prost_types::Duration { seconds: ago_s, nanos: 0 }),
        confirmed_at: Some(prost_types::Timestamp { seconds: at, nanos: 0 }),
        late,
        ..ConfirmedHolder::default()
    }
}

#[test]
fn the_last_injection_is_the_newest_of_all_who_confirmed() {
    let stop = StopReport {
        confirmed: vec![
            confirmed("a", 9, 1_700_000_010, false),
            confirmed("b", 2, 1_700_000_005, false),
            confirmed("c", -1, 1_700_000_011, false),
        ],
        ..report(StopStage::StoppedProven)
    };
    assert_eq!(last_injection(&stop), "2023-11-14 22:13:23.000Z at the latest, by acme/b");
    let nobody = StopReport { confirmed: vec![confirmed("c", -1, 1_700_000_011, false)], ..stop };
    assert_eq!(last_injection(&nobody), "none");
}

#[test]
fn that_nobody_held_a_permit_is_said_only_where_nobody_did() {
    let stop = StopReport {
        proven_by: ProvenBy::Confirmations.into(),
        ..report(StopStage::StoppedProven)
    };
    assert_eq!(verdict(&stop), "no shim held a permit: all stopped, proven");
    // One that held nothing any more confirmed too.
    let idle = StopReport { confirmed: vec![confirmed("a", 1, 2, false)], ..stop.clone() };
    assert_eq!(verdict(&idle), "no shim held a permit: all stopped, proven");
    let held = StopReport { holder_count: 1, ..stop };
    assert_eq!(verdict(&held), "every holder of permits confirmed: all stopped, proven");
}

/// Proven by time at 20; `late` came back behind that.
fn proven_without(late: Vec<ConfirmedHolder>) -> StopReport {
    StopReport {
        proven_by: ProvenBy::Time.into(),
        proven_at: Some(prost_types::Timestamp { seconds: 1_700_000_020, nanos: 0 }),
        holder_count: 3,
        confirmed: late,
        ..report(StopStage::StoppedProven)
    }
}

#[test]
fn who_confirms_after_the_proof_is_shown_with_the_time_since() {
    let stop = proven_without(vec![confirmed("a", 9, 1_700_000_026, true)]);
    let drawn = draw(&stop, Look::PLAIN);
    assert!(drawn.contains("22:13:46.000Z, 6.000 s after the proof"), "{drawn}");
    assert!(!drawn.contains("woke"), "its last injection had ended before: {drawn}");
    assert!(!drawn.contains("OUT OF CONTACT"), "{drawn}");
}

#[test]
fn a_fault_that_ended_only_when_its_process_woke_after_the_proof_is_told() {
    let one = proven_without(vec![
        confirmed("a", 2, 1_700_000_026, true),
        confirmed("b", 9, 1_700_000_026, true),
    ]);
    assert_eq!(
        woken(&one),
        "in 1 process a fault that had begun before the abort ended when the process woke, 4.000 s after the proof at the latest: acme/a\n"
    );
    let two = proven_without(vec![
        confirmed("a", 2, 1_700_000_026, true),
        confirmed("b", 1, 1_700_000_023, true),
    ]);
    assert!(woken(&two).starts_with("in 2 processes faults that had begun"), "{}", woken(&two));
}
