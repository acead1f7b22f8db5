//! I1, I3, I5, I7, I9, I10, I11: what agents felt, against what was allowed and what the log issued.

use std::collections::BTreeMap;

use crate::fold::{Book, Session};
use crate::log::Radius;
use crate::observed::{Injection, Observed};
use crate::verdict::{Rule, Violations};

pub(crate) fn check(book: &Book, observed: &Observed<'_>, wrong: &mut Violations) {
    for (name, injections) in observed.by_session() {
        let Some(session) = book.sessions.get(name) else { continue };
        budget(session, &injections, wrong);
        holders(session, &injections, wrong);
        radius(session, &injections, wrong);
        parts(session, &injections, wrong);
        concurrency(session, &injections, wrong);
        rate(session, &injections, wrong);
    }
}

fn budget(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let (name, injected) = (&session.name, injections.len() as u64);
    wrong.require(injected <= session.spec.budget, Rule::I1, || {
        format!("{name}: {injected} calls were affected, the budget is {}", session.spec.budget)
    });
    let spent = session.ledger.spent();
    wrong.require(injected <= spent, Rule::I3, || {
        format!("{name}: {injected} calls were affected, the ledger says {spent} were spent")
    });
}

/// No life burns more than the log gave it and it never gave back.
fn holders(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let mut by_life: BTreeMap<&str, u64> = BTreeMap::new();
    for injection in injections {
        *by_life.entry(&injection.who.incarnation).or_default() += 1;
    }
    for (life, injected) in by_life {
        let burnable = session.ledger.burnable(life);
        wrong.require(injected <= burnable, Rule::I7, || {
            format!("{}: {life} affected {injected} calls with {burnable} permits", session.name)
        });
    }
}

fn radius(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let distinct = |of: fn(&Injection<'_>) -> String| {
        let mut all: Vec<String> = injections.iter().map(|injection| of(injection)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let tenants = distinct(|it| it.who.tenant.clone());
    let foreign: Vec<_> = tenants.iter().filter(|tenant| !session.covers(tenant)).collect();
    let name = &session.name;
    wrong.require(foreign.is_empty(), Rule::I5, || format!("{name}: it hit tenants {foreign:?}"));
    let one = match session.spec.radius {
        Radius::Request => distinct(|it| format!("{}/{}", it.who.incarnation, it.begin.n)),
        Radius::Agent => distinct(|it| format!("{}/{}", it.who.tenant, it.who.agent)),
        Radius::Trace => distinct(|it| format!("{}/{}", it.who.tenant, it.begin.trace)),
        Radius::Tenant => tenants,
        Radius::Tenants => Vec::new(),
    };
    wrong.require(one.len() <= 1, Rule::I5, || {
        format!("{name}: its radius is {:?}, it hit {one:?}", session.spec.radius)
    });
    if let (Some((tenant, scope)), Radius::Agent | Radius::Trace) =
        (&session.bound, session.spec.radius)
        && let Some(hit) = one.first()
    {
        wrong.require(*hit == format!("{tenant}/{scope}"), Rule::I5, || {
            format!("{name}: it is bound to {tenant}/{scope} and hit {hit}")
        });
    }
}

fn parts(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let mut count: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for injection in injections {
        let (tenant, agent) = (injection.who.tenant.as_str(), injection.who.agent.as_str());
        for key in [(tenant, "", ""), (tenant, agent, ""), (tenant, "", &injection.begin.trace)] {
            *count.entry(key).or_default() += 1;
        }
    }
    for ((tenant, agent, trace), injected) in count {
        let spec = &session.spec;
        let limit = match (agent, trace) {
            ("", "") => spec.per_tenant.get(tenant).copied(),
            (_, "") => spec.per_agent,
            _ => spec.per_trace,
        };
        let limit = limit.map_or(u64::MAX, u64::from);
        wrong.require(injected <= limit, Rule::I9, || {
            format!("{}: {injected} of {limit} for {tenant} {agent}{trace}", session.name)
        });
    }
}

/// A fault that holds a call for a known time certainly held it from the end less that time to the beginning plus it.
fn concurrency(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let (Some(limit), hold_ns) = (session.spec.concurrent, session.spec.hold_ms * 1_000_000) else {
        return;
    };
    let mut edges = Vec::new();
    for injection in injections {
        let from = injection.end.at_ns.saturating_sub(hold_ns);
        let to = injection.begin.at_ns + hold_ns;
        if from < to {
            edges.extend([(from, 1_i64), (to, -1)]);
        }
    }
    // At the same moment an end comes before a beginning.
    edges.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, step) in edges {
        now += step;
        most = most.max(now);
    }
    wrong.require(most <= i64::from(limit), Rule::I10, || {
        format!("{}: {most} calls were held at once, allowed are {limit}", session.name)
    });
}

/// Injections whose calls lie wholly within a window certainly happened within it.
fn rate(session: &Session, injections: &[&Injection<'_>], wrong: &mut Violations) {
    let Some((limit, window_s)) = session.spec.rate else { return };
    let window_ns = window_s * 1_000_000_000;
    let mut calls: Vec<(u64, u64)> =
        injections.iter().map(|it| (it.begin.at_ns, it.end.at_ns)).collect();
    calls.sort_unstable();
    for (place, (from, _)) in calls.iter().enumerate() {
        let within = calls[place..].iter().filter(|(_, end)| *end < from + window_ns).count();
        wrong.require(within <= limit as usize, Rule::I11, || {
            format!("{}: {within} in {window_s} s, allowed are {limit}", session.name)
        });
    }
}
