//! `record-history`: every change of a model becomes one entry, from its old and new image.

use roster_core::record::{HistoryEntry, Record};
use roster_http::function::EventError;
use roster_store::models;
use serde_json::{Value, json};

use crate::App;

/// Writes the entries of a batch of stream records, and answers which record to begin with again.
///
/// An entry follows from its record alone: a batch that comes twice, or in parts, writes the same entries.
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut entries = Vec::with_capacity(records.len());
    let mut failed = None;
    for record in records {
        match entry(&record["dynamodb"]) {
            Ok(entry) => entries.extend(entry),
            Err(message) => {
                let sequence_number = record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default();
                tracing::error!(sequence_number, message, "a stream record holds no change of a model");
                failed = Some(json!({"itemIdentifier": sequence_number}));
                break;
            }
        }
    }
    app.store.put_history(&entries).await.map_err(|error| EventError(error.to_string()))?;
    Ok(json!({"batchItemFailures": failed.into_iter().collect::<Vec<_>>()}))
}

/// The entry of one record; none for a write that changed nothing, and none for items that are no models.
fn entry(change: &Value) -> Result<Option<HistoryEntry>, String> {
    let image = |name: &str| -> Result<Option<Record>, String> {
        let image = change.get(name).filter(|image| !image.is_null());
        image.map(|image| models::from_image(image).map_err(|error| error.to_string())).transpose()
    };
    let (old, new) = (image("OldImage")?, image("NewImage")?);
    match new {
        Some(new) if old.as_ref() != Some(&new) => {
            HistoryEntry::between(old.as_ref(), &new).map(Some).map_err(|error| error.to_string())
        }
        Some(_) => Ok(None),
        None => Err("a model was deleted: the table is written by something else".to_owned()),
    }
}
