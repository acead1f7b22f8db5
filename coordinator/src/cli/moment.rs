//! Moments and lengths of time, as people read them: UTC, and the two largest units.

use std::time::Duration;

use jiff::Timestamp;

/// A moment to the millisecond; empty where there is none, or none that a calendar has.
pub(super) fn moment(at: Option<&prost_types::Timestamp>) -> String {
    read(at).map(|at| at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

/// The time of day of a moment.
pub(super) fn time_of_day(at: Option<&prost_types::Timestamp>) -> String {
    read(at).map(|at| at.strftime("%H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

/// The moment, if a calendar has it.
pub(super) fn read(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// A length of time; none for one that is absent or negative.
pub(super) fn length(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    duration.and_then(squall_proto::wire::time::duration)
}

/// From one moment to a later one.
pub(super) fn between(
    from: Option<&prost_types::Timestamp>,
    to: Option<&prost_types::Timestamp>,
) -> Option<Duration> {
    Duration::try_from(read(to)?.duration_since(read(from)?)).ok()
}

/// A length of time for people: `3 ms`, `1.250 s`, `2 m 5 s`, `3 h 20 m`, `2 d 4 h`.
pub(super) fn words(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.subsec_millis());
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{millis:03} s"),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Reads `30s`, `2m`, `1h 30m` from the command line.
///
/// # Errors
/// A fragment that says what is allowed.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "allowed is a length of time such as 500ms, 30s, 2m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "30", "-5s", "soon", "1e9h"] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn lengths_are_written_in_two_units_at_most() {
        let written = [3, 1250, 125_000, 12_000_000, 187_200_000]
            .map(|millis| words(Duration::from_millis(millis)));
        assert_eq!(written, ["3 ms", "1.250 s", "2 m 5 s", "3 h 20 m", "2 d 4 h"]);
    }

    #[test]
    fn a_moment_that_no_calendar_has_is_left_out() {
        let at = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 };
        assert_eq!(moment(Some(&at)), "2023-11-14 22:13:20.005Z");
        assert_eq!(time_of_day(Some(&at)), "22:13:20.005Z");
        let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(moment(Some(&never)), "");
        assert_eq!(between(Some(&at), Some(&never)), None);
    }
}
