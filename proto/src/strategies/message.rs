//! Random messages.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::{array, collection, option};

use super::{any_of, name, session_key, share, spec, text, token};
use crate::vocabulary::call::{Point, Shape};
use crate::vocabulary::counts::{Counts, TraceCounts};
use crate::vocabulary::fault::FaultKind;
use crate::vocabulary::id::{AppendId, Incarnation, InjectionId};
use crate::vocabulary::limits::{COUNT_MAX, FAULT_DURATION_MS_MAX, GRANT_PERMITS_MAX, MOMENT_MAX};
use crate::vocabulary::message::{
    Ask, Close, Command, CountRow, Evidence, Grant, GrantRef, GrantScope, Hello, Inert, Refused,
    RefusedWhy, Renew, Renewed, Reply, Request, Sample, SampleKind, ScopeKeys, SiteRef,
    StickyAbort, Sync, TraceRow, Unavailable, Welcome,
};
use crate::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};
use crate::vocabulary::seam::{Capabilities, Seam};
use crate::vocabulary::time::{BootNanos, UnixMillis};

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>()].prop_map(Duration::from_nanos)
}

fn boot() -> impl Strategy<Value = BootNanos> {
    any::<u64>().prop_map(BootNanos)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<[u8; 16]>().prop_map(Incarnation)
}

/// Permits from `least` on, the ends more often than chance would have them.
fn permits(least: u32) -> impl Strategy<Value = u32> {
    prop_oneof![Just(least), Just(GRANT_PERMITS_MAX), least..=GRANT_PERMITS_MAX]
}

/// Numbers of requests, the ends more often than chance would have them.
fn req_no() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(u64::MAX), 1..=u64::MAX]
}

fn seam() -> impl Strategy<Value = Seam> {
    let capabilities = (any::<[bool; 7]>(), any::<u64>()).prop_map(|(able, max_delay_ms)| {
        let [
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            knows_trace,
            stable_request_id,
        ] = able;
        Capabilities {
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            max_delay_ms,
            knows_trace,
            stable_request_id,
        }
    });
    (text(), any_of::<Point>(), any_of::<Shape>(), capabilities)
        .prop_map(|(name, point, shape, capabilities)| Seam { name, point, shape, capabilities })
}

fn epoch() -> impl Strategy<Value = AbortEpoch> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|bytes| AbortEpoch::Pushed(AppendId(bytes))),
        any::<u64>().prop_map(AbortEpoch::Logged),
    ]
}

fn plan_version() -> impl Strategy<Value = PlanVersion> {
    (token(), any::<u64>()).prop_map(|(log, sequence)| PlanVersion { log, sequence })
}

fn plan_session() -> impl Strategy<Value = PlanSession> {
    let state = (any::<u64>(), any::<bool>(), duration(), duration(), share(), any::<bool>());
    (session_key(), spec(), state).prop_map(
        |(key, spec, (seed, running, age, remaining, phi0, dry))| PlanSession {
            key,
            spec: Arc::new(spec),
            seed,
            running,
            age,
            remaining,
            phi0,
            dry,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let ending = prop_oneof![Just(Ending::Ended), epoch().prop_map(Ending::Aborted)];
    let pages = (option::of(any::<u64>()), 0..9_u32, 1..9_u32);
    let sessions =
        (collection::vec(plan_session(), 0..3), collection::vec((session_key(), ending), 0..3));
    (plan_version(), pages, sessions).prop_map(|(version, (previous, page, pages), sessions)| {
        let pages = if previous.is_some() { 1 } else { pages };
        let (live, ended) = sessions;
        Plan { version, previous, page: page % pages, pages, live, ended }
    })
}

fn grant_ref() -> impl Strategy<Value = GrantRef> {
    (session_key(), req_no()).prop_map(|(session, req_no)| GrantRef { session, req_no })
}

fn sticky_aborts() -> impl Strategy<Value = Vec<StickyAbort>> {
    let abort =
        (session_key(), epoch()).prop_map(|(session, epoch)| StickyAbort { session, epoch });
    collection::vec(abort, 0..3)
}

fn close() -> impl Strategy<Value = Close> {
    (incarnation(), grant_ref(), permits(0)).prop_map(|(incarnation, grant, used)| Close {
        incarnation,
        grant,
        used,
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    let names = (collection::vec(name(), 0..3), collection::vec(name(), 0..3));
    let able = (collection::vec(seam(), 0..3), collection::vec(any_of::<FaultKind>(), 0..=6));
    let policy = (collection::vec(any::<[u16; 3]>(), 0..3), 0..=FAULT_DURATION_MS_MAX);
    (incarnation(), text(), token(), names, able, policy, sticky_aborts()).prop_map(
        |(incarnation, version, environment, (agents, tools), able, policy, sticky_aborts)| {
            let ((seams, allowed), (places, max_delay_ms)) = (able, policy);
            let site = |[agent, tool, seam]: [u16; 3]| {
                Some(SiteRef {
                    agent: place(agent, agents.len())?,
                    tool: place(tool, tools.len())?,
                    seam: place(seam, seams.len())?,
                })
            };
            let sites = places.into_iter().filter_map(site).collect();
            Hello {
                incarnation,
                version,
                environment,
                agents,
                tools,
                seams,
                sites,
                allowed,
                max_delay_ms,
                sticky_aborts,
            }
        },
    )
}

/// Some place in a list, if it has any.
fn place(any: u16, entries: usize) -> Option<u16> {
    any.checked_rem(u16::try_from(entries).ok()?)
}

fn ask() -> impl Strategy<Value = Ask> {
    let scope = (name(), option::of(name()), any::<u64>())
        .prop_map(|(agent, trace, request)| ScopeKeys { agent, trace, request });
    (incarnation(), grant_ref(), permits(1), scope, boot()).prop_map(
        |(incarnation, GrantRef { session, req_no }, want, scope, sent)| Ask {
            incarnation,
            session,
            req_no,
            want,
            scope,
            sent,
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        hello().prop_map(Request::Hello),
        (incarnation(), any::<u32>())
            .prop_map(|(incarnation, page)| Request::Sync(Sync { incarnation, page })),
        ask().prop_map(Request::Ask),
        (incarnation(), boot(), option::of(plan_version()), sticky_aborts()).prop_map(
            |(incarnation, sent, plan, sticky_aborts)| Request::Renew(Renew {
                incarnation,
                sent,
                plan,
                sticky_aborts
            })
        ),
        close().prop_map(Request::Close),
        (incarnation(), session_key(), epoch(), any::<u64>(), option::of(duration())).prop_map(
            |(incarnation, session, epoch, used, last_injection_ago)| Request::Inert(Inert {
                incarnation,
                session,
                epoch,
                used,
                last_injection_ago
            })
        ),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    let scope = (option::of(name()), option::of(name()), option::of(any::<u64>()))
        .prop_map(|(agent, trace, request)| GrantScope { agent, trace, request });
    let lease = (option::of(boot()), duration(), any::<u64>());
    (incarnation(), grant_ref(), permits(1), scope, lease).prop_map(
        |(incarnation, grant, permits, scope, (echo_sent, remaining, stop_version))| Grant {
            incarnation,
            grant,
            permits,
            scope,
            echo_sent,
            remaining,
            stop_version,
        },
    )
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let why = select(vec![
        RefusedWhy::Dry,
        RefusedWhy::OutstandingCap,
        RefusedWhy::OutOfScope,
        RefusedWhy::NotRunning,
        RefusedWhy::Throttled,
        RefusedWhy::Invalid,
    ]);
    prop_oneof![
        (token(), sticky_aborts())
            .prop_map(|(log, recorded_aborts)| Reply::Welcome(Welcome { log, recorded_aborts })),
        plan().prop_map(Reply::Plan),
        grant().prop_map(Reply::Grant),
        (grant_ref(), why, duration()).prop_map(|(grant, why, backoff)| Reply::Refused(Refused {
            grant,
            why,
            backoff
        })),
        (boot(), duration(), any::<u64>()).prop_map(|(echo_sent, remaining, stop_version)| {
            Reply::Renewed(Renewed { echo_sent, remaining, stop_version })
        }),
        grant_ref().prop_map(Reply::Closed),
        session_key().prop_map(Reply::InertNoted),
        (text(), duration())
            .prop_map(|(why, backoff)| Reply::Unavailable(Unavailable { why, backoff })),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        plan().prop_map(Command::Plan),
        plan_version().prop_map(Command::Beat),
        session_key().prop_map(Command::Dry),
        (session_key(), share()).prop_map(|(session, phi0)| Command::Refill { session, phi0 }),
        (session_key(), plan_version())
            .prop_map(|(session, plan)| Command::Pause { session, plan }),
        (session_key(), epoch()).prop_map(|(session, epoch)| Command::Abort { session, epoch }),
        epoch().prop_map(|epoch| Command::Halt { epoch }),
        grant().prop_map(Command::Grant),
        Just(Command::RollCall),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let what = prop_oneof![
        duration().prop_map(|held| SampleKind::Applied { held }),
        text().prop_map(|why| SampleKind::NotApplied { why }),
        Just(SampleKind::Failed),
    ];
    let injection = any::<[u8; 16]>().prop_map(InjectionId);
    let names = (name(), name(), name(), option::of(name()));
    (session_key(), names, injection, 0..=MOMENT_MAX.0, what).prop_map(
        |(session, (experiment, agent, tool, trace), injection, at, what)| Sample {
            session,
            experiment,
            injection,
            agent,
            tool,
            trace,
            at: UnixMillis(at),
            what,
        },
    )
}

pub(crate) fn evidence() -> impl Strategy<Value = Evidence> {
    let row = (session_key(), name(), name(), array::uniform5(0..=COUNT_MAX)).prop_map(
        |(session, experiment, agent, [seen, chosen, applied, skipped, not_applicable])| CountRow {
            session,
            experiment,
            agent,
            counts: Counts { seen, chosen, applied, skipped, not_applicable },
        },
    );
    let trace = (session_key(), array::uniform3(0..=COUNT_MAX)).prop_map(
        |(session, [failed_downstream, failed_background, succeeded])| TraceRow {
            session,
            counts: TraceCounts { failed_downstream, failed_background, succeeded },
        },
    );
    let lists =
        (collection::vec(row, 0..3), collection::vec(trace, 0..3), collection::vec(sample(), 0..3));
    (incarnation(), lists, any::<u64>()).prop_map(
        |(incarnation, (rows, traces, samples), samples_lost)| Evidence {
            incarnation,
            rows,
            traces,
            samples,
            samples_lost,
        },
    )
}
