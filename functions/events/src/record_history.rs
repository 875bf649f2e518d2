//! `record-history`: every change of a model becomes one entry, from its old and new image.

use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
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
    let mut edits = Vec::new();
    let mut failed = None;
    for record in records {
        match told(&record["dynamodb"]) {
            Ok(Told::Change(entry)) => entries.push(*entry),
            Ok(Told::Edit(event)) => edits.push(*event),
            Ok(Told::Nothing) => {}
            Err(message) => {
                let sequence_number = record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default();
                tracing::error!(sequence_number, message, "a stream record holds no change of a model");
                failed = Some(json!({"itemIdentifier": sequence_number}));
                break;
            }
        }
    }
    app.store.put_history(&entries).await.map_err(EventError::of)?;
    for edit in edits {
        app.store.put_event(&edit).await.map_err(EventError::of)?;
    }
    Ok(json!({"batchItemFailures": failed.into_iter().collect::<Vec<_>>()}))
}

/// What a stream record tells.
enum Told {
    /// A step in a model's life.
    Change(Box<HistoryEntry>),
    /// A change that is no step, for no `seq` came with it: something else than Roster made it, or it was put right.
    Edit(Box<AuditEvent>),
    /// A write that changed nothing.
    Nothing,
}

fn told(change: &Value) -> Result<Told, String> {
    let image = |name: &str| -> Result<Option<Record>, String> {
        let image = change.get(name).filter(|image| !image.is_null());
        image.map(|image| models::from_image(image).map_err(|error| error.to_string())).transpose()
    };
    let (old, new) = (image("OldImage")?, image("NewImage")?);
    let new = new.ok_or("a model was deleted: the table is written by something else")?;
    if old.as_ref() == Some(&new) {
        return Ok(Told::Nothing);
    }
    let entry = HistoryEntry::between(old.as_ref(), &new).map_err(|error| error.to_string())?;
    if new.seq == old.as_ref().map_or(1, |old| old.seq + 1) {
        return Ok(Told::Change(Box::new(entry)));
    }
    let paths: Vec<&str> = entry.changes.iter().map(|change| change.path.as_str()).take(20).collect();
    // The time of the stream record: the same however often it is handled.
    let at = change["ApproximateCreationDateTime"].as_f64().map(|seconds| seconds as i64);
    let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(new.change.at);
    let message = format!("seq {} was changed in place: {}", new.seq, paths.join(", "));
    Ok(Told::Edit(Box::new(AuditEvent {
        model_id: Some(new.spec.id.clone()),
        correlation_id: change["SequenceNumber"].as_str().unwrap_or_default().to_owned(),
        ..AuditEvent::new(EventKind::TableEdited, at, "unknown", "table", message)
    })))
}
