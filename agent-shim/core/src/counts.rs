//! Counters that hook threads write.
//!
//! Calls are counted once for each site, not once for each experiment: an experiment's `seen` is what its sites counted
//! while it was armed there.

mod slot;

use std::sync::atomic::{AtomicU64, Ordering};

use squall_proto::vocabulary::counts::Counts;

use slot::SLOTS;

/// Calls that passed an armed site.
///
/// An atomic increment costs more than the rest of the hook (5 ns against 2), so each thread with a slot of its own
/// counts by load and store in a cell that no other thread writes; the others share one.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    own: [AtomicU64; SLOTS],
    shared: AtomicU64,
}

impl Calls {
    #[inline]
    pub(crate) fn count(&self) {
        match self.own.get(slot::current()) {
            Some(own) => own.store(own.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
            None => self.count_without_slot(),
        }
    }

    #[cold]
    fn count_without_slot(&self) {
        match self.own.get(slot::claim()) {
            Some(own) => own.store(own.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
            None => _ = self.shared.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        let own: u64 = self.own.iter().map(|own| own.load(Ordering::Relaxed)).sum();
        own + self.shared.load(Ordering::Relaxed)
    }
}

/// Counters of one experiment at one agent.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Calls seen at sites that are no longer armed.
    seen_before: AtomicU64,
    chosen: AtomicU64,
    applied: AtomicU64,
    skipped: AtomicU64,
    not_applicable: AtomicU64,
}

impl Tally {
    pub(crate) fn seen_before(&self, calls: u64) {
        self.seen_before.fetch_add(calls, Ordering::Relaxed);
    }

    pub(crate) fn chosen(&self) {
        self.chosen.fetch_add(1, Ordering::Relaxed);
    }

    // The outcome is published after the choice was, so that a reader never sees more outcomes than choices.

    pub(crate) fn applied(&self) {
        self.applied.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn not_applicable(&self) {
        self.not_applicable.fetch_add(1, Ordering::Release);
    }

    /// The counters; `seen` holds only what sites saw that are no longer armed.
    pub(crate) fn counts(&self) -> Counts {
        let applied = self.applied.load(Ordering::Acquire);
        let skipped = self.skipped.load(Ordering::Acquire);
        let not_applicable = self.not_applicable.load(Ordering::Acquire);
        let chosen = self.chosen.load(Ordering::Relaxed);
        let seen = self.seen_before.load(Ordering::Relaxed);
        Counts { seen, chosen, applied, skipped, not_applicable }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_call_is_lost_by_any_number_of_threads() {
        let calls = Calls::default();
        for _ in 0..3 {
            thread::scope(|scope| {
                for _ in 0..SLOTS * 2 {
                    scope.spawn(|| (0..1_000).for_each(|_| calls.count()));
                }
            });
        }
        assert_eq!(calls.total(), 3 * 2 * 1_000 * SLOTS as u64);
    }
}
