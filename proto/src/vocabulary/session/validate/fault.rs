//! Faults: exactly one kind, and defaults where nothing was written.

use super::{named, parse_name};
use crate::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, FaultKind, Latency, LostPart,
    MalformedOutput, ToolUnavailable, TruncationUnit, Unavailability, UncooperativeAgent,
};
use crate::vocabulary::named::{Named, names};
use crate::vocabulary::session::{
    DelayDraft, ErrorCodesDraft, FaultDraft, MalformedOutputDraft, ToolUnavailableDraft,
    TruncationDraft, UncooperativeDraft,
};
use crate::vocabulary::violation::Check;

impl FaultDraft {
    pub(super) fn checked(&self, check: &mut Check) -> Option<Fault> {
        let Self {
            latency,
            error,
            tool_unavailable,
            uncooperative_agent,
            context_truncation,
            malformed_output,
        } = self;
        let mut given: Vec<Fault> = Vec::new();
        if let Some(draft) = latency {
            let delay = check.field("latency", |check| draft.checked(check, (100, 5000)));
            given.push(Fault::Latency(Latency { delay }));
        }
        given.extend(error.as_ref().map(ErrorCodesDraft::fault));
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
            let (given, kinds) = (given.len(), FaultKind::allowed());
            format!("names {given} kinds; exactly one is allowed of {kinds}")
        });
        for fault in &given {
            fault.check(check);
        }
        given.pop().filter(|_| given.is_empty())
    }
}

/// The value named by `text`, or by `default` where it is not given or unknown: the ranges beside it are checked too.
fn named_or<T: Named + Copy>(check: &mut Check, field: &str, text: Option<&str>, default: T) -> T {
    named(check, field, text, default).unwrap_or(default)
}

impl DelayDraft {
    /// `uniform` are the ends of a uniform delay where they are not given.
    fn checked(&self, check: &mut Check, uniform: (u64, u64)) -> Delay {
        let guess = match (self.fixed_ms, self.median_ms) {
            (Some(_), _) => Distribution::Fixed,
            (None, Some(_)) => Distribution::Lognormal,
            (None, None) => Distribution::Uniform,
        };
        let named = named(check, "distribution", self.distribution.as_deref(), guess);
        if let Some(named) = named {
            self.only(check, named);
        }
        let max_ms = self.max_ms.unwrap_or(uniform.1);
        match named.unwrap_or(guess) {
            Distribution::Fixed => Delay::Fixed { ms: self.fixed_ms.unwrap_or(uniform.0) },
            Distribution::Uniform => {
                Delay::Uniform { min_ms: self.min_ms.unwrap_or(uniform.0.min(max_ms)), max_ms }
            }
            Distribution::Lognormal => Delay::Lognormal {
                median_ms: self.median_ms.unwrap_or(uniform.0),
                sigma: self.sigma.unwrap_or(1.0),
                max_ms,
            },
        }
    }

    /// A field of another distribution would be ignored in silence.
    fn only(&self, check: &mut Check, distribution: Distribution) {
        let allowed: &[&str] = match distribution {
            Distribution::Fixed => &["fixed_ms"],
            Distribution::Uniform => &["min_ms", "max_ms"],
            Distribution::Lognormal => &["median_ms", "sigma", "max_ms"],
        };
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
                    "has no meaning for {}; allowed are {}",
                    distribution.name(),
                    allowed.join(", ")
                ));
            });
        }
    }
}

/// How a delay is drawn, as written.
#[derive(Clone, Copy, PartialEq)]
enum Distribution {
    Fixed,
    Uniform,
    Lognormal,
}

names!(Distribution { Fixed => "fixed", Uniform => "uniform", Lognormal => "lognormal" });

impl ErrorCodesDraft {
    fn fault(&self) -> Fault {
        let codes = self.codes.clone().unwrap_or_else(|| vec![500, 502, 503, 504]);
        Fault::Error(ErrorCodes { codes, message: self.message.clone() })
    }
}

impl ToolUnavailableDraft {
    fn fault(&self, check: &mut Check) -> Fault {
        let mode = named_or(check, "mode", self.mode.as_deref(), Unavailability::Error);
        Fault::ToolUnavailable(ToolUnavailable {
            mode,
            timeout_ms: self.timeout_ms.unwrap_or(5000),
        })
    }
}

impl UncooperativeDraft {
    fn fault(&self, check: &mut Check) -> Fault {
        let behaviors = match &self.behaviors {
            None => vec![Behavior::Refuse],
            Some(texts) => check.each("behaviors", texts, |check, text| {
                parse_name(check, text).unwrap_or(Behavior::Refuse)
            }),
        };
        let delay = check.field("delay", |check| {
            self.delay.clone().unwrap_or_default().checked(check, (1000, 1000))
        });
        let (texts, keep) = (self.texts.clone(), self.keep.unwrap_or(0.5));
        Fault::UncooperativeAgent(UncooperativeAgent { behaviors, texts, keep, delay })
    }
}

impl TruncationDraft {
    fn fault(&self, check: &mut Check) -> Fault {
        let from = named_or(check, "from", self.from.as_deref(), LostPart::End);
        let unit = named_or(check, "unit", self.unit.as_deref(), TruncationUnit::Characters);
        let fraction = self.fraction.unwrap_or(0.5);
        Fault::ContextTruncation(ContextTruncation { fraction, from, unit })
    }
}

impl MalformedOutputDraft {
    fn fault(&self, check: &mut Check) -> Fault {
        let mode = named_or(check, "mode", self.mode.as_deref(), Damage::Truncate);
        Fault::MalformedOutput(MalformedOutput { mode, keep: self.keep.unwrap_or(0.5) })
    }
}
