//! Times as values. Nothing here reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::CLOCK_RATE_PPM;

/// A moment for people: milliseconds since the Unix epoch, UTC. Never used to decide a bound.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this moment; zero if the wall clock went back in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment of one process: nanoseconds of `CLOCK_BOOTTIME`, which goes on during suspend (docs/protocol.md, shim rule 5).
///
/// Only comparable with values of the same host. Leases and permits are computed on it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What `duration` on one clock can be at most on another: `duration * (1 + rho) / (1 - rho)`.
///
/// `rho` is [`CLOCK_RATE_PPM`]. Source: docs/protocol.md, coordinator rules 2 and 11, and "When is a session stopped, proven?".
#[must_use]
pub fn stretched(duration: Duration) -> Duration {
    let nanos = duration.as_nanos();
    let (fast, slow) =
        (u128::from(1_000_000 + CLOCK_RATE_PPM), u128::from(1_000_000 - CLOCK_RATE_PPM));
    Duration::from_nanos(u64::try_from((nanos * fast).div_ceil(slow)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretching_rounds_up_and_never_shortens() {
        assert_eq!(stretched(Duration::ZERO), Duration::ZERO);
        assert_eq!(stretched(Duration::from_nanos(1)), Duration::from_nanos(2));
        assert!(stretched(Duration::from_secs(3)) > Duration::from_millis(3_003));
        assert!(stretched(Duration::from_secs(3)) < Duration::from_millis(3_004));
    }

    #[test]
    fn times_saturate_instead_of_wrapping() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
        assert_eq!(BootNanos(u64::MAX).plus(Duration::from_secs(1)), BootNanos(u64::MAX));
    }
}
