//! Our own documents: what `roster snapshot` prints, too.

use roster_core::Model;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{Imported, Reading, Skipped, entries, whole};

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, serde_json::Error> {
    // Repeated keys are found in what was written, so the entries are read from their text.
    #[derive(Deserialize)]
    struct Under {
        models: Vec<Box<RawValue>>,
    }
    let models = match serde_json::from_slice::<Vec<Box<RawValue>>>(bytes) {
        Ok(models) => models,
        Err(_) => serde_json::from_slice::<Under>(bytes)?.models,
    };
    let mut reading = Reading::default();
    for (at, raw) in models.iter().enumerate() {
        reading.add(imported(at, raw));
    }
    Ok(reading)
}

fn imported(at: usize, raw: &RawValue) -> Result<Imported, Skipped> {
    let place = format!("models/{at}");
    let mut map = entries::object(&place, raw).map_err(|reason| Skipped::new(&place, "malformed", reason))?;
    map.remove("$schema");
    let key = map.get("id").and_then(Value::as_str).unwrap_or(&place).to_owned();
    document(&key, Value::Object(map))
}

/// An entry that is a document of ours.
pub(crate) fn document(key: &str, document: Value) -> Result<Imported, Skipped> {
    let invalid = |error: serde_json::Error| Skipped::new(key, "malformed", format!("is no model: {error}"));
    let model: Model = serde_json::from_value(document).map_err(invalid)?;
    whole(key, &model).map_err(invalid)
}

pub(crate) fn write(models: &[Model]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(&json!({"models": models}))?;
    bytes.push(b'\n');
    Ok(bytes)
}
