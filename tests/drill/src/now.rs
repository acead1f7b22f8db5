//! The clock of all files.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use squall_drill_checker::files::WallClock;

/// Nanoseconds of `CLOCK_BOOTTIME`.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

/// How far the wall clock is from the boot clock, between two readings of the latter.
pub(crate) fn wall_clock() -> WallClock {
    let before = now_ns();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let after = now_ns();
    let wall = u64::try_from(wall).unwrap_or(u64::MAX);
    WallClock { min_ns: wall.saturating_sub(after), max_ns: wall.saturating_sub(before) }
}
