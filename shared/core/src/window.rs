//! Windows of time in which results are counted: each result is in one of a minute, one of an hour and one of a day.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use crate::inference::Inference;
use crate::measure::Measured;
use crate::model::ModelId;
use crate::quote::Dollars;

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

impl Grain {
    /// Every grain.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// When the window begins that a time is in.
    #[must_use]
    pub fn start(self, at: Timestamp) -> Timestamp {
        let start = at.as_second().div_euclid(self.seconds()) * self.seconds();
        // Only the very first instant that there is has no window before it.
        Timestamp::from_second(start).unwrap_or(Timestamp::MIN)
    }

    /// When the first window begins that does not begin before a time.
    fn start_from(self, at: Timestamp) -> Timestamp {
        let start = self.start(at);
        if start == at { at } else { start.saturating_add(self.length()).unwrap_or(Timestamp::MAX) }
    }

    /// How long a window of it is.
    #[must_use]
    pub fn length(self) -> SignedDuration {
        SignedDuration::from_secs(self.seconds())
    }
}

/// Whom results are about: a version of a model, or the model alone where it has no versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The model.
    pub model: ModelId,
    /// The version.
    pub version: Option<semver::Version>,
}

/// A window of one subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Whom it is about.
    pub subject: Subject,
    /// How long it is.
    pub grain: Grain,
    /// When it begins.
    pub start: Timestamp,
}

/// What results add to windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(BTreeMap<Window, Measured>);

impl Windows {
    /// Counts a result, at a cost where that is known.
    pub fn count(&mut self, subject: &Subject, at: Timestamp, result: &Inference, cost: Option<Dollars>) {
        for grain in Grain::ALL {
            let window = Window { subject: subject.clone(), grain, start: grain.start(at) };
            self.0.entry(window).or_default().count(result, cost);
        }
    }

    /// Each window with what is added to it.
    pub fn iter(&self) -> impl Iterator<Item = (&Window, &Measured)> {
        self.0.iter()
    }

    /// Whether nothing is added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The fewest windows of minutes and hours that cover a stretch of time: whole hours, and the minutes before and after
/// them. A minute counts whole when any of it is in the stretch.
#[must_use]
pub fn cover(from: Timestamp, until: Timestamp) -> Vec<(Grain, Range<Timestamp>)> {
    let (from, until) = (Grain::Minute.start(from), Grain::Minute.start_from(until));
    let (first, last) = (Grain::Hour.start_from(from), Grain::Hour.start(until));
    let ranges = if first < last {
        vec![(Grain::Minute, from..first), (Grain::Hour, first..last), (Grain::Minute, last..until)]
    } else {
        vec![(Grain::Minute, from..until)]
    };
    ranges.into_iter().filter(|(_, range)| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(from: &str, until: &str) -> Vec<String> {
        let time = |text: &str| format!("2026-11-26T{text}Z").parse().unwrap();
        let told = |(grain, range): (Grain, Range<Timestamp>)| format!("{grain:?} {}..{}", range.start, range.end);
        cover(time(from), time(until)).into_iter().map(|covered| told(covered).replace("2026-11-26T", "")).collect()
    }

    #[test]
    fn a_stretch_is_covered_by_hours_and_the_minutes_around_them() {
        assert_eq!(covered("01:30:30", "01:45:00"), ["Minute 01:30:00Z..01:45:00Z"]);
        assert_eq!(covered("01:30:30", "02:45:01"), ["Minute 01:30:00Z..02:46:00Z"]);
        assert_eq!(covered("02:00:00", "04:00:00"), ["Hour 02:00:00Z..04:00:00Z"]);
        let whole = ["Minute 01:59:00Z..02:00:00Z", "Hour 02:00:00Z..03:00:00Z", "Minute 03:00:00Z..03:01:00Z"];
        assert_eq!(covered("01:59:59", "03:00:00.5"), whole);
        assert!(covered("02:00:00", "02:00:00").is_empty() && covered("03:00:00", "02:00:00").is_empty());
    }

    proptest! {
        #[test]
        fn every_minute_is_covered_once(from in 1_800_000_000_i64..1_800_100_000, length in 0_i64..400_000) {
            let time = |second| Timestamp::from_second(second).unwrap();
            let covered = cover(time(from), time(from + length));
            let minutes: Vec<i64> = covered
                .iter()
                .flat_map(|(_, range)| (range.start.as_second()..range.end.as_second()).step_by(60))
                .collect();
            let first = from.div_euclid(60) * 60;
            let expected: Vec<i64> = (first..from + length).step_by(60).collect();
            prop_assert_eq!(minutes, if length == 0 && first == from { vec![] } else { expected });
            let whole = |(grain, range): &(Grain, Range<Timestamp>)| {
                grain.start(range.start) == range.start && grain.start(range.end) == range.end
            };
            prop_assert!(covered.iter().all(whole));
        }
    }
}
