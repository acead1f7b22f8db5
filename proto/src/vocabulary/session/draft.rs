//! What a person wrote: any text and any number. [`SessionDraft::validate`] is the one way to a [`SessionSpec`],
//! for session files, gRPC and REST alike, and names all violations at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Experiment, SessionSpec};
use crate::vocabulary::blast_radius::{BlastRadius, RateLimit, Safety, Strictness};
use crate::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, Latency, LostPart,
    MalformedOutput, ToolUnavailable, TruncationUnit, Unavailability, UncooperativeAgent,
};
use crate::vocabulary::id::TenantId;
use crate::vocabulary::limits::{
    BUDGET_MAX, EXPERIMENTS_MAX, SELECTOR_NAMES_MAX, SESSION_DURATION_MAX, SESSION_DURATION_MIN,
    TENANTS_MAX, TEXT_BYTES_MAX,
};
use crate::vocabulary::named::Named;
use crate::vocabulary::target::{PercentageUnit, Probability, Selector, Target};
use crate::vocabulary::violation::{Check, Violations};

/// A session as written. Only `experiments` and `safety.max_affected_requests` are required.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SessionDraft {
    /// Title for people, up to 1024 bytes.
    pub title: String,
    /// 1 to 100 experiments with different names. A call that several choose gets the first of them.
    pub experiments: Vec<ExperimentDraft>,
    /// Whom the session may hit; default: every agent and tool of its tenant outside production.
    pub target: TargetDraft,
    /// The bounds.
    pub safety: SafetyDraft,
}

/// An experiment as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ExperimentDraft {
    /// Unique in the session; default: the fault's kind.
    pub name: Option<String>,
    /// What happens: exactly one kind.
    pub fault: FaultDraft,
    /// How often, of the calls that match: 0 to 1. Default 1.
    pub probability: Option<f64>,
    /// Only these agents; empty means all of the target's.
    pub agents: Vec<String>,
    /// Only these tools; empty means all of the target's.
    pub tools: Vec<String>,
}

/// A fault as written: exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct FaultDraft {
    /// Delays tool and model calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyDraft>,
    /// Answers tool and model calls with an error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCodesDraft>,
    /// Makes a tool fail, time out, vanish or disconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_unavailable: Option<ToolUnavailableDraft>,
    /// Makes an agent refuse, answer in part, dawdle or answer in the wrong format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncooperative_agent: Option<UncooperativeDraft>,
    /// Cuts what a tool or model is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_truncation: Option<TruncationDraft>,
    /// Damages what a tool or model returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed_output: Option<MalformedOutputDraft>,
}

/// A distribution of delays as written: `fixed_ms`, or `min_ms` and `max_ms`, or `median_ms`, `sigma` and `max_ms`.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DelayDraft {
    /// `fixed`, `uniform` or `lognormal`; default: what the other fields say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Always this, 0 to 60000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ms: Option<u64>,
    /// Shortest of a uniform delay. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ms: Option<u64>,
    /// Longest of a uniform or lognormal delay, up to 60000. Default 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// Median of a lognormal delay, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<u64>,
    /// Spread of a lognormal delay, above 0 and up to 3. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
}

/// Latency as written: the fields of a delay.
pub type LatencyDraft = DelayDraft;

/// Error codes as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ErrorCodesDraft {
    /// HTTP status codes to draw from, 400 to 599. Default 500, 502, 503, 504.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<Vec<u16>>,
    /// Text of the error; default: the standard reason of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An unavailable tool as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ToolUnavailableDraft {
    /// `error`, `timeout`, `not_found` or `disconnect`. Default `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How long a time-out takes, 1 to 60000. Default 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// An uncooperative agent as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct UncooperativeDraft {
    /// Of `refuse`, `partial`, `delay`, `wrong_format`. Default `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behaviors: Option<Vec<String>>,
    /// Refusals to draw from, up to 32; default: a built-in set.
    pub texts: Vec<String>,
    /// Share of the answer that `partial` keeps, 0 to 1. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<f64>,
    /// How late `delay` is. Default 1000 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelayDraft>,
}

/// Context truncation as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TruncationDraft {
    /// Share that is lost, above 0 and up to 1. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// `start`, `middle` or `end`. Default `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `characters` or `messages`. Default `characters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Malformed output as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MalformedOutputDraft {
    /// `truncate`, `json_break`, `encoding`, `empty`, `fields_removed` or `wrong_type`. Default `truncate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Share of text or fields that is kept, 0 to 1. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<f64>,
}

/// A target as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TargetDraft {
    /// Only these agents; empty means all.
    pub agents: Vec<String>,
    /// Only these tools; empty means all.
    pub tools: Vec<String>,
    /// The tenants of a `multi_tenant` session, 1 to 64; empty otherwise.
    pub tenants: Vec<String>,
    /// Share of units that is exposed at all, 0 to 1. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// `request`, `trace` or `agent`. Default `request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_unit: Option<String>,
    /// Environments whose shims may take part; empty means every one but `production`.
    pub environments: Vec<String>,
}

/// A rate as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RateDraft {
    /// Affected requests in one window, at least 1.
    pub permits: u32,
    /// Length of the window, 1 to 3600.
    pub window_s: u64,
}

/// Bounds as written.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SafetyDraft {
    /// `single_request`, `single_agent`, `single_trace`, `single_tenant` or `multi_tenant`. Default `single_tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<String>,
    /// The budget: affected requests in all, 1 to 1000000. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_affected_requests: Option<u32>,
    /// Budgets of single tenants.
    pub max_per_tenant: BTreeMap<String, u32>,
    /// Affected requests of any one agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_agent: Option<u32>,
    /// Affected requests of any one trace; needs `strict_claim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_trace: Option<u32>,
    /// Permits in shims' hands at any time. Default: a tenth of the budget, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_outstanding: Option<u32>,
    /// The session ends after this time, 1 to 604800 seconds. Default 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<u64>,
    /// Injections under way at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Injections in any window of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<RateDraft>,
    /// `strict`, `strict_claim` or `eventual`. Default `strict`, and `strict_claim` where the blast radius needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strictness: Option<String>,
    /// Failing traces downstream of an injection that trip the cascade guard, at least 1; default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade_threshold: Option<u32>,
    /// Whether a tripped guard aborts. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_abort_on_cascade: Option<bool>,
    /// Accept a log that does not write through to disk, with strict bounds; recorded. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_lazy_log: Option<bool>,
}

impl SessionDraft {
    /// Checks everything and builds the specification.
    ///
    /// # Errors
    /// [`Violations`] holds every violation with the path of its field.
    pub fn validate(&self) -> Result<SessionSpec, Violations> {
        let mut check = Check::new();
        check.field("title", |check| {
            let bytes = self.title.len();
            check.require(bytes <= TEXT_BYTES_MAX, || {
                format!("has {bytes} bytes; allowed are {TEXT_BYTES_MAX}")
            });
            check.require(!self.title.contains(char::is_control), || {
                "holds a control character".to_owned()
            });
        });
        let experiments = experiments(&mut check, &self.experiments);
        let safety = check.field("safety", |check| self.safety.checked(check));
        let radius = safety.as_ref().map(|safety| safety.blast_radius);
        let target = check.field("target", |check| self.target.checked(check, radius));
        if let (Some(safety), Some(target)) = (&safety, &target) {
            check.field("safety", |check| tenants_are_targets(check, safety, target));
        }
        let spec = match (experiments, target, safety) {
            (Some(experiments), Some(target), Some(safety)) => {
                Some(SessionSpec { title: self.title.clone(), experiments, target, safety })
            }
            _ => None,
        };
        check.finish(spec)
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
        let experiment = draft.checked(check);
        if let Some(experiment) = &experiment {
            check.field("name", |check| {
                check.require(names.insert(experiment.name.clone()), || {
                    format!(
                        "is {:?} a second time; names are unique in a session",
                        experiment.name.as_str()
                    )
                });
            });
        }
        experiment
    });
    checked.into_iter().collect()
}

impl ExperimentDraft {
    fn checked(&self, check: &mut Check) -> Option<Experiment> {
        let fault = check.field("fault", |check| self.fault.checked(check));
        let name = check.field("name", |check| match (&self.name, &fault) {
            (Some(name), _) => check.value(name.parse()),
            (None, Some(fault)) => check.value(fault.kind().name().parse()),
            (None, None) => None,
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

impl FaultDraft {
    fn checked(&self, check: &mut Check) -> Option<Fault> {
        let Self {
            latency,
            error,
            tool_unavailable,
            uncooperative_agent,
            context_truncation,
            malformed_output,
        } = self;
        let mut given: Vec<Option<Fault>> = Vec::new();
        if let Some(draft) = latency {
            given.push(
                check
                    .field("latency", |check| draft.checked(check, (100, 5000)))
                    .map(|delay| Fault::Latency(Latency { delay })),
            );
        }
        if let Some(draft) = error {
            given.push(Some(draft.fault()));
        }
        if let Some(draft) = tool_unavailable {
            given.push(check.field("tool_unavailable", |check| draft.fault(check)));
        }
        if let Some(draft) = uncooperative_agent {
            given.push(check.field("uncooperative_agent", |check| draft.fault(check)));
        }
        if let Some(draft) = context_truncation {
            given.push(check.field("context_truncation", |check| draft.fault(check)));
        }
        if let Some(draft) = malformed_output {
            given.push(check.field("malformed_output", |check| draft.fault(check)));
        }
        check.require(given.len() == 1, || {
            format!(
                "names {} kinds; exactly one is allowed of latency, error, tool_unavailable, uncooperative_agent, \
                 context_truncation, malformed_output",
                given.len()
            )
        });
        let fault = given.pop()??;
        fault.check(check);
        Some(fault)
    }
}

impl DelayDraft {
    /// `uniform` are the ends of a uniform delay where they are not given.
    fn checked(&self, check: &mut Check, uniform: (u64, u64)) -> Option<Delay> {
        let guess = match (self.fixed_ms, self.median_ms) {
            (Some(_), _) => "fixed",
            (None, Some(_)) => "lognormal",
            (None, None) => "uniform",
        };
        let distribution = self.distribution.as_deref().unwrap_or(guess);
        let max_ms = self.max_ms.unwrap_or(uniform.1);
        match distribution {
            "fixed" => {
                self.only(check, distribution, &["fixed_ms"]);
                Some(Delay::Fixed { ms: self.fixed_ms.unwrap_or(uniform.0) })
            }
            "uniform" => {
                self.only(check, distribution, &["min_ms", "max_ms"]);
                Some(Delay::Uniform {
                    min_ms: self.min_ms.unwrap_or(uniform.0.min(max_ms)),
                    max_ms,
                })
            }
            "lognormal" => {
                self.only(check, distribution, &["median_ms", "sigma", "max_ms"]);
                let median_ms = self.median_ms.unwrap_or(uniform.0);
                Some(Delay::Lognormal { median_ms, sigma: self.sigma.unwrap_or(1.0), max_ms })
            }
            other => {
                check.field("distribution", |check| {
                    check.wrong(format!("is {other:?}; allowed are fixed, uniform, lognormal"));
                });
                None
            }
        }
    }

    /// A field of another distribution would be ignored in silence.
    fn only(&self, check: &mut Check, distribution: &str, allowed: &[&str]) {
        let given = [
            ("fixed_ms", self.fixed_ms.is_some()),
            ("min_ms", self.min_ms.is_some()),
            ("max_ms", self.max_ms.is_some()),
            ("median_ms", self.median_ms.is_some()),
            ("sigma", self.sigma.is_some()),
        ];
        for (field, _) in given.iter().filter(|(field, given)| *given && !allowed.contains(field)) {
            check.field(field, |check| {
                check.wrong(format!(
                    "has no meaning for {distribution}; allowed are {}",
                    allowed.join(", ")
                ));
            });
        }
    }
}

impl ErrorCodesDraft {
    fn fault(&self) -> Fault {
        let codes = self.codes.clone().unwrap_or_else(|| vec![500, 502, 503, 504]);
        Fault::Error(ErrorCodes { codes, message: self.message.clone() })
    }
}

impl ToolUnavailableDraft {
    fn fault(&self, check: &mut Check) -> Option<Fault> {
        let mode = named(check, "mode", self.mode.as_deref(), Unavailability::Error)?;
        Some(Fault::ToolUnavailable(ToolUnavailable {
            mode,
            timeout_ms: self.timeout_ms.unwrap_or(5000),
        }))
    }
}

impl UncooperativeDraft {
    fn fault(&self, check: &mut Check) -> Option<Fault> {
        let behaviors = match &self.behaviors {
            None => Some(vec![Behavior::Refuse]),
            Some(texts) => check
                .each("behaviors", texts, |check, text| parse_name(check, text))
                .into_iter()
                .collect(),
        };
        let delay = check.field("delay", |check| {
            self.delay.clone().unwrap_or_default().checked(check, (1000, 1000))
        });
        Some(Fault::UncooperativeAgent(UncooperativeAgent {
            behaviors: behaviors?,
            texts: self.texts.clone(),
            keep: self.keep.unwrap_or(0.5),
            delay: delay?,
        }))
    }
}

impl TruncationDraft {
    fn fault(&self, check: &mut Check) -> Option<Fault> {
        let from = named(check, "from", self.from.as_deref(), LostPart::End);
        let unit = named(check, "unit", self.unit.as_deref(), TruncationUnit::Characters);
        let fraction = self.fraction.unwrap_or(0.5);
        Some(Fault::ContextTruncation(ContextTruncation { fraction, from: from?, unit: unit? }))
    }
}

impl MalformedOutputDraft {
    fn fault(&self, check: &mut Check) -> Option<Fault> {
        let mode = named(check, "mode", self.mode.as_deref(), Damage::Truncate)?;
        Some(Fault::MalformedOutput(MalformedOutput { mode, keep: self.keep.unwrap_or(0.5) }))
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

impl SafetyDraft {
    fn checked(&self, check: &mut Check) -> Option<Safety> {
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

    fn strictness(&self, check: &mut Check, radius: Option<BlastRadius>) -> Option<Strictness> {
        let per_request = match radius? {
            BlastRadius::SingleRequest | BlastRadius::SingleTrace => true,
            BlastRadius::SingleAgent | BlastRadius::SingleTenant | BlastRadius::MultiTenant => {
                false
            }
        };
        let bound = per_request || self.max_per_trace.is_some();
        let default = if bound { Strictness::StrictClaim } else { Strictness::Strict };
        let strictness = named(check, "strictness", self.strictness.as_deref(), default)?;
        check.field("strictness", |check| {
            check.require(!bound || strictness == Strictness::StrictClaim, || {
                format!(
                    "is {}; single_request, single_trace and max_per_trace need strict_claim, which binds a permit to its request",
                    strictness.name()
                )
            });
            let bounded = self.max_concurrent.is_some() || self.max_rate.is_some() || self.max_per_agent.is_some();
            check.require(strictness != Strictness::Eventual || (!bounded && self.max_per_tenant.is_empty()), || {
                "is eventual, which has no permits; max_per_agent, max_per_tenant, max_concurrent and max_rate need strict or strict_claim".to_owned()
            });
        });
        if radius == Some(BlastRadius::SingleRequest) {
            check.field("max_affected_requests", |check| {
                check.require(self.max_affected_requests.is_none_or(|budget| budget == 1), || {
                    "is over 1; blast radius single_request allows exactly 1".to_owned()
                });
            });
        }
        if radius == Some(BlastRadius::SingleAgent) && strictness == Strictness::Eventual {
            check.field("strictness", |check| {
                check.wrong("is eventual; blast radius single_agent is bound by a grant and needs strict or strict_claim");
            });
        }
        Some(strictness)
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
            self.max_per_tenant
                .iter()
                .take(TENANTS_MAX)
                .map(|(tenant, limit)| {
                    check.field(tenant, |check| {
                        let limit = within(check, *limit, budget.unwrap_or(BUDGET_MAX));
                        check.value(tenant.parse()).zip(limit)
                    })
                })
                .collect()
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

/// A budget for a tenant that the session can't hit would be a silent no-op.
fn tenants_are_targets(check: &mut Check, safety: &Safety, target: &Target) {
    if safety.blast_radius != BlastRadius::MultiTenant {
        return;
    }
    for tenant in safety.max_per_tenant.keys().filter(|tenant| !target.tenants.contains(tenant)) {
        check.field("max_per_tenant", |check| {
            check.field(tenant.as_str(), |check| check.wrong("is not one of target.tenants"));
        });
    }
}

fn within(check: &mut Check, value: u32, max: u32) -> Option<u32> {
    check.require((1..=max).contains(&value), || format!("is {value}; allowed is 1 to {max}"));
    (1..=max).contains(&value).then_some(value)
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
