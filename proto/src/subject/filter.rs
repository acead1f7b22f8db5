//! Wildcards to subscribe to, and the subjects that streams hold.

use std::fmt;

use super::Partition;

/// What a subscriber or a stream takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `tenant.*.ask.*.<p>.>`: every question of a partition, for its owner.
    Asks(Partition),
    /// `tenant.*.ask.*.*.hello`: the first words of all shims, which every replica hears and the owner answers.
    Hellos,
    /// `tenant.*.ev.>`: all evidence, for its stream.
    Evidence,
    /// `ctl.alive.*`: which replicas live.
    Alive,
    /// `log.>`: the whole log, for its stream and for whoever folds it.
    Log,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asks(partition) => write!(f, "tenant.*.ask.*.{partition}.>"),
            Self::Hellos => f.write_str("tenant.*.ask.*.*.hello"),
            Self::Evidence => f.write_str("tenant.*.ev.>"),
            Self::Alive => f.write_str("ctl.alive.*"),
            Self::Log => f.write_str("log.>"),
        }
    }
}
