//! The history table: one entry for each change of a model.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use roster_core::ModelId;
use roster_core::record::HistoryEntry;

use crate::client::{Store, StoreError, call};
use crate::item::{Builder, Item, ItemReader};
use crate::models::pk;

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
                entries.push(ItemReader::new(item).json("entry")?);
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
    Ok(Builder::keyed(pk(&entry.model_id))
        .number("sk", entry.seq)
        .text("day", day)
        // The index sorts by time; the id and the seq keep entries of one instant apart.
        .text("at", format!("{at}#{}#{}", entry.model_id, entry.seq))
        .json("entry", entry)?
        .build())
}
