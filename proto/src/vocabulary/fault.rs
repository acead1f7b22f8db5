//! What can happen to a call. Data only: how a fault reaches an agent is the shim's business.

use serde::{Deserialize, Serialize};

use super::limits::{FAULT_DURATION_MS_MAX, FAULT_LIST_MAX, TEXT_BYTES_MAX};
use super::named::{Named, names};
use super::violation::Check;

/// The kind of a fault, without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The call takes longer.
    Latency,
    /// The backend answers with an error.
    Error,
    /// The tool can't be reached or isn't there.
    ToolUnavailable,
    /// The agent refuses, dawdles, or answers badly.
    UncooperativeAgent,
    /// What goes in is cut short.
    ContextTruncation,
    /// What comes out is damaged.
    MalformedOutput,
}

names!(FaultKind { Latency => "latency", Error => "error", ToolUnavailable => "tool_unavailable", UncooperativeAgent => "uncooperative_agent", ContextTruncation => "context_truncation", MalformedOutput => "malformed_output" });

impl FaultKind {
    /// What the fault does, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Latency => "delays tool and model calls",
            Self::Error => "answers tool and model calls with an error code",
            Self::ToolUnavailable => "makes a tool fail, time out, vanish or disconnect",
            Self::UncooperativeAgent => {
                "makes an agent refuse, answer in part, dawdle or answer in the wrong format"
            }
            Self::ContextTruncation => "cuts what a tool or model is given",
            Self::MalformedOutput => "damages what a tool or model returns",
        }
    }

    /// The real-world cause that the fault stands for.
    #[must_use]
    pub const fn stands_for(self) -> &'static str {
        match self {
            Self::Latency => "a slow backend",
            Self::Error => "a backend error",
            Self::ToolUnavailable => "an outage or a revoked permission",
            Self::UncooperativeAgent => "a refusal or a lazy peer",
            Self::ContextTruncation => "an exhausted context window",
            Self::MalformedOutput => "a sloppy API",
        }
    }
}

/// A fault with its parameters. Serialised with the kind as the key: `{"latency": {"fixed_ms": 200}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// See [`Latency`].
    Latency(Latency),
    /// See [`ErrorCodes`].
    Error(ErrorCodes),
    /// See [`ToolUnavailable`].
    ToolUnavailable(ToolUnavailable),
    /// See [`UncooperativeAgent`].
    UncooperativeAgent(UncooperativeAgent),
    /// See [`ContextTruncation`].
    ContextTruncation(ContextTruncation),
    /// See [`MalformedOutput`].
    MalformedOutput(MalformedOutput),
}

/// Delays the call before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How long, drawn anew for each call.
    pub delay: Delay,
}

/// A distribution of delays, in milliseconds, each within 0 to 60,000. None is of 0 alone: it would be counted and do
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    /// Always the same.
    Fixed {
        /// The delay, at least 1.
        ms: u64,
    },
    /// Every millisecond from `min_ms` to `max_ms`, both included, is as likely.
    Uniform {
        /// Shortest delay; one of 0 is drawn as 1.
        min_ms: u64,
        /// Longest delay, at least 1 and at least `min_ms`.
        max_ms: u64,
    },
    /// `median_ms * exp(sigma * z)` with `z` standard normal, cut off at `max_ms`: the long tail of real backends.
    Lognormal {
        /// Half of the delays are shorter; at least 1.
        median_ms: u64,
        /// Spread of the logarithm, above 0 and up to 3.
        sigma: f64,
        /// Longer draws are cut to this; at least `median_ms`.
        max_ms: u64,
    },
}

impl Delay {
    /// The longest delay that can be drawn, in milliseconds.
    #[must_use]
    pub const fn longest_ms(self) -> u64 {
        match self {
            Self::Fixed { ms } => ms,
            Self::Uniform { max_ms, .. } | Self::Lognormal { max_ms, .. } => max_ms,
        }
    }

    fn check(self, check: &mut Check) {
        let bounded = |check: &mut Check, field: &str, ms: u64| {
            check.field(field, |check| {
                check.require((1..=FAULT_DURATION_MS_MAX).contains(&ms), || {
                    format!("is {ms}; allowed is 1 to {FAULT_DURATION_MS_MAX}")
                });
            });
        };
        match self {
            Self::Fixed { ms } => bounded(check, "fixed_ms", ms),
            Self::Uniform { min_ms, max_ms } => {
                bounded(check, "max_ms", max_ms);
                check.field("min_ms", |check| {
                    check.require(min_ms <= max_ms, || {
                        format!("is {min_ms}, which is over max_ms {max_ms}")
                    });
                });
            }
            Self::Lognormal { median_ms, sigma, max_ms } => {
                bounded(check, "max_ms", max_ms);
                check.field("median_ms", |check| {
                    check.require((1..=max_ms).contains(&median_ms), || {
                        format!("is {median_ms}; allowed is 1 to max_ms {max_ms}")
                    });
                });
                check.field("sigma", |check| {
                    check.require(sigma > 0.0 && sigma <= 3.0, || {
                        format!("is {sigma}; allowed is above 0, up to 3")
                    });
                });
            }
        }
    }
}

/// Answers with an error instead of making the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorCodes {
    /// HTTP status codes to draw from, each equally likely; 1 to 32 of 400 to 599.
    pub codes: Vec<u16>,
    /// Text of the error; `None` gives the standard reason of the code.
    pub message: Option<String>,
}

/// How a tool is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailability {
    /// Fails at once with "temporarily unavailable".
    Error,
    /// Answers nothing for `timeout_ms`, then fails as a time-out.
    Timeout,
    /// Is not known to the server.
    NotFound,
    /// The connection breaks while the call is under way.
    Disconnect,
}

names!(Unavailability { Error => "error", Timeout => "timeout", NotFound => "not_found", Disconnect => "disconnect" });

/// Makes a tool unavailable for the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolUnavailable {
    /// How.
    pub mode: Unavailability,
    /// How long a [`Unavailability::Timeout`] takes, 1 to 60,000 milliseconds. Without effect in other modes.
    pub timeout_ms: u64,
}

/// What an uncooperative agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behavior {
    /// Declines the task with one of the texts.
    Refuse,
    /// Gives only the first part of its answer.
    Partial,
    /// Answers late.
    Delay,
    /// Answers in another format than was asked for.
    WrongFormat,
}

names!(Behavior { Refuse => "refuse", Partial => "partial", Delay => "delay", WrongFormat => "wrong_format" });

/// Makes an agent uncooperative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UncooperativeAgent {
    /// What it may do, each equally likely; at least one.
    pub behaviors: Vec<Behavior>,
    /// Refusals to draw from; empty takes the built-in set.
    pub texts: Vec<String>,
    /// Share of the answer that [`Behavior::Partial`] keeps, 0 to 1.
    pub keep: f64,
    /// How late a [`Behavior::Delay`] is.
    pub delay: Delay,
}

/// Which part of the context is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostPart {
    /// The beginning: a sliding window.
    Start,
    /// The middle: "lost in the middle".
    Middle,
    /// The end: a cut-off request.
    End,
}

names!(LostPart { Start => "start", Middle => "middle", End => "end" });

/// What truncation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncationUnit {
    /// Unicode scalar values of each string.
    Characters,
    /// Whole messages of a conversation.
    Messages,
}

names!(TruncationUnit { Characters => "characters", Messages => "messages" });

/// Cuts what goes into a tool or model. The stored context stays as it is; only the outgoing copy is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextTruncation {
    /// Share that is lost, above 0 and up to 1.
    pub fraction: f64,
    /// Which part is lost.
    pub from: LostPart,
    /// What the share is counted in.
    pub unit: TruncationUnit,
}

/// How output is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// The text ends early.
    Truncate,
    /// JSON inside the text no longer parses.
    JsonBreak,
    /// Characters come out in the wrong encoding.
    Encoding,
    /// Nothing comes back.
    Empty,
    /// Fields are missing from JSON objects.
    FieldsRemoved,
    /// Values have another type: numbers as strings, lists as objects.
    WrongType,
}

names!(Damage { Truncate => "truncate", JsonBreak => "json_break", Encoding => "encoding", Empty => "empty", FieldsRemoved => "fields_removed", WrongType => "wrong_type" });

/// Damages what comes out of a tool or model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MalformedOutput {
    /// How.
    pub mode: Damage,
    /// Share of the text that [`Damage::Truncate`] keeps, and share of fields that [`Damage::FieldsRemoved`] keeps; 0 to 1.
    pub keep: f64,
}

impl Fault {
    /// The fault's kind.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Latency(_) => FaultKind::Latency,
            Self::Error(_) => FaultKind::Error,
            Self::ToolUnavailable(_) => FaultKind::ToolUnavailable,
            Self::UncooperativeAgent(_) => FaultKind::UncooperativeAgent,
            Self::ContextTruncation(_) => FaultKind::ContextTruncation,
            Self::MalformedOutput(_) => FaultKind::MalformedOutput,
        }
    }

    /// The longest time that the fault holds a call, in milliseconds: `D` in the stop bound (docs/protocol.md, shim rule 7).
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        match self {
            Self::Latency(latency) => latency.delay.longest_ms(),
            Self::ToolUnavailable(fault) => match fault.mode {
                Unavailability::Timeout => fault.timeout_ms,
                Unavailability::Error | Unavailability::NotFound | Unavailability::Disconnect => 0,
            },
            Self::UncooperativeAgent(fault) => {
                if fault.behaviors.contains(&Behavior::Delay) {
                    fault.delay.longest_ms()
                } else {
                    0
                }
            }
            Self::Error(_) | Self::ContextTruncation(_) | Self::MalformedOutput(_) => 0,
        }
    }

    /// Notes everything that is wrong with the parameters, under the field named after the kind.
    pub fn check(&self, check: &mut Check) {
        check.field(self.kind().name(), |check| match self {
            Self::Latency(latency) => latency.delay.check(check),
            Self::Error(error) => error.check(check),
            Self::ToolUnavailable(fault) => fault.check(check),
            Self::UncooperativeAgent(fault) => fault.check(check),
            Self::ContextTruncation(fault) => check.field("fraction", |check| {
                let fraction = fault.fraction;
                check.require(fraction > 0.0 && fraction <= 1.0, || {
                    format!("is {fraction}; allowed is above 0, up to 1")
                });
            }),
            Self::MalformedOutput(fault) => check_share(check, "keep", fault.keep),
        });
    }
}

impl ErrorCodes {
    fn check(&self, check: &mut Check) {
        check.field("codes", |check| {
            check.require((1..=FAULT_LIST_MAX).contains(&self.codes.len()), || {
                format!("has {} entries; allowed are 1 to {FAULT_LIST_MAX}", self.codes.len())
            });
        });
        check.each("codes", &self.codes, |check, code| {
            check.require((400..=599).contains(code), || {
                format!("is {code}; allowed is 400 to 599")
            });
        });
        check.field("message", |check| {
            check_text(check, self.message.as_deref().unwrap_or_default())
        });
    }
}

impl ToolUnavailable {
    fn check(&self, check: &mut Check) {
        check.field("timeout_ms", |check| {
            check.require((1..=FAULT_DURATION_MS_MAX).contains(&self.timeout_ms), || {
                format!("is {}; allowed is 1 to {FAULT_DURATION_MS_MAX}", self.timeout_ms)
            });
        });
    }
}

impl UncooperativeAgent {
    fn check(&self, check: &mut Check) {
        check.field("behaviors", |check| {
            check.require((1..=FAULT_LIST_MAX).contains(&self.behaviors.len()), || {
                format!("has {} entries; allowed are 1 to {FAULT_LIST_MAX}", self.behaviors.len())
            });
        });
        check.field("texts", |check| {
            check.require(self.texts.len() <= FAULT_LIST_MAX, || {
                format!("has {} entries; allowed are 0 to {FAULT_LIST_MAX}", self.texts.len())
            });
        });
        check.each("texts", &self.texts, |check, text| check_text(check, text));
        check_share(check, "keep", self.keep);
        check.field("delay", |check| self.delay.check(check));
    }
}

fn check_text(check: &mut Check, text: &str) {
    check.require(text.len() <= TEXT_BYTES_MAX, || {
        format!("has {} bytes; allowed are {TEXT_BYTES_MAX}", text.len())
    });
}

fn check_share(check: &mut Check, field: &str, share: f64) {
    check.field(field, |check| {
        check.require((0.0..=1.0).contains(&share), || format!("is {share}; allowed is 0 to 1"));
    });
}
