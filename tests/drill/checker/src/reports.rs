//! Reports of coordinators against what agents felt.

use std::collections::BTreeMap;

use crate::files::{Evidence, Report};
use crate::fold::Book;
use crate::observed::Observed;
use crate::verdict::{Rule, Violations};

/// What is certain and what is possible of one agent in one session.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    certain: u64,
    unclear: u64,
    /// Of lives that didn't survive the run: their newest counters may have gone with them.
    of_the_dead: u64,
}

pub(crate) fn check(
    book: &Book,
    observed: &Observed<'_>,
    evidence: &Evidence,
    wrong: &mut Violations,
) {
    let survivors: BTreeMap<&str, bool> = evidence
        .lives
        .iter()
        .map(|life| {
            let survived = life.ended_ns.is_some_and(|ended_ns| ended_ns > evidence.run.settled_ns);
            (life.who.incarnation.as_str(), survived)
        })
        .collect();
    let mut seen: BTreeMap<(&str, &str, &str), Seen> = BTreeMap::new();
    for it in &observed.injections {
        let key = (it.session, it.who.tenant.as_str(), it.who.agent.as_str());
        let seen = seen.entry(key).or_default();
        seen.certain += 1;
        let lived = survivors.get(it.who.incarnation.as_str()).copied().unwrap_or_default();
        seen.of_the_dead += u64::from(!lived);
    }
    for it in &observed.unclear {
        let key = (it.session, it.who.tenant.as_str(), it.who.agent.as_str());
        seen.entry(key).or_default().unclear += 1;
    }
    for report in &evidence.reports {
        one(book, &seen, report, wrong);
    }
}

fn one(
    book: &Book,
    seen: &BTreeMap<(&str, &str, &str), Seen>,
    report: &Report,
    wrong: &mut Violations,
) {
    let at = format!("{}, as coordinator {} reports it", report.session, report.coordinator);
    let Some(session) = book.sessions.get(&report.session) else {
        return wrong.add(Rule::Report, format!("{at}: the log has no such session"));
    };
    wrong.require(report.applied <= session.spec.budget, Rule::Report, || {
        format!("{at}: {} applied, the budget is {}", report.applied, session.spec.budget)
    });
    wrong.require(report.overshoot == 0, Rule::Report, || {
        format!("{at}: an overshoot of {}", report.overshoot)
    });
    let sum: u64 = report.agents.iter().map(|(_, _, applied)| applied).sum();
    wrong.require(sum == report.applied, Rule::Report, || {
        format!("{at}: its agents add up to {sum}, it says {}", report.applied)
    });
    let reported: BTreeMap<(&str, &str), u64> = report
        .agents
        .iter()
        .map(|(tenant, agent, applied)| ((tenant.as_str(), agent.as_str()), *applied))
        .collect();
    let felt = seen.keys().filter(|(session, _, _)| *session == report.session);
    let mut everybody: Vec<(&str, &str)> =
        felt.map(|(_, tenant, agent)| (*tenant, *agent)).collect();
    everybody.extend(reported.keys().copied());
    everybody.sort_unstable();
    everybody.dedup();
    for (tenant, agent) in everybody {
        let applied = reported.get(&(tenant, agent)).copied().unwrap_or_default();
        let key = (report.session.as_str(), tenant, agent);
        let Seen { certain, unclear, of_the_dead } = seen.get(&key).copied().unwrap_or_default();
        let most = match session.spec.hold_ms {
            0 => certain + unclear,
            // A hold that a stop cuts at its very beginning can't be told from none; the permit that it burned can.
            _ => (certain + unclear).max(session.ledger.burnable_by_shim(agent)),
        };
        wrong.require(applied <= most, Rule::Report, || {
            format!("{at}: {agent} applied {applied}, it felt {certain} and at most {most}")
        });
        wrong.require(applied >= certain - of_the_dead, Rule::Report, || {
            format!("{at}: {agent} applied {applied}, living it felt {}", certain - of_the_dead)
        });
    }
}
