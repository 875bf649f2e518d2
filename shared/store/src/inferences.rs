//! What inference results amount to, in the runtime table: windows of a minute and an hour by subject, and of a day by
//! day. Every number in them is added to, so no writer waits for another's and none reads first.
//!
//! A part of a batch is one transaction, with an item that remembers it: it counts once, however often and to however
//! many instances it is sent. A window is shared out over a few items, for DynamoDB lets one transaction at a time at
//! an item.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::inference::{ErrorKind, Part, Tally};
use roster_core::measure::Measured;
use roster_core::policy::RetentionPolicy;
use roster_core::quote::Dollars;
use roster_core::window::{Grain, Subject, Window, cover};

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};
use crate::transaction::{Action, Condition};

/// The items of one window.
const SHARDS: u8 = 4;
/// What stands in keys for the version of a model without versions.
const NO_VERSION: &str = "-";
/// For how long a batch is remembered: results that say when they were are too late by then, sent again.
const BATCH_SECONDS: i64 = 48 * 60 * 60;
/// A cost is added up to so many places, for DynamoDB's numbers have 38 digits.
const USD_PLACES: u32 = 18;
/// What a broken condition of the item that remembers a part is called.
const REMEMBERED: &str = "inference batch";
/// Partitions of days that are read at once.
const CONCURRENCY: usize = 8;
/// No window has as many items as would be asked for here.
const ALL: usize = usize::MAX;

/// A batch of results, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchKey {
    /// Who sent it under which id: a fingerprint of both.
    pub id: String,
    /// A fingerprint of what was sent; the id cannot be used for anything else.
    pub body: String,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is counted, the whole or what was missing of it.
    Now(Tally),
    /// All of it was counted before.
    Before(Tally),
    /// The id was used for another batch.
    OtherBody,
}

impl Store {
    /// Counts a batch once. Its parts must be cut alike whenever it is sent; what was counted of it stays as it was.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, or too many others write the same windows. Parts may be counted
    /// then; who sends the batch again has the others counted.
    pub async fn count_batch(
        &self,
        batch: &BatchKey,
        parts: &[Part],
        keep: &RetentionPolicy,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        let (mut tally, mut is_new) = (Tally::default(), false);
        // One after the other: they write the same windows, and the first says whose id it is.
        for (at, part) in parts.iter().enumerate() {
            if self.count_part(batch, at, part, keep, now).await? {
                is_new = true;
                tally.merge(part.tally.clone());
                continue;
            }
            match self.remembered(batch, at).await? {
                Some(before) => tally.merge(before),
                None => return Ok(Counted::OtherBody),
            }
        }
        Ok(if is_new { Counted::Now(tally) } else { Counted::Before(tally) })
    }

    /// Counts a part unless it was counted before; answers whether it was not.
    async fn count_part(
        &self,
        batch: &BatchKey,
        at: usize,
        part: &Part,
        keep: &RetentionPolicy,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let memory = Builder::keyed(batch_pk(batch))
            .text("sk", part_sk(at))
            .text("body", batch.body.as_str())
            .json("tally", &part.tally)?
            .number("expiresAt", now.as_second().saturating_add(BATCH_SECONDS))
            .build();
        let unknown = Condition { expression: "attribute_not_exists(pk)", values: Item::new() };
        let table = &self.tables.runtime;
        let mut actions = vec![Action::put(REMEMBERED, table, memory, Some(unknown))?];
        let shard = shard(batch);
        for (window, measured) in part.windows.iter() {
            let (expression, values) = addition(measured, expiry(window, keep));
            actions.push(Action::update("window", table, window_key(window, shard), expression, values)?);
        }
        match self.transact(&actions).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(what)) if what == REMEMBERED => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What became of a part that was counted before; `None` where it was one of another batch.
    async fn remembered(&self, batch: &BatchKey, at: usize) -> Result<Option<Tally>, StoreError> {
        let keys = vec![key(batch_pk(batch), Some(&part_sk(at)))];
        let found = self.get_items(&self.tables.runtime, keys, true).await?;
        let Some(item) = found.first() else { return Ok(None) };
        let reader = ItemReader::new(item);
        if reader.text("body")? == batch.body { reader.json("tally").map(Some) } else { Ok(None) }
    }

    /// What the results of a version amount to, of the minutes from that of `from` on up to `until`, as far back as
    /// windows are kept.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a window cannot be read.
    pub async fn measured(
        &self,
        model: &ModelId,
        version: &semver::Version,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Measured, StoreError> {
        let subject = Subject { model: model.clone(), version: Some(version.clone()) };
        let pk = subject_pk(&subject);
        let mut measured = Measured::default();
        for (grain, range) in cover(from, until) {
            // The shard follows the time, so nothing of the window that begins at the end is in between.
            let condition = "pk = :pk AND sk BETWEEN :from AND :until";
            let values = Builder::default()
                .text(":pk", pk.as_str())
                .text(":from", time_key(grain, range.start))
                .text(":until", time_key(grain, range.end))
                .build();
            for item in self.windows(condition, values).await? {
                measured.merge(&read(&item)?);
            }
        }
        Ok(measured)
    }

    /// What the results of some days amount to, by day and subject, each subject of a day once for every shard of it;
    /// `model` alone where it is named. `each` ends it by answering false.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a window cannot be read.
    pub async fn usage(
        &self,
        days: &[Date],
        model: Option<&ModelId>,
        mut each: impl FnMut(Date, Subject, Measured) -> bool,
    ) -> Result<(), StoreError> {
        let mut partitions = Vec::with_capacity(days.len() * usize::from(SHARDS));
        for &day in days {
            partitions.extend((0..SHARDS).map(|shard| (day, shard)));
        }
        let condition = if model.is_some() { "pk = :pk AND begins_with(sk, :model)" } else { "pk = :pk" };
        let values = |pk: String| {
            let values = Builder::default().text(":pk", pk);
            model.map_or(values.clone(), |model| values.text(":model", format!("{model}#"))).build()
        };
        let mut read_days = futures::stream::iter(partitions)
            .map(|(day, shard)| async move {
                Ok::<_, StoreError>((day, self.windows(condition, values(day_pk(day, shard))).await?))
            })
            .buffered(CONCURRENCY);
        while let Some((day, items)) = read_days.try_next().await? {
            for item in &items {
                if !each(day, subject_of(item)?, read(item)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn windows(&self, condition: &str, values: Item) -> Result<Vec<Item>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.runtime)
            .key_condition_expression(condition)
            .consistent_read(true)
            .set_expression_attribute_values(Some(values));
        self.query_items(query, ALL).await
    }
}

/// A batch is of one shard, whoever counts it.
fn shard(batch: &BatchKey) -> u8 {
    batch.id.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % SHARDS
}

fn batch_pk(batch: &BatchKey) -> String {
    format!("inference-batch#{}", batch.id)
}

fn part_sk(at: usize) -> String {
    format!("{at:03}")
}

fn version_key(subject: &Subject) -> String {
    subject.version.as_ref().map_or_else(|| NO_VERSION.to_owned(), ToString::to_string)
}

fn subject_pk(subject: &Subject) -> String {
    format!("inference#{}#{}", subject.model, version_key(subject))
}

fn day_pk(day: Date, shard: u8) -> String {
    format!("usage#{day}#{shard}")
}

/// A time as keys of windows begin: of one length, so that text sorts as time does.
fn time_key(grain: Grain, start: Timestamp) -> String {
    let start = start.to_string();
    match grain {
        Grain::Minute => format!("m#{}", start.get(..16).unwrap_or(&start)),
        Grain::Hour => format!("h#{}", start.get(..13).unwrap_or(&start)),
        Grain::Day => format!("d#{}", start.get(..10).unwrap_or(&start)),
    }
}

fn window_key(window: &Window, shard: u8) -> Item {
    let Window { subject, grain, start } = window;
    match grain {
        Grain::Minute | Grain::Hour => key(subject_pk(subject), Some(&format!("{}#{shard}", time_key(*grain, *start)))),
        Grain::Day => {
            let day = TimeZone::UTC.to_datetime(*start).date();
            key(day_pk(day, shard), Some(&format!("{}#{}", subject.model, version_key(subject))))
        }
    }
}

fn subject_of(item: &Item) -> Result<Subject, StoreError> {
    let reader = ItemReader::new(item);
    let corrupt = |error: String| reader.corrupt(format!("sk: {error}"));
    let (model, version) = reader.text("sk")?.split_once('#').ok_or_else(|| corrupt("names no version".to_owned()))?;
    let model = ModelId::parse(model).map_err(|error| corrupt(error.to_string()))?;
    let version = match version {
        NO_VERSION => None,
        version => Some(version.parse().map_err(|error: semver::Error| corrupt(error.to_string()))?),
    };
    Ok(Subject { model, version })
}

/// When DynamoDB may forget a window, in seconds since 1970.
fn expiry(window: &Window, keep: &RetentionPolicy) -> i64 {
    let days = if window.grain == Grain::Day { keep.usage_days } else { keep.inference_days };
    let kept = SignedDuration::from_hours(24).saturating_mul(i32::try_from(days).unwrap_or(i32::MAX));
    window.start.as_second().saturating_add(kept.as_secs())
}

/// The expression that adds results to a window, and its values. No name in it is one of DynamoDB's own words.
fn addition(measured: &Measured, expires_at: i64) -> (String, Item) {
    let mut sums = vec![
        ("n".to_owned(), measured.samples.to_string()),
        ("ok".to_owned(), measured.successes.to_string()),
        ("us".to_owned(), measured.latency_us.to_string()),
        ("confs".to_owned(), measured.confidences.to_string()),
        ("conf".to_owned(), measured.confidence_parts.to_string()),
        ("tokensIn".to_owned(), measured.input_tokens.to_string()),
        ("tokensOut".to_owned(), measured.output_tokens.to_string()),
        ("usd".to_owned(), measured.cost_usd.rounded(USD_PLACES).to_string()),
        ("unpriced".to_owned(), measured.unpriced.to_string()),
    ];
    sums.extend(measured.errors.iter().map(|(kind, count)| (format!("e_{kind}"), count.to_string())));
    sums.extend(measured.latency.buckets().map(|(bucket, count)| (bucket_name(bucket), count.to_string())));
    sums.retain(|(_, sum)| sum != "0");
    let mut values = Builder::default().number(":expires", expires_at);
    let mut clauses = Vec::with_capacity(sums.len());
    for (at, (name, sum)) in sums.into_iter().enumerate() {
        clauses.push(format!("{name} :{at}"));
        values = values.number(&format!(":{at}"), sum);
    }
    (format!("SET expiresAt = :expires ADD {}", clauses.join(",")), values.build())
}

/// A bucket's attribute; `m` is for minus, which no name has.
fn bucket_name(bucket: i32) -> String {
    let sign = if bucket < 0 { "m" } else { "" };
    format!("b{sign}{}", bucket.unsigned_abs())
}

fn bucket_of(name: &str) -> Option<i32> {
    let digits = name.strip_prefix('b')?;
    match digits.strip_prefix('m') {
        Some(digits) => digits.parse::<i32>().ok().map(|bucket| -bucket),
        None => digits.parse().ok(),
    }
}

/// What a window holds.
fn read(item: &Item) -> Result<Measured, StoreError> {
    let reader = ItemReader::new(item);
    let sum = |name: &str| if item.contains_key(name) { reader.number(name) } else { Ok(0) };
    let cost_usd = match item.get("usd").and_then(|value| value.as_n().ok()) {
        Some(text) => text.parse::<Dollars>().map_err(|error| reader.corrupt(format!("usd: {error}")))?,
        None => Dollars::default(),
    };
    let mut measured = Measured {
        samples: sum("n")?,
        successes: sum("ok")?,
        latency_us: sum("us")?,
        confidences: sum("confs")?,
        confidence_parts: sum("conf")?,
        input_tokens: sum("tokensIn")?,
        output_tokens: sum("tokensOut")?,
        cost_usd,
        unpriced: sum("unpriced")?,
        ..Measured::default()
    };
    for kind in ErrorKind::ALL.map(ErrorKind::name) {
        let count = sum(&format!("e_{kind}"))?;
        if count > 0 {
            measured.errors.insert(kind.to_owned(), count);
        }
    }
    for (name, value) in item {
        let Some(bucket) = bucket_of(name) else { continue };
        let count = if let AttributeValue::N(count) = value { count.parse().ok() } else { None };
        measured.latency.add(bucket, count.ok_or_else(|| reader.corrupt(format!("no usable {name}")))?);
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use roster_core::inference::Inference;
    use roster_core::measure::Sketch;

    fn measured() -> Measured {
        let mut measured = Measured::default();
        let mut count = |latency_ms, outcome, cost: Option<&str>| {
            let result = Inference {
                model: "a".to_owned(),
                version: None,
                outcome,
                latency_ms,
                confidence: Some(0.25),
                input_tokens: Some(7),
                output_tokens: None,
                at: None,
            };
            measured.count(&result, cost.map(|cost| cost.parse().unwrap()));
        };
        count(0.0, Ok(()), Some("0.00000125"));
        count(0.5, Err(ErrorKind::Timeout), None);
        count(812.0, Ok(()), Some("12"));
        measured
    }

    #[test]
    fn what_is_added_is_read() {
        let (expression, values) = addition(&measured(), 7);
        let (set, add) = expression.split_once(" ADD ").unwrap();
        assert_eq!(set, "SET expiresAt = :expires");
        let item: Item = add
            .split(',')
            .map(|clause| clause.split_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), values[value].clone()))
            .collect();
        assert!(!item.contains_key("tokensOut"), "nothing is added of what there is nothing of");
        assert_eq!(read(&item).unwrap(), measured());
        assert_eq!(read(&Item::new()).unwrap(), Measured::default());
    }

    #[test]
    fn the_largest_addition_fits_into_an_expression() {
        let mut measured = measured();
        (400..650).for_each(|bucket| measured.latency.add(-bucket, 1));
        measured.errors = ErrorKind::ALL.map(|kind| (kind.name().to_owned(), 1)).into();
        assert!(addition(&measured, 7).0.len() <= 4096);
    }

    #[test]
    fn a_bucket_has_a_name() {
        for ms in [0.0, 0.001, 0.5, 1.0, 2.0, 86_400_000.0] {
            let bucket = Sketch::bucket(ms);
            assert_eq!(bucket_of(&bucket_name(bucket)), Some(bucket));
        }
        assert_eq!(["body", "b", "bm", "n", "e_timeout"].map(bucket_of), [None; 5]);
    }

    #[test]
    fn windows_sort_by_time() {
        let time = |text: &str| format!("2026-11-26T{text}Z").parse().unwrap();
        let keys = ["01:59:00", "02:00:00", "02:01:00"].map(|text| time_key(Grain::Minute, time(text)));
        assert_eq!(keys, ["m#2026-11-26T01:59", "m#2026-11-26T02:00", "m#2026-11-26T02:01"]);
        assert!(format!("{}#3", keys[0]) < keys[1] && keys[1] < format!("{}#0", keys[1]));
        assert_eq!(time_key(Grain::Hour, time("02:00:00")), "h#2026-11-26T02");
    }
}
