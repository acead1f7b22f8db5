//! Views become messages, one file for each noun. No generated type passes below the doors.

pub(super) mod event;
pub(super) mod fleet;
pub(super) mod kind;
pub(super) mod report;
pub(super) mod session;
pub(super) mod stop;

use std::time::Duration;

use prost_types::Timestamp;
use squall_proto::vocabulary::limits::MOMENT_MAX;
use squall_proto::vocabulary::time::UnixMillis;

/// A moment, as messages carry it: none is later than they allow, whatever somebody's clock said.
fn timestamp(moment: UnixMillis) -> Timestamp {
    let UnixMillis(millis) = moment.min(MOMENT_MAX);
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Timestamp { seconds, nanos }
}

/// A length of time, as messages carry it.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration)
        .unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}
