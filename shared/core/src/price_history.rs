//! Every price that a model ever had, with the time it counted: made from the model's history alone.

use std::cmp::max;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::diff;
use crate::lifecycle::PricesAt;
use crate::price::{Price, Prices, ScheduledPrice};
use crate::record::{ChangeNote, HistoryEntry};

/// Prices, and the time from which and until which they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval<'h> {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it; absent while nothing that is known ends it.
    pub to: Option<Timestamp>,
    /// Input price; `None` is unknown.
    pub input: Option<Price>,
    /// Output price; `None` is unknown.
    pub output: Option<Price>,
    /// The others.
    pub prices: Option<Prices>,
    /// Whether the model was archived, removed or past its sunset: nobody could use it at these prices.
    pub is_archived: bool,
    /// Whether it began by the date that the change had set, and not with the change itself.
    pub is_scheduled: bool,
    /// The `seq` of the change that it follows from.
    pub seq: u64,
    /// The change that it follows from.
    pub change: &'h ChangeNote,
}

/// A history that cannot be replayed: an entry is missing, or altered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history does not follow from what came before at seq {seq}: {reason}")]
pub struct BrokenHistory {
    seq: u64,
    reason: String,
}

/// What decides about prices, out of a spec as it was at the time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    tombstone: bool,
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    input_cost_per_million_tokens: Option<Price>,
    #[serde(default)]
    output_cost_per_million_tokens: Option<Price>,
    #[serde(default)]
    prices: Option<Prices>,
    #[serde(default)]
    price_schedule: Vec<ScheduledPrice>,
    #[serde(default)]
    sunset_date: Option<Timestamp>,
}

/// The intervals in order of time, from a model's whole history by ascending `seq`, and what is scheduled at its end.
///
/// They follow on each other without a gap, from the model's first change on. A change counts from when it was
/// applied. Neighbours that say the same are one interval, which is the first one's change's.
///
/// # Errors
/// [`BrokenHistory`] when an entry does not follow from those before.
pub fn intervals(history: &[HistoryEntry]) -> Result<Vec<Interval<'_>>, BrokenHistory> {
    let mut spec = json!({"tombstone": false});
    let mut found: Vec<Interval<'_>> = Vec::new();
    let mut earliest = Timestamp::MIN;
    for (at, entry) in history.iter().enumerate() {
        let broken = |reason: String| BrokenHistory { seq: entry.seq, reason };
        if usize::try_from(entry.seq) != Ok(at + 1) {
            return Err(broken(format!("it is entry {}", at + 1)));
        }
        for change in &entry.changes {
            diff::apply(&mut spec, change).map_err(|_| broken(change.path.clone()))?;
        }
        let known = Spec::deserialize(&spec).map_err(|error| broken(error.to_string()))?;
        // Clocks may disagree about the order of two changes; `seq` does not.
        let start = max(earliest, entry.change.applied_at);
        earliest = start;
        let end = history.get(at + 1).map(|next| max(start, next.change.applied_at));
        known.intervals(start, end, entry).for_each(|interval| append(&mut found, interval));
    }
    Ok(found)
}

/// One page of intervals, newest first: those before a time, at most `limit`, and the time with which the next page
/// goes on.
#[must_use]
pub fn page(
    mut intervals: Vec<Interval<'_>>,
    before: Option<Timestamp>,
    limit: usize,
) -> (Vec<Interval<'_>>, Option<Timestamp>) {
    intervals.retain(|interval| before.is_none_or(|before| interval.from < before));
    intervals.reverse();
    let has_next = intervals.len() > limit;
    intervals.truncate(limit);
    let next = intervals.last().filter(|_| has_next).map(|last| last.from);
    (intervals, next)
}

fn append<'h>(found: &mut Vec<Interval<'h>>, next: Interval<'h>) {
    match found.last_mut() {
        Some(last) if last.says() == next.says() => last.to = next.to,
        _ => found.push(next),
    }
}

impl Interval<'_> {
    fn says(&self) -> (Option<Price>, Option<Price>, Option<&Prices>, bool) {
        (self.input, self.output, self.prices.as_ref(), self.is_archived)
    }
}

impl Spec {
    /// The intervals of one spec, from when it was applied until the next one was.
    fn intervals<'h>(
        self,
        start: Timestamp,
        end: Option<Timestamp>,
        entry: &'h HistoryEntry,
    ) -> impl Iterator<Item = Interval<'h>> {
        let dates = self.meta.price_schedule.iter().map(|scheduled| scheduled.from).chain(self.meta.sunset_date);
        let mut starts: Vec<Timestamp> =
            dates.filter(|&date| start < date && end.is_none_or(|end| date < end)).chain([start]).collect();
        starts.sort_unstable();
        starts.dedup();
        let ends: Vec<Option<Timestamp>> = starts.iter().copied().skip(1).map(Some).chain([end]).collect();
        // A spec that another one replaced in the same instant never counted.
        let all = starts.into_iter().zip(ends).filter(|&(from, to)| to.is_none_or(|to| from < to));
        all.map(move |(from, to)| {
            let PricesAt { input, output, prices } = self.meta.prices_at(from);
            Interval {
                from,
                to,
                input,
                output,
                prices: prices.cloned(),
                is_archived: self.is_archived
                    || self.tombstone
                    || self.meta.sunset_date.is_some_and(|sunset| sunset <= from),
                is_scheduled: from > start,
                seq: entry.seq,
                change: &entry.change,
            }
        })
    }
}

impl Meta {
    fn prices_at(&self, now: Timestamp) -> PricesAt<'_> {
        let written = PricesAt {
            input: self.input_cost_per_million_tokens,
            output: self.output_cost_per_million_tokens,
            prices: self.prices.as_ref(),
        };
        written.with_schedule(&self.price_schedule, |scheduled| scheduled.from <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{self, Stage};
    use crate::model::Model;
    use crate::model::tests::model;
    use crate::record::{Origin, Record};
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(spec: &Model, seq: u64, second: i64, tombstone: bool) -> Record {
        let change = json!({
            "operations": [], "actor": "ada", "reason": "r", "source": "git", "at": at(second), "appliedAt": at(second),
            "commit": format!("c{seq}"), "revision": seq, "correlationId": "c",
        });
        Record {
            spec: spec.clone(),
            origin: Origin::Api("ada".to_owned()),
            seq,
            tombstone,
            change: serde_json::from_value(change).unwrap(),
            status: Default::default(),
            archived: None,
            overridden: None,
            created_at: at(0),
        }
    }

    /// The history of specs that came at these seconds; the flag says whether the file was gone.
    fn history(specs: &[(i64, Model, bool)]) -> Vec<HistoryEntry> {
        let records: Vec<Record> =
            specs.iter().zip(1..).map(|((second, spec, gone), seq)| record(spec, seq, *second, *gone)).collect();
        let old = std::iter::once(None).chain(records.iter().map(Some));
        old.zip(&records).map(|(old, new)| HistoryEntry::between(old, new).unwrap()).collect()
    }

    fn priced(input: u32, change: impl FnOnce(&mut Model)) -> Model {
        let mut model = model("m");
        model.meta.input_cost_per_million_tokens = input.to_string().parse().ok();
        change(&mut model);
        model
    }

    fn schedule(dates: &[(i64, u32)]) -> Vec<ScheduledPrice> {
        let entry = |&(second, input): &(i64, u32)| json!({"from": at(second), "inputCostPerMillionTokens": input});
        serde_json::from_value(dates.iter().map(entry).collect()).unwrap()
    }

    /// Each interval as `from..to input`, `~` for scheduled and `!` for archived, and its commit.
    fn told(history: &[HistoryEntry]) -> Vec<String> {
        let second = |time: Timestamp| time.as_second().to_string();
        let text = |interval: Interval<'_>| {
            let marks = [(interval.is_scheduled, "~"), (interval.is_archived, "!")];
            let marks: String = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
            let (from, to) = (second(interval.from), interval.to.map(second).unwrap_or_default());
            let commit = interval.change.commit.as_deref().unwrap_or_default();
            format!("{from}..{to} {}{marks} {commit}", interval.input.unwrap())
        };
        intervals(history).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn each_change_of_a_price_begins_an_interval() {
        let specs = [
            (10, priced(1, |_| {}), false),
            (20, priced(1, |model| model.meta.description = "new".to_owned()), false),
            (30, priced(2, |_| {}), false),
            (40, priced(2, |_| {}), true),
            (50, priced(2, |_| {}), false),
            (60, priced(2, |model| model.is_archived = true), false),
        ];
        assert_eq!(told(&history(&specs)), ["10..30 1 c1", "30..40 2 c3", "40..50 2! c4", "50..60 2 c5", "60.. 2! c6"]);
        assert_eq!(intervals(&[]), Ok(Vec::new()));
    }

    #[test]
    fn scheduled_prices_and_the_sunset_begin_by_themselves() {
        let planned = |model: &mut Model| {
            model.meta.price_schedule = schedule(&[(20, 2), (40, 3)]);
            model.meta.sunset_date = Some(at(50));
        };
        let whole = history(&[(10, priced(1, planned), false)]);
        assert_eq!(told(&whole), ["10..20 1 c1", "20..40 2~ c1", "40..50 3~ c1", "50.. 3~! c1"]);
        let cut = history(&[(10, priced(1, planned), false), (30, priced(5, |_| {}), false)]);
        assert_eq!(told(&cut), ["10..20 1 c1", "20..30 2~ c1", "30.. 5 c2"]);
    }

    #[test]
    fn pages_go_back_in_time() {
        let specs: Vec<_> = (1..=5).map(|n| (i64::from(n) * 10, priced(n, |_| {}), false)).collect();
        let whole = history(&specs);
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let (shown, next) = page(intervals(&whole).unwrap(), before, 2);
            seen.extend(shown.iter().map(|interval| interval.from.as_second()));
            before = next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, [50, 40, 30, 20, 10]);
    }

    #[test]
    fn clocks_that_disagree_make_no_interval_that_ends_before_it_begins() {
        let specs = [(20, priced(1, |_| {}), false), (10, priced(2, |_| {}), false), (30, priced(3, |_| {}), false)];
        assert_eq!(told(&history(&specs)), ["20..30 2 c2", "30.. 3 c3"]);
    }

    #[test]
    fn what_does_not_follow_is_told() {
        let specs = [(10, priced(1, |_| {}), false), (20, priced(2, |_| {}), false), (30, priced(3, |_| {}), false)];
        let whole = history(&specs);
        let error = |entries: &[HistoryEntry]| intervals(entries).unwrap_err().to_string();
        let said = "the history does not follow from what came before at seq";
        assert_eq!(error(&[whole[0].clone(), whole[2].clone()]), format!("{said} 3: it is entry 2"));
        let mut altered = whole.clone();
        altered[1].changes[0].old = Some(json!(7));
        assert_eq!(error(&altered), format!("{said} 2: /meta/inputCostPerMillionTokens"));
        altered[0].changes.retain(|change| change.path != "/meta");
        assert_eq!(error(&altered), format!("{said} 1: missing field `meta`"));
    }

    fn specs() -> impl Strategy<Value = Vec<(i64, Model, bool)>> {
        let dates = proptest::collection::btree_map(0..100i64, 1..4u32, 0..4);
        let sunset = proptest::option::of(0..120i64);
        let others = proptest::option::of(1..3u32);
        let spec = (1..4u32, dates, sunset, others, 0..8u8).prop_map(|(input, dates, sunset, others, flags)| {
            let spec = priced(input, |model| {
                model.meta.price_schedule = schedule(&dates.into_iter().collect::<Vec<_>>());
                model.meta.sunset_date = sunset.map(at);
                model.meta.prices = others.map(|price| serde_json::from_value(json!({"cacheRead": price})).unwrap());
                model.is_archived = flags == 0;
            });
            (spec, flags == 1)
        });
        proptest::collection::vec((0..100i64, spec), 1..8).prop_map(|mut specs| {
            specs.sort_by_key(|(second, _)| *second);
            specs.into_iter().map(|(second, (spec, gone))| (second, spec, gone)).collect()
        })
    }

    proptest! {
        /// At any time there is exactly one interval, and it shows what clients were shown.
        #[test]
        fn an_interval_shows_what_clients_saw(specs in specs()) {
            let entries = history(&specs);
            let intervals = intervals(&entries).unwrap();
            for second in 0..130 {
                let now = at(second);
                let within = |interval: &&Interval<'_>| interval.from <= now && interval.to.is_none_or(|to| now < to);
                let found: Vec<&Interval<'_>> = intervals.iter().filter(within).collect();
                let Some((_, spec, gone)) = specs.iter().rev().find(|(from, ..)| *from <= second) else {
                    prop_assert!(found.is_empty());
                    continue;
                };
                prop_assert_eq!(found.len(), 1, "at {}", second);
                let shown = PricesAt { input: found[0].input, output: found[0].output, prices: found[0].prices.as_ref() };
                prop_assert_eq!(shown, lifecycle::prices_at(&spec.meta, now));
                prop_assert_eq!(found[0].is_archived, *gone || lifecycle::stage(spec, now) == Stage::Archived);
            }
        }
    }
}
