//! Faults: exactly one kind, and defaults where nothing was written.

use super::{named, parse_name};
use crate::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, FaultKind, Latency, LostPart,
    MalformedOutput, ToolUnavailable, TruncationUnit, Unavailability, UncooperativeAgent,
};
use crate::vocabulary::named::Named;
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
            let (given, kinds) = (given.len(), FaultKind::allowed());
            format!("names {given} kinds; exactly one is allowed of {kinds}")
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
