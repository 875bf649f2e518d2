//! Reviewed JSON files: strict parsing, and the place of every mistake.

use std::fmt;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest catalogue file, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024;
/// The deepest nesting of a catalogue file.
pub const MAX_DEPTH: usize = 32;

/// More mistakes of one file are not looked for: each costs a search of its place.
pub const MAX_PROBLEMS: usize = 100;

/// One mistake in a file: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The file, from the root of the repository; empty when the commit as a whole is meant.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// The place in the document (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What is wrong and what to do, in lower case.
    pub message: String,
}

impl Problem {
    /// A mistake of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, pointer: String::new(), message: message.into() }
    }

    /// What is wrong with a commit as a whole, whatever its files.
    #[must_use]
    pub fn of_commit(message: impl Into<String>) -> Self {
        Self::of_file("", message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
            f.write_str(": ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// A file that is JSON, with its text kept to tell places.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    path: Arc<str>,
    text: Arc<str>,
    value: Value,
}

impl Document {
    /// Reads strict JSON: UTF-8, no comments, no duplicate keys, bounded in size and depth.
    ///
    /// # Errors
    /// Every mistake that can be told apart, with its place.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let whole = |message: String| vec![Problem::of_file(path, message)];
        if bytes.len() as u64 > MAX_BYTES {
            return Err(whole(too_large(bytes.len() as u64)));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(whole(format!("not UTF-8 after byte {}", error.valid_up_to()))),
        };
        if text.starts_with('\u{feff}') {
            return Err(whole("begins with a byte order mark: save the file as UTF-8 without it".to_owned()));
        }
        if let Some(offset) = too_deep(text) {
            let (line, column) = line_and_column(text, offset);
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(vec![Problem { line, column, ..Problem::of_file(path, message) }]);
        }
        let value = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            // serde_json counts columns in bytes.
            let line_text = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
            let column =
                line_text.char_indices().take_while(|(offset, _)| *offset < error.column().saturating_sub(1)).count();
            let problem = Problem::of_file(path, format!("malformed JSON: {message}"));
            vec![Problem { line: error.line(), column: column + 1, ..problem }]
        })?;
        let document = Self { path: path.into(), text: text.into(), value };
        let mut problems = Vec::new();
        if let Some(root) = document.tree() {
            document.check_tree(&root, &mut String::new(), &mut problems);
        }
        if problems.is_empty() { Ok(document) } else { Err(problems) }
    }

    /// The file, from the root of the repository.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The document's value, numbers as they were written.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Takes a key out of an object; mistakes elsewhere keep their places.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.value.as_object_mut().and_then(|object| object.remove(key))
    }

    /// A mistake at a place of this document; where the place does not exist, its nearest parent.
    #[must_use]
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let (line, column) = line_and_column(&self.text, self.offset_of(pointer));
        Problem { file: self.path.to_string(), line, column, pointer: pointer.to_owned(), message: message.into() }
    }

    fn tree(&self) -> Option<ast::Value<'_>> {
        let strict = jsonc_parser::ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        jsonc_parser::parse_to_ast(&self.text, &jsonc_parser::CollectOptions::default(), &strict).ok()?.value
    }

    fn offset_of(&self, pointer: &str) -> usize {
        let Some(root) = self.tree() else { return 0 };
        let mut here = &root;
        let mut offset = root.start();
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let below = match here {
                ast::Value::Object(object) => {
                    let property = object.properties.iter().find(|property| property.name.as_str() == token);
                    property.map(|property| (&property.value, property.name.start()))
                }
                ast::Value::Array(array) => {
                    let item = token.parse().ok().and_then(|at: usize| array.elements.get(at));
                    item.map(|item| (item, item.start()))
                }
                _ => None,
            };
            let Some((value, start)) = below else { break };
            (here, offset) = (value, start);
        }
        offset
    }

    /// Finds what a plain value no longer shows: duplicate keys, and numbers too long to keep.
    fn check_tree(&self, value: &ast::Value<'_>, pointer: &mut String, problems: &mut Vec<Problem>) {
        let at = |offset: usize, pointer: &str, message: String| {
            let (line, column) = line_and_column(&self.text, offset);
            Problem { file: self.path.to_string(), line, column, pointer: pointer.to_owned(), message }
        };
        let length = pointer.len();
        if problems.len() >= MAX_PROBLEMS {
            return;
        }
        match value {
            ast::Value::Object(object) => {
                let mut seen = std::collections::HashSet::new();
                for property in &object.properties {
                    let name = property.name.as_str();
                    pointer.push('/');
                    pointer.push_str(&escape(name));
                    if !seen.insert(name) && problems.len() < MAX_PROBLEMS {
                        let message = format!("duplicate key \"{name}\": keep one of them");
                        problems.push(at(property.name.start(), pointer, message));
                    }
                    self.check_tree(&property.value, pointer, problems);
                    pointer.truncate(length);
                }
            }
            ast::Value::Array(array) => {
                for (index, item) in array.elements.iter().enumerate() {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                    self.check_tree(item, pointer, problems);
                    pointer.truncate(length);
                }
            }
            ast::Value::NumberLit(number) => {
                let digits = number.value.trim_start_matches('-');
                if let Err(error @ crate::decimal::DecimalError::TooManyDigits(_)) = digits.parse::<crate::Exact>() {
                    problems.push(at(number.start(), pointer, error.to_string()));
                }
            }
            _ => {}
        }
    }
}

/// What is said of a file that is too large to read.
#[must_use]
pub fn too_large(bytes: u64) -> String {
    format!("{bytes} bytes, but a catalogue file has at most {MAX_BYTES}")
}

/// A key as a part of a JSON pointer (RFC 6901).
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that [`escape`] made a pointer's token of.
pub(crate) fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Where a text is nested too deep, looked for before any recursive parser sees it.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(offset);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match Document::parse("f.json", text.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_mistake_has_its_place() {
        assert_eq!(problems("{\n  \"a\": 1,\n  \"b\": ]\n}"), ["f.json:3:8: malformed JSON: expected value"]);
        assert_eq!(
            problems("{\"é\":1,\n \"x\": {\"k\":1, \"k\":2},\n \"x\": 0}"),
            [
                "f.json:2:15: /x/k: duplicate key \"k\": keep one of them",
                "f.json:3:2: /x: duplicate key \"x\": keep one of them",
            ]
        );
        assert_eq!(problems("{\"a\": [1e99]}"), ["f.json:1:8: /a/0: more than 28 significant digits: 1e99"]);
        assert_eq!(problems("// no\n{}").len(), 1);
        assert_eq!(problems("{\"a\": 1,}").len(), 1);
        assert_eq!(problems("").len(), 1);
        assert_eq!(problems("\u{feff}{}").len(), 1);
    }

    #[test]
    fn bounded_in_size_and_depth() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(problems(&deep), ["f.json:1:33: nested deeper than 32 levels"]);
        assert!(problems(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_empty());
        assert!(problems("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]").is_empty());
        let large = format!("\"{}\"", "x".repeat(300_000));
        assert_eq!(problems(&large), ["f.json: 300002 bytes, but a catalogue file has at most 262144"]);
        assert_eq!(Document::parse("f.json", b"\"\xff\"").unwrap_err()[0].message, "not UTF-8 after byte 1");
    }

    #[test]
    fn a_place_that_is_absent_is_told_by_its_parent() {
        let document = Document::parse("f.json", b"{\n  \"meta\": {\n    \"a/b\": 1 }\n}").unwrap();
        assert_eq!(document.problem("/meta/a~1b", "x").to_string(), "f.json:3:5: /meta/a~1b: x");
        assert_eq!(document.problem("/meta/none", "x").to_string(), "f.json:2:3: /meta/none: x");
        assert_eq!(document.problem("", "x").to_string(), "f.json:1:1: x");
    }
}
