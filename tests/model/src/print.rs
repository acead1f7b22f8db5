//! Fingerprints of values that can be shown but not hashed.
//!
//! Not here: what belongs to a fingerprint. Who asks for one says it.

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Debug, Write};
use std::hash::{Hash, Hasher};

/// Text goes in, 64 bits come out; the same in every run.
#[derive(Debug, Default)]
pub struct Print(DefaultHasher);

impl Print {
    /// What went in so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }

    /// Adds a value that can be hashed.
    pub fn add(&mut self, value: &impl Hash) {
        value.hash(&mut self.0);
    }

    /// Adds a value that can be shown.
    pub fn show(&mut self, value: &impl Debug) {
        write!(self, "{value:?}").expect("a hasher takes every text");
    }

    /// That of one value.
    #[must_use]
    pub fn of(value: &impl Debug) -> u64 {
        let mut print = Self::default();
        print.show(value);
        print.finish()
    }
}

impl Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
