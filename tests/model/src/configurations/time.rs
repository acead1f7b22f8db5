//! The stop: a chain of leases, with clocks that run apart by as much as is allowed. T1, T2, proofs by time.

use std::time::Duration;

use squall_domain::event::ProofKind;

use super::{SECOND, plain};
use crate::cast::{Seat, spec};
use crate::fleet::{Clock, Deed, Fleet, Limits};

pub(super) fn all() -> Vec<Fleet> {
    vec![lease(), renewed(), proven()]
}

/// Three are 3.0012 s: within TTL/(1-rho) of 3.0015 s, and beyond a TTL of 3 s. What a slow clock shows of it is less.
const TICK: Duration = Duration::from_micros(1_000_400);
/// The owner's clock fast and the shim's slow by 500 millionths, and the other way round.
const WORST: &[(i64, i64)] = &[(500, -500), (-500, 500)];

fn lease() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        replicas: 1,
        deeds: vec![Deed::Abort],
        clock: Clock::Ticking { tick: TICK, ticks: 4, rates: WORST, fresh: false },
        limits: Limits { barriers: 1, ..Limits::default() },
        requests: 5,
        sometimes: vec![
            ("the bound of T1 is tight", |_, state| {
                let late = |stopped| state.injections.iter().any(|it| it.tick == stopped + 3);
                state.stopped_at.is_some_and(late)
            }),
            ("the lease was renewed", |_, state| state.processes[0].contact > 1),
        ],
        ..plain("lease", "an abort that the shim doesn't hear of", spec(1, &[], SECOND, |_| {}))
    }
}

fn renewed() -> Fleet {
    Fleet {
        deeds: Vec::new(),
        clock: Clock::Ticking { tick: TICK, ticks: 5, rates: WORST, fresh: false },
        limits: Limits { barriers: 2, ..Limits::default() },
        requests: 5,
        sometimes: vec![("permits are used long after their grant", |_, state| {
            state.injections.iter().any(|it| it.tick >= 4)
        })],
        name: "renewed",
        about: "renewals, late ones and lost ones",
        ..lease()
    }
}

fn proven() -> Fleet {
    Fleet {
        seats: vec![Seat { mortal: true, ..Seat::new("one") }],
        replicas: 1,
        deeds: vec![Deed::Abort],
        clock: Clock::Ticking { tick: TICK, ticks: 5, rates: WORST, fresh: false },
        limits: Limits { barriers: 1, ..Limits::default() },
        requests: 5,
        sometimes: vec![
            ("proven by confirmations", |_, state| {
                state.log.book.proven == Some(ProofKind::Confirmations) && state.tick < 3
            }),
            ("proven by time although a holder is dead", |_, state| {
                state.log.book.proven == Some(ProofKind::Time) && !state.processes[0].alive
            }),
            ("proven by time under a shim that heard nothing", |_, state| {
                state.log.book.proven == Some(ProofKind::Time)
                    && state.processes[0].alive
                    && !state.injections.is_empty()
            }),
        ],
        ..plain(
            "proven",
            "when a stop is certain, by confirmations and by time",
            spec(1, &[], SECOND, |_| {}),
        )
    }
}
