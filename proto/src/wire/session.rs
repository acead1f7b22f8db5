//! Session specifications. Drafts travel both ways; a checked specification goes out as the draft that says the same,
//! and comes in through [`SessionDraft::validate`], so that there is one way in for files, clients and plans.

use std::collections::BTreeMap;

use prost::Message;

use super::enumeration::{optional_name, optional_number};
use super::fault::fault;
use super::read::{Read, first, optional};
use super::v1;
use crate::vocabulary::blast_radius::{BlastRadius, Strictness};
use crate::vocabulary::limits::{EXPERIMENTS_MAX, SELECTOR_NAMES_MAX, SPEC_BYTES_MAX, TENANTS_MAX};
use crate::vocabulary::session::{
    ExperimentDraft, RateDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft,
};
use crate::vocabulary::target::PercentageUnit;
use crate::vocabulary::violation::{Check, Violations};

impl TryFrom<&SessionDraft> for v1::SessionSpec {
    type Error = Violations;

    /// Fails for names that have no number, and for lists that are given and empty; [`SessionDraft::validate`] refuses
    /// those too. Anything else may travel, right or wrong.
    fn try_from(draft: &SessionDraft) -> Result<Self, Violations> {
        let mut check = Check::new();
        let wire = session(&mut check, draft);
        check.finish(Some(wire))
    }
}

impl From<&SessionSpec> for v1::SessionSpec {
    fn from(spec: &SessionSpec) -> Self {
        // A specification has no name that is not known.
        session(&mut Check::new(), &SessionDraft::from(spec))
    }
}

impl TryFrom<v1::SessionSpec> for SessionDraft {
    type Error = Violations;

    /// Fails for what a draft can't hold: over 128 KiB, a list over its limit, a status code over 65535.
    fn try_from(wire: v1::SessionSpec) -> Result<Self, Violations> {
        small(&wire)?;
        super::read::whole(wire)
    }
}

impl TryFrom<v1::SessionSpec> for SessionSpec {
    type Error = Violations;

    /// Fails for all that reading the draft and [`SessionDraft::validate`] refuse, together; alone for over 128 KiB.
    fn try_from(wire: v1::SessionSpec) -> Result<Self, Violations> {
        small(&wire)?;
        super::read::whole(wire)
    }
}

fn small(wire: &v1::SessionSpec) -> Result<(), Violations> {
    let bytes = wire.encoded_len();
    if bytes <= SPEC_BYTES_MAX {
        return Ok(());
    }
    Err(Violations::one("", format!("has {bytes} bytes; allowed are {SPEC_BYTES_MAX}")))
}

/// In a plan its size is bounded by that of the message: with its defaults filled in, a specification may be larger than
/// what its author was allowed to send, and a plan must not be refused for that.
impl Read<v1::SessionSpec> for SessionSpec {
    fn read(check: &mut Check, wire: v1::SessionSpec) -> Option<Self> {
        SessionDraft::read(check, wire)?.checked(check)
    }
}

fn session(check: &mut Check, draft: &SessionDraft) -> v1::SessionSpec {
    let SessionDraft { title, experiments, target: whom, safety: bounds } = draft;
    v1::SessionSpec {
        title: title.clone(),
        experiments: check.each("experiments", experiments, experiment),
        target: Some(check.field("target", |check| target(check, whom))),
        safety: Some(check.field("safety", |check| safety(check, bounds))),
    }
}

impl Read<v1::SessionSpec> for SessionDraft {
    fn read(check: &mut Check, wire: v1::SessionSpec) -> Option<Self> {
        let v1::SessionSpec { title, experiments, target, safety } = wire;
        let experiments = first(check, "experiments", experiments, EXPERIMENTS_MAX);
        let experiments = check.each("experiments", experiments, ExperimentDraft::read);
        let target = optional(check, "target", target);
        let safety = optional(check, "safety", safety);
        Some(Self {
            title,
            experiments: experiments.into_iter().collect::<Option<_>>()?,
            target: target?.unwrap_or_default(),
            safety: safety?.unwrap_or_default(),
        })
    }
}

fn experiment(check: &mut Check, draft: &ExperimentDraft) -> v1::ExperimentSpec {
    let ExperimentDraft { name, fault: what, probability, agents, tools } = draft;
    v1::ExperimentSpec {
        name: name.clone(),
        fault: Some(check.field("fault", |check| fault(check, what))),
        probability: *probability,
        agents: agents.clone(),
        tools: tools.clone(),
    }
}

impl Read<v1::ExperimentSpec> for ExperimentDraft {
    fn read(check: &mut Check, wire: v1::ExperimentSpec) -> Option<Self> {
        let v1::ExperimentSpec { name, fault, probability, agents, tools } = wire;
        let fault = optional(check, "fault", fault);
        let agents = first(check, "agents", agents, SELECTOR_NAMES_MAX);
        let tools = first(check, "tools", tools, SELECTOR_NAMES_MAX);
        Some(Self { name, fault: fault?.unwrap_or_default(), probability, agents, tools })
    }
}

fn target(check: &mut Check, draft: &TargetDraft) -> v1::TargetSpec {
    let TargetDraft { agents, tools, tenants, percentage, percentage_unit, environments } = draft;
    v1::TargetSpec {
        agents: agents.clone(),
        tools: tools.clone(),
        tenants: tenants.clone(),
        percentage: *percentage,
        percentage_unit: optional_number::<PercentageUnit>(
            check,
            "percentage_unit",
            percentage_unit.as_deref(),
        ),
        environments: environments.clone(),
    }
}

impl Read<v1::TargetSpec> for TargetDraft {
    fn read(check: &mut Check, wire: v1::TargetSpec) -> Option<Self> {
        let v1::TargetSpec { agents, tools, tenants, percentage, percentage_unit, environments } =
            wire;
        let agents = first(check, "agents", agents, SELECTOR_NAMES_MAX);
        let tools = first(check, "tools", tools, SELECTOR_NAMES_MAX);
        let tenants = first(check, "tenants", tenants, TENANTS_MAX);
        let environments = first(check, "environments", environments, SELECTOR_NAMES_MAX);
        Some(Self {
            agents,
            tools,
            tenants,
            percentage,
            percentage_unit: optional_name::<PercentageUnit>(percentage_unit),
            environments,
        })
    }
}

fn safety(check: &mut Check, draft: &SafetyDraft) -> v1::SafetySpec {
    let SafetyDraft {
        blast_radius,
        max_affected_requests,
        max_per_tenant,
        max_per_agent,
        max_per_trace,
        max_outstanding,
        max_duration_s,
        max_concurrent,
        max_rate,
        strictness,
        cascade_threshold,
        auto_abort_on_cascade,
        accept_lazy_log,
    } = draft;
    v1::SafetySpec {
        blast_radius: optional_number::<BlastRadius>(
            check,
            "blast_radius",
            blast_radius.as_deref(),
        ),
        max_affected_requests: *max_affected_requests,
        max_per_tenant: max_per_tenant.clone(),
        max_per_agent: *max_per_agent,
        max_per_trace: *max_per_trace,
        max_outstanding: *max_outstanding,
        max_duration_s: *max_duration_s,
        max_concurrent: *max_concurrent,
        max_rate: max_rate.as_ref().map(rate),
        strictness: optional_number::<Strictness>(check, "strictness", strictness.as_deref()),
        cascade_threshold: *cascade_threshold,
        auto_abort_on_cascade: *auto_abort_on_cascade,
        accept_lazy_log: *accept_lazy_log,
    }
}

impl Read<v1::SafetySpec> for SafetyDraft {
    fn read(check: &mut Check, wire: v1::SafetySpec) -> Option<Self> {
        let v1::SafetySpec {
            blast_radius,
            max_affected_requests,
            max_per_tenant,
            max_per_agent,
            max_per_trace,
            max_outstanding,
            max_duration_s,
            max_concurrent,
            max_rate,
            strictness,
            cascade_threshold,
            auto_abort_on_cascade,
            accept_lazy_log,
        } = wire;
        let max_per_tenant = budgets(check, max_per_tenant);
        let max_rate = optional(check, "max_rate", max_rate);
        Some(Self {
            blast_radius: optional_name::<BlastRadius>(blast_radius),
            max_affected_requests,
            max_per_tenant,
            max_per_agent,
            max_per_trace,
            max_outstanding,
            max_duration_s,
            max_concurrent,
            max_rate: max_rate?,
            strictness: optional_name::<Strictness>(strictness),
            cascade_threshold,
            auto_abort_on_cascade,
            accept_lazy_log,
        })
    }
}

fn budgets(check: &mut Check, budgets: BTreeMap<String, u32>) -> BTreeMap<String, u32> {
    let count = budgets.len();
    check.field("max_per_tenant", |check| {
        check.require(count <= TENANTS_MAX, || {
            format!("has {count} entries; allowed are {TENANTS_MAX}")
        });
    });
    budgets.into_iter().take(TENANTS_MAX).collect()
}

fn rate(draft: &RateDraft) -> v1::RateSpec {
    let RateDraft { permits, window_s } = draft;
    v1::RateSpec { permits: *permits, window_s: *window_s }
}

impl Read<v1::RateSpec> for RateDraft {
    fn read(_: &mut Check, wire: v1::RateSpec) -> Option<Self> {
        let v1::RateSpec { permits, window_s } = wire;
        Some(Self { permits, window_s })
    }
}

#[cfg(test)]
mod tests;
