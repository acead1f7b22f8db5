//! How a draft becomes a specification: [`SessionDraft::validate`] is the one way, for session files, gRPC and REST
//! alike, and names all violations at once.
//!
//! Deliberately not here: ranges of a fault's parameters, which hold for every fault, however it came about
//! ([`crate::vocabulary::fault`]).

mod fault;
mod safety;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use super::draft::{ExperimentDraft, SafetyDraft, SessionDraft, TargetDraft};
use super::{Experiment, SessionSpec};
use crate::vocabulary::blast_radius::BlastRadius;
use crate::vocabulary::id::{ExperimentName, TenantId};
use crate::vocabulary::limits::{EXPERIMENTS_MAX, SELECTOR_NAMES_MAX, TENANTS_MAX, TEXT_BYTES_MAX};
use crate::vocabulary::named::Named;
use crate::vocabulary::target::{PercentageUnit, Probability, Selector, Target};
use crate::vocabulary::violation::{Check, Violations};

impl SessionDraft {
    /// Checks everything and builds the specification.
    ///
    /// # Errors
    /// [`Violations`] holds every violation with the path of its field.
    pub fn validate(&self) -> Result<SessionSpec, Violations> {
        let mut check = Check::new();
        let spec = self.checked(&mut check);
        check.finish(spec)
    }

    /// The specification, which is worth something only if nothing was noted.
    pub(crate) fn checked(&self, check: &mut Check) -> Option<SessionSpec> {
        check.field("title", |check| {
            let bytes = self.title.len();
            check.require(bytes <= TEXT_BYTES_MAX, || {
                format!("has {bytes} bytes; allowed are {TEXT_BYTES_MAX}")
            });
            check.require(!self.title.contains(char::is_control), || {
                "holds a control character".to_owned()
            });
        });
        let experiments = experiments(check, &self.experiments);
        let safety = check.field("safety", |check| self.safety.checked(check));
        let radius = self.safety.radius();
        let target = check.field("target", |check| self.target.checked(check, radius));
        if radius == Some(BlastRadius::MultiTenant) {
            check.field("safety", |check| tenants_are_targets(check, &self.safety, &self.target));
        }
        Some(SessionSpec {
            title: self.title.clone(),
            experiments: experiments?,
            target: target?,
            safety: safety?,
        })
    }
}

fn experiments(check: &mut Check, drafts: &[ExperimentDraft]) -> Option<Vec<Experiment>> {
    check.field("experiments", |check| {
        let count = drafts.len();
        check.require((1..=EXPERIMENTS_MAX).contains(&count), || {
            format!("has {count} entries; allowed are 1 to {EXPERIMENTS_MAX}")
        });
    });
    let mut names = BTreeSet::new();
    let checked = check.each("experiments", drafts.iter().take(EXPERIMENTS_MAX), |check, draft| {
        draft.checked(check, &mut names)
    });
    checked.into_iter().collect()
}

impl ExperimentDraft {
    /// `names` are those of the experiments before it, right or wrong otherwise.
    fn checked(
        &self,
        check: &mut Check,
        names: &mut BTreeSet<ExperimentName>,
    ) -> Option<Experiment> {
        let fault = check.field("fault", |check| self.fault.checked(check));
        let name = check.field("name", |check| {
            let name: Option<ExperimentName> = match (&self.name, &fault) {
                (Some(name), _) => check.value(name.parse()),
                (None, Some(fault)) => check.value(fault.kind().name().parse()),
                (None, None) => None,
            };
            if let Some(name) = &name {
                check.require(names.insert(name.clone()), || {
                    format!("is {:?} a second time; names are unique in a session", name.as_str())
                });
            }
            name
        });
        let probability = check.field("probability", |check| {
            check.value(Probability::new(self.probability.unwrap_or(1.0)))
        });
        let selector = selector(check, &self.agents, &self.tools);
        Some(Experiment {
            name: name?,
            fault: fault?,
            probability: probability?,
            selector: selector?,
        })
    }
}

impl TargetDraft {
    fn checked(&self, check: &mut Check, radius: Option<BlastRadius>) -> Option<Target> {
        let selector = selector(check, &self.agents, &self.tools);
        let tenants = names(check, "tenants", &self.tenants, TENANTS_MAX);
        check.field("tenants", |check| match radius {
            Some(BlastRadius::MultiTenant) => {
                check.require(!self.tenants.is_empty(), || {
                    "is empty; blast radius multi_tenant needs an explicit list of 1 to 64 tenants".to_owned()
                });
            }
            Some(radius) => check.require(self.tenants.is_empty(), || {
                format!("is set; only blast radius multi_tenant has tenants, this is {}", radius.name())
            }),
            None => {}
        });
        let percentage = check.field("percentage", |check| {
            check.value(Probability::new(self.percentage.unwrap_or(1.0)))
        });
        let percentage_unit = named(
            check,
            "percentage_unit",
            self.percentage_unit.as_deref(),
            PercentageUnit::Request,
        );
        let environments = names(check, "environments", &self.environments, SELECTOR_NAMES_MAX);
        Some(Target {
            selector: selector?,
            tenants: tenants?,
            percentage: percentage?,
            percentage_unit: percentage_unit?,
            environments: environments?,
        })
    }
}

/// A budget for a tenant that the session can't hit would be a silent no-op. What is no name, and a list that is missing,
/// is named elsewhere.
fn tenants_are_targets(check: &mut Check, safety: &SafetyDraft, target: &TargetDraft) {
    if target.tenants.is_empty() {
        return;
    }
    let is_stranger =
        |tenant: &&String| tenant.parse::<TenantId>().is_ok() && !target.tenants.contains(tenant);
    for tenant in safety.max_per_tenant.keys().filter(is_stranger).take(TENANTS_MAX) {
        check.field("max_per_tenant", |check| {
            check.field(tenant, |check| check.wrong("is not one of target.tenants"));
        });
    }
}

fn selector(check: &mut Check, agents: &[String], tools: &[String]) -> Option<Selector> {
    let agents = names(check, "agents", agents, SELECTOR_NAMES_MAX);
    let tools = names(check, "tools", tools, SELECTOR_NAMES_MAX);
    Some(Selector { agents: agents?, tools: tools? })
}

fn names<T>(check: &mut Check, field: &str, texts: &[String], max: usize) -> Option<Vec<T>>
where
    T: FromStr,
    T::Err: Display,
{
    check.field(field, |check| {
        check.require(texts.len() <= max, || {
            format!("has {} entries; allowed are {max}", texts.len())
        });
    });
    check
        .each(field, texts.iter().take(max), |check, text| check.value(text.parse()))
        .into_iter()
        .collect()
}

/// The value named by `text`, or by `default` where it is not given.
fn named<T: Named>(check: &mut Check, field: &str, text: Option<&str>, default: T) -> Option<T> {
    check.field(field, |check| match text {
        None => Some(default),
        Some(text) => parse_name(check, text),
    })
}

fn parse_name<T: Named>(check: &mut Check, text: &str) -> Option<T> {
    let found = T::from_name(text);
    check.require(found.is_some(), || format!("is {text:?}; allowed are {}", T::allowed()));
    found
}

#[cfg(test)]
mod tests;
