//! The audit: the history of all models by time, and the events that changed none.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use roster_core::ModelId;
use roster_core::audit::{AuditEntry, AuditEvent};
use roster_core::record::HistoryEntry;
use serde::{Deserialize, Serialize};

use crate::client::{Store, StoreError};
use crate::history::{event_item, index_key, model_of, read, read_entry};
use crate::item::{Builder, Item, ItemReader};
use crate::models::pk;
use crate::transaction::Condition;

/// The index of the history table by day and time.
const INDEX: &str = "by-day";

/// A stretch of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditRange {
    /// Entries of this time or later.
    pub from: Timestamp,
    /// Entries before this time.
    pub to: Timestamp,
    /// Which end comes first.
    pub order: Order,
}

/// Which end of a stretch comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// From the newest entry back.
    NewestFirst,
    /// From the oldest entry on.
    OldestFirst,
}

/// Where the next page of a stretch begins. It is good for the same stretch and order only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    /// The day, in UTC.
    day: Date,
    /// The index key of the last entry that was read of that day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Position {
    /// The place right after an entry, in either order.
    #[must_use]
    pub fn after(entry: &AuditEntry) -> Self {
        let key = index_key(entry);
        Self { day: day_of(entry.at()), after: Some(key) }
    }
}

/// A page of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, in the stretch's order.
    pub entries: Vec<AuditEntry>,
    /// Where to go on; `None` at the end of the stretch.
    pub next: Option<Position>,
}

impl Store {
    /// Keeps an event; answers whether it was new. One that is kept already stays as it was first told.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_event(&self, event: &AuditEvent) -> Result<bool, StoreError> {
        let unknown = Condition { expression: "attribute_not_exists(pk)", values: Item::new() };
        self.put_item_if(&self.tables.history, event_item(event)?, unknown).await
    }

    /// Keeps an event of what has happened already, whether or not it can be kept: that it cannot is logged.
    pub async fn tell(&self, event: &AuditEvent) {
        if let Err(error) = self.put_event(event).await {
            tracing::error!(%error, kind = event.kind.name(), "an event could not be kept for the audit");
        }
    }

    /// Entries by time, at most `limit` (at least 1), from `position` or from the beginning of the stretch.
    ///
    /// At most `max_days` days (at least 1, in UTC) are looked at, with a query each, so a page can have fewer entries
    /// than `limit`, or none, and a next one all the same. Entries of one instant are ordered by model and seq. The
    /// index follows the table with a delay, of usually less than a second.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an entry cannot be read.
    pub async fn audit_page(
        &self,
        range: &AuditRange,
        position: Option<&Position>,
        limit: usize,
        max_days: usize,
    ) -> Result<AuditPage, StoreError> {
        let mut entries = Vec::new();
        let end = AuditPage { entries: Vec::new(), next: None };
        let Ok(last_instant) = range.to.checked_sub(1.nanosecond()) else { return Ok(end) };
        let (first, last) = (day_of(range.from), day_of(last_instant));
        let limit = limit.max(1);
        let mut after = position.and_then(|position| position.after.clone());
        let mut day = match (range.order, position) {
            (Order::NewestFirst, None) => last,
            (Order::NewestFirst, Some(position)) => position.day.min(last),
            (Order::OldestFirst, None) => first,
            (Order::OldestFirst, Some(position)) => position.day.max(first),
        };
        for _ in 0..max_days.max(1) {
            if range.from >= range.to || !(first..=last).contains(&day) {
                return Ok(AuditPage { entries, next: None });
            }
            // One more than asked for tells whether there is a next page.
            let wanted = limit.saturating_add(1) - entries.len();
            let found = self.audit_day(range, day, after.take(), wanted).await?;
            if found.len() == wanted {
                let kept = wanted - 1;
                // Of a day of which nothing fits on the page, the next one begins at the beginning.
                let after = kept.checked_sub(1).map(|last| found[last].0.clone());
                entries.extend(found.into_iter().take(kept).map(|(_, entry)| entry));
                return Ok(AuditPage { entries, next: Some(Position { day, after }) });
            }
            entries.extend(found.into_iter().map(|(_, entry)| entry));
            let next = match range.order {
                Order::NewestFirst => day.yesterday(),
                Order::OldestFirst => day.tomorrow(),
            };
            // The calendar ends somewhere, and the stretch with it.
            let Ok(next) = next else { return Ok(AuditPage { entries, next: None }) };
            day = next;
        }
        let next = (first..=last).contains(&day).then_some(Position { day, after: None });
        Ok(AuditPage { entries, next })
    }

    /// Entries of one day with their index keys, at most `limit`, from the one after `after`.
    async fn audit_day(
        &self,
        range: &AuditRange,
        day: Date,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, AuditEntry)>, StoreError> {
        // Keys begin with their times and are longer: one of the time `to` is greater than the bound.
        let (mut low, mut high) = (index_time(range.from), index_time(range.to));
        if let Some(after) = &after {
            match range.order {
                Order::NewestFirst => high = high.min(after.clone()),
                Order::OldestFirst => low = low.max(after.clone()),
            }
        }
        if low > high {
            return Ok(Vec::new());
        }
        let values = Builder::default().text(":day", day.to_string()).text(":low", &low).text(":high", &high).build();
        let query = self
            .client
            .query()
            .table_name(&self.tables.history)
            .index_name(INDEX)
            .key_condition_expression("#day = :day AND #at BETWEEN :low AND :high")
            .expression_attribute_names("#day", "day")
            .expression_attribute_names("#at", "at")
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(range.order == Order::OldestFirst);
        // The bounds are inclusive, so the entry before the page comes once more.
        let wanted = limit.saturating_add(usize::from(after.is_some()));
        let mut found = Vec::new();
        for item in self.query_items(query, wanted).await? {
            let key = ItemReader::new(&item).text("at")?;
            if after.as_deref() != Some(key) && found.len() < limit {
                found.push((key.to_owned(), read(&item)?));
            }
        }
        Ok(found)
    }

    /// Which of these entries, named by model and seq, exist.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn history_exists(
        &self,
        keys: impl IntoIterator<Item = (ModelId, u64)>,
    ) -> Result<HashSet<(ModelId, u64)>, StoreError> {
        // DynamoDB refuses to look for one key twice.
        let keys: HashSet<(ModelId, u64)> = keys.into_iter().collect();
        let items = keys.iter().map(|(model, seq)| Builder::keyed(pk(model)).number("sk", seq).build()).collect();
        let found = self.get_items(&self.tables.history, items, true).await?;
        let key = |item: &Item| {
            let reader = ItemReader::new(item);
            let model = model_of(reader.text("pk")?).ok_or_else(|| reader.corrupt("no model's history"))?;
            Ok((model, reader.number("sk")?))
        };
        found.iter().map(key).collect()
    }

    /// Every model's whole history, oldest entry first, one model at a time. Reads the whole table: for verification.
    ///
    /// The model is the one that the entries are kept under. Models come in no order, each of them once.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an entry cannot be read.
    pub async fn all_history(&self, mut each: impl FnMut(ModelId, Vec<HistoryEntry>)) -> Result<(), StoreError> {
        let mut current: Option<(ModelId, Vec<HistoryEntry>)> = None;
        let group = |item: &Item| {
            // Events are in the same table.
            let Some(model) = model_of(ItemReader::new(item).text("pk")?) else { return Ok(()) };
            let entry = read_entry(item)?;
            // A scan returns the items of one partition key together, by their sort keys.
            match &mut current {
                Some((of, entries)) if *of == model => entries.push(entry),
                _ => {
                    if let Some((of, entries)) = current.replace((model, vec![entry])) {
                        each(of, entries);
                    }
                }
            }
            Ok(())
        };
        self.scan_items(&self.tables.history, group).await?;
        if let Some((of, entries)) = current {
            each(of, entries);
        }
        Ok(())
    }
}

/// A time as index keys begin: of one length, so that text sorts as time does.
pub(crate) fn index_time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// The day that an entry of this time is found under.
pub(crate) fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_times_sort_as_time_does() {
        let times: Vec<String> =
            ["09:59:59.9", "10:00:00", "10:00:00.000000001", "10:00:00.5", "10:00:00.51", "10:00:01"]
                .iter()
                .map(|time| index_time(format!("2026-11-21T{time}Z").parse().unwrap()))
                .collect();
        assert!(times.is_sorted() && times.iter().all(|time| time.len() == times[0].len()), "{times:?}");
        assert_eq!(day_of("2026-11-21T23:59:59.999999999Z".parse().unwrap()).to_string(), "2026-11-21");
        assert_eq!(day_of("2026-11-22T01:00:00+02:00".parse().unwrap()).to_string(), "2026-11-21");
    }

    #[test]
    fn a_position_survives_a_cursor() {
        let position = Position { day: "2026-11-21".parse().unwrap(), after: Some("2026-11-21T#m#1".to_owned()) };
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(text, r#"{"day":"2026-11-21","after":"2026-11-21T#m#1"}"#);
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
        assert!(serde_json::from_str::<Position>(r#"{"day":"2026-13-01"}"#).is_err());
    }
}
