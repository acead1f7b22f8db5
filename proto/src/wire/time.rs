//! Durations between coordinator and shims travel as nanoseconds in a `u64`, which holds 584 years; to clients and in the log as
//! `google.protobuf.Duration`, which holds more than it allows.

use std::time::Duration;

/// Longest duration that `google.protobuf.Duration` allows, in seconds: 10,000 years.
const SECONDS_MAX: i64 = 315_576_000_000;

/// The nanoseconds of `duration`, at most `u64::MAX`.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads a duration that must not be negative; `None` for one that is, or that is outside of what its type allows. The
/// conversion of `prost_types` adds before it looks, and overflows.
#[must_use]
pub fn duration(wire: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(wire.seconds).ok().filter(|_| wire.seconds <= SECONDS_MAX)?;
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_outside_of_its_type_is_refused_and_overflows_nothing() {
        let of = |seconds, nanos| duration(&prost_types::Duration { seconds, nanos });
        assert_eq!(of(1, 500_000_000), Some(Duration::from_millis(1500)));
        assert_eq!(of(SECONDS_MAX, 999_999_999).map(|long| long.subsec_nanos()), Some(999_999_999));
        for (seconds, nanos) in [
            (i64::MIN, -999_999_999),
            (i64::MIN, i32::MIN),
            (i64::MAX, i32::MAX),
            (SECONDS_MAX + 1, 0),
            (-1, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert_eq!(of(seconds, nanos), None, "{seconds} s {nanos} ns");
        }
    }
}
