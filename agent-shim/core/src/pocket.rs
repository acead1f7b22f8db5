//! Traces of faults under way, kept without allocating.
//!
//! A host that cancels a call drops its directive without a word. The fault had reached the call's trace by then, and the
//! cascade guard must know which: so a directive remembers its trace, in a pocket of the process, since 128 bytes in each
//! verdict would cost more to move than everything else that a chosen call does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_proto::vocabulary::id::TraceId;

use crate::inline::InlineName;
use crate::limits::POCKETS;
use crate::lock::{lock, try_lock};

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = POCKETS / WORD_BITS;
const _: () = assert!(POCKETS.is_multiple_of(WORD_BITS) && POCKETS < u16::MAX as usize);

/// A place in [`Pockets`] that holds one trace until it is freed, or none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pocket(u16);

impl Pocket {
    pub(crate) const NONE: Self = Self(u16::MAX);
}

#[derive(Debug)]
pub(crate) struct Pockets {
    taken: [AtomicU64; WORDS],
    names: Box<[Mutex<InlineName>]>,
}

impl Default for Pockets {
    fn default() -> Self {
        let names = (0..POCKETS).map(|_| Mutex::new(InlineName::EMPTY)).collect();
        Self { taken: Default::default(), names }
    }
}

impl Pockets {
    /// Keeps a trace; [`Pocket::NONE`] if all pockets are full.
    pub(crate) fn keep(&self, trace: &TraceId) -> Pocket {
        self.keep_in_first(trace).unwrap_or(Pocket::NONE)
    }

    fn keep_in_first(&self, trace: &TraceId) -> Option<Pocket> {
        let index = self.taken.iter().enumerate().find_map(|(at, word)| {
            let bit = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
            let before = word.fetch_update(Ordering::Acquire, Ordering::Relaxed, bit).ok()?;
            Some(at * WORD_BITS + before.trailing_ones() as usize)
        })?;
        // Nobody else knows the index; only a reader of a pocket that was freed too early could hold the lock.
        try_lock(self.names.get(index)?)?.set(trace.as_str());
        u16::try_from(index).ok().map(Pocket)
    }

    pub(crate) fn look(&self, pocket: &Pocket) -> Option<TraceId> {
        TraceId::new(lock(self.names.get(usize::from(pocket.0))?).as_str()).ok()
    }

    pub(crate) fn free(&self, pocket: Pocket) {
        let Pocket(index) = pocket;
        let index = usize::from(index);
        // None has no word.
        if let Some(word) = self.taken.get(index / WORD_BITS) {
            word.fetch_and(!(1 << (index % WORD_BITS)), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trace;

    #[test]
    fn pockets_are_used_again_and_never_twice_at_once() {
        let pockets = Pockets::default();
        let mut kept = Vec::new();
        for n in 0..POCKETS {
            kept.push(pockets.keep(&trace(&n.to_string())));
        }
        assert_eq!(pockets.keep(&trace("one more")), Pocket::NONE);
        for (n, pocket) in kept.iter().enumerate() {
            assert_eq!(pockets.look(pocket), Some(trace(&n.to_string())));
        }
        pockets.free(kept.remove(70));
        let again = pockets.keep(&trace("again"));
        assert_eq!(again, Pocket(70));
        assert_eq!(pockets.look(&again), Some(trace("again")));
        assert_eq!(pockets.look(&Pocket::NONE), None);
        pockets.free(Pocket::NONE);
    }
}
