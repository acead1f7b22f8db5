//! Bounds, and which of them go together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::named;
use crate::vocabulary::blast_radius::{BlastRadius, RateLimit, Safety, Strictness};
use crate::vocabulary::id::TenantId;
use crate::vocabulary::limits::{
    BUDGET_MAX, SESSION_DURATION_MAX, SESSION_DURATION_MIN, TENANTS_MAX,
};
use crate::vocabulary::named::Named;
use crate::vocabulary::session::SafetyDraft;
use crate::vocabulary::violation::Check;

impl SafetyDraft {
    /// `None` where its name is unknown.
    pub(super) fn radius(&self) -> Option<BlastRadius> {
        self.blast_radius.as_deref().map_or(Some(BlastRadius::SingleTenant), BlastRadius::from_name)
    }

    pub(super) fn checked(&self, check: &mut Check) -> Option<Safety> {
        let radius =
            named(check, "blast_radius", self.blast_radius.as_deref(), BlastRadius::SingleTenant);
        let budget =
            check.field("max_affected_requests", |check| match self.max_affected_requests {
                None => {
                    check.wrong(format!("is missing; allowed is 1 to {BUDGET_MAX}"));
                    None
                }
                Some(budget) => within(check, budget, BUDGET_MAX),
            });
        let strictness = self.strictness(check, radius);
        let max_per_tenant = self.per_tenant(check, budget);
        let max_duration_s = self.max_duration_s.unwrap_or(600);
        check.field("max_duration_s", |check| {
            let (min, max) = (SESSION_DURATION_MIN.as_secs(), SESSION_DURATION_MAX.as_secs());
            check.require((min..=max).contains(&max_duration_s), || {
                format!("is {max_duration_s}; allowed is {min} to {max}")
            });
        });
        for (field, value) in [
            ("max_per_agent", self.max_per_agent),
            ("max_per_trace", self.max_per_trace),
            ("max_outstanding", self.max_outstanding),
            ("max_concurrent", self.max_concurrent),
            ("cascade_threshold", self.cascade_threshold),
        ] {
            check.field(field, |check| value.and_then(|value| within(check, value, BUDGET_MAX)));
        }
        let max_rate = self.rate(check);
        let budget = budget?;
        Some(Safety {
            blast_radius: radius?,
            max_affected_requests: budget,
            max_per_tenant: max_per_tenant?,
            max_per_agent: self.max_per_agent,
            max_per_trace: self.max_per_trace,
            max_outstanding: self.max_outstanding.unwrap_or((budget / 10).max(1)).min(budget),
            max_duration: Duration::from_secs(max_duration_s),
            max_concurrent: self.max_concurrent,
            max_rate,
            strictness: strictness?,
            cascade_threshold: self.cascade_threshold,
            auto_abort_on_cascade: self.auto_abort_on_cascade.unwrap_or(true),
            accept_lazy_log: self.accept_lazy_log.unwrap_or(false),
        })
    }

    /// What depends on a name that is unknown is not looked at.
    fn strictness(&self, check: &mut Check, radius: Option<BlastRadius>) -> Option<Strictness> {
        let per_request = radius.is_some_and(|radius| match radius {
            BlastRadius::SingleRequest | BlastRadius::SingleTrace => true,
            BlastRadius::SingleAgent | BlastRadius::SingleTenant | BlastRadius::MultiTenant => {
                false
            }
        });
        let bound = per_request || self.max_per_trace.is_some();
        let default = if bound { Strictness::StrictClaim } else { Strictness::Strict };
        let strictness = named(check, "strictness", self.strictness.as_deref(), default);
        if let Some(strictness) = strictness {
            check.field("strictness", |check| self.fits(check, radius, strictness, bound));
        }
        if radius == Some(BlastRadius::SingleRequest) {
            check.field("max_affected_requests", |check| {
                check.require(self.max_affected_requests.is_none_or(|budget| budget <= 1), || {
                    "is over 1; blast radius single_request allows exactly 1".to_owned()
                });
            });
        }
        strictness
    }

    /// `bound` is a session whose permits belong to requests.
    fn fits(
        &self,
        check: &mut Check,
        radius: Option<BlastRadius>,
        strictness: Strictness,
        bound: bool,
    ) {
        check.require(!bound || strictness == Strictness::StrictClaim, || {
            format!(
                "is {}; single_request, single_trace and max_per_trace need strict_claim, which binds a permit to its request",
                strictness.name()
            )
        });
        let eventual = strictness == Strictness::Eventual;
        let permits = self.max_concurrent.is_some()
            || self.max_rate.is_some()
            || self.max_per_agent.is_some()
            || !self.max_per_tenant.is_empty();
        check.require(!(eventual && permits), || {
            "is eventual, which has no permits; max_per_agent, max_per_tenant, max_concurrent and max_rate need strict or strict_claim".to_owned()
        });
        check.require(!(eventual && radius == Some(BlastRadius::SingleAgent)), || {
            "is eventual; blast radius single_agent is bound by a grant and needs strict or strict_claim".to_owned()
        });
    }

    fn per_tenant(
        &self,
        check: &mut Check,
        budget: Option<u32>,
    ) -> Option<BTreeMap<TenantId, u32>> {
        check.field("max_per_tenant", |check| {
            check.require(self.max_per_tenant.len() <= TENANTS_MAX, || {
                format!("has {} entries; allowed are {TENANTS_MAX}", self.max_per_tenant.len())
            });
            let budgets = self.max_per_tenant.iter().take(TENANTS_MAX).map(|(tenant, limit)| {
                check.field(tenant, |check| {
                    let limit = within(check, *limit, budget.unwrap_or(BUDGET_MAX));
                    check.value(tenant.parse()).zip(limit)
                })
            });
            // All of them are looked at before one that is wrong ends it.
            let budgets: Vec<_> = budgets.collect();
            budgets.into_iter().collect()
        })
    }

    fn rate(&self, check: &mut Check) -> Option<RateLimit> {
        let draft = self.max_rate.as_ref()?;
        check.field("max_rate", |check| {
            check.field("permits", |check| within(check, draft.permits, BUDGET_MAX));
            check.field("window_s", |check| {
                check.require((1..=3600).contains(&draft.window_s), || {
                    format!("is {}; allowed is 1 to 3600", draft.window_s)
                });
            });
        });
        Some(RateLimit { permits: draft.permits, window: Duration::from_secs(draft.window_s) })
    }
}

fn within(check: &mut Check, value: u32, max: u32) -> Option<u32> {
    check.require((1..=max).contains(&value), || format!("is {value}; allowed is 1 to {max}"));
    (1..=max).contains(&value).then_some(value)
}
