//! The host's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_shim_core::Clock;

/// `CLOCK_BOOTTIME` and the wall clock.
///
/// `BOOTTIME` goes on while the machine is suspended and while the process is stopped, so a lease ends on time whatever
/// the process slept through (docs/protocol.md, shim rule 5). A virtual machine that is paused by its host is outside the bound.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostClock;

/// Goes on during suspend where the system has such a clock.
#[cfg(target_os = "linux")]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT: ClockId = ClockId::Monotonic;

impl Clock for HostClock {
    fn now(&self) -> BootNanos {
        let time = clock_gettime(BOOT);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        BootNanos(seconds.saturating_mul(1_000_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
