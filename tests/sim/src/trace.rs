//! What happened, a line for each event: its hash tells whether two runs were the same, its end what led to a violation.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write};

use crate::clock::Moment;

/// Lines that are kept of a run: what a person reads of a counterexample.
const KEPT: usize = 200;

/// The trace of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    lines: VecDeque<String>,
    count: u64,
}

impl Trace {
    /// Time passed for somebody: part of the trace, and nothing to read.
    pub fn beat(&mut self, now: Moment, who: &str, number: usize) {
        self.hasher.update(&now.0.to_le_bytes());
        self.hasher.update(who.as_bytes());
        self.hasher.update(&number.to_le_bytes());
        self.count += 1;
    }

    /// One more thing happened.
    pub fn line(&mut self, now: Moment, what: Arguments<'_>) {
        let mut line = if self.lines.len() < KEPT {
            String::with_capacity(96)
        } else {
            self.lines.pop_front().unwrap_or_default()
        };
        line.clear();
        let (seconds, nanos) = (now.0 / 1_000_000_000, now.0 % 1_000_000_000);
        // A String takes whatever it is given.
        let _written = writeln!(line, "{seconds:>3}.{nanos:09} {what}");
        self.hasher.update(line.as_bytes());
        self.lines.push_back(line);
        self.count += 1;
    }

    /// Lines so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// BLAKE3 of all lines so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// The newest lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
