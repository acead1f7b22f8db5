//! The last word of the agent's owner.

use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::Environment;

/// What the owner of a process lets happen in it. Off unless opted in; the coordinator can only narrow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the process takes part at all.
    pub enabled: bool,
    /// Where the process runs.
    pub environment: Environment,
    /// Kinds of faults that are allowed.
    pub allowed: Vec<FaultKind>,
    /// Most injections in this process's life; `None` sets no bound of its own.
    pub max_injections: Option<u64>,
    /// Longest time that a fault may hold a call, in milliseconds.
    pub max_delay_ms: u64,
}

/// What the runtime read from the environment, as it stands there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// `SQUALL_ENABLED`: `true` opts in.
    pub enabled: Option<&'a str>,
    /// `FEATURE_CHAOS_ENGINEERING`: `true` opts in too.
    pub feature_chaos_engineering: Option<&'a str>,
    /// `SQUALL_ENVIRONMENT`: default `production`.
    pub environment: Option<&'a str>,
    /// `SQUALL_ALLOW`: kinds and caps, `latency,error,max_injections=100,max_delay_ms=2000`; default all kinds.
    pub allow: Option<&'a str>,
}

/// Why settings are no policy. The runtime must leave chaos off then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidSettings {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong: "is `maybe`; allowed is true or false".
    pub problem: String,
}

impl Policy {
    /// No chaos.
    #[must_use]
    pub fn off() -> Self {
        todo!()
    }

    /// Reads the owner's settings.
    ///
    /// # Errors
    /// [`InvalidSettings`] names the first variable that can't be understood.
    pub fn parse(settings: &Settings<'_>) -> Result<Self, InvalidSettings> {
        let _ = settings;
        todo!()
    }
}
