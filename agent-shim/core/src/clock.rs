//! What the core asks of its host: the time, and to be heard when it wants permits.

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
