//! How much memory an input takes: an allocator that counts, by thread, what is in use and the most that was.
//!
//! Not here: how much an input may take ([`Room`](crate::Room)).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes in use. Below zero on a thread that frees what another one allocated.
    static USED: Cell<i64> = const { Cell::new(0) };
    /// The most that was in use since [`most`] began.
    static MOST: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: everything is the system allocator's; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment, since the system may have to move it.
        taken(size);
        given_back(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// No allocation has more bytes than an `isize` holds.
fn taken(bytes: usize) {
    // A thread that is ending has no counters any more, and nobody asks for them.
    let _ = USED.try_with(|used| {
        used.set(used.get().wrapping_add(bytes as i64));
        let _ = MOST.try_with(|most| most.set(most.get().max(used.get())));
    });
}

fn given_back(bytes: usize) {
    let _ = USED.try_with(|used| used.set(used.get().wrapping_sub(bytes as i64)));
}

/// Does it, and says how many bytes this thread had in use at most beyond what it had before.
pub fn most(act: impl FnOnce()) -> u64 {
    let before = USED.with(Cell::get);
    MOST.with(|most| most.set(before));
    act();
    MOST.with(|most| u64::try_from(most.get() - before).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn what_was_in_use_at_most_is_counted_also_when_it_was_given_back() {
        assert_eq!(most(|| drop(black_box(vec![1_u8; 4096]))), 4096);
        assert_eq!(most(|| ()), 0);
        let two = most(|| {
            let first = black_box(vec![1_u8; 1000]);
            drop(black_box(vec![1_u8; 1000]));
            drop(black_box(vec![1_u8; 500]));
            drop(first);
        });
        assert_eq!(two, 2000);
    }
}
