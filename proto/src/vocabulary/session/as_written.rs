//! The way back: the draft that says what a checked specification says, with every default filled in.

use std::time::Duration;

use super::{
    DelayDraft, ErrorCodesDraft, Experiment, ExperimentDraft, FaultDraft, MalformedOutputDraft,
    RateDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft, ToolUnavailableDraft,
    TruncationDraft, UncooperativeDraft,
};
use crate::vocabulary::blast_radius::{RateLimit, Safety};
use crate::vocabulary::fault::{
    ContextTruncation, Delay, ErrorCodes, Fault, Latency, MalformedOutput, ToolUnavailable,
    UncooperativeAgent,
};
use crate::vocabulary::named::Named;
use crate::vocabulary::target::{Selector, Target};

impl From<&SessionSpec> for SessionDraft {
    /// Validating the result gives the specification again.
    fn from(spec: &SessionSpec) -> Self {
        let SessionSpec { title, experiments, target, safety } = spec;
        Self {
            title: title.clone(),
            experiments: experiments.iter().map(Into::into).collect(),
            target: target.into(),
            safety: safety.into(),
        }
    }
}

impl From<&Experiment> for ExperimentDraft {
    fn from(experiment: &Experiment) -> Self {
        let Experiment { name, fault, probability, selector } = experiment;
        let Selector { agents, tools } = selector;
        Self {
            name: Some(name.to_string()),
            fault: fault.into(),
            probability: Some(probability.get()),
            agents: texts(agents),
            tools: texts(tools),
        }
    }
}

impl From<&Fault> for FaultDraft {
    fn from(fault: &Fault) -> Self {
        let none = Self::default();
        match fault {
            Fault::Latency(Latency { delay }) => Self { latency: Some((*delay).into()), ..none },
            Fault::Error(fault) => Self { error: Some(fault.into()), ..none },
            Fault::ToolUnavailable(fault) => Self { tool_unavailable: Some(fault.into()), ..none },
            Fault::UncooperativeAgent(fault) => {
                Self { uncooperative_agent: Some(fault.into()), ..none }
            }
            Fault::ContextTruncation(fault) => {
                Self { context_truncation: Some(fault.into()), ..none }
            }
            Fault::MalformedOutput(fault) => Self { malformed_output: Some(fault.into()), ..none },
        }
    }
}

impl From<Delay> for DelayDraft {
    fn from(delay: Delay) -> Self {
        let of = |distribution: &str| Self {
            distribution: Some(distribution.to_owned()),
            ..Self::default()
        };
        match delay {
            Delay::Fixed { ms } => Self { fixed_ms: Some(ms), ..of("fixed") },
            Delay::Uniform { min_ms, max_ms } => {
                Self { min_ms: Some(min_ms), max_ms: Some(max_ms), ..of("uniform") }
            }
            Delay::Lognormal { median_ms, sigma, max_ms } => Self {
                median_ms: Some(median_ms),
                sigma: Some(sigma),
                max_ms: Some(max_ms),
                ..of("lognormal")
            },
        }
    }
}

impl From<&ErrorCodes> for ErrorCodesDraft {
    fn from(fault: &ErrorCodes) -> Self {
        let ErrorCodes { codes, message } = fault;
        Self { codes: Some(codes.clone()), message: message.clone() }
    }
}

impl From<&ToolUnavailable> for ToolUnavailableDraft {
    fn from(fault: &ToolUnavailable) -> Self {
        let ToolUnavailable { mode, timeout_ms } = fault;
        Self { mode: named(*mode), timeout_ms: Some(*timeout_ms) }
    }
}

impl From<&UncooperativeAgent> for UncooperativeDraft {
    fn from(fault: &UncooperativeAgent) -> Self {
        let UncooperativeAgent { behaviors, texts, keep, delay } = fault;
        Self {
            behaviors: Some(behaviors.iter().map(|b| b.name().to_owned()).collect()),
            texts: texts.clone(),
            keep: Some(*keep),
            delay: Some((*delay).into()),
        }
    }
}

impl From<&ContextTruncation> for TruncationDraft {
    fn from(fault: &ContextTruncation) -> Self {
        let ContextTruncation { fraction, from, unit } = fault;
        Self { fraction: Some(*fraction), from: named(*from), unit: named(*unit) }
    }
}

impl From<&MalformedOutput> for MalformedOutputDraft {
    fn from(fault: &MalformedOutput) -> Self {
        let MalformedOutput { mode, keep } = fault;
        Self { mode: named(*mode), keep: Some(*keep) }
    }
}

impl From<&Target> for TargetDraft {
    fn from(target: &Target) -> Self {
        let Target { selector, tenants, percentage, percentage_unit, environments } = target;
        let Selector { agents, tools } = selector;
        Self {
            agents: texts(agents),
            tools: texts(tools),
            tenants: texts(tenants),
            percentage: Some(percentage.get()),
            percentage_unit: named(*percentage_unit),
            environments: texts(environments),
        }
    }
}

impl From<&Safety> for SafetyDraft {
    fn from(safety: &Safety) -> Self {
        let Safety {
            blast_radius,
            max_affected_requests,
            max_per_tenant,
            max_per_agent,
            max_per_trace,
            max_outstanding,
            max_duration,
            max_concurrent,
            max_rate,
            strictness,
            cascade_threshold,
            auto_abort_on_cascade,
            accept_lazy_log,
        } = safety;
        let max_per_tenant =
            max_per_tenant.iter().map(|(tenant, limit)| (tenant.to_string(), *limit)).collect();
        Self {
            blast_radius: named(*blast_radius),
            max_affected_requests: Some(*max_affected_requests),
            max_per_tenant,
            max_per_agent: *max_per_agent,
            max_per_trace: *max_per_trace,
            max_outstanding: Some(*max_outstanding),
            max_duration_s: Some(seconds(*max_duration)),
            max_concurrent: *max_concurrent,
            max_rate: max_rate.map(Into::into),
            strictness: named(*strictness),
            cascade_threshold: *cascade_threshold,
            auto_abort_on_cascade: Some(*auto_abort_on_cascade),
            accept_lazy_log: Some(*accept_lazy_log),
        }
    }
}

impl From<RateLimit> for RateDraft {
    fn from(rate: RateLimit) -> Self {
        let RateLimit { permits, window } = rate;
        Self { permits, window_s: seconds(window) }
    }
}

/// Checked specifications hold whole seconds only.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

fn named<T: Named>(value: T) -> Option<String> {
    Some(value.name().to_owned())
}

fn texts<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::spec;

    proptest! {
        #[test]
        fn a_specification_as_written_is_the_same_specification(spec in spec()) {
            prop_assert_eq!(SessionDraft::from(&spec).validate(), Ok(spec));
        }
    }
}
