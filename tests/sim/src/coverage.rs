//! What took place in runs: a promise that was never put to the test was not kept, only not broken.

use std::collections::BTreeMap;

/// How often each thing took place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// It took place once more.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// It took place so many times more.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// Adds what took place in another run.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(what, times)| self.add(what, *times));
    }

    /// How often it took place.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Everything, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(what, times)| (*what, *times))
    }
}
