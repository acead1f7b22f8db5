//! Forks: the child must not use what was granted to its parent (docs/protocol.md, shim rule 5).
//!
//! A handler in the child makes every permit of the process void before any other code of it runs. It only increments
//! atomics: anything else is not allowed in the child of a process with threads. So the child stays without chaos until
//! its host calls [`Shim::after_fork`](crate::Shim::after_fork), which starts another incarnation.
//!
//! Not noticed: copies made without `fork()` of the C library (a raw `clone`), and snapshots of virtual machines.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use squall_shim_core::CloneGuard;

/// Most shims in one process. A host has one; tests have a few.
const GUARDS_MAX: usize = 64;

/// Each holds one reference count of its guard, which is never given back: a fork may happen at any time.
static GUARDS: [AtomicPtr<CloneGuard>; GUARDS_MAX] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; GUARDS_MAX];
static REGISTERED: OnceLock<bool> = OnceLock::new();

/// A process can watch over no more shims, or not at all. Then there is no chaos in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to watch for forks of this process")]
pub(crate) struct Unwatched;

/// Makes the permits behind `guard` void in every forked child.
pub(crate) fn watch(guard: &Arc<CloneGuard>) -> Result<(), Unwatched> {
    // SAFETY: the handler only loads pointers and increments atomics, which is allowed after a fork.
    let register = || unsafe { libc::pthread_atfork(None, None, Some(forked)) } == 0;
    if !REGISTERED.get_or_init(register) {
        return Err(Unwatched);
    }
    let pointer = Arc::into_raw(Arc::clone(guard)).cast_mut();
    let free = |slot: &AtomicPtr<CloneGuard>| {
        let null = std::ptr::null_mut();
        slot.compare_exchange(null, pointer, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    if GUARDS.iter().any(free) {
        return Ok(());
    }
    // SAFETY: the pointer is from `into_raw` above, and no slot took it.
    drop(unsafe { Arc::from_raw(pointer) });
    Err(Unwatched)
}

/// The guard's shim is gone: its slot is free for another one.
pub(crate) fn forget(guard: &Arc<CloneGuard>) {
    let pointer = Arc::as_ptr(guard).cast_mut();
    for slot in &GUARDS {
        let null = std::ptr::null_mut();
        // The reference count is kept: a fork on another thread may be looking at it.
        let _ = slot.compare_exchange(pointer, null, Ordering::AcqRel, Ordering::Relaxed);
    }
}

unsafe extern "C" fn forked() {
    for slot in &GUARDS {
        let guard = slot.load(Ordering::Acquire);
        if !guard.is_null() {
            // SAFETY: a pointer in a slot is of an `Arc` whose count is never given back.
            unsafe { (*guard).invalidate() };
        }
    }
}
