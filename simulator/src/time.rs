//! Moments, and the forms in which the services write them.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// A moment: the time since the Unix epoch.
pub type Time = Duration;

/// A time in the JSON protocol: seconds since the epoch.
pub(crate) fn seconds(time: Time) -> f64 {
    time.as_secs_f64()
}

/// The time on a clock that is this many milliseconds ahead.
pub(crate) fn shifted(time: Time, ahead: i64) -> Time {
    let by = Time::from_millis(ahead.unsigned_abs());
    if ahead < 0 { time.saturating_sub(by) } else { time + by }
}

/// A time, to the millisecond.
pub(crate) fn milliseconds(time: Time) -> String {
    format!("{}.{:03}Z", timestamp(time).trim_end_matches('Z'), time.subsec_millis())
}

/// A time in an event, to the second.
pub(crate) fn timestamp(time: Time) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds).fmt(Format::DateTime).unwrap_or_default()
}
