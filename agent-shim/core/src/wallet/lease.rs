//! What all wallets of a process share: its lease, and the guard that tells it from a forked copy.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use squall_proto::vocabulary::time::BootNanos;

/// Tells a process from a forked copy of it: permits belong to the process that they were granted to.
#[derive(Debug, Default)]
pub struct CloneGuard {
    epoch: AtomicU32,
}

impl CloneGuard {
    /// Makes every permit of this process void. Only an atomic increment: safe in the child of a fork and in a signal
    /// handler.
    pub fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Which copy this is: wallets burn only in the copy that they were made in.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// The time until which the process may inject without contact. One for all its sessions.
#[derive(Debug, Default)]
pub struct Lease {
    until: AtomicU64,
}

impl Lease {
    /// Moves the end forward to `until`; an earlier moment changes nothing.
    pub fn extend(&self, until: BootNanos) {
        self.until.fetch_max(until.0, Ordering::AcqRel);
    }

    /// Ends the lease at once (another log, a failed sync). It can be extended again.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// The end: nothing burns at this moment or later.
    #[inline]
    #[must_use]
    pub fn until(&self) -> BootNanos {
        BootNanos(self.until.load(Ordering::Acquire))
    }
}
