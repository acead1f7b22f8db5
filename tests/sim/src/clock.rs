//! Virtual time, and what the clocks of a host make of it.
//!
//! A [`Moment`] is real time: nobody in the simulation reads it but the checker. Every host has a boot clock of its own
//! rate and offset, and a wall clock that may be set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

/// Nanoseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

/// What every wall clock shows about when a run begins, in milliseconds since the Unix epoch: some day in 2026.
const EPOCH: u64 = 1_780_000_000_000;
const MILLION: i128 = 1_000_000;

impl Moment {
    /// The moment `time` later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0 + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2))
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so many milliseconds after the beginning.
    #[must_use]
    pub const fn at_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }
}

/// The clocks of one host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What the boot clock showed when the run began.
    pub offset: u64,
    /// How much faster than real time it runs, in millionths.
    pub ppm: i64,
    /// How far the wall clock is off, in milliseconds.
    pub wall_off_ms: i64,
    /// Every timer and process of the host stands still until then; the boot clock goes on.
    pub frozen_until: Moment,
}

impl Host {
    /// What `CLOCK_BOOTTIME` shows.
    #[must_use]
    pub fn boot(&self, now: Moment) -> BootNanos {
        let passed = i128::from(now.0) * (MILLION + i128::from(self.ppm)) / MILLION;
        BootNanos(self.offset + u64::try_from(passed).unwrap_or(0))
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn wall(&self, now: Moment) -> UnixMillis {
        UnixMillis((EPOCH + now.0 / 1_000_000).saturating_add_signed(self.wall_off_ms))
    }

    /// When the boot clock will show `local`; `now` if it does already.
    #[must_use]
    pub fn when(&self, now: Moment, local: BootNanos) -> Moment {
        let passed = i128::from(local.0.saturating_sub(self.offset));
        let real = (passed * MILLION).div_euclid(MILLION + i128::from(self.ppm)) + 1;
        // Nothing waits longer than a run takes.
        Moment(u64::try_from(real).unwrap_or(u64::MAX / 2).min(u64::MAX / 2)).max(now)
    }
}

/// The clock that a process reads: the simulation sets it before the process is given anything to do.
#[derive(Debug, Default)]
pub struct Hands {
    boot: AtomicU64,
    wall: AtomicU64,
}

impl Hands {
    /// What its host's clocks show now.
    pub fn set(&self, host: &Host, now: Moment) {
        self.boot.store(host.boot(now).0, Ordering::Relaxed);
        self.wall.store(host.wall(now).0, Ordering::Relaxed);
    }
}

impl squall_shim_core::Clock for Hands {
    fn now(&self) -> BootNanos {
        BootNanos(self.boot.load(Ordering::Relaxed))
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_never_fires_before_its_clock_shows_its_time() {
        for ppm in [-50_000, -500, 0, 3, 499, 50_000] {
            let host = Host { offset: 77, ppm, wall_off_ms: 0, frozen_until: Moment(0) };
            for local in [78, 1_000, 999_999_999, 123_456_789_012_345] {
                let at = host.when(Moment(0), BootNanos(local));
                assert!(host.boot(at) >= BootNanos(local), "{ppm} {local}");
                assert!(
                    host.boot(Moment(at.0.saturating_sub(3))) <= BootNanos(local),
                    "{ppm} {local}"
                );
            }
        }
    }
}
