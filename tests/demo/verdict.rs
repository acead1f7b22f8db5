//! The promises, checked: Squall's own report beside what the referee found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::wire::v1;

use crate::assignment::Temper;
use crate::clock::Clock;
use crate::play::Played;
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
    /// The abort and its proof.
    pub(crate) abort: Abort,
    /// Whether the coordinator was killed while the session ran.
    pub(crate) coordinator_killed: bool,
    /// From the kill until the session was there again, whole, in milliseconds.
    pub(crate) recovered_ms: u64,
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
}

impl Evidence<'_> {
    /// Judges.
    pub(crate) fn verdict(&self) -> Verdict {
        let Self { spec: _, report, judgement, played, answers: _, tempers: _, clock: _ } = self;
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
            abort: self.abort(),
            // Without a kill there is nothing to judge: `Stage::kill_coordinator` sees its signal in the exit status.
            coordinator_killed: played.killed,
            recovered_ms: millis(played.recovered),
            referee: Referee {
                looked_at: judgement.looked_at,
                by_effect: judgement.by_effect(),
                longest_noise_ms: judgement.longest_noise_ns / 1_000_000,
            },
            agents: self.work(),
            broken: Vec::new(),
        };
        verdict.broken = broken(&verdict, tenant_budgets(self.spec));
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
        for experiment in &self.spec.experiments {
            let row = self
                .report
                .experiments
                .iter()
                .find(|row| row.experiment == experiment.name.as_str());
            let applied = row.map_or(0, |row| Row::of(row.counts).applied);
            *kinds.entry(experiment.fault.kind().name().to_owned()).or_default() += applied;
        }
        kinds
    }

    fn abort(&self) -> Abort {
        let stop = &self.played.stop;
        let boot_ns = |seconds, nanos| self.clock.boot_ns(seconds, nanos);
        let accepted_ns = stop.accepted_at.map(|at| boot_ns(at.seconds, at.nanos));
        let inert_ns = stop.last_inert_at.map(|at| boot_ns(at.seconds, at.nanos));
        let proven_ns = stop.proven_at.map(|at| boot_ns(at.seconds, at.nanos));
        let after_ms = |ns: Option<u64>| Some(ns?.saturating_sub(accepted_ns?) / 1_000_000);
        let late = |affected: &&Affected| self.is_after_inert(affected);
        Abort {
            accepted_to_last_inert_ms: after_ms(inert_ns),
            accepted_to_proven_ms: after_ms(proven_ns),
            confirmed: stop.confirmed.len(),
            out_of_contact: stop.out_of_contact.len(),
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

fn tenant_budgets(spec: &SessionSpec) -> BTreeMap<&str, u64> {
    let budgets = spec.safety.max_per_tenant.iter();
    budgets.map(|(tenant, budget)| (tenant.as_str(), u64::from(*budget))).collect()
}

/// The promises that were broken.
fn broken(verdict: &Verdict, tenant_budgets: BTreeMap<&str, u64>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut promise = |kept: bool, sentence: String| {
        if !kept {
            broken.push(sentence);
        }
    };
    promise(verdict.overshoot == 0, format!("the budget was passed by {}", verdict.overshoot));
    promise(
        verdict.applied <= verdict.budget && verdict.referee_applied <= verdict.budget,
        format!(
            "{} or {} calls were affected, {} were allowed",
            verdict.applied, verdict.referee_applied, verdict.budget
        ),
    );
    promise(
        verdict.applied == verdict.referee_applied,
        format!(
            "Squall counts {} affected calls, the referee {}",
            verdict.applied, verdict.referee_applied
        ),
    );
    for (tenant, budget) in tenant_budgets {
        let applied = verdict.by_tenant.get(tenant).map_or(0, |row| row.applied);
        promise(applied <= budget, format!("tenant {tenant} had {applied} of {budget} allowed"));
    }
    for (kind, applied) in &verdict.by_kind {
        promise(*applied > 0, format!("{kind} was never applied"));
    }
    let late = verdict.abort.injections_after_inert;
    promise(late == 0, format!("{late} calls were affected after their shim had to be inert"));
    promise(verdict.abort.proven, "the stop was never proven".to_owned());
    promise(verdict.coordinator_killed, "the coordinator did not die of the kill".to_owned());
    let accounted = |row: &Row| row.chosen == row.applied + row.skipped + row.not_applicable;
    for (name, row) in &verdict.by_experiment {
        promise(accounted(row), format!("{name} lost track of chosen calls: {row:?}"));
    }
    broken
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
