//! What time it is, for the engine: the only clock that it has.

use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use crate::engine::Now;

/// The two clocks.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Now;
}

/// The host's clocks: `CLOCK_BOOTTIME` and the wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Now {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let nanos = u64::try_from(boot.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
            + u64::try_from(boot.tv_nsec).unwrap_or(0);
        let wall =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Now {
            boot: BootNanos(nanos),
            wall: UnixMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
