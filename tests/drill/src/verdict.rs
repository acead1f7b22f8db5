//! The last lines of a drill: its figures, and what was broken.

use std::collections::BTreeMap;
use std::fmt;

use squall_drill_checker::{Figures, Verdict};

use crate::fault::Means;

/// A run that was judged.
#[derive(Debug)]
pub(crate) struct Judged {
    /// What the checker found.
    pub(crate) verdict: Verdict,
    /// Of the run.
    pub(crate) seed: u64,
    /// What the machine could do.
    pub(crate) means: Means,
}

impl Judged {
    /// Whether nothing was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.violations.is_empty()
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures {
            faults,
            sessions,
            commands,
            attempts,
            grants,
            permits,
            lives,
            calls,
            injections,
            unclear,
            records,
            proofs,
        } = &self.verdict.figures;
        for violation in &self.verdict.violations {
            writeln!(f, "violated {}: {}", violation.rule, violation.found)?;
        }
        if !self.means.disks {
            writeln!(f, "skipped: full disks (nothing can be mounted here)")?;
        }
        if !self.means.clocks {
            writeln!(f, "skipped: clock steps (there is no C compiler here)")?;
        }
        let sum = |numbers: &BTreeMap<String, u64>| numbers.values().sum::<u64>();
        writeln!(f, "seed: {}", self.seed)?;
        writeln!(f, "faults: {} ({})", sum(faults), list(faults))?;
        writeln!(f, "sessions: {} ({})", sum(sessions), list(sessions))?;
        writeln!(f, "stops proven: {} ({})", sum(proofs), list(proofs))?;
        writeln!(f, "commands: {commands} in the log, attempts: {}", list(attempts))?;
        writeln!(f, "grants: {grants} with {permits} permits")?;
        writeln!(f, "lives of agents: {lives}, calls: {calls}")?;
        writeln!(f, "injections: {injections}, and {unclear} that nobody lived to see")?;
        writeln!(f, "log records: {records}")?;
        write!(f, "violations: {}", self.verdict.violations.len())
    }
}

fn list(numbers: &BTreeMap<String, u64>) -> String {
    let one = |(name, number): (&String, &u64)| format!("{name} {number}");
    numbers.iter().map(one).collect::<Vec<_>>().join(", ")
}
