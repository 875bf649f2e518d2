//! The old table: its rows as cells, whatever the form of its file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clap::ValueEnum;
use roster_core::document::MAX_DEPTH;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::output::counted;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An array of objects, an object with one such array, or JSON Lines.
    Json,
    /// RFC 4180, with a header row.
    Csv,
}

/// An old table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The rows that could be read.
    pub(crate) rows: Vec<Row>,
    /// The rows that could not: number, line, and why.
    pub(crate) broken: Vec<(usize, usize, String)>,
    /// What the file says besides its rows.
    pub(crate) notes: Vec<String>,
}

/// One row: a model.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The row's number, from 1; a header does not count.
    pub(crate) number: usize,
    /// The line of the file where the row begins, from 1.
    pub(crate) line: usize,
    /// The values that are there, by column.
    pub(crate) cells: BTreeMap<String, Value>,
}

/// Whether a text stands for no value.
pub(crate) fn is_absent(text: &str) -> bool {
    matches!(text.trim(), "" | "null" | "NULL" | "\\N")
}

/// Reads a table; `name` is the file's, for messages.
pub(crate) fn read(name: &str, bytes: &[u8], format: Option<Format>) -> Result<Table, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        format!("{name}:{line}: not UTF-8: export the table as UTF-8")
    })?;
    // Spreadsheets begin their exports with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = match format.unwrap_or_else(|| guess(name, text)) {
        Format::Json => json(name, text)?,
        Format::Csv => csv(name, text)?,
    };
    if table.rows.is_empty() && table.broken.is_empty() {
        return Err(format!("{name}: holds no rows"));
    }
    Ok(table)
}

fn guess(name: &str, text: &str) -> Format {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("csv") => Format::Csv,
        Some("json" | "jsonl" | "ndjson") => Format::Json,
        _ if text.trim_start().starts_with(['{', '[']) => Format::Json,
        _ => Format::Csv,
    }
}

fn json(name: &str, text: &str) -> Result<Table, String> {
    let malformed = |error: serde_json::Error| format!("{name}: malformed JSON: {error}");
    let values: Vec<&RawValue> =
        serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().map_err(malformed)?;
    let mut table = Table::default();
    let rows = match values.as_slice() {
        [only] if is_array(only) => serde_json::from_str(only.get()).map_err(malformed)?,
        [only] if is_object(only) => envelope(name, only, &mut table.notes)?.unwrap_or(values),
        _ => values,
    };
    let mut lines = Lines::of(text);
    for (at, raw) in rows.into_iter().enumerate() {
        let line = lines.line(raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr()));
        match row(raw) {
            Ok(cells) => table.rows.push(Row { number: at + 1, line, cells }),
            Err(message) => table.broken.push((at + 1, line, message)),
        }
    }
    Ok(table)
}

fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// The rows of an object around them; `None` when the object is a row itself.
fn envelope<'a>(name: &str, raw: &'a RawValue, notes: &mut Vec<String>) -> Result<Option<Vec<&'a RawValue>>, String> {
    let members = members(raw).map_err(|error| format!("{name}: malformed JSON: {error}"))?;
    if members.iter().any(|(key, _)| key == "id" || key == "model_id") {
        return Ok(None);
    }
    let (arrays, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|(_, value)| is_array(value));
    let [(_, rows)] = arrays.as_slice() else {
        let found = counted(arrays.len(), "array");
        return Err(format!("{name}: an object with {found}, but the rows are expected in exactly one"));
    };
    notes.extend(others.iter().map(|(key, _)| format!("{name}: key {key:?} stands beside the rows and is left out")));
    serde_json::from_str(rows.get()).map(Some).map_err(|error| format!("{name}: malformed JSON: {error}"))
}

fn row(raw: &RawValue) -> Result<BTreeMap<String, Value>, String> {
    if !is_object(raw) {
        return Err(format!("expected an object with a key for each column, found {}", shorten(raw.get())));
    }
    let Value::Object(cells) = value(raw, 1)? else { return Ok(BTreeMap::new()) };
    Ok(cells.into_iter().filter(|(_, value)| !value.is_null() && !value.as_str().is_some_and(is_absent)).collect())
}

/// A value with its numbers as they were written. A key that is there twice would lose a value, and is refused.
fn value(raw: &RawValue, depth: usize) -> Result<Value, String> {
    let malformed = |error: serde_json::Error| format!("malformed JSON: {error}");
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    if is_object(raw) {
        let mut map = serde_json::Map::new();
        for (key, member) in members(raw).map_err(malformed)? {
            let member = value(member, depth + 1)?;
            if map.contains_key(&key) {
                return Err(format!("key {key:?} is there twice: keep one of them"));
            }
            map.insert(key, member);
        }
        return Ok(Value::Object(map));
    }
    if is_array(raw) {
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(malformed)?;
        return items.into_iter().map(|item| value(item, depth + 1)).collect::<Result<_, _>>().map(Value::Array);
    }
    serde_json::from_str(raw.get()).map_err(malformed)
}

/// An object's keys and values in the file's order, repeated keys too.
fn members(raw: &RawValue) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    serde_json::from_str::<Members<'_>>(raw.get()).map(|members| members.0)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn csv(name: &str, text: &str) -> Result<Table, String> {
    if let Some((line, message)) = quoting_mistake(text) {
        return Err(format!("{name}:{line}: {message}"));
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| format!("{name}: {error}"))?;
    let columns: Vec<String> = header.iter().map(|column| column.trim().to_owned()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(*column)) {
        return Err(format!("{name}:1: column {twice:?} is there twice: rename one of them"));
    }
    let mut table = Table::default();
    let mut lines = Lines::of(text);
    for (at, record) in reader.into_records().enumerate() {
        match record {
            Ok(record) => {
                let line = lines.line_of_record(record.position());
                let cells = columns.iter().cloned().zip(&record).filter(|(_, text)| !is_absent(text));
                let cells = cells.map(|(column, text)| (column, text.into())).collect();
                table.rows.push(Row { number: at + 1, line, cells });
            }
            Err(error) => match error.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = lines.line_of_record(pos.as_ref());
                    let fields = counted(len, "field");
                    table.broken.push((at + 1, line, format!("has {fields}, but the header has {expected_len}")));
                }
                _ => return Err(format!("{name}: {error}")),
            },
        }
    }
    Ok(table)
}

/// Tells the lines of rising offsets.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    fn line(&mut self, offset: usize) -> usize {
        self.line += self.text.get(self.offset..offset).unwrap_or_default().matches('\n').count();
        self.offset = offset;
        self.line
    }

    /// The line of a CSV record, whose position is before the blank lines that lead to it.
    fn line_of_record(&mut self, position: Option<&csv::Position>) -> usize {
        let offset = position.map_or(self.offset, |position| position.byte().try_into().unwrap_or(self.offset));
        let rest = self.text.get(offset..).unwrap_or_default();
        self.line(offset + rest.len() - rest.trim_start_matches(['\r', '\n']).len())
    }
}

/// The first break of RFC 4180's rules for quotation marks, which the reader would pass over in silence.
fn quoting_mistake(text: &str) -> Option<(usize, &'static str)> {
    enum At {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let (mut at, mut line, mut opened) = (At::Start, 1, 1);
    for byte in text.bytes() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) | (At::Closed, b'"') => At::Quoted,
            (At::Start, b'"') => {
                opened = line;
                At::Quoted
            }
            (_, b',' | b'\r' | b'\n') => At::Start,
            (At::Plain, b'"') => {
                return Some((
                    line,
                    "a quotation mark inside a field that is not quoted: quote the field and double the mark",
                ));
            }
            (At::Closed, _) => {
                return Some((line, "text after a closing quotation mark: double the marks inside a field"));
            }
            _ => At::Plain,
        };
        line += usize::from(byte == b'\n');
    }
    matches!(at, At::Quoted).then_some((opened, "a quotation mark that is never closed"))
}

/// A value for a message: in one line, and not too long.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    bounded(text, 120)
}

/// A text of at most so many characters, in one line.
pub(crate) fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        read("t", text.as_bytes(), None).unwrap()
    }

    fn error(name: &str, text: &str) -> String {
        read(name, text.as_bytes(), None).unwrap_err()
    }

    #[test]
    fn every_form_of_json_holds_the_same_rows() {
        for text in [
            "[\n{\"id\":\"a\",\"n\":1.50},\n{\"id\":\"b\"}]",
            "{\"models\":\n[{\"id\":\"a\",\"n\":1.50},\n{\"id\":\"b\"}]}",
            "\n{\"id\":\"a\",\"n\":1.50}\n{\"id\":\"b\"}\n",
        ] {
            let table = table(text);
            assert_eq!(table.rows.iter().map(|row| (row.number, row.line)).collect::<Vec<_>>(), [(1, 2), (2, 3)]);
            assert_eq!(table.rows[0].cells["n"].to_string(), "1.50", "digit for digit");
        }
        let one = table("{\"id\": \"a\", \"capabilities\": [\"text\"]}");
        assert_eq!(one.rows.len(), 1, "one line of JSON Lines is no envelope");
        let beside = table("{\"total\": 1, \"rows\": [{\"id\": \"a\"}]}");
        assert_eq!(beside.notes, ["t: key \"total\" stands beside the rows and is left out"]);
    }

    #[test]
    fn a_row_that_would_lose_a_value_is_broken() {
        let table = table("[{\"id\":1,\"id\":2},\n7,{\"x\":{\"k\":1,\"k\":2}},{\"id\":\"a\"}]");
        assert_eq!(table.rows.len(), 1);
        let said: Vec<String> = table.broken.iter().map(|(row, line, why)| format!("{row}:{line}: {why}")).collect();
        assert_eq!(
            said,
            [
                "1:1: key \"id\" is there twice: keep one of them",
                "2:2: expected an object with a key for each column, found 7",
                "3:2: key \"k\" is there twice: keep one of them",
            ]
        );
        let deep = format!("[{{\"id\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read("t", deep.as_bytes(), None).unwrap().broken[0].2, "nested deeper than 32 levels");
    }

    #[test]
    fn records_know_their_lines() {
        let table = table("\u{feff}id, b\n\n\"x\ny\",1\r\n\r\nz,\"say \"\"hi\"\"\"\r\nw,2,3\nq,\\N\n");
        assert_eq!(table.rows.iter().map(|row| (row.number, row.line)).collect::<Vec<_>>(), [(1, 3), (2, 6), (4, 8)]);
        assert_eq!(table.broken, [(3, 7, "has 3 fields, but the header has 2".to_owned())]);
        assert_eq!((&table.rows[0].cells["id"], &table.rows[1].cells["b"]), (&"x\ny".into(), &"say \"hi\"".into()));
        assert!(!table.rows[2].cells.contains_key("b"));
    }

    #[test]
    fn what_is_no_table_says_where() {
        assert_eq!(error("t.csv", "id,b\n1,\"x\n\n"), "t.csv:2: a quotation mark that is never closed");
        assert!(error("t.csv", "id\n5\" screen\n").starts_with("t.csv:2: a quotation mark inside a field"));
        assert!(error("t.csv", "id\n\"a\"b\n").starts_with("t.csv:2: text after a closing quotation mark"));
        assert_eq!(error("t.csv", "id, id\n1,2"), "t.csv:1: column \"id\" is there twice: rename one of them");
        assert_eq!(error("t.json", "[{]"), "t.json: malformed JSON: key must be a string at line 1 column 3");
        assert!(error("t.json", "{\"a\":[],\"b\":[]}").contains("2 arrays"));
        for (name, text) in [("t.csv", ""), ("t.csv", "id\n"), ("t.json", ""), ("t.json", "[]")] {
            assert_eq!(error(name, text), format!("{name}: holds no rows"));
        }
        assert!(read("t", b"id\n\xff", None).unwrap_err().starts_with("t:2: not UTF-8"));
    }
}
