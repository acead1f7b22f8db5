//! How traces end: what the raw cascade guard counts.

/// How a trace ended, by the host's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Ok,
    /// Well enough: a fallback answered.
    Degraded,
    /// Handed to a person: the agent recovered by asking.
    Escalated,
    /// Badly.
    Failed,
}
