//! Wall-clock times of other processes on the clock of the records. All of them run on this host.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::record::now_ns;

/// The distance between the wall clock and `CLOCK_BOOTTIME`, taken once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall_less_boot_ns: i128,
}

impl Clock {
    /// Takes both clocks at the same moment.
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_less_boot_ns: nanos(wall) - i128::from(now_ns()) }
    }

    /// A wall-clock time, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) fn boot_ns(self, seconds: i64, nanoseconds: i32) -> u64 {
        let wall = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        u64::try_from(wall - self.wall_less_boot_ns).unwrap_or(0)
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
