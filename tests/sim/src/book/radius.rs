//! The blast radius and the sub-budgets, as predicates over what was really hit (I5, I9).

use squall_proto::vocabulary::blast_radius::BlastRadius;

use super::{Account, Began};

impl Account {
    /// What a fault that begins hits, counted, and which bounds it breaks.
    pub(super) fn outside_of_radius(&mut self, began: &Began) -> Vec<(&'static str, String)> {
        let tenant = began.holder.tenant.clone();
        let agent = (tenant.clone(), began.agent.clone());
        let trace = (tenant.clone(), began.trace.clone());
        *self.burned_by_tenant.entry(tenant.clone()).or_default() += 1;
        *self.burned_by_agent.entry(agent).or_default() += 1;
        *self.burned_by_trace.entry(trace).or_default() += 1;
        self.requests.insert((tenant.clone(), began.request));
        let (hit, allowed) = match self.spec.safety.blast_radius {
            BlastRadius::SingleRequest => (self.requests.len(), 1),
            BlastRadius::SingleAgent => (self.burned_by_agent.len(), 1),
            BlastRadius::SingleTrace => (self.burned_by_trace.len(), 1),
            BlastRadius::SingleTenant => (self.burned_by_tenant.len(), 1),
            BlastRadius::MultiTenant => {
                let stranger = !self.spec.target.tenants.contains(&tenant);
                (usize::from(stranger), 0)
            }
        };
        let mut broken = Vec::new();
        if hit > allowed {
            let radius = self.spec.safety.blast_radius;
            broken.push(("I5", format!("{hit} were hit in a radius of {radius:?}")));
        }
        broken.extend(self.burned_over_a_sub_budget().map(|over| ("I9", over)));
        broken
    }

    /// Which sub-budget more was burned of than it has.
    fn burned_over_a_sub_budget(&self) -> Option<String> {
        self.over(&self.burned_by_tenant, &self.burned_by_agent, &self.burned_by_trace, "burned")
    }

    /// Which sub-budget more was issued of than it has.
    pub(super) fn over_a_sub_budget(&self) -> Option<String> {
        self.over(&self.spent_by_tenant, &self.spent_by_agent, &self.spent_by_trace, "spent")
    }

    fn over(
        &self,
        tenants: &std::collections::BTreeMap<squall_proto::vocabulary::id::TenantId, u64>,
        agents: &std::collections::BTreeMap<super::account::Agent, u64>,
        traces: &std::collections::BTreeMap<super::account::Trace, u64>,
        word: &str,
    ) -> Option<String> {
        let safety = &self.spec.safety;
        let tenant = tenants.iter().find(|(tenant, sum)| {
            safety.max_per_tenant.get(*tenant).is_some_and(|most| **sum > u64::from(*most))
        });
        let agent = agents
            .iter()
            .find(|(_, sum)| safety.max_per_agent.is_some_and(|most| **sum > u64::from(most)));
        let trace = traces
            .iter()
            .find(|(_, sum)| safety.max_per_trace.is_some_and(|most| **sum > u64::from(most)));
        tenant
            .map(|(tenant, sum)| format!("{sum} {word} of tenant {tenant}"))
            .or_else(|| agent.map(|(agent, sum)| format!("{sum} {word} of agent {agent:?}")))
            .or_else(|| trace.map(|(trace, sum)| format!("{sum} {word} of trace {trace:?}")))
    }
}
