//! A small number for each of the first threads that ask, so that they can have counters of their own.
//!
//! A slot belongs to one thread until that thread ends. The next owner claims it by an acquire of the bit that the last
//! one released, so it sees everything that the last one stored.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// Slots: one word of bits would hold more, but each costs 8 bytes a site.
pub(super) const SLOTS: usize = 16;

/// No slot was asked for yet.
const UNASKED: usize = usize::MAX;
/// All slots are taken, or the thread is ending.
const NONE: usize = usize::MAX - 1;

static TAKEN: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(UNASKED) };
    static OWNED: Owned = const { Owned(Cell::new(None)) };
}

/// Gives the slot back when its thread ends.
struct Owned(Cell<Option<usize>>);

impl Drop for Owned {
    fn drop(&mut self) {
        SLOT.set(NONE);
        if let Some(slot) = self.0.take() {
            TAKEN.fetch_and(!(1 << slot), Ordering::Release);
        }
    }
}

/// This thread's slot; a number that is no slot if it has none.
#[inline]
pub(super) fn current() -> usize {
    SLOT.get()
}

/// Claims a slot if this thread never asked. Returns what [`current`] will say from now on.
pub(super) fn claim() -> usize {
    if SLOT.get() == UNASKED {
        // Without its destructor (the thread is ending) a slot could not be given back.
        SLOT.set(OWNED.try_with(|owned| take(&owned.0)).unwrap_or(NONE));
    }
    SLOT.get()
}

fn take(owned: &Cell<Option<usize>>) -> usize {
    let mut taken = TAKEN.load(Ordering::Relaxed);
    loop {
        let slot = taken.trailing_ones() as usize;
        if slot >= SLOTS {
            return NONE;
        }
        match TAKEN.compare_exchange_weak(
            taken,
            taken | 1 << slot,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => {
                owned.set(Some(slot));
                return slot;
            }
            Err(now) => taken = now,
        }
    }
}
