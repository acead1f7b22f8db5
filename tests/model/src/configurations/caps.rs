//! Parts of the budget, the blast radius, and what throttles: I5, I9, I10, I11, L4.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_proto::vocabulary::session::{RateDraft, SafetyDraft};

use super::{INJECTED, SECOND, USED_UP, plain};
use crate::cast::{ACME, GLOBEX, Seat, spec};
use crate::fleet::{Clock, Fleet, Hope};

pub(super) fn all() -> Vec<Fleet> {
    vec![
        tenants(),
        agents(),
        traces(),
        single_agent(),
        single_trace(),
        single_request(),
        outstanding(),
        concurrency(),
        rate(),
    ]
}

fn tenants() -> Fleet {
    let limits = |safety: &mut SafetyDraft| {
        safety.max_per_tenant = BTreeMap::from([(ACME.to_owned(), 1), (GLOBEX.to_owned(), 1)]);
    };
    Fleet {
        seats: vec![
            Seat { asks: 2, ..Seat::new("one") },
            Seat { tenant: GLOBEX, asks: 1, ..Seat::new("two") },
        ],
        requests: 5,
        sometimes: vec![("each tenant has its own", |_, state| state.injections.len() == 2)],
        replicas: 1,
        ..plain(
            "tenants",
            "a session over two tenants, each with a part of the budget",
            spec(2, &[ACME, GLOBEX], SECOND, limits),
        )
    }
}

fn agents() -> Fleet {
    Fleet {
        seats: vec![
            Seat { wishes: &[("planner", None), ("writer", None)], asks: 2, ..Seat::new("one") },
            Seat::new("two"),
        ],
        requests: 5,
        sometimes: vec![("each agent has its own", |_, state| state.injections.len() == 2)],
        replicas: 1,
        ..plain(
            "agents",
            "a budget for each agent, whichever shim it lives in",
            spec(3, &[], SECOND, |safety| safety.max_per_agent = Some(1)),
        )
    }
}

fn traces() -> Fleet {
    let wishes = &[("planner", Some("t1")), ("planner", Some("t2"))];
    Fleet {
        seats: vec![
            Seat { wishes, asks: 2, ..Seat::new("one") },
            Seat { wishes: &[("planner", Some("t1"))], ..Seat::new("two") },
        ],
        requests: 5,
        sometimes: vec![("each trace has its own", |_, state| state.injections.len() == 2)],
        replicas: 1,
        ..plain(
            "traces",
            "a budget for each trace; each permit is claimed by one request",
            spec(3, &[], SECOND, |safety| {
                safety.strictness = Some("strict_claim".to_owned());
                safety.max_per_trace = Some(1);
            }),
        )
    }
}

fn level(name: &str) -> impl FnOnce(&mut SafetyDraft) {
    let name = name.to_owned();
    move |safety| safety.blast_radius = Some(name)
}

fn single_agent() -> Fleet {
    Fleet {
        seats: vec![
            Seat { wishes: &[("planner", None), ("writer", None)], ..Seat::new("one") },
            Seat::new("two"),
        ],
        sometimes: vec![USED_UP],
        ..plain(
            "single_agent",
            "one agent, in two shims",
            spec(2, &[], SECOND, level("single_agent")),
        )
    }
}

fn single_trace() -> Fleet {
    let wishes = &[("planner", Some("t1")), ("planner", Some("t2"))];
    Fleet {
        seats: vec![
            Seat { wishes, ..Seat::new("one") },
            Seat { wishes: &[("writer", Some("t1"))], ..Seat::new("two") },
        ],
        sometimes: vec![USED_UP],
        ..plain(
            "single_trace",
            "one trace, in two shims",
            spec(2, &[], SECOND, level("single_trace")),
        )
    }
}

fn single_request() -> Fleet {
    Fleet {
        seats: vec![
            Seat { wishes: &[("planner", None), ("writer", None)], ..Seat::new("one") },
            Seat::new("two"),
        ],
        sometimes: vec![USED_UP],
        ..plain(
            "single_request",
            "one request, wherever it is",
            spec(1, &[], SECOND, level("single_request")),
        )
    }
}

/// Six ticks are 20.008 s: V + D is 20 s, and 20.02 s on clocks that run 500 millionths apart.
const THIRD: Duration = Duration::from_micros(3_334_700);
/// As long as a permit's life, so that a fault that begins at the end of it lasts six ticks from the first send.
const FAULT: Duration = Duration::from_secs(10);

fn outstanding() -> Fleet {
    Fleet {
        seats: vec![Seat { mortal: true, ..Seat::new("one") }, Seat::new("two")],
        clock: Clock::Ticking { tick: THIRD, ticks: 7, rates: &[(500, -500)], fresh: true },
        requests: 5,
        replicas: 1,
        sometimes: vec![("a dead shim's slot is free again", |_, state| {
            !state.processes[0].alive
                && state.log.book.closed.is_empty()
                && state.log.book.issued.len() == 2
        })],
        hopes: vec![Hope {
            name: "L4 no dead shim stalls a session",
            from: |_, state| {
                !state.processes[0].alive && state.tick == 0 && state.processes[1].asked < 1
            },
            good: |_, state| state.injections.iter().any(|it| it.process == 1),
        }],
        ..plain(
            "outstanding",
            "one permit may be out; a dead shim's is free when its age has passed",
            spec(3, &[], FAULT, |safety| safety.max_outstanding = Some(1)),
        )
    }
}

fn concurrency() -> Fleet {
    Fleet {
        seats: vec![Seat::new("one"), Seat::new("two")],
        clock: Clock::Ticking { tick: THIRD, ticks: 7, rates: &[(500, -500)], fresh: true },
        replicas: 1,
        requests: 5,
        sometimes: vec![INJECTED],
        ..plain(
            "concurrency",
            "one fault may run at a time; its host's clock is slow and the owner's fast",
            spec(3, &[], FAULT, |safety| safety.max_concurrent = Some(1)),
        )
    }
}

fn rate() -> Fleet {
    Fleet {
        clock: Clock::Ticking {
            tick: Duration::from_millis(5_600),
            ticks: 4,
            rates: &[(500, -500)],
            fresh: true,
        },
        seats: vec![Seat { asks: 1, ..Seat::new("one") }, Seat::new("two")],
        replicas: 1,
        requests: 5,
        sometimes: vec![("two windows were used", |_, state| state.injections.len() == 2)],
        ..plain(
            "rate",
            "one injection in any 6 s",
            spec(3, &[], SECOND, |safety| {
                safety.max_rate = Some(RateDraft { permits: 1, window_s: 6 });
            }),
        )
    }
}
