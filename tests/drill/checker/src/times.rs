//! T1, T2, proofs, and permits that were used before they were issued.

use std::collections::BTreeMap;

use crate::constant::{CANCEL_NS, lease_stretched_ns};
use crate::files::{Evidence, Fault};
use crate::fold::{Book, Session};
use crate::observed::{Injection, Observed};
use crate::verdict::{Rule, Violations};

/// A process that runs ends a held call within this time after its fault has ended: the machine may be busy.
const BUSY_NS: u64 = 3_000_000_000;
/// Kinds of faults that cut an agent off from every server.
const CUT_OFF: &str = "partition_agent";
/// Kinds of faults in which a process runs no instruction.
const FROZEN: &str = "freeze_agent";

pub(crate) fn check(
    book: &Book,
    observed: &Observed<'_>,
    evidence: &Evidence,
    wrong: &mut Violations,
) {
    for (name, injections) in observed.by_session() {
        let Some(session) = book.sessions.get(name) else { continue };
        for injection in &injections {
            stop(session, injection, evidence, wrong);
            contact(injection, evidence, wrong);
        }
        issued_first(session, &injections, evidence, wrong);
    }
}

fn stop(session: &Session, it: &Injection<'_>, evidence: &Evidence, wrong: &mut Violations) {
    let (clock, name) = (&evidence.run.clock, &session.name);
    let who = || format!("{name}: {} ({}), call {}", it.who.agent, it.who.incarnation, it.begin.n);
    let late = |limit_ns: u64| (it.begin.at_ns.saturating_sub(limit_ns)) / 1_000_000;
    if let Some(stop) = &session.stop {
        let inert_ns = clock.latest(stop.wall_ns) + lease_stretched_ns() + CANCEL_NS;
        wrong.require(it.begin.at_ns <= inert_ns, Rule::T1, || {
            format!("{} began {} ms after its shim had to be inert", who(), late(inert_ns))
        });
    }
    if let Some(proven_ns) = session.proven_ns {
        let proven_ns = clock.latest(proven_ns);
        wrong.require(it.begin.at_ns <= proven_ns, Rule::Proof, || {
            format!("{} began {} ms after the proof", who(), late(proven_ns))
        });
        let slept = evidence.faults.iter().any(|fault| is_frozen(fault, it));
        wrong.require(it.end.at_ns <= proven_ns + BUSY_NS || slept, Rule::Proof, || {
            format!("{} was held until long after the proof", who())
        });
    }
    if let Some(ended_ns) = session.ended_ns {
        let ended_ns = clock.latest(ended_ns);
        wrong.require(it.begin.at_ns <= ended_ns, Rule::I13, || {
            format!("{} began {} ms after the session's end", who(), late(ended_ns))
        });
    }
}

fn is_frozen(fault: &Fault, it: &Injection<'_>) -> bool {
    fault.kind == FROZEN
        && fault.targets.contains(&it.who.agent)
        && fault.from_ns <= it.end.at_ns
        && fault.to_ns + BUSY_NS >= it.begin.at_ns
}

/// T2. A message that was on its way when the link was cut prolongs no lease: it is dated when it was sent.
fn contact(it: &Injection<'_>, evidence: &Evidence, wrong: &mut Violations) {
    let cuts = evidence.faults.iter();
    let cuts = cuts.filter(|fault| fault.kind == CUT_OFF && fault.targets.contains(&it.who.agent));
    for cut in cuts {
        let inert = cut.from_ns + lease_stretched_ns()..cut.to_ns;
        wrong.require(!inert.contains(&it.begin.at_ns), Rule::T2, || {
            let after_ms = (it.begin.at_ns - cut.from_ns) / 1_000_000;
            format!("{}: {} injects {after_ms} ms without contact", it.session, it.who.agent)
        });
    }
}

/// I3 in time: the k-th injection of a life comes after the grant that holds its k-th permit.
fn issued_first(
    session: &Session,
    injections: &[&Injection<'_>],
    evidence: &Evidence,
    wrong: &mut Violations,
) {
    let mut by_life: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for injection in injections {
        by_life.entry(&injection.who.incarnation).or_default().push(injection.end.at_ns);
    }
    for (life, mut ends) in by_life {
        ends.sort_unstable();
        let grants = session.ledger.grants.iter();
        let grants = grants.filter(|kept| kept.grant.holder.incarnation == life);
        let permits = grants.flat_map(|kept| (0..kept.grant.permits).map(move |_| kept));
        for (end_ns, kept) in ends.iter().zip(permits) {
            wrong.require(*end_ns >= evidence.run.clock.earliest(kept.wall_ns), Rule::I3, || {
                format!("{}: {life} injects before record {}", session.name, kept.sequence)
            });
        }
    }
}
