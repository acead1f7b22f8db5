use squall_proto::vocabulary::id::{Incarnation, ShimId, TenantId};

use super::*;

fn holder(shim: &str) -> Holder {
    let (tenant, shim) = (TenantId::new("acme").unwrap(), ShimId::new(shim).unwrap());
    Holder { tenant, shim, incarnation: Incarnation([1; 16]) }
}

const USE: Duration = Duration::from_secs(11);
const RATE: RateLimit = RateLimit { permits: 6, window: Duration::from_secs(60) };
/// (60 s + 10 s / (1 - rho)) * (1 + rho) is 70,040 ms; counted is (1 + rho) / (1 - rho) of it, on the safe side.
const COUNTED: Duration = Duration::from_millis(70_075);

fn s(seconds: u64) -> BootNanos {
    BootNanos(0).plus(Duration::from_secs(seconds))
}

fn usage(ages: &mut Ages, now: BootNanos) -> Usage {
    ages.usage(now, BootNanos(0), USE, Some(RATE))
}

#[test]
fn a_grant_is_outstanding_until_nothing_of_it_can_be_in_use() {
    let mut ages = Ages::default();
    ages.issued(&holder("a"), 1, 5, s(100));
    ages.issued(&holder("b"), 1, 2, s(105));
    assert_eq!(usage(&mut ages, s(111)).outstanding, 7);
    assert_eq!(usage(&mut ages, BootNanos(s(111).0 + 1)).outstanding, 2);
    assert_eq!(usage(&mut ages, s(117)).outstanding, 0);
}

#[test]
fn a_close_frees_at_once() {
    let mut ages = Ages::default();
    ages.issued(&holder("a"), 1, 5, s(100));
    ages.issued(&holder("a"), 2, 3, s(100));
    ages.closed(&holder("a"), 1, 4);
    assert_eq!(usage(&mut ages, s(100)).outstanding, 3);
}

#[test]
fn what_is_too_old_to_count_is_forgotten() {
    let mut ages = Ages::default();
    for shim in 0..100 {
        ages.issued(&holder(&format!("s{shim}")), 1, 1, s(0));
    }
    usage(&mut ages, s(12));
    assert_eq!(ages.open.len(), 0);
    usage(&mut ages, s(71));
    assert_eq!(ages.issued.len(), 0);
}

#[test]
fn issues_count_for_a_rate_as_long_as_their_permits_can_fall_into_its_window() {
    let mut ages = Ages::default();
    ages.issued(&holder("a"), 1, 5, s(1000));
    assert_eq!(usage(&mut ages, s(1000).plus(COUNTED)).issued_in_window, 5);
    let later = s(1000).plus(COUNTED + Duration::from_millis(1));
    assert_eq!(usage(&mut ages, later).issued_in_window, 0);
}

#[test]
fn what_came_back_unused_was_no_injection() {
    let mut ages = Ages::default();
    ages.issued(&holder("a"), 1, 5, s(1000));
    ages.closed(&holder("a"), 1, 2);
    assert_eq!(usage(&mut ages, s(1001)).issued_in_window, 2);
    ages.issued(&holder("a"), 2, 5, s(1000));
    ages.closed(&holder("a"), 2, 0);
    assert_eq!(usage(&mut ages, s(1001)).issued_in_window, 2);
    // A loop of grants that nobody uses takes no memory either.
    assert_eq!(ages.issued.len(), 1);
}

#[test]
fn a_replica_that_did_not_see_a_whole_window_assumes_a_full_one() {
    let mut ages = Ages::default();
    ages.begin_undated();
    let at = |ages: &mut Ages, now| ages.usage(now, s(500), USE, Some(RATE)).issued_in_window;
    assert_eq!(at(&mut ages, s(500)), 6);
    // What was issued at the very start is in the window for as long as this.
    assert_eq!(at(&mut ages, s(500).plus(counted_window(RATE.window))), 6);
    assert_eq!(at(&mut ages, s(571)), 0);
}

#[test]
fn a_replica_that_saw_the_first_permit_of_a_session_knows_its_window_whole() {
    let mut ages = Ages::default();
    let at = |ages: &mut Ages| ages.usage(s(501), s(500), USE, Some(RATE)).issued_in_window;
    assert_eq!(at(&mut ages), 0);
    ages.issued(&holder("a"), 1, 5, s(501));
    assert_eq!(at(&mut ages), 5);
}

#[test]
fn without_a_rate_nothing_is_counted_for_one_and_nothing_is_lost() {
    let mut ages = Ages::default();
    ages.issued(&holder("a"), 1, 5, s(1000));
    assert_eq!(ages.usage(s(1000), s(0), USE, None).issued_in_window, 0);
    assert_eq!(usage(&mut ages, s(1000)).issued_in_window, 5);
    ages.forget_rates();
    assert_eq!(usage(&mut ages, s(1000)).issued_in_window, 0);
    assert_eq!(usage(&mut ages, s(1000)).outstanding, 5);
}

#[test]
fn a_holder_counts_as_asking_for_two_seconds() {
    let mut ages = Ages::default();
    ages.asked(&holder("a"), s(10));
    ages.asked(&holder("b"), s(11));
    ages.asked(&holder("b"), s(11));
    assert_eq!(usage(&mut ages, s(11)).askers, 2);
    assert_eq!(usage(&mut ages, s(12)).askers, 1);
    assert_eq!(usage(&mut ages, s(13)).askers, 0);
    for shim in 0..=ASKERS_MAX {
        ages.asked(&holder(&format!("s{shim}")), s(20));
    }
    assert_eq!(usage(&mut ages, s(20)).askers, ASKERS_MAX as u64);
}
