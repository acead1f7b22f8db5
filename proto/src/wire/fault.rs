//! Faults as written. Names of values travel as numbers.

use super::enumeration::{name, number, optional_name, optional_number};
use super::read::{Read, first, optional};
use super::v1;
use crate::vocabulary::fault::{Behavior, Damage, LostPart, TruncationUnit, Unavailability};
use crate::vocabulary::limits::FAULT_LIST_MAX;
use crate::vocabulary::session::{
    DelayDraft, ErrorCodesDraft, FaultDraft, MalformedOutputDraft, ToolUnavailableDraft,
    TruncationDraft, UncooperativeDraft,
};
use crate::vocabulary::violation::Check;

/// The message of a fault; names that are not known are noted and left out.
pub(super) fn fault(check: &mut Check, draft: &FaultDraft) -> v1::FaultSpec {
    let FaultDraft {
        latency,
        error,
        tool_unavailable,
        uncooperative_agent,
        context_truncation,
        malformed_output,
    } = draft;
    v1::FaultSpec {
        latency: write(check, "latency", latency, delay),
        error: write(check, "error", error, error_codes),
        tool_unavailable: write(check, "tool_unavailable", tool_unavailable, unavailable),
        uncooperative_agent: write(
            check,
            "uncooperative_agent",
            uncooperative_agent,
            uncooperative,
        ),
        context_truncation: write(check, "context_truncation", context_truncation, truncation),
        malformed_output: write(check, "malformed_output", malformed_output, malformed),
    }
}

fn write<T, W>(
    check: &mut Check,
    field: &str,
    draft: &Option<T>,
    write: impl FnOnce(&mut Check, &T) -> W,
) -> Option<W> {
    draft.as_ref().map(|draft| check.field(field, |check| write(check, draft)))
}

impl Read<v1::FaultSpec> for FaultDraft {
    fn read(check: &mut Check, wire: v1::FaultSpec) -> Option<Self> {
        let v1::FaultSpec {
            latency,
            error,
            tool_unavailable,
            uncooperative_agent,
            context_truncation,
            malformed_output,
        } = wire;
        let latency = optional(check, "latency", latency);
        let error = optional(check, "error", error);
        let tool_unavailable = optional(check, "tool_unavailable", tool_unavailable);
        let uncooperative_agent = optional(check, "uncooperative_agent", uncooperative_agent);
        let context_truncation = optional(check, "context_truncation", context_truncation);
        let malformed_output = optional(check, "malformed_output", malformed_output);
        Some(Self {
            latency: latency?,
            error: error?,
            tool_unavailable: tool_unavailable?,
            uncooperative_agent: uncooperative_agent?,
            context_truncation: context_truncation?,
            malformed_output: malformed_output?,
        })
    }
}

/// The names of distributions in drafts. The vocabulary has no enumeration of them: [`DelayDraft`] matches the texts.
const DISTRIBUTIONS: [(&str, v1::DelayDistribution); 3] = [
    ("fixed", v1::DelayDistribution::Fixed),
    ("uniform", v1::DelayDistribution::Uniform),
    ("lognormal", v1::DelayDistribution::Lognormal),
];

fn delay(check: &mut Check, draft: &DelayDraft) -> v1::DelaySpec {
    let DelayDraft { distribution, fixed_ms, min_ms, max_ms, median_ms, sigma } = draft;
    let distribution = distribution.as_deref().map(|text| {
        let found = DISTRIBUTIONS.iter().find(|(name, _)| *name == text);
        check.field("distribution", |check| {
            check.require(found.is_some(), || {
                format!("is {text:?}; allowed are fixed, uniform, lognormal")
            });
        });
        found.map_or(0, |(_, number)| (*number).into())
    });
    v1::DelaySpec {
        distribution,
        fixed_ms: *fixed_ms,
        min_ms: *min_ms,
        max_ms: *max_ms,
        median_ms: *median_ms,
        sigma: *sigma,
    }
}

impl Read<v1::DelaySpec> for DelayDraft {
    fn read(_: &mut Check, wire: v1::DelaySpec) -> Option<Self> {
        let v1::DelaySpec { distribution, fixed_ms, min_ms, max_ms, median_ms, sigma } = wire;
        let distribution = distribution.filter(|number| *number != 0).map(|number| {
            DISTRIBUTIONS
                .iter()
                .find(|(_, known)| i32::from(*known) == number)
                .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
        });
        Some(Self { distribution, fixed_ms, min_ms, max_ms, median_ms, sigma })
    }
}

fn error_codes(check: &mut Check, draft: &ErrorCodesDraft) -> v1::ErrorCodesSpec {
    let ErrorCodesDraft { codes, message } = draft;
    check.field("codes", |check| given_is_not_empty(check, codes.as_deref()));
    v1::ErrorCodesSpec {
        codes: codes.iter().flatten().copied().map(u32::from).collect(),
        message: message.clone(),
    }
}

/// Stands where a code was that no draft can hold, so that what is beside it is checked too.
const STAND_IN: u16 = 500;

impl Read<v1::ErrorCodesSpec> for ErrorCodesDraft {
    fn read(check: &mut Check, wire: v1::ErrorCodesSpec) -> Option<Self> {
        let v1::ErrorCodesSpec { codes, message } = wire;
        let codes = first(check, "codes", codes, FAULT_LIST_MAX);
        let codes = check.each("codes", codes, |check, code| {
            u16::try_from(code).unwrap_or_else(|_| {
                check.wrong(format!("is {code}; allowed is 400 to 599"));
                STAND_IN
            })
        });
        Some(Self { codes: given(codes), message })
    }
}

fn unavailable(check: &mut Check, draft: &ToolUnavailableDraft) -> v1::ToolUnavailableSpec {
    let ToolUnavailableDraft { mode, timeout_ms } = draft;
    v1::ToolUnavailableSpec {
        mode: optional_number::<Unavailability>(check, "mode", mode.as_deref()),
        timeout_ms: *timeout_ms,
    }
}

impl Read<v1::ToolUnavailableSpec> for ToolUnavailableDraft {
    fn read(_: &mut Check, wire: v1::ToolUnavailableSpec) -> Option<Self> {
        let v1::ToolUnavailableSpec { mode, timeout_ms } = wire;
        Some(Self { mode: optional_name::<Unavailability>(mode), timeout_ms })
    }
}

fn uncooperative(check: &mut Check, draft: &UncooperativeDraft) -> v1::UncooperativeAgentSpec {
    let UncooperativeDraft { behaviors, texts, keep, delay: late } = draft;
    check.field("behaviors", |check| given_is_not_empty(check, behaviors.as_deref()));
    let behaviors = check.each("behaviors", behaviors.iter().flatten(), |check, name| {
        number::<Behavior>(check, name)
    });
    v1::UncooperativeAgentSpec {
        behaviors,
        texts: texts.clone(),
        keep: *keep,
        delay: write(check, "delay", late, delay),
    }
}

impl Read<v1::UncooperativeAgentSpec> for UncooperativeDraft {
    fn read(check: &mut Check, wire: v1::UncooperativeAgentSpec) -> Option<Self> {
        let v1::UncooperativeAgentSpec { behaviors, texts, keep, delay } = wire;
        let behaviors = first(check, "behaviors", behaviors, FAULT_LIST_MAX);
        let texts = first(check, "texts", texts, FAULT_LIST_MAX);
        let delay = optional(check, "delay", delay);
        Some(Self {
            behaviors: given(behaviors.into_iter().map(name::<Behavior>).collect()),
            texts,
            keep,
            delay: delay?,
        })
    }
}

fn truncation(check: &mut Check, draft: &TruncationDraft) -> v1::ContextTruncationSpec {
    let TruncationDraft { fraction, from, unit } = draft;
    v1::ContextTruncationSpec {
        fraction: *fraction,
        from: optional_number::<LostPart>(check, "from", from.as_deref()),
        unit: optional_number::<TruncationUnit>(check, "unit", unit.as_deref()),
    }
}

impl Read<v1::ContextTruncationSpec> for TruncationDraft {
    fn read(_: &mut Check, wire: v1::ContextTruncationSpec) -> Option<Self> {
        let v1::ContextTruncationSpec { fraction, from, unit } = wire;
        Some(Self {
            fraction,
            from: optional_name::<LostPart>(from),
            unit: optional_name::<TruncationUnit>(unit),
        })
    }
}

fn malformed(check: &mut Check, draft: &MalformedOutputDraft) -> v1::MalformedOutputSpec {
    let MalformedOutputDraft { mode, keep } = draft;
    v1::MalformedOutputSpec {
        mode: optional_number::<Damage>(check, "mode", mode.as_deref()),
        keep: *keep,
    }
}

impl Read<v1::MalformedOutputSpec> for MalformedOutputDraft {
    fn read(_: &mut Check, wire: v1::MalformedOutputSpec) -> Option<Self> {
        let v1::MalformedOutputSpec { mode, keep } = wire;
        Some(Self { mode: optional_name::<Damage>(mode), keep })
    }
}

/// A list on the wire is absent when it is empty.
fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

/// So a draft's list that is given and empty, which is wrong anyway, must not turn into the default.
fn given_is_not_empty<T>(check: &mut Check, list: Option<&[T]>) {
    check.require(list.is_none_or(|list| !list.is_empty()), || {
        format!("has 0 entries; allowed are 1 to {FAULT_LIST_MAX}")
    });
}
