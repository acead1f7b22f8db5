//! What the checker found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::files::{Answer, Evidence};
use crate::fold::Book;
use crate::log::{Event, Record};
use crate::observed::Observed;

/// What was broken: an invariant of docs/protocol.md, or what clients rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Rule {
    /// Injected more than the budget.
    I1,
    /// The ledger went below zero.
    I2,
    /// Injected what the ledger doesn't call spent.
    I3,
    /// A grant behind a stop.
    I4,
    /// The blast radius was left.
    I5,
    /// A grant issued or closed twice, or closed with more than was issued.
    I6,
    /// A permit burned twice, or by a forked child.
    I7,
    /// A refund by somebody else than the holder's close.
    I8,
    /// A sub-budget was passed.
    I9,
    /// More at once than allowed.
    I10,
    /// More in a window than allowed.
    I11,
    /// Equal prefixes, different states.
    I12,
    /// Something happened to a call of no live session.
    I13,
    /// An injection too late after a stop.
    T1,
    /// An injection too long without contact.
    T2,
    /// An injection behind the proof of its stop, or a proof that nothing bears out.
    Proof,
    /// The stored log contradicts itself.
    Log,
    /// Something that a client was told is not so.
    Acknowledged,
    /// No order of the commands explains the answers.
    Linearizable,
    /// A report counts what reached no agent, or lacks what did.
    Report,
    /// Something stayed undone after all faults had ended.
    Liveness,
    /// A process of ours failed in a way that it must not.
    Process,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// One thing that is certainly wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What it breaks.
    pub rule: Rule,
    /// What was found, for people.
    pub found: String,
}

/// What the checker found.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// How much it looked at.
    pub figures: Figures,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// How much was looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Sessions in the log, by how they ended.
    pub sessions: BTreeMap<String, u64>,
    /// Commands of clients in the log.
    pub commands: u64,
    /// Attempts of clients, by their answer.
    pub attempts: BTreeMap<String, u64>,
    /// Grants in the log.
    pub grants: u64,
    /// Permits issued.
    pub permits: u64,
    /// Lives of agents' processes.
    pub lives: u64,
    /// Calls of agents.
    pub calls: u64,
    /// Calls that were certainly affected.
    pub injections: u64,
    /// Calls that may have been affected: nobody lived to see.
    pub unclear: u64,
    /// Records of the log.
    pub records: u64,
    /// Stops that were proven, by how.
    pub proofs: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn of(
        records: &[Record],
        book: &Book,
        observed: &Observed<'_>,
        evidence: &Evidence,
    ) -> Self {
        let mut figures = Self {
            lives: evidence.lives.len() as u64,
            calls: evidence.lives.iter().map(|life| life.calls.len() as u64).sum(),
            injections: observed.injections.len() as u64,
            unclear: observed.unclear.len() as u64,
            records: records.len() as u64,
            ..Self::default()
        };
        for fault in &evidence.faults {
            *figures.faults.entry(fault.kind.clone()).or_default() += 1;
        }
        for call in &evidence.calls {
            let answer = match &call.answer {
                Answer::Done(_) => "done",
                Answer::Refused(_) => "refused",
                Answer::NothingStored(_) => "nothing_stored",
                Answer::Unknown(_) => "unknown",
            };
            *figures.attempts.entry(answer.to_owned()).or_default() += 1;
        }
        for session in book.sessions.values() {
            *figures.sessions.entry(session.phase.name().to_lowercase()).or_default() += 1;
        }
        for (command, event) in records.iter().flat_map(Record::session_events) {
            figures.commands += u64::from(command.is_some());
            match event {
                Event::Issued(grant) => {
                    figures.grants += 1;
                    figures.permits += u64::from(grant.permits);
                }
                Event::Proven { by, .. } => {
                    let by = if *by == 1 { "confirmations" } else { "time" };
                    *figures.proofs.entry(by.to_owned()).or_default() += 1;
                }
                Event::Created(_)
                | Event::Started
                | Event::Paused
                | Event::Resumed
                | Event::DrainBegan
                | Event::Ended(_)
                | Event::ScopeBound { .. }
                | Event::Closed { .. }
                | Event::Aborted { .. }
                | Event::Inert { .. }
                | Event::GuardTripped
                | Event::LogDamaged(_) => {}
            }
        }
        figures
    }
}

/// Violations as they are found. The same one many times is kept a few times: a broken bound would fill pages.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    all: Vec<Violation>,
    seen: BTreeMap<Rule, usize>,
}

/// Most violations of one rule that are written out.
const OF_ONE_RULE_MAX: usize = 50;

impl Violations {
    pub(crate) fn add(&mut self, rule: Rule, found: impl Into<String>) {
        let seen = self.seen.entry(rule).or_default();
        *seen += 1;
        if *seen <= OF_ONE_RULE_MAX {
            self.all.push(Violation { rule, found: found.into() });
        }
    }

    pub(crate) fn require(&mut self, holds: bool, rule: Rule, found: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, found());
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Violation> {
        self.all
    }
}
