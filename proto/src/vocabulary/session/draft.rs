//! What a person may write: any text and any number, each field with what it means, its range and its default. Session
//! files, gRPC and REST are read into these types.
//!
//! Deliberately not here: whether it makes sense ([`super::validate`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What happens: exactly one kind.
    pub fault: FaultDraft,
    /// How often, of the calls that match: 0 to 1. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// Always this, 1 to 60000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ms: Option<u64>,
    /// Shortest of a uniform delay. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ms: Option<u64>,
    /// Longest of a uniform or lognormal delay, 1 to 60000. Default 5000.
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
