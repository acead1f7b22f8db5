//! What the demo found: Squall's own report beside what the referee says. Which promises that breaks: `promises.rs`.

mod promises;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use squall_proto::vocabulary::fault::{Behavior, Fault, FaultKind, Unavailability};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::wire::v1;

use crate::assignment::Temper;
use crate::clock::Clock;
use crate::fleet::tenant_of;
use crate::play::{CUT_AGE_NS, Played};
use crate::referee::{Affected, Answers, Effect, Judgement};
use crate::round::Outcome;

/// Ending a fault takes up to this long once a shim knows of the stop: one wake-up of the agent's runtime.
const GRACE_NS: u64 = 250_000_000;

/// What the demo found: `target/demo/report.json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    /// Affected calls that were allowed.
    pub(crate) budget: u64,
    /// Affected calls, by the shims' evidence.
    pub(crate) applied: u64,
    /// Affected calls, by the referee.
    pub(crate) referee_applied: u64,
    /// Affected calls over the budget.
    pub(crate) overshoot: u64,
    /// Counters by experiment.
    pub(crate) by_experiment: BTreeMap<String, Row>,
    /// Counters by tenant.
    pub(crate) by_tenant: BTreeMap<String, Row>,
    /// Applied faults by kind; all six are here.
    pub(crate) by_kind: BTreeMap<String, u64>,
    /// Applied faults by the effect that they must have had, by the shims' evidence.
    pub(crate) by_effect: BTreeMap<Effect, u64>,
    /// The abort and its proof.
    pub(crate) abort: Abort,
    /// Whether the coordinator was killed while the session ran.
    pub(crate) coordinator_killed: bool,
    /// From the kill until the session was there again, whole, in milliseconds.
    pub(crate) recovered_ms: u64,
    /// From the start of the first server, after the build, to the verdict, in milliseconds.
    pub(crate) took_ms: u64,
    /// What the referee looked at.
    pub(crate) referee: Referee,
    /// How the agents' work ended while the session ran.
    pub(crate) agents: BTreeMap<Temper, Work>,
    /// Promises that were broken, one sentence each.
    pub(crate) broken: Vec<String>,
}

/// Counters of one experiment or tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Calls that the target matched.
    pub(crate) seen: u64,
    /// Calls that the draw chose.
    pub(crate) chosen: u64,
    /// Calls that were affected.
    pub(crate) applied: u64,
    /// Chosen calls that passed for want of a permit.
    pub(crate) skipped: u64,
    /// Chosen calls, permit in hand, to which the fault could not be applied.
    pub(crate) not_applicable: u64,
}

/// The abort.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Abort {
    /// From its acceptance to the newest confirmation, in milliseconds; `None` if nobody had to confirm.
    pub(crate) accepted_to_last_inert_ms: Option<u64>,
    /// From its acceptance to its proof, in milliseconds.
    pub(crate) accepted_to_proven_ms: Option<u64>,
    /// Holders of permits that confirmed.
    pub(crate) confirmed: usize,
    /// Holders of permits that could not.
    pub(crate) out_of_contact: usize,
    /// Which those are.
    pub(crate) absent: Vec<String>,
    /// The agent that was frozen meanwhile.
    pub(crate) frozen: String,
    /// Delays that it cut short, by the referee.
    pub(crate) delays_cut: usize,
    /// Delays that it should have cut and that took their full time, by the referee.
    pub(crate) delays_not_cut: usize,
    /// Agents that held no permit, and so had nothing to confirm.
    pub(crate) held_nothing: usize,
    /// Calls that were affected after their shim had to be inert, by the referee.
    pub(crate) injections_after_inert: usize,
    /// Whether the stop is proven.
    pub(crate) proven: bool,
    /// How.
    pub(crate) proven_by: String,
}

/// The referee's side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Referee {
    /// Calls and answers that it looked at.
    pub(crate) looked_at: u64,
    /// What it found, by effect.
    pub(crate) by_effect: BTreeMap<Effect, u64>,
    /// What it found, by the agent's tenant.
    pub(crate) by_tenant: BTreeMap<String, u64>,
    /// Longest time that an untouched call took on its way to the server, in milliseconds. A delay has 1200.
    pub(crate) longest_noise_ms: u64,
}

/// How rounds of work ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Work {
    /// As planned.
    pub(crate) good: u64,
    /// With something second best.
    pub(crate) degraded: u64,
    /// Given up.
    pub(crate) failed: u64,
}

/// Everything that the verdict is made of.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// What was asked for.
    pub(crate) spec: &'a SessionSpec,
    /// What Squall says.
    pub(crate) report: &'a v1::Report,
    /// What the referee says.
    pub(crate) judgement: &'a Judgement,
    /// What was done.
    pub(crate) played: &'a Played,
    /// The agents' own answers.
    pub(crate) answers: &'a [Answers],
    /// The tempers of the agents.
    pub(crate) tempers: &'a BTreeMap<String, Temper>,
    /// The coordinator's times.
    pub(crate) clock: Clock,
    /// How long it all took.
    pub(crate) took: Duration,
}

impl Evidence<'_> {
    /// Judges.
    pub(crate) fn verdict(&self) -> Verdict {
        let Self { spec, report, judgement, played, answers: _, tempers: _, clock: _, took } = self;
        let budget = report.budget.map_or(0, |budget| budget.budget);
        let most = report.applied.max(judgement.affected.len() as u64);
        let mut verdict = Verdict {
            budget,
            applied: report.applied,
            referee_applied: judgement.affected.len() as u64,
            overshoot: most.saturating_sub(budget).max(report.overshoot),
            by_experiment: self.by_experiment(),
            by_tenant: self.by_tenant(),
            by_kind: self.by_kind(),
            by_effect: self.by_effect(),
            abort: self.abort(),
            // Without a kill there is nothing to judge: `Stage::kill_coordinator` sees its signal in the exit status.
            coordinator_killed: played.killed,
            recovered_ms: millis(played.recovered),
            took_ms: millis(*took),
            referee: Referee::of(judgement),
            agents: self.work(),
            broken: Vec::new(),
        };
        verdict.broken = promises::broken(&verdict, spec);
        verdict
    }

    fn by_experiment(&self) -> BTreeMap<String, Row> {
        let rows = self.report.experiments.iter();
        rows.map(|row| (row.experiment.clone(), Row::of(row.counts))).collect()
    }

    fn by_tenant(&self) -> BTreeMap<String, Row> {
        self.report.tenants.iter().map(|row| (row.tenant.clone(), Row::of(row.counts))).collect()
    }

    fn by_kind(&self) -> BTreeMap<String, u64> {
        let mut kinds: BTreeMap<_, _> =
            FaultKind::ALL.iter().map(|kind| (kind.name().to_owned(), 0)).collect();
        for (fault, applied) in self.applied() {
            *kinds.entry(fault.kind().name().to_owned()).or_default() += applied;
        }
        kinds
    }

    fn by_effect(&self) -> BTreeMap<Effect, u64> {
        let mut effects = BTreeMap::new();
        for (fault, applied) in self.applied() {
            *effects.entry(effect(fault)).or_default() += applied;
        }
        effects
    }

    /// How often each experiment's fault was applied, by the shims' evidence.
    fn applied(&self) -> impl Iterator<Item = (&Fault, u64)> {
        self.spec.experiments.iter().map(|experiment| {
            let rows = &self.report.experiments;
            let row = rows.iter().find(|row| row.experiment == experiment.name.as_str());
            (&experiment.fault, row.map_or(0, |row| Row::of(row.counts).applied))
        })
    }

    fn abort(&self) -> Abort {
        let stop = &self.played.stop;
        let boot_ns = |seconds, nanos| self.clock.boot_ns(seconds, nanos);
        let accepted_ns = stop.accepted_at.map(|at| boot_ns(at.seconds, at.nanos));
        let inert_ns = stop.last_inert_at.map(|at| boot_ns(at.seconds, at.nanos));
        let proven_ns = stop.proven_at.map(|at| boot_ns(at.seconds, at.nanos));
        let after_ms = |ns: Option<u64>| Some(ns?.saturating_sub(accepted_ns?) / 1_000_000);
        let late = |affected: &&Affected| self.is_after_inert(affected);
        let faults = self.spec.experiments.iter().map(|experiment| experiment.fault.longest_ms());
        let full_ns = faults.filter(|ms| *ms > 0).min().unwrap_or(0) * 1_000_000;
        let aborted_ns = self.played.session_ns.1;
        let (delays_cut, delays_not_cut) = delays_at(aborted_ns, full_ns, &self.judgement.affected);
        Abort {
            accepted_to_last_inert_ms: after_ms(inert_ns),
            accepted_to_proven_ms: after_ms(proven_ns),
            confirmed: stop.confirmed.len(),
            out_of_contact: stop.out_of_contact.len(),
            absent: stop.out_of_contact.iter().map(|holder| holder.shim.clone()).collect(),
            frozen: self.played.absent.agent.clone(),
            delays_cut,
            delays_not_cut,
            held_nothing: self.played.held_nothing,
            injections_after_inert: self.judgement.affected.iter().filter(late).count(),
            proven: stop.stage() == v1::StopStage::StoppedProven,
            proven_by: stop.proven_by().as_str_name().to_owned(),
        }
    }

    /// Whether a call was affected although its shim had to be inert: it had said so, it had been frozen through the
    /// proof, or it held no permit when the abort was durable.
    fn is_after_inert(&self, affected: &Affected) -> bool {
        let stop = &self.played.stop;
        let absent = &self.played.absent;
        if absent.agent == affected.agent {
            let changed = affected.effect != Effect::Delayed;
            return affected.sent_ns > absent.to_ns || (changed && affected.over_ns > absent.to_ns);
        }
        let confirmed = stop.confirmed.iter().find(|holder| holder.shim == affected.agent);
        let inert = confirmed.and_then(|holder| holder.confirmed_at).or(stop.durable_at);
        let inert_ns = inert.map_or(0, |at| self.clock.boot_ns(at.seconds, at.nanos));
        affected.sent_ns > inert_ns || affected.over_ns > inert_ns + GRACE_NS
    }

    fn work(&self) -> BTreeMap<Temper, Work> {
        let (from_ns, to_ns) = self.played.session_ns;
        let mut work: BTreeMap<Temper, Work> = BTreeMap::new();
        for answers in self.answers {
            let Some(temper) = self.tempers.get(&answers.agent) else { continue };
            let done = work.entry(*temper).or_default();
            for round in &answers.rounds {
                if (from_ns..to_ns).contains(&round.at_ns) {
                    match round.outcome {
                        Outcome::Good => done.good += 1,
                        Outcome::Degraded => done.degraded += 1,
                        Outcome::Failed => done.failed += 1,
                    }
                }
            }
        }
        work
    }
}

impl Row {
    fn of(counts: Option<v1::Counts>) -> Self {
        let v1::Counts { seen, chosen, applied, skipped, not_applicable } =
            counts.unwrap_or_default();
        Self { seen, chosen, applied, skipped, not_applicable }
    }
}

impl Referee {
    fn of(judgement: &Judgement) -> Self {
        let mut by_tenant = BTreeMap::new();
        for affected in &judgement.affected {
            *by_tenant.entry(tenant_of(&affected.agent).to_owned()).or_default() += 1;
        }
        Self {
            looked_at: judgement.looked_at,
            by_effect: judgement.by_effect(),
            by_tenant,
            longest_noise_ms: judgement.longest_noise_ns / 1_000_000,
        }
    }
}

/// Delays that were under way at the abort: those that it cut short of their full time, and those that it should have.
fn delays_at(aborted_ns: u64, full_ns: u64, affected: &[Affected]) -> (usize, usize) {
    let under_way = affected.iter().filter(|it| {
        it.effect == Effect::Delayed && (it.sent_ns..it.over_ns).contains(&aborted_ns)
    });
    let (cut, full): (Vec<_>, Vec<_>) = under_way.partition(|it| it.over_ns - it.sent_ns < full_ns);
    let could_be_cut = |it: &&&Affected| aborted_ns - it.sent_ns <= *CUT_AGE_NS.end();
    (cut.len(), full.iter().filter(could_be_cut).count())
}

/// What a fault must look like to the referee. In the demo no agent is late only at times: it could be told by nothing.
fn effect(fault: &Fault) -> Effect {
    match fault {
        Fault::Latency(_) => Effect::Delayed,
        Fault::Error(_) => Effect::AnsweredForServer,
        Fault::ToolUnavailable(tool) => match tool.mode {
            Unavailability::Disconnect => Effect::Broken,
            Unavailability::Error | Unavailability::Timeout | Unavailability::NotFound => {
                Effect::AnsweredForServer
            }
        },
        Fault::UncooperativeAgent(agent) if agent.behaviors.contains(&Behavior::Delay) => {
            Effect::Delayed
        }
        Fault::ContextTruncation(_) => Effect::ArgumentsChanged,
        Fault::UncooperativeAgent(_) | Fault::MalformedOutput(_) => Effect::AnswerChanged,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
