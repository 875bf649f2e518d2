//! How near the end of something is: of a model its sunset, of a version its end of life.

use jiff::{SignedDuration, Timestamp};

use crate::audit::Severity;

const DAY: i64 = 86_400;
/// Below this many days people have to act now.
const CRITICAL_DAYS: i64 = 7;
/// Below this many days people have to act soon.
const WARNING_DAYS: i64 = 30;

/// Whole days until a time, rounded up: 0 once it has passed.
#[must_use]
pub fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    let seconds = end.as_second().saturating_sub(now.as_second()).max(0);
    seconds.div_euclid(DAY) + i64::from(seconds.rem_euclid(DAY) > 0)
}

/// How pressing an end is: critical below 7 days and once it has passed, a warning below 30, else info.
#[must_use]
pub fn severity(end: Timestamp, now: Timestamp) -> Severity {
    let is_within = |days: i64| begin(end, days.unsigned_abs()).is_none_or(|begin| begin < now);
    if is_within(CRITICAL_DAYS) {
        Severity::Critical
    } else if is_within(WARNING_DAYS) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// The nearest of the windows, in days before the end, that has begun; none before the first, and once all is over.
///
/// Windows that were missed are not made up for: what ends in 20 days is in the window of 30, and that of 90 is past.
#[must_use]
pub fn window(windows: &[u64], end: Timestamp, now: Timestamp) -> Option<u64> {
    let begun = |days: &u64| now < end && begin(end, *days).is_none_or(|begin| begin <= now);
    windows.iter().copied().filter(begun).min()
}

/// The next moment after `now` at which a window begins.
#[must_use]
pub fn next_window(windows: &[u64], end: Timestamp, now: Timestamp) -> Option<Timestamp> {
    windows.iter().filter_map(|&days| begin(end, days)).filter(|&begin| begin > now).min()
}

/// When a window begins; none where that is before all time.
fn begin(end: Timestamp, days: u64) -> Option<Timestamp> {
    let days = i64::try_from(days).ok()?.checked_mul(DAY)?;
    end.checked_sub(SignedDuration::from_secs(days)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_nearest_window_counts() {
        let end = at("2026-12-31T12:00:00Z");
        let seen = |now: &str| window(&[90, 60, 30, 7], end, at(now));
        assert_eq!(seen("2026-10-02T11:59:59Z"), None);
        assert_eq!(seen("2026-10-02T12:00:00Z"), Some(90));
        assert_eq!(seen("2026-11-30T12:00:00Z"), Some(60), "31 days");
        assert_eq!(seen("2026-12-11T12:00:00Z"), Some(30), "20 days: the windows of 90 and 60 are past");
        assert_eq!(seen("2026-12-31T11:59:59Z"), Some(7));
        assert_eq!(seen("2026-12-31T12:00:00Z"), None, "it is over");
        assert_eq!(window(&[u64::MAX], end, at("2026-01-01T00:00:00Z")), Some(u64::MAX));
        assert_eq!(next_window(&[90, 7], end, at("2026-12-01T00:00:00Z")), Some(at("2026-12-24T12:00:00Z")));
        assert_eq!(next_window(&[90, 7], end, at("2026-12-24T12:00:00Z")), None);
    }

    #[test]
    fn what_ends_sooner_is_graver() {
        let end = at("2026-12-31T12:00:00Z");
        let seen = |now: &str| (severity(end, at(now)).name(), days_left(end, at(now)));
        assert_eq!(seen("2026-11-30T12:00:00Z"), ("info", 31));
        assert_eq!(seen("2026-12-01T12:00:00Z"), ("info", 30));
        assert_eq!(seen("2026-12-01T12:00:01Z"), ("warning", 30));
        assert_eq!(seen("2026-12-24T12:00:00Z"), ("warning", 7));
        assert_eq!(seen("2026-12-24T12:00:01Z"), ("critical", 7));
        assert_eq!(seen("2027-01-01T00:00:00Z"), ("critical", 0));
    }
}
