//! The count: escrow permits over a log with compare-and-swap. No time, but that a process's own clock may jump.

use super::{INJECTED, LONG, PROVEN, REFUNDED, SECOND, USED_UP, plain};
use crate::cast::{Seat, spec};
use crate::fleet::{Clock, Deed, Fleet, Hope, Limits};

pub(super) fn all() -> Vec<Fleet> {
    vec![ledger(), repeats(), chunk(), restart(), group(), takeover(), forged(), damage(), live()]
}

fn ledger() -> Fleet {
    Fleet {
        clock: Clock::Still { jumps: &[LONG] },
        sometimes: vec![USED_UP, REFUNDED],
        ..plain(
            "ledger",
            "two shims, two owners, permits that lie idle",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn repeats() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        requests: 6,
        clock: Clock::Still { jumps: &[LONG] },
        limits: Limits { lost: 1, unanswered: 1, ..Limits::default() },
        sometimes: vec![INJECTED, REFUNDED],
        ..plain(
            "repeats",
            "one shim whose requests are lost, repeated and given up, an append without an answer",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn chunk() -> Fleet {
    Fleet {
        seats: vec![Seat { asks: 2, ..Seat::new("one") }],
        records: 8,
        requests: 6,
        clock: Clock::Still { jumps: &[LONG] },
        sometimes: vec![
            REFUNDED,
            ("a chunk is used in part", |_, state| {
                let book = &state.log.book;
                book.closed.iter().any(|(grant, used)| *used > 0 && book.issued[grant] > *used)
            }),
        ],
        ..plain("chunk", "grants of several permits, used in part", spec(4, &[], SECOND, |_| {}))
    }
}

fn restart() -> Fleet {
    Fleet {
        seats: vec![Seat { lives: 2, ..Seat::new("one") }, Seat::new("two")],
        sometimes: vec![
            INJECTED,
            ("a dead process's permits are spent", |fleet, state| {
                let dead = |it: &crate::fleet::State| it.processes.iter().any(|it| !it.alive);
                let spent = fleet.spec.safety.max_affected_requests as usize;
                dead(state)
                    && state.log.book.available(&fleet.spec) == 0
                    && state.injections.len() < spent
            }),
            ("a late ask of a dead life is granted", |_, state| {
                state.log.book.issued.len() == 2
                    && state.processes.len() == 3
                    && state.log.book.closed.is_empty()
            }),
        ],
        ..plain(
            "restart",
            "a process dies and begins a new life; its old messages still arrive",
            spec(3, &[], SECOND, |_| {}),
        )
    }
}

fn group() -> Fleet {
    Fleet {
        batch: true,
        limits: Limits { unanswered: 1, ..Limits::default() },
        sometimes: vec![
            USED_UP,
            ("one record carries two grants", |_, state| {
                state.log.book.issued.len() == 2 && state.log.len == 3
            }),
        ],
        ..plain("group", "two requests decided in one append", spec(2, &[], SECOND, |_| {}))
    }
}

fn takeover() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        requests: 5,
        clock: Clock::Still { jumps: &[LONG] },
        limits: Limits { resent: 1, reborn: 1, ..Limits::default() },
        sometimes: vec![INJECTED, REFUNDED],
        ..plain(
            "takeover",
            "a replica starts anew, and open grants are sent once more",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn forged() -> Fleet {
    Fleet {
        limits: Limits { forged: 1, ..Limits::default() },
        sometimes: vec![USED_UP],
        ..plain(
            "forged",
            "a shim closes another one's grant under its own name",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn damage() -> Fleet {
    Fleet {
        seats: vec![Seat { asks: 2, ..Seat::new("one") }],
        limits: Limits { records: 1, ..Limits::default() },
        requests: 5,
        sometimes: vec![("the damage is found", |_, state| {
            state
                .replicas
                .iter()
                .any(|it| it.view.world.sessions().any(|session| session.damage.is_some()))
        })],
        ..plain("damage", "the log loses a record", spec(2, &[], SECOND, |_| {}))
    }
}

fn live() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        clock: Clock::Still { jumps: &[LONG] },
        records: 8,
        requests: 6,
        deeds: vec![Deed::Abort],
        sometimes: vec![USED_UP, PROVEN],
        hopes: vec![
            Hope {
                name: "L1 demand uses the budget up",
                from: |_, state| {
                    let it = &state.processes[0];
                    it.asked == 0 && !state.log.book.is_stopped() && state.tried[0] == 0
                },
                good: |_, state| state.injections.len() == 1,
            },
            Hope {
                name: "L2 open grants of live shims close",
                from: |_, state| state.processes[0].sent <= 4,
                good: |_, state| state.log.book.open().count() == 0,
            },
            Hope {
                name: "L3 an abort makes all shims inert, and is proven",
                from: |_, state| state.log.book.aborted && state.processes[0].sent <= 4,
                good: |_, state| state.log.book.proven.is_some(),
            },
        ],
        ..plain("live", "what must stay possible (L1, L2, L3)", spec(1, &[], SECOND, |_| {}))
    }
}
