use squall_proto::wire::v1::ConfirmedHolder;

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

#[test]
fn the_last_injection_is_the_newest_of_all_who_confirmed() {
    let confirmed = |shim: &str, ago_s: i64, at: i64| ConfirmedHolder {
        tenant: "acme".to_owned(),
        shim: shim.to_owned(),
        last_injection_ago: (ago_s >= 0)
            .then_some(prost_types::Duration { seconds: ago_s, nanos: 0 }),
        confirmed_at: Some(prost_types::Timestamp { seconds: at, nanos: 0 }),
        ..ConfirmedHolder::default()
    };
    let stop = StopReport {
        confirmed: vec![
            confirmed("a", 9, 1_700_000_010),
            confirmed("b", 2, 1_700_000_005),
            confirmed("c", -1, 1_700_000_011),
        ],
        ..report(StopStage::StoppedProven)
    };
    assert_eq!(last_injection(&stop), "2023-11-14 22:13:23.000Z by acme/b");
    let nobody = StopReport { confirmed: vec![confirmed("c", -1, 1_700_000_011)], ..stop };
    assert_eq!(last_injection(&nobody), "none");
}
