//! Stops, pauses, levers and commands; forks and journals. No time, but that a process's own clock may jump.

use squall_domain::lever::Scope;
use squall_domain::session::Phase;

use super::{INJECTED, LONG, PROVEN, REFUNDED, SECOND, plain};
use crate::cast::{Seat, spec};
use crate::fleet::{Clock, Deed, Fleet, Limits, Sometimes};

pub(super) fn all() -> Vec<Fleet> {
    vec![
        abort(),
        holders(),
        reported(),
        pause(),
        drain(),
        lever(),
        start(),
        commands(),
        fork(),
        journal(),
        overlap(),
    ]
}

const HALTED: Sometimes = ("a lever halted it", |_, state| state.log.book.halted);

fn holders() -> Fleet {
    Fleet {
        deeds: vec![Deed::Abort],
        requests: 5,
        replicas: 1,
        sometimes: vec![("two holders confirmed", |_, state| {
            state.log.book.confirmed.len() == 2 && state.log.book.proven.is_some()
        })],
        ..plain("holders", "an abort of a session with two holders", spec(2, &[], SECOND, |_| {}))
    }
}

fn abort() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        deeds: vec![Deed::Abort],
        requests: 5,
        sometimes: vec![
            PROVEN,
            INJECTED,
            ("a Close is recorded behind the abort", |_, state| {
                state.log.book.aborted && state.log.book.refunded() > 0
            }),
        ],
        ..plain(
            "abort",
            "an abort, pushed before it commits, and its confirmation",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn reported() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        deeds: vec![Deed::Abort],
        clock: Clock::Still { jumps: &[LONG] },
        requests: 6,
        sometimes: vec![
            PROVEN,
            ("a pushed abort is recorded since a shim kept it", |_, state| {
                state.log.book.aborted && state.log.book.commands.is_empty()
            }),
        ],
        ..plain(
            "reported",
            "a pushed abort that the log lacks is reported by the shim that kept it",
            spec(2, &[], SECOND, |_| {}),
        )
    }
}

fn pause() -> Fleet {
    Fleet {
        seats: vec![Seat { asks: 2, ..Seat::new("one") }],
        deeds: vec![Deed::Pause, Deed::Resume],
        replicas: 1,
        requests: 6,
        records: 8,
        sometimes: vec![
            REFUNDED,
            ("permits are used after a resume", |_, state| {
                state.log.book.commands.len() == 2
                    && state.log.book.issued.len() == 2
                    && state.injections.len() == 2
            }),
        ],
        ..plain("pause", "a pause, pushed, and a resume", spec(2, &[], SECOND, |_| {}))
    }
}

fn drain() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        deeds: vec![Deed::Stop],
        requests: 5,
        sometimes: vec![
            INJECTED,
            ("it ended gracefully", |fleet, state| {
                let session = state.log.world.session(&fleet.key);
                session.is_some_and(|session| session.phase == Phase::Completed)
            }),
        ],
        ..plain("drain", "a graceful end, once what runs has ended", spec(2, &[], SECOND, |_| {}))
    }
}

fn lever() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        deeds: vec![Deed::Engage(Scope::Fleet), Deed::Release(Scope::Fleet)],
        requests: 5,
        records: 7,
        sometimes: vec![
            HALTED,
            PROVEN,
            ("a grant lies behind the lever", |_, state| {
                state.log.book.halted
                    && state.log.book.held.as_ref().is_some_and(|held| !held.is_empty())
            }),
            ("the halt is recorded after the release", |_, state| {
                state.log.book.aborted && state.log.book.commands.len() == 2
            }),
        ],
        ..plain(
            "lever",
            "a lever engages, on a subject of its own, and is released",
            spec(1, &[], SECOND, |_| {}),
        )
    }
}

fn start() -> Fleet {
    Fleet {
        draft: true,
        seats: vec![Seat::new("one")],
        deeds: vec![Deed::Start, Deed::Engage(Scope::Fleet), Deed::Release(Scope::Fleet)],
        records: 7,
        sometimes: vec![HALTED, INJECTED],
        ..plain("start", "a start beside a lever", spec(1, &[], SECOND, |_| {}))
    }
}

fn commands() -> Fleet {
    Fleet {
        draft: true,
        seats: Vec::new(),
        deeds: vec![Deed::Start, Deed::Pause, Deed::Resume, Deed::Stop],
        limits: Limits { unanswered: 3, tries: 3, ..Limits::default() },
        sometimes: vec![
            ("all are done", |_, state| state.log.book.commands.len() == 4),
            ("one is refused", |_, state| !state.refused.is_empty()),
        ],
        ..plain(
            "commands",
            "commands that two replicas append, without answers, and that are sent again",
            spec(1, &[], SECOND, |_| {}),
        )
    }
}

fn fork() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one")],
        replicas: 1,
        limits: Limits { forks: 1, ..Limits::default() },
        requests: 5,
        sometimes: vec![("parent and child both have permits of their own", |_, state| {
            let lives: Vec<u8> = state.injections.iter().map(|it| it.life).collect();
            lives.contains(&1) && lives.contains(&2)
        })],
        ..plain("fork", "a process forks with permits in hand", spec(3, &[], SECOND, |_| {}))
    }
}

fn journal() -> Fleet {
    Fleet {
        seats: vec![Seat { lives: 2, ..Seat::new("one") }],
        journal: true,
        sometimes: vec![("a dead life's rest came back", |_, state| {
            state.log.book.refunded() > 0
                && state.log.book.closed.keys().any(|(holder, _)| holder.incarnation.0[0] == 1)
                && !state.processes[0].alive
                && !state.injections.is_empty()
        })],
        ..plain(
            "journal",
            "a process dies, and the next one closes its grant as the journal says",
            spec(4, &[], SECOND, |_| {}),
        )
    }
}

fn overlap() -> Fleet {
    Fleet {
        limits: Limits { overlaps: 1, ..Limits::default() },
        sometimes: vec![("a grant is closed under a running process", |_, state| {
            state.processes.len() == 2
                && state.processes.iter().all(|it| it.alive)
                && state.log.book.refunded() > 0
                && state.log.book.closed.keys().any(|(holder, _)| holder.incarnation.0[0] == 1)
        })],
        name: "overlap",
        about: "a process takes the journal of one that still runs",
        ..journal()
    }
}
