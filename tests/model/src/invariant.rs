//! What may never be so, by the names of docs/protocol.md ("Invariants"), and what broke it.
//!
//! Not here: who looks for it ([`crate::book`] in the log, [`crate::truth`] in what happened, [`crate::replica`] in answers).

use std::fmt;

/// Something that holds in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// Injected <= budget.
    I1,
    /// Available >= 0 in every prefix of the log.
    I2,
    /// Budget - available >= injected.
    I3,
    /// No grant after a stop in log order, and none leaves behind a halt.
    I4,
    /// The blast radius holds for all injections, and is bound as they are.
    I5,
    /// A grant is issued once and closed once, with at most what was issued.
    I6,
    /// A permit burns once.
    I7,
    /// A refund is covered by the holder's own Close.
    I8,
    /// Budgets of tenants, agents and traces.
    I9,
    /// Concurrency.
    I10,
    /// Rate, in every real window.
    I11,
    /// Equal prefixes fold to equal states, snapshots included.
    I12,
    /// Nothing runs behind a proof.
    I13,
    /// The last injection comes TTL/(1-rho) after the stop's commit at the latest.
    T1,
    /// Without contact a shim is inert within TTL/(1-rho).
    T2,
    /// No more permits in hands than may be outstanding (coordinator rule 2).
    Outstanding,
    /// A proof by confirmations has them all.
    Proof,
    /// A Close with burned permits is acknowledged once it is recorded (coordinator rule 4).
    Acknowledged,
    /// A command is in the log once, and none of those is answered with a refusal (coordinator rule 10).
    Commands,
    /// A whole log never looks damaged, and a damaged one stops the session.
    Damage,
    /// The shim keeps its side of the data plane: no grant installed twice, none put over a running fault.
    Install,
}

impl Invariant {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::I1 => "I1 injected <= B",
            Self::I2 => "I2 avail >= 0 in every prefix",
            Self::I3 => "I3 B - avail >= injected",
            Self::I4 => "I4 no grant after a stop",
            Self::I5 => "I5 the level's predicate",
            Self::I6 => "I6 one issue and one close per grant, used <= n",
            Self::I7 => "I7 a permit burns at most once",
            Self::I8 => "I8 refund only by the holder's Close",
            Self::I9 => "I9 sub-budgets",
            Self::I10 => "I10 concurrency <= M",
            Self::I11 => "I11 rate in every real window <= R",
            Self::I12 => "I12 equal prefix, equal state",
            Self::I13 => "I13 nothing runs behind the proof",
            Self::T1 => "T1 last injection <= commit + TTL/(1-rho)",
            Self::T2 => "T2 no contact: inert within TTL/(1-rho)",
            Self::Outstanding => "permits in hands <= max_outstanding",
            Self::Proof => "a proof by confirmations has them all",
            Self::Acknowledged => "a Close with burned permits is acknowledged once recorded",
            Self::Commands => "a command is done once and not refused",
            Self::Damage => "no false damage",
            Self::Install => "no grant is installed twice or over a running fault",
        }
    }
}

/// What broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Breach {
    /// Which.
    pub of: Invariant,
    /// How.
    pub how: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of.name(), self.how)
    }
}

/// Fails unless `holds`.
///
/// # Errors
/// A breach of `of`, told by `how`.
pub fn hold(holds: bool, of: Invariant, how: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach { of, how: how() }) }
}
