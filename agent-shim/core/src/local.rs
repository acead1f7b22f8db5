//! Chaos without a server, for tests. Its bound reads "this process only".

use std::collections::BTreeMap;
use std::sync::Arc;

use squall_proto::vocabulary::blast_radius::{BlastRadius, Safety, Strictness};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::{
    Environment, ExperimentName, Incarnation, SessionId, SessionKey, TenantId,
};
use squall_proto::vocabulary::limits::{BUDGET_MAX, EXPERIMENTS_MAX, SESSION_DURATION_MAX};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::target::{PercentageUnit, Probability, Selector, Target};
use squall_proto::vocabulary::time::BootNanos;

use crate::clock::Clock;
use crate::plan::ActiveSession;
use crate::policy::Policy;
use crate::registry::Registry;

/// Experiments that run in this process alone: permits without a lease, and no coordinator.
#[derive(Debug)]
pub struct Local {
    registry: Arc<Registry>,
    session: ActiveSession,
    max_affected: u32,
}

/// The session of every local shim: draws depend on it, so it is always the same.
const NAME: &str = "local";

impl Local {
    /// What the bound of a local session covers.
    pub const BOUND: &'static str = "this process only";

    /// Runs `experiments` (the first 100) until `max_affected` calls (1,000,000 at most) were affected. The same seed and
    /// request ids give the same choices.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        mut experiments: Vec<Experiment>,
        max_affected: u32,
        seed: u64,
    ) -> Self {
        experiments.truncate(EXPERIMENTS_MAX);
        let max_affected = max_affected.min(BUDGET_MAX);
        let environment = Environment::new(NAME).unwrap_or_else(|_| Environment::production());
        let session = ActiveSession {
            key: key(),
            spec: Arc::new(spec(experiments, max_affected, &environment)),
            seed,
            running: true,
        };
        // Injection ids need only be unique in this process.
        let registry =
            Registry::new(clock, Policy::all(environment), Incarnation(*b"local-local-loca"));
        let local = Self { registry, session, max_affected };
        local.begin();
        local
    }

    /// Where adapters get their sites.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Starts again: all permits, counters at zero, the same draws.
    pub fn reset(&self) {
        self.registry.install(&[]);
        self.registry.forget(&self.session.key);
        self.begin();
    }

    fn begin(&self) {
        const NEVER: BootNanos = BootNanos(u64::MAX);
        self.registry.lease().extend(NEVER);
        let installed = self.registry.install(std::slice::from_ref(&self.session));
        for live in &installed.live {
            // Only a budget of 0 is refused: then nothing may be affected, and nothing is.
            let everything = GrantScope::default();
            let _ = live.wallet().install(1, self.max_affected, everything, NEVER, NEVER);
        }
    }

    /// The counters of each experiment, over all agents.
    #[must_use]
    pub fn counts(&self) -> Vec<(ExperimentName, Counts)> {
        let names = self.session.spec.experiments.iter().map(|experiment| &experiment.name);
        let mut sums: BTreeMap<ExperimentName, Counts> =
            names.clone().map(|name| (name.clone(), Counts::default())).collect();
        for row in self.registry.counts() {
            let sum = sums.entry(row.experiment).or_default();
            *sum = sum.plus(row.counts);
        }
        names.filter_map(|name| sums.remove_entry(name)).collect()
    }
}

fn key() -> SessionKey {
    SessionKey {
        tenant: TenantId::new(NAME).expect("`local` is a token"),
        session: SessionId::new(NAME).expect("`local` is a token"),
    }
}

/// A session for one environment, with no bound but its budget and the longest duration.
pub(crate) fn spec(
    experiments: Vec<Experiment>,
    budget: u32,
    environment: &Environment,
) -> SessionSpec {
    SessionSpec {
        title: String::from("local"),
        experiments,
        target: Target {
            selector: Selector::default(),
            tenants: Vec::new(),
            percentage: Probability::ONE,
            percentage_unit: PercentageUnit::Request,
            environments: vec![environment.clone()],
        },
        safety: Safety {
            blast_radius: BlastRadius::SingleTenant,
            max_affected_requests: budget,
            max_per_tenant: BTreeMap::new(),
            max_per_agent: None,
            max_per_trace: None,
            max_outstanding: budget,
            max_duration: SESSION_DURATION_MAX,
            max_concurrent: None,
            max_rate: None,
            strictness: Strictness::Strict,
            cascade_threshold: None,
            auto_abort_on_cascade: false,
            accept_lazy_log: false,
        },
    }
}

#[cfg(test)]
mod tests;
