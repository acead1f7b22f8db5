//! What the core asks of its host: the time, and to be heard when it wants permits.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

/// The clocks of the host, or of a simulation. Read only after a call was chosen.
pub trait Clock: Send + Sync {
    /// `CLOCK_BOOTTIME`: leases and permits are computed on it.
    fn now(&self) -> BootNanos;

    /// The wall clock, for the timeline only.
    fn wall(&self) -> UnixMillis;
}

/// Wakes the link, from any hook thread. Must neither block nor call back into the core.
pub trait Wake: Send + Sync {
    /// A session's [`Demand`](crate::Demand) went from none to some, a site was added, or a fault was applied or ended
    /// since the counters were read last.
    fn wake(&self);
}

/// A clock that is read through one pointer: in an `Arc<dyn Clock>` the place of the clock must be computed each time, from
/// the alignment of a type that isn't known.
pub(crate) struct HeldClock {
    clock: NonNull<dyn Clock>,
    /// Keeps the clock alive.
    _owner: Arc<dyn Clock>,
}

// SAFETY: it is a shared clock and a pointer to it, and clocks are `Send` and `Sync`.
unsafe impl Send for HeldClock {}
// SAFETY: see above.
unsafe impl Sync for HeldClock {}

impl HeldClock {
    pub(crate) fn new(owner: Arc<dyn Clock>) -> Self {
        Self { clock: NonNull::from(&*owner), _owner: owner }
    }
}

impl Deref for HeldClock {
    type Target = dyn Clock;

    #[inline]
    fn deref(&self) -> &(dyn Clock + 'static) {
        // SAFETY: the pointer is to the contents of `_owner`, which stay where they are as long as it lives; it is dropped
        // with the pointer and never replaced. Nobody has a mutable reference to what an `Arc` shares.
        unsafe { self.clock.as_ref() }
    }
}

impl fmt::Debug for HeldClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldClock")
    }
}
