//! The models table: one item a model.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use roster_core::ModelId;
use roster_core::record::Record;
use roster_core::status::Status;
use serde_json::Value;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};

/// One record to write, on the condition that it is still as it was read.
#[derive(Clone, Debug)]
pub struct RecordWrite {
    /// What to write.
    pub record: Record,
    /// The `seq` that was read; `None` when there was no record.
    pub read_seq: Option<u64>,
}

impl Store {
    /// The records of these models, as they are now.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a record cannot be read.
    pub async fn records(
        &self,
        ids: impl IntoIterator<Item = &ModelId>,
    ) -> Result<HashMap<ModelId, Record>, StoreError> {
        // Whoever copies a model onto itself, or imports it twice, names it twice, which DynamoDB refuses.
        let ids: BTreeSet<&ModelId> = ids.into_iter().collect();
        let keys = ids.into_iter().map(record_key).collect();
        let items = self.get_items(&self.tables.models, keys, true).await?;
        items.iter().map(|item| read(item).map(|record| (record.spec.id.clone(), record))).collect()
    }

    /// Every record, tombstones included. Reads the whole table: for recovery, audits and digests.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a record cannot be read.
    pub async fn all_records(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let mut keep = |item: &Item| {
            records.push(read(item)?);
            Ok(())
        };
        self.scan_items(&self.tables.models, &mut keep).await?;
        Ok(records)
    }
}

pub(crate) fn record_key(id: &ModelId) -> Item {
    key(pk(id), Some("model"))
}

pub(crate) fn pk(id: &ModelId) -> String {
    format!("model#{id}")
}

pub(crate) fn to_item(record: &Record) -> Result<Item, StoreError> {
    let item = Builder::keyed(pk(&record.spec.id))
        .text("sk", "model")
        .json("spec", &record.spec)?
        .json("origin", &record.origin)?
        .json("change", &record.change)?
        .number("seq", record.seq)
        .flag("tombstone", record.tombstone)
        .text("createdAt", record.created_at.to_string());
    let item = match &record.archived {
        Some(archived) => item.json("archived", archived)?,
        None => item,
    };
    let item = match &record.overridden {
        Some(overridden) => item.json("override", overridden)?,
        None => item,
    };
    Ok(match record.status.is_empty() {
        true => item,
        false => item.json("status", &record.status)?,
    }
    .build())
}

pub(crate) fn read(item: &Item) -> Result<Record, StoreError> {
    let reader = ItemReader::new(item);
    Ok(Record {
        spec: reader.json("spec")?,
        status: if item.contains_key("status") { reader.json("status")? } else { Status::default() },
        origin: reader.json("origin")?,
        change: reader.json("change")?,
        seq: reader.number("seq")?,
        tombstone: reader.flag("tombstone")?,
        archived: if item.contains_key("archived") { Some(reader.json("archived")?) } else { None },
        overridden: if item.contains_key("override") { Some(reader.json("override")?) } else { None },
        created_at: reader.text("createdAt")?.parse().map_err(|error| reader.corrupt(format!("createdAt: {error}")))?,
    })
}

/// A record from the image that a stream record carries, in DynamoDB's JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] when the image is no record.
pub fn from_image(image: &Value) -> Result<Record, StoreError> {
    let attribute = |(name, value): (&String, &Value)| {
        let (kind, value) = value.as_object()?.iter().next()?;
        let value = match kind.as_str() {
            "S" => AttributeValue::S(value.as_str()?.to_owned()),
            "N" => AttributeValue::N(value.as_str()?.to_owned()),
            "BOOL" => AttributeValue::Bool(value.as_bool()?),
            _ => return None,
        };
        Some((name.clone(), value))
    };
    read(&image.as_object().into_iter().flatten().filter_map(attribute).collect())
}
