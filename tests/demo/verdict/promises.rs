//! The promises, and which of them a verdict breaks. One sentence each, for people.

use std::collections::{BTreeMap, BTreeSet};

use squall_proto::vocabulary::session::SessionSpec;

use super::{Row, Verdict};

/// The demo ends within this time after the build.
const TOOK_MAX_MS: u64 = 90_000;

/// The promises that were broken.
pub(super) fn broken(verdict: &Verdict, spec: &SessionSpec) -> Vec<String> {
    let budgets = spec.safety.max_per_tenant.iter();
    let budgets = budgets.map(|(tenant, budget)| (tenant.as_str(), u64::from(*budget))).collect();
    broken_within(verdict, budgets)
}

fn broken_within(verdict: &Verdict, tenant_budgets: BTreeMap<&str, u64>) -> Vec<String> {
    let mut broken = Promises::default();
    broken.budgets(verdict, tenant_budgets);
    broken.counts(verdict);
    broken.stop(verdict);
    broken.play(verdict);
    broken.0
}

#[derive(Debug, Default)]
struct Promises(Vec<String>);

impl Promises {
    fn expect(&mut self, kept: bool, sentence: String) {
        if !kept {
            self.0.push(sentence);
        }
    }

    fn budgets(&mut self, verdict: &Verdict, tenant_budgets: BTreeMap<&str, u64>) {
        let Verdict { budget, applied, referee_applied, overshoot, .. } = verdict;
        self.expect(*overshoot == 0, format!("the budget was passed by {overshoot}"));
        self.expect(
            applied <= budget && referee_applied <= budget,
            format!("{applied} or {referee_applied} calls were affected, {budget} were allowed"),
        );
        for (tenant, budget) in tenant_budgets {
            let applied = verdict.by_tenant.get(tenant).map_or(0, |row| row.applied);
            self.expect(
                applied <= budget,
                format!("tenant {tenant} had {applied} of {budget} allowed"),
            );
        }
    }

    /// Squall's counts against the referee's.
    fn counts(&mut self, verdict: &Verdict) {
        let Verdict { applied, referee_applied, referee, .. } = verdict;
        self.expect(
            applied == referee_applied,
            format!("Squall counts {applied} affected calls, the referee {referee_applied}"),
        );
        let tenants: BTreeMap<_, _> =
            verdict.by_tenant.iter().map(|(tenant, row)| (tenant.clone(), row.applied)).collect();
        for (tenant, squall, referee) in apart(&tenants, &referee.by_tenant) {
            self.0.push(format!("Squall counts {squall} calls of {tenant}, the referee {referee}"));
        }
        for (effect, squall, referee) in apart(&verdict.by_effect, &referee.by_effect) {
            self.0.push(format!("Squall counts {squall} calls {effect:?}, the referee {referee}"));
        }
        let accounted = |row: &Row| row.chosen == row.applied + row.skipped + row.not_applicable;
        for (name, row) in verdict.by_experiment.iter().chain(&verdict.by_tenant) {
            self.expect(accounted(row), format!("{name} lost track of chosen calls: {row:?}"));
        }
    }

    fn stop(&mut self, verdict: &Verdict) {
        let abort = &verdict.abort;
        let late = abort.injections_after_inert;
        self.expect(
            late == 0,
            format!("{late} calls were affected after their shim had to be inert"),
        );
        let whole = abort.delays_not_cut;
        self.expect(whole == 0, format!("{whole} delays went on after the abort"));
        self.expect(abort.proven, "the stop was never proven".to_owned());
        self.expect(
            abort.confirmed > 0 && abort.accepted_to_last_inert_ms.is_some(),
            "nobody confirmed the stop".to_owned(),
        );
        let frozen = &abort.frozen;
        self.expect(
            abort.absent.contains(frozen),
            format!(
                "agent {frozen} was frozen and is not named as out of contact: {:?}",
                abort.absent
            ),
        );
    }

    fn play(&mut self, verdict: &Verdict) {
        for (kind, applied) in &verdict.by_kind {
            self.expect(*applied > 0, format!("{kind} was never applied"));
        }
        self.expect(
            verdict.coordinator_killed,
            "the coordinator did not die of the kill".to_owned(),
        );
        let took = verdict.took_ms;
        self.expect(took < TOOK_MAX_MS, format!("it took {took} ms, {TOOK_MAX_MS} were promised"));
    }
}

/// Names for which the two count differently, with both counts.
fn apart<K: Ord + Clone>(
    squall: &BTreeMap<K, u64>,
    referee: &BTreeMap<K, u64>,
) -> Vec<(K, u64, u64)> {
    let names: BTreeSet<&K> = squall.keys().chain(referee.keys()).collect();
    let count = |counts: &BTreeMap<K, u64>, name: &K| counts.get(name).copied().unwrap_or(0);
    let both = |name: &K| (name.clone(), count(squall, name), count(referee, name));
    names.into_iter().map(both).filter(|(_, squall, referee)| squall != referee).collect()
}

#[cfg(test)]
mod tests;
