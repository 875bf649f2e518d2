//! Our own documents as a table: a column a key, and JSON in the cells of what is no text.
//!
//! An empty cell is a key that is absent. A text that a spreadsheet would take for a formula, and one that would
//! be taken for something else when it is read, is written as a JSON string.

use roster_core::Model;
use roster_core::document::Document;
use serde_json::{Map, Value};

use crate::{ExchangeError, Imported, Reading, Skipped, pointer, roster};

/// The columns, each with its place in a document and whether it is a text.
const COLUMNS: [(&str, &str, bool); 30] = [
    ("id", "/id", true),
    ("name", "/name", true),
    ("provider", "/provider", true),
    ("aliases", "/aliases", false),
    ("isAvailable", "/isAvailable", false),
    ("isLegacy", "/isLegacy", false),
    ("isArchived", "/isArchived", false),
    ("protected", "/protected", false),
    ("displayName", "/meta/displayName", true),
    ("description", "/meta/description", true),
    ("version", "/meta/version", true),
    ("capabilities", "/meta/capabilities", false),
    ("contextLength", "/meta/contextLength", false),
    ("maxOutputTokens", "/meta/maxOutputTokens", false),
    ("inputCostPerMillionTokens", "/meta/inputCostPerMillionTokens", false),
    ("outputCostPerMillionTokens", "/meta/outputCostPerMillionTokens", false),
    ("prices", "/meta/prices", false),
    ("priceSchedule", "/meta/priceSchedule", false),
    ("creditsPer1kTokens", "/meta/creditsPer1kTokens", false),
    ("requiredTier", "/meta/requiredTier", true),
    ("tierRestrictionMode", "/meta/tierRestrictionMode", true),
    ("allowedTiers", "/meta/allowedTiers", false),
    ("legacyReplacementModelId", "/meta/legacyReplacementModelId", true),
    ("deprecationNotice", "/meta/deprecationNotice", true),
    ("sunsetDate", "/meta/sunsetDate", true),
    ("providerMetadata", "/meta/providerMetadata", false),
    ("internalNotes", "/meta/internalNotes", true),
    ("complianceTags", "/meta/complianceTags", false),
    ("versions", "/versions", false),
    ("rollout", "/rollout", false),
];

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut found = Vec::new();
    for name in &headers {
        let column = COLUMNS.iter().find(|(column, _, _)| *column == name.trim());
        let column = column.ok_or_else(|| format!("unknown column \"{}\"", name.trim()))?;
        if found.contains(column) {
            return Err(format!("the column \"{}\" is there twice", column.0));
        }
        found.push(*column);
    }
    let mut reading = Reading::default();
    for (at, row) in reader.records().enumerate() {
        let place = format!("row {}", at + 1);
        reading.add(match row {
            Ok(row) => imported(&place, &row, &found),
            Err(error) => Err(Skipped::new(&place, "malformed", error.to_string())),
        });
    }
    Ok(reading)
}

fn imported(place: &str, row: &csv::StringRecord, found: &[(&str, &str, bool)]) -> Result<Imported, Skipped> {
    let id = found.iter().position(|(column, _, _)| *column == "id").and_then(|at| row.get(at));
    let key = id.filter(|id| !id.is_empty()).unwrap_or(place);
    let malformed = |reason: String| Skipped::new(key, "malformed", reason);
    if row.len() != found.len() {
        return Err(malformed(format!("has {} cells, but there are {} columns", row.len(), found.len())));
    }
    let mut document = Value::Object(Map::new());
    for ((column, at, is_text), cell) in found.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
        let value = match *is_text && !cell.starts_with('"') {
            true => Value::String(cell.to_owned()),
            false => {
                let read = Document::parse(column, cell.as_bytes());
                let read = read.map_err(|_| malformed(format!("column {column} is no JSON")))?;
                read.value().clone()
            }
        };
        pointer::set(&mut document, at, value);
    }
    roster::document(key, document)
}

pub(crate) fn write(models: &[Model]) -> Result<Vec<u8>, ExchangeError> {
    let mut bytes = Vec::new();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut bytes);
    writer.write_record(COLUMNS.iter().map(|(column, _, _)| column))?;
    for model in models {
        let document = serde_json::to_value(model)?;
        let cells = COLUMNS.iter().map(|(_, at, is_text)| match document.pointer(at) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if *is_text && is_plain(text) => text.clone(),
            Some(value) => value.to_string(),
        });
        writer.write_record(cells)?;
    }
    writer.flush().map_err(csv::Error::from)?;
    drop(writer);
    Ok(bytes)
}

/// Whether a text is read as it is written, by us and by a spreadsheet.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| !"\"=+-@\t\r\n＝＋－＠".contains(first) && !first.is_whitespace())
}
