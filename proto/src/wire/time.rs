//! Durations between coordinator and shims travel as nanoseconds in a `u64`, which holds 584 years.

use std::time::Duration;

/// The nanoseconds of `duration`, at most `u64::MAX`.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
