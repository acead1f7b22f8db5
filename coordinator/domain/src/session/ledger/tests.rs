use squall_proto::vocabulary::id::{Incarnation, ShimId};

use super::*;
use crate::scenario::{agent, for_agent, for_request, holder, trace};

fn issue(ledger: &mut Ledger, holder: &Holder, req_no: u64, scope: &GrantScope) {
    let (agent, trace) = (agent("planner"), scope.trace.clone());
    ledger.issue(holder, req_no, 1, scope, &agent, trace.as_ref()).unwrap();
}

#[test]
fn sums_hold_only_what_was_affected() {
    let (mut ledger, holder) = (Ledger::new(50), holder("a"));
    issue(&mut ledger, &holder, 1, &for_request("planner", Some("t1"), 1));
    assert_eq!((ledger.tenants.len(), ledger.agents.len(), ledger.traces.len()), (1, 1, 1));
    assert_eq!(ledger.spent_by_trace(&holder.tenant, &trace("t1")), 1);
    ledger.close(&holder, 1, 0).unwrap();
    assert_eq!((ledger.tenants.len(), ledger.agents.len(), ledger.traces.len()), (0, 0, 0));
    issue(&mut ledger, &holder, 2, &for_agent("planner"));
    ledger.close(&holder, 2, 1).unwrap();
    assert_eq!((ledger.tenants.len(), ledger.agents.len(), ledger.traces.len()), (1, 1, 0));
}

#[test]
fn a_ledger_knows_what_is_open_closed_and_neither() {
    let (mut ledger, holder) = (Ledger::new(50), holder("a"));
    assert_eq!(ledger.known(&holder, 1), Known::Unknown);
    issue(&mut ledger, &holder, 1, &GrantScope::default());
    assert!(matches!(ledger.known(&holder, 1), Known::Open(_)));
    ledger.close(&holder, 1, 1).unwrap();
    assert_eq!(ledger.known(&holder, 1), Known::Closed);
    assert_eq!(ledger.known(&holder, 2), Known::Unknown);
    assert_eq!((ledger.spent(), ledger.open_permits(), ledger.used_by(&holder)), (1, 0, 1));
}

#[test]
fn a_busy_holder_is_remembered_once_and_by_its_newest_grants() {
    let (mut ledger, holder) = (Ledger::new(50), holder("a"));
    for req_no in 1..=100 {
        issue(&mut ledger, &holder, req_no, &GrantScope::default());
        ledger.close(&holder, req_no, 0).unwrap();
    }
    assert!(ledger.unused.iter().eq([&holder]));
    assert_eq!(ledger.holders[&holder].closed.len(), CLOSED_MAX);
}

fn short_lived(life: usize) -> Holder {
    let mut incarnation = [0; 16];
    incarnation[..8].copy_from_slice(&life.to_le_bytes());
    Holder {
        incarnation: Incarnation(incarnation),
        shim: ShimId::new("job").unwrap(),
        ..holder("a")
    }
}

#[test]
fn processes_that_came_and_went_without_using_a_permit_are_forgotten_one_day() {
    let mut ledger = Ledger::new(50);
    let (user, keeper) = (holder("user"), holder("keeper"));
    for holder in [&user, &keeper] {
        issue(&mut ledger, holder, 1, &GrantScope::default());
        ledger.close(holder, 1, 0).unwrap();
        issue(&mut ledger, holder, 2, &GrantScope::default());
    }
    ledger.close(&user, 2, 1).unwrap();
    for life in 0..UNUSED_MAX + 10 {
        issue(&mut ledger, &short_lived(life), 1, &GrantScope::default());
        ledger.close(&short_lived(life), 1, 0).unwrap();
    }
    // Who used a permit, and who still holds one, is never forgotten.
    assert_eq!(ledger.known(&user, 2), Known::Closed);
    assert!(matches!(ledger.known(&keeper, 2), Known::Open(_)));
    assert!(!ledger.knows(&short_lived(0)));
    assert!(ledger.knows(&short_lived(UNUSED_MAX + 9)));
    assert_eq!((ledger.unused.len(), ledger.holders.len()), (UNUSED_MAX, UNUSED_MAX + 2));
    assert_eq!(ledger.available(), 48);
    // Once it has used nothing, it is one of many again.
    ledger.close(&keeper, 2, 0).unwrap();
    assert_eq!((ledger.unused.len(), ledger.holders.len()), (UNUSED_MAX, UNUSED_MAX + 1));
}
