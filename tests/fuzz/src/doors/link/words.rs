//! What a coordinator may say, apt or not.

use std::time::Duration;

use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::message::{
    Command, Grant, GrantRef, GrantScope, Refused, RefusedWhy, Renewed, Reply, Request,
    StickyAbort, Welcome,
};
use squall_proto::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};

use super::cast::{self, Script};

pub(super) fn apt(request: &Request, script: &mut Script<'_>) -> Reply {
    match request {
        Request::Hello(hello) => Reply::Welcome(Welcome {
            log: cast::log(script.byte() / 200),
            recorded_aborts: hello.sticky_aborts.clone(),
        }),
        Request::Sync(_) => Reply::Plan(plan(script, true)),
        Request::Ask(ask) if script.below(5) > 0 => Reply::Grant(Grant {
            incarnation: ask.incarnation,
            grant: GrantRef { session: ask.session.clone(), req_no: ask.req_no },
            permits: u32::from(script.byte()).max(1),
            scope: if script.is_yes() { scope(script) } else { GrantScope::default() },
            echo_sent: script.is_yes().then_some(ask.sent),
            remaining: Duration::from_secs(3),
            stop_version: script.number(),
        }),
        Request::Ask(ask) => Reply::Refused(Refused {
            grant: GrantRef { session: ask.session.clone(), req_no: ask.req_no },
            why: why(script),
            backoff: script.span(),
        }),
        Request::Renew(renew) => Reply::Renewed(Renewed {
            echo_sent: renew.sent,
            remaining: Duration::from_secs(3),
            stop_version: script.number(),
        }),
        Request::Close(close) => Reply::Closed(close.grant.clone()),
        Request::Inert(inert) => Reply::InertNoted(inert.session.clone()),
    }
}

pub(super) fn any_reply(script: &mut Script<'_>) -> Reply {
    let grant_ref =
        |script: &mut Script<'_>| GrantRef { session: script.session(), req_no: script.number() };
    match script.below(7) {
        0 => Reply::Welcome(Welcome {
            log: cast::log(script.below(3)),
            recorded_aborts: vec![StickyAbort { session: script.session(), epoch: epoch(script) }],
        }),
        1 => Reply::Plan(plan(script, true)),
        2 => Reply::Grant(any_grant(script)),
        3 => Reply::Refused(Refused {
            grant: grant_ref(script),
            why: why(script),
            backoff: script.span(),
        }),
        4 => Reply::Renewed(Renewed {
            echo_sent: script.moment(),
            remaining: Duration::from_nanos(script.number()),
            stop_version: script.number(),
        }),
        5 => Reply::Closed(grant_ref(script)),
        _ => Reply::InertNoted(script.session()),
    }
}

pub(super) fn command(script: &mut Script<'_>) -> Command {
    match script.below(10) {
        0 => Command::Plan(plan(script, true)),
        1 => Command::Plan(plan(script, false)),
        2 => Command::Beat(version(script)),
        3 => Command::Dry(script.session()),
        4 => Command::Refill { session: script.session(), phi0: f64::from(script.byte()) / 255.0 },
        5 => Command::Pause { session: script.session(), plan: version(script) },
        6 => Command::Abort { session: script.session(), epoch: epoch(script) },
        7 => Command::Halt { epoch: epoch(script) },
        8 => Command::Grant(any_grant(script)),
        _ => Command::RollCall,
    }
}

fn why(script: &mut Script<'_>) -> RefusedWhy {
    *script.pick(&[
        RefusedWhy::Dry,
        RefusedWhy::OutstandingCap,
        RefusedWhy::OutOfScope,
        RefusedWhy::NotRunning,
        RefusedWhy::Throttled,
        RefusedWhy::Invalid,
    ])
}

fn epoch(script: &mut Script<'_>) -> AbortEpoch {
    if script.is_yes() {
        AbortEpoch::Logged(script.number())
    } else {
        AbortEpoch::Pushed(AppendId([script.below(3); 16]))
    }
}

fn version(script: &mut Script<'_>) -> PlanVersion {
    PlanVersion { log: cast::log(script.byte() / 200), sequence: script.number() }
}

fn scope(script: &mut Script<'_>) -> GrantScope {
    GrantScope {
        agent: script.is_yes().then(|| script.agent()),
        trace: script.trace(),
        request: (script.below(8) == 0).then(|| script.number()),
    }
}

fn any_grant(script: &mut Script<'_>) -> Grant {
    Grant {
        incarnation: script.incarnation(),
        grant: GrantRef { session: script.session(), req_no: script.number() },
        permits: u32::from(script.byte()) + 1,
        scope: scope(script),
        echo_sent: script.is_yes().then(|| script.moment()),
        remaining: Duration::from_nanos(script.number()),
        stop_version: script.number(),
    }
}

fn plan(script: &mut Script<'_>, whole: bool) -> Plan {
    let version = version(script);
    let live = (0..script.below(4)).filter_map(|_| {
        let key = script.session();
        Some(PlanSession {
            spec: cast::spec(&key)?,
            key,
            seed: script.below(2).into(),
            running: script.below(8) > 0,
            age: script.span(),
            remaining: if script.is_yes() { Duration::from_secs(600) } else { script.span() },
            phi0: 1.0,
            dry: script.below(8) == 7,
        })
    });
    let live: Vec<_> = live.collect();
    let ended = (0..script.below(3)).map(|_| {
        let ending = if script.is_yes() { Ending::Aborted(epoch(script)) } else { Ending::Ended };
        (script.session(), ending)
    });
    let ended = ended.collect();
    let previous = (!whole).then(|| version.sequence.saturating_sub(script.below(3).into()));
    let pages = if whole && script.below(8) == 0 { 2 } else { 1 };
    Plan { version, previous, page: u32::from(script.byte()) % pages, pages, live, ended }
}
