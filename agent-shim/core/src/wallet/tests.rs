use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::Duration;

use super::*;
use crate::journal::Lost;

const LATER: BootNanos = BootNanos(1_000);
const NOW: BootNanos = BootNanos(10);

struct Purse {
    guard: CloneGuard,
    lease: Arc<Lease>,
    wallet: Wallet,
    agent: AgentName,
}

fn purse() -> Purse {
    let guard = CloneGuard::default();
    let lease = Arc::new(Lease::default());
    lease.extend(LATER);
    let wallet = Wallet::new(&guard, Arc::clone(&lease));
    Purse { guard, lease, wallet, agent: AgentName::new("a").unwrap() }
}

impl Purse {
    fn grant(&self, req_no: u64, permits: u32) {
        self.wallet.install(req_no, permits, GrantScope::default(), LATER, LATER).unwrap();
    }

    fn keys(&self) -> Keys<'_> {
        Keys { agent: &self.agent, trace: None, request: 0 }
    }

    fn burn(&self, now: BootNanos) -> Result<Burn, NoPermit> {
        self.wallet.try_burn(now, &self.guard, &self.keys())
    }
}

#[test]
fn permits_burn_once_each_and_then_there_are_none() {
    let purse = purse();
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Empty);
    purse.grant(1, 2);
    let burns = [purse.burn(NOW).unwrap(), purse.burn(NOW).unwrap()];
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Empty);
    assert_eq!((purse.wallet.left(), purse.wallet.running(), purse.wallet.used_total()), (0, 2, 2));
    for burn in burns {
        purse.wallet.finished(burn, BootNanos(20));
    }
    assert_eq!((purse.wallet.running(), purse.wallet.last_ended()), (0, Some(BootNanos(20))));
}

#[derive(Debug)]
struct LostLog;

impl BurnLog for LostLog {
    fn burned(&self) -> Result<(), Lost> {
        Err(Lost)
    }
}

#[test]
fn nothing_is_injected_from_a_grant_whose_journal_another_life_took() {
    let purse = purse();
    purse.wallet.log_burns_to(Some(Arc::new(LostLog)));
    purse.grant(1, 5);
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Stopped);
    assert_eq!((purse.wallet.left(), purse.wallet.running()), (4, 0), "spent, and not under way");
    assert!(purse.wallet.is_stopped());
}

#[test]
fn a_copied_process_burns_nothing() {
    let purse = purse();
    purse.grant(1, 1);
    purse.guard.invalidate();
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Cloned);
    assert!(!purse.wallet.is_live(NOW, &purse.guard, Duration::ZERO));
}

#[test]
fn nothing_burns_at_the_deadline_of_either_lease_or_permits() {
    let purse = purse();
    purse.wallet.install(1, 3, GrantScope::default(), BootNanos(50), BootNanos(60)).unwrap();
    let _burned = purse.burn(BootNanos(49)).unwrap();
    assert_eq!(purse.burn(BootNanos(50)).unwrap_err(), NoPermit::Expired);
    purse.wallet.extend(BootNanos(40));
    assert_eq!(purse.burn(BootNanos(50)).unwrap_err(), NoPermit::Expired, "never backward");
    purse.wallet.extend(BootNanos(500));
    let _burned = purse.burn(BootNanos(59)).unwrap();
    assert_eq!(purse.burn(BootNanos(60)).unwrap_err(), NoPermit::Expired, "never beyond its life");
    purse.lease.end();
    assert_eq!(purse.burn(BootNanos(51)).unwrap_err(), NoPermit::Expired);
    purse.lease.extend(BootNanos(52));
    let _burned = purse.burn(BootNanos(51)).unwrap();
}

#[test]
fn a_deadline_beyond_the_permits_life_is_cut_to_it() {
    let purse = purse();
    purse.wallet.install(1, 1, GrantScope::default(), BootNanos(90), BootNanos(60)).unwrap();
    assert_eq!(purse.wallet.deadline(), Some(BootNanos(60)));
}

#[test]
fn the_end_of_the_session_only_moves_earlier() {
    let purse = purse();
    purse.grant(1, 1);
    purse.wallet.end_by(BootNanos(30));
    purse.wallet.end_by(BootNanos(40));
    assert_eq!(purse.burn(BootNanos(30)).unwrap_err(), NoPermit::Stopped);
    assert!(!purse.wallet.is_live(BootNanos(30), &purse.guard, Duration::ZERO));
    let _burned = purse.burn(BootNanos(29)).unwrap();
}

#[test]
fn permits_for_one_agent_trace_or_request_burn_for_no_other() {
    let purse = purse();
    let name = |text: &str| AgentName::new(text).unwrap();
    let trace = |text: &str| TraceId::new(text).unwrap();
    let (a, b, t, u) = (name("a"), name("b"), trace("t"), trace("u"));
    let scopes = [
        GrantScope { agent: Some(a.clone()), ..GrantScope::default() },
        GrantScope { trace: Some(t.clone()), ..GrantScope::default() },
        GrantScope { request: Some(7), ..GrantScope::default() },
    ];
    let fits = Keys { agent: &a, trace: Some(&t), request: 7 };
    let others =
        [Keys { agent: &b, ..fits }, Keys { trace: Some(&u), ..fits }, Keys { request: 8, ..fits }];
    for (n, (scope, other)) in (1..).zip(scopes.into_iter().zip(others)) {
        purse.wallet.install(n, 1, scope.clone(), LATER, LATER).unwrap();
        let refused = purse.wallet.try_burn(NOW, &purse.guard, &other).unwrap_err();
        assert_eq!(refused, NoPermit::OutOfScope, "{scope:?}");
        if scope.trace.is_some() {
            let unknown = Keys { trace: None, ..fits };
            let refused = purse.wallet.try_burn(NOW, &purse.guard, &unknown).unwrap_err();
            assert_eq!(refused, NoPermit::OutOfScope, "a seam that doesn't know the trace");
        }
        assert!(purse.wallet.could_burn(NOW, &purse.guard, &fits));
        let _burned = purse.wallet.try_burn(NOW, &purse.guard, &fits).unwrap();
        assert_eq!(purse.wallet.drain(), Some((n, 1)));
    }
}

#[test]
fn a_grant_is_taken_in_hand_once_and_only_alone() {
    let purse = purse();
    purse.grant(3, 5);
    let again = |req_no, permits| {
        purse.wallet.install(req_no, permits, GrantScope::default(), LATER, LATER)
    };
    assert_eq!(again(3, 5), Err(NotInstalled::Used));
    assert_eq!(again(4, 5), Err(NotInstalled::Open));
    let _burned = purse.burn(NOW).unwrap();
    assert_eq!(purse.wallet.drain(), Some((3, 1)));
    assert_eq!(purse.wallet.drain(), None);
    assert_eq!(again(2, 5), Err(NotInstalled::Used), "older than one that was closed");
    assert_eq!(again(4, 0), Err(NotInstalled::Permits));
    assert_eq!(again(4, state::PERMITS_MAX + 1), Err(NotInstalled::Permits));
    assert_eq!(again(4, 1), Ok(()));
    assert_eq!(purse.wallet.used_total(), 1);
}

#[test]
fn stop_is_for_good_and_pause_is_not() {
    let purse = purse();
    purse.grant(1, 3);
    purse.wallet.pause(true);
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Paused);
    assert!(purse.wallet.is_live(NOW, &purse.guard, Duration::ZERO), "running faults go on");
    purse.wallet.pause(false);
    let _burned = purse.burn(NOW).unwrap();
    purse.wallet.stop();
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Stopped);
    assert!(!purse.wallet.is_live(NOW, &purse.guard, Duration::ZERO));
    purse.wallet.pause(false);
    assert_eq!(purse.burn(NOW).unwrap_err(), NoPermit::Stopped);
    assert_eq!(purse.wallet.drain(), Some((1, 1)));
    let refused = purse.wallet.install(2, 1, GrantScope::default(), LATER, LATER);
    assert_eq!(refused, Err(NotInstalled::Stopped));
}

#[test]
fn each_burn_of_a_wallet_has_a_number_of_its_own() {
    let purse = purse();
    let mut numbers = std::collections::BTreeSet::new();
    for req_no in 1..=50 {
        purse.grant(req_no, 20);
        for _ in 0..20 {
            let burn = purse.burn(NOW).unwrap();
            assert!(numbers.insert(burn.number()) && burn.number() < 1 << 44);
            purse.wallet.finished(burn, NOW);
        }
        purse.wallet.drain();
    }
    for number in [0, 1, 0xf_ffff, 0x10_0000, (1 << 44) - 1] {
        assert_eq!(state::State::numbered(number).number(), number);
    }
}

#[test]
fn an_eventual_wallet_needs_only_the_lease() {
    let guard = CloneGuard::default();
    let lease = Arc::new(Lease::default());
    let wallet = Wallet::eventual(&guard, Arc::clone(&lease));
    let agent = AgentName::new("a").unwrap();
    let keys = Keys { agent: &agent, trace: None, request: 0 };
    assert_eq!(wallet.try_burn(NOW, &guard, &keys).unwrap_err(), NoPermit::Expired);
    lease.extend(LATER);
    let burn = wallet.try_burn(NOW, &guard, &keys).unwrap();
    assert_eq!((wallet.running(), wallet.used_total()), (1, 1));
    wallet.finished(burn, NOW);
    assert_eq!((wallet.running(), wallet.used_total(), wallet.left()), (0, 1, 0));
}

/// Threads burn while the control plane drains and installs. Every burn that a thread saw succeed is in exactly one
/// grant's `used`, and no grant is used beyond its permits.
#[test]
fn racing_burns_are_counted_in_the_grant_that_they_burned() {
    const GRANTS: u64 = 500;
    let purse = purse();
    let done = AtomicBool::new(false);
    let seen = AtomicU32::new(0);
    let mut used = 0;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    if let Ok(burn) = purse.burn(NOW) {
                        seen.fetch_add(1, Ordering::Relaxed);
                        purse.wallet.finished(burn, NOW);
                    }
                }
            });
        }
        for req_no in 1..=GRANTS {
            purse.grant(req_no, 4);
            while req_no % 2 == 0 && purse.wallet.left() == 4 {
                thread::yield_now();
            }
            let (drained, burned) = purse.wallet.drain().unwrap();
            assert_eq!(drained, req_no);
            assert!(burned <= 4, "{burned} of 4 permits burned");
            used += burned;
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(used, seen.load(Ordering::Relaxed));
    assert_eq!(u64::from(used), purse.wallet.used_total());
    assert_eq!(purse.wallet.running(), 0);
    assert!(used > 0, "the threads never met a permit");
}

#[test]
fn nothing_burns_once_stop_returned() {
    for _ in 0..30 {
        let purse = purse();
        purse.grant(1, state::PERMITS_MAX);
        let start = Barrier::new(3);
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    loop {
                        let after = stopped.load(Ordering::SeqCst);
                        match purse.burn(NOW) {
                            Ok(burn) => {
                                assert!(!after, "burned after the stop");
                                purse.wallet.finished(burn, NOW);
                            }
                            Err(why) => break assert_eq!(why, NoPermit::Stopped),
                        }
                    }
                });
            }
            start.wait();
            purse.wallet.stop();
            stopped.store(true, Ordering::SeqCst);
        });
        let total = purse.wallet.used_total();
        let (_, used) = purse.wallet.drain().unwrap();
        assert_eq!(u64::from(used), total, "nothing burned between the stop and the drain");
    }
}
