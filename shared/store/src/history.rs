//! The history table: one entry for each change of a model, and one for each event that changed none.

use std::collections::BTreeMap;
use std::fmt::Display;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use roster_core::audit::{AuditEntry, AuditEvent};
use roster_core::price_history::{self, BrokenHistory, Interval};
use roster_core::record::HistoryEntry;
use roster_core::{ModelId, canonical};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::{day_of, index_time};
use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader};
use crate::models::pk;

/// From this length on, in bytes, an entry is stored compressed: it holds old and new, and an item has at most 400 KB.
const LARGE: usize = 32 * 1024;
/// What an event's partition key begins with; a model's begins with `model#`.
const EVENT: &str = "event#";
/// No entry decompresses to more: it holds two states of a file of at most 256 KiB.
const MAX_ENTRY: usize = 4 * 1024 * 1024;

/// The longest history that is replayed for an answer, in entries.
pub const MAX_REPLAYED: usize = 5_000;

impl Store {
    /// Writes entries. An entry follows from its change alone, so writing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_history(&self, entries: &[HistoryEntry]) -> Result<(), StoreError> {
        // A batch of writes may not name a key twice, and a record that is delivered twice makes the same entry.
        let unique: BTreeMap<_, _> = entries.iter().map(|entry| ((&entry.model_id, entry.seq), entry)).collect();
        let items = unique.into_values().map(to_item).collect::<Result<_, _>>()?;
        self.put_items(&self.tables.history, items).await
    }

    /// A model's history, newest first, at most `limit` entries older than `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an entry cannot be read.
    pub async fn history(
        &self,
        id: &ModelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let before = before.map(|seq| AttributeValue::N(seq.to_string()));
        let items = self.last_items(&self.tables.history, &pk(id), before, limit).await?;
        items.iter().map(read_entry).collect()
    }

    /// A model's whole history, oldest first; `None` when it has more than [`MAX_REPLAYED`] entries.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an entry cannot be read.
    pub async fn whole_history(&self, id: &ModelId) -> Result<Option<Vec<HistoryEntry>>, StoreError> {
        let mut entries = self.history(id, None, MAX_REPLAYED + 1).await?;
        entries.reverse();
        Ok((entries.len() <= MAX_REPLAYED).then_some(entries))
    }
}

/// The prices that a model's whole history tells of.
///
/// # Errors
/// [`StoreError::Corrupt`] when it cannot be replayed. It may be that an entry is on its way still.
pub fn prices_of<'h>(id: &ModelId, history: &'h [HistoryEntry]) -> Result<Vec<Interval<'h>>, StoreError> {
    let corrupt = |error: BrokenHistory| StoreError::Corrupt { key: pk(id), message: error.to_string() };
    price_history::intervals(history).map_err(corrupt)
}

fn to_item(entry: &HistoryEntry) -> Result<Item, StoreError> {
    let key = pk(&entry.model_id);
    let item = indexed(Builder::keyed(&key), entry.change.applied_at, change_key(entry));
    packed(item.number("sk", entry.seq), entry, &key)
}

pub(crate) fn event_item(event: &AuditEvent) -> Result<Item, StoreError> {
    let key = format!("{EVENT}{}", event.id());
    let item = indexed(Builder::keyed(&key), event.at, event_key(event));
    packed(item.number("sk", 0), event, &key)
}

/// What the index needs: the day, and a key by which entries of a day are ordered, no two alike.
fn indexed(item: Builder, at: Timestamp, key: String) -> Builder {
    item.text("day", day_of(at).to_string()).text("at", key)
}

/// An entry's key in the index.
pub(crate) fn index_key(entry: &AuditEntry) -> String {
    match entry {
        AuditEntry::Change(entry) => change_key(entry),
        AuditEntry::Event(event) => event_key(event),
    }
}

/// The index sorts by time; the id and the seq keep entries of one instant apart, and in order.
fn change_key(entry: &HistoryEntry) -> String {
    format!("{}#{}#{:020}", index_time(entry.change.applied_at), entry.model_id, entry.seq)
}

/// An event's key begins as a model's with no name would, so the two never meet.
fn event_key(event: &AuditEvent) -> String {
    format!("{}##{}", index_time(event.at), event.id())
}

fn packed<T: Serialize>(item: Builder, entry: &T, key: &str) -> Result<Item, StoreError> {
    let corrupt = |error: &dyn Display| StoreError::Corrupt { key: key.to_owned(), message: error.to_string() };
    let text = canonical::to_string(entry).map_err(|error| corrupt(&error))?;
    if text.len() < LARGE {
        return Ok(item.text("entry", text).build());
    }
    let compressed = zstd::bulk::compress(text.as_bytes(), 9).map_err(|error| corrupt(&error))?;
    Ok(item.bytes("compressedEntry", compressed).build())
}

/// What an item of the table tells, a change or an event.
pub(crate) fn read(item: &Item) -> Result<AuditEntry, StoreError> {
    match ItemReader::new(item).text("pk")?.starts_with(EVENT) {
        true => unpacked(item).map(AuditEntry::Event),
        false => unpacked(item).map(AuditEntry::Change),
    }
}

pub(crate) fn read_entry(item: &Item) -> Result<HistoryEntry, StoreError> {
    unpacked(item)
}

fn unpacked<T: DeserializeOwned>(item: &Item) -> Result<T, StoreError> {
    let reader = ItemReader::new(item);
    let Ok(compressed) = reader.bytes("compressedEntry") else { return reader.json("entry") };
    let text = zstd::bulk::decompress(compressed, MAX_ENTRY).map_err(|error| reader.corrupt(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| reader.corrupt(error.to_string()))
}

/// The model whose history is under this partition key; none for events.
pub(crate) fn model_of(pk: &str) -> Option<ModelId> {
    ModelId::parse(pk.strip_prefix("model#")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_any_size_survives_the_table() {
        for length in [10, 300_000] {
            let changes = serde_json::json!([{"path": "/x", "old": "a".repeat(length), "new": "b".repeat(length)}]);
            let entry: HistoryEntry = serde_json::from_value(serde_json::json!({
                "modelId": "m", "seq": 7, "changes": changes,
                "change": {
                    "operations": [{"operation": "update_meta"}], "actor": "a", "reason": "r", "source": "git",
                    "at": "2026-11-21T00:00:00Z", "appliedAt": "2026-11-21T00:00:00Z", "revision": 3, "correlationId": "c",
                },
            }))
            .unwrap();
            let item = to_item(&entry).unwrap();
            assert!(crate::item::size(&item) < 64 * 1024);
            assert_eq!(read_entry(&item).unwrap(), entry);
            assert_eq!(read(&item).unwrap(), AuditEntry::Change(entry));
        }
    }
}
