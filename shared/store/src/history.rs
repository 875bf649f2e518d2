//! The history table: one entry for each change of a model.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use roster_core::record::HistoryEntry;
use roster_core::{ModelId, canonical};

use crate::client::{Store, StoreError, call};
use crate::item::{Builder, Item, ItemReader};
use crate::models::pk;

/// From this length on, in bytes, an entry is stored compressed: it holds old and new, and an item has at most 400 KB.
const LARGE: usize = 32 * 1024;
/// No entry decompresses to more: it holds two states of a file of at most 256 KiB.
const MAX_ENTRY: usize = 4 * 1024 * 1024;

impl Store {
    /// Writes entries. An entry follows from its change alone, so writing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_history(&self, entries: &[HistoryEntry]) -> Result<(), StoreError> {
        let items = entries.iter().map(to_item).collect::<Result<_, _>>()?;
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
        let mut entries = Vec::new();
        let mut start: Option<Item> = None;
        while entries.len() < limit {
            let mut values = Builder::default().text(":pk", pk(id));
            let condition = match before {
                Some(seq) => {
                    values = values.number(":before", seq);
                    "pk = :pk AND sk < :before"
                }
                None => "pk = :pk",
            };
            let output = self
                .client
                .query()
                .table_name(&self.tables.history)
                .key_condition_expression(condition)
                .set_expression_attribute_values(Some(values.build()))
                .scan_index_forward(false)
                .limit(i32::try_from(limit - entries.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("Query"))?;
            self.meter.read(output.consumed_capacity());
            for item in output.items() {
                entries.push(read(item)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(entries)
    }
}

fn to_item(entry: &HistoryEntry) -> Result<Item, StoreError> {
    let at = entry.change.at.to_string();
    let day = at.get(..10).unwrap_or_default().to_owned();
    let text = canonical::to_string(entry).map_err(|error| corrupt(entry, &error))?;
    let item = Builder::keyed(pk(&entry.model_id))
        .number("sk", entry.seq)
        .text("day", day)
        // The index sorts by time; the id and the seq keep entries of one instant apart.
        .text("at", format!("{at}#{}#{}", entry.model_id, entry.seq));
    if text.len() < LARGE {
        return Ok(item.text("entry", text).build());
    }
    let compressed = zstd::bulk::compress(text.as_bytes(), 9).map_err(|error| corrupt(entry, &error))?;
    Ok(item.bytes("compressedEntry", compressed).build())
}

fn read(item: &Item) -> Result<HistoryEntry, StoreError> {
    let reader = ItemReader::new(item);
    let Ok(compressed) = reader.bytes("compressedEntry") else { return reader.json("entry") };
    let text = zstd::bulk::decompress(compressed, MAX_ENTRY).map_err(|error| reader.corrupt(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| reader.corrupt(error.to_string()))
}

fn corrupt(entry: &HistoryEntry, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { key: format!("{} {}", pk(&entry.model_id), entry.seq), message: error.to_string() }
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
                    "at": "2026-11-21T00:00:00Z", "revision": 3, "correlationId": "c",
                },
            }))
            .unwrap();
            let item = to_item(&entry).unwrap();
            assert!(crate::item::size(&item) < 64 * 1024);
            assert_eq!(read(&item).unwrap(), entry);
        }
    }
}
