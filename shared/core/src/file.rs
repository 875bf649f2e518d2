//! A model as a file of the catalogue: its place, and the layout that the others have.

use std::io;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::model::Model;

/// The file of a model, from the root of a repository. An id that begins with the provider does not repeat it.
#[must_use]
pub fn path(model: &Model) -> String {
    let (id, provider) = (&model.id, &model.provider);
    match id.as_str().strip_prefix(provider.as_str()).is_some_and(|rest| rest.starts_with('/')) {
        true => format!("catalog/models/{id}.json"),
        false => format!("catalog/models/{provider}/{id}.json"),
    }
}

/// What a model's file at a path says, in the layout of the others.
///
/// # Errors
/// Whatever `serde_json` says when the model cannot be written as JSON.
pub fn text(model: &Model, path: &str) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct File<'a> {
        #[serde(rename = "$schema")]
        schema: String,
        #[serde(flatten)]
        model: &'a Model,
    }
    let above = "../".repeat(path.matches('/').count().saturating_sub(1));
    let file = File { schema: format!("{above}schema/model.schema.json"), model };
    let mut bytes = Vec::new();
    file.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Layout::default()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// What a model's file says after a change of the model: every value that need not change stays as it was
/// written, in the order of the file; an object in which something changes has the layout of the others.
///
/// # Errors
/// Whatever `serde_json` says when a model cannot be written as JSON.
pub fn updated(there: &str, before: &Model, after: &Model, path: &str) -> Result<String, serde_json::Error> {
    let (before, after) = (text(before, path)?, text(after, path)?);
    fn parse(text: &str) -> Option<ast::Value<'_>> {
        jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default()).ok()?.value
    }
    let (Some(old), Some(plain), Some(new)) = (parse(there), parse(&before), parse(&after)) else { return Ok(after) };
    let mut written = Laid { there, before: &before, after: &after }.node(&old, Some(&plain), &new, 0);
    written.push('\n');
    Ok(written)
}

/// A file as it is, the layout of what it says, and the layout of what it shall say.
struct Laid<'a> {
    there: &'a str,
    before: &'a str,
    after: &'a str,
}

impl Laid<'_> {
    fn node(&self, old: &ast::Value<'_>, plain: Option<&ast::Value<'_>>, new: &ast::Value<'_>, depth: usize) -> String {
        let wanted = new.text(self.after);
        match (old, plain, new) {
            _ if plain.is_some_and(|plain| plain.text(self.before) == wanted) => old.text(self.there).to_owned(),
            (ast::Value::Object(old), Some(ast::Value::Object(plain)), ast::Value::Object(new)) => {
                self.object(old, plain, new, depth)
            }
            _ => wanted.to_owned(),
        }
    }

    /// The keys in the order that the file has; new ones behind the one that is before them in the layout.
    fn object(&self, old: &ast::Object<'_>, plain: &ast::Object<'_>, new: &ast::Object<'_>, depth: usize) -> String {
        fn find<'o, 't>(object: &'o ast::Object<'t>, key: &str) -> Option<&'o ast::Value<'t>> {
            object.properties.iter().find(|property| property.name.as_str() == key).map(|property| &property.value)
        }
        let mut lines: Vec<(&str, String)> = Vec::new();
        for property in &old.properties {
            let key = property.name.as_str();
            match (find(plain, key), find(new, key)) {
                (before, Some(value)) => lines.push((key, self.node(&property.value, before, value, depth + 1))),
                // The layout leaves out what says nothing; the file may say it.
                (None, None) => lines.push((key, property.value.text(self.there).to_owned())),
                (Some(_), None) => {}
            }
        }
        let mut at = 0;
        for property in &new.properties {
            let key = property.name.as_str();
            match lines.iter().position(|(other, _)| *other == key) {
                Some(found) => at = found + 1,
                None => {
                    lines.insert(at, (key, property.value.text(self.after).to_owned()));
                    at += 1;
                }
            }
        }
        let (indent, end) = ("  ".repeat(depth + 1), "  ".repeat(depth));
        let lines = lines.iter().map(|(key, value)| format!("{indent}{}: {value}", serde_json::Value::from(*key)));
        match lines.collect::<Vec<_>>() {
            lines if lines.is_empty() => "{}".to_owned(),
            lines => format!("{{\n{}\n{end}}}", lines.join(",\n")),
        }
    }
}

/// Objects take a line a key; arrays, and all that is in them, take one line.
#[derive(Default)]
struct Layout {
    depth: usize,
    arrays: usize,
    is_empty: bool,
}

impl Layout {
    fn new_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays -= 1;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        match (std::mem::take(&mut self.is_empty), self.arrays) {
            (true, _) => {}
            (false, 0) => self.new_line(writer)?,
            (false, _) => writer.write_all(b" ")?,
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.arrays == 0 { self.new_line(writer) } else { writer.write_all(b" ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.is_empty = false;
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "schema")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::validate::read_model;

    /// The lines of a file in any order: free metadata is sorted when it is written.
    fn lines(text: &str) -> Vec<&str> {
        let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(',')).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn the_layout_is_that_of_the_catalogue() {
        let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
        for name in [
            "openai/gpt-5",
            "openai/gpt-image-2",
            "groq/openai/gpt-oss-20b",
            "groq/whisper-large-v3",
            "alibaba/qwen3-max",
        ] {
            let bytes = std::fs::read(catalog.join("models").join(name).with_added_extension("json")).unwrap();
            let model = read_model(&format!("catalog/models/{name}.json"), &bytes).unwrap().model;
            assert_eq!(path(&model), format!("catalog/models/{name}.json"));
            let written = text(&model, &path(&model)).unwrap();
            assert_eq!(lines(&written), lines(std::str::from_utf8(&bytes).unwrap()), "{name}");
            assert_eq!(read_model(&path(&model), written.as_bytes()).unwrap().model, model);
        }
    }

    /// Of every file, a change of a price changes the line of the price.
    #[test]
    fn a_small_change_of_a_model_is_a_small_change_of_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for path in ["catalog/models/openai/gpt-5.json", "catalog/models/groq/whisper-large-v3.json"] {
            let there = std::fs::read_to_string(root.join(path)).unwrap();
            let before = read_model(path, there.as_bytes()).unwrap().model;
            assert_eq!(updated(&there, &before, &before, path).unwrap(), there);
            let mut after = before.clone();
            after.meta.output_cost_per_million_tokens = "12.5".parse().ok();
            after.meta.provider_metadata.insert("zeta".to_owned(), serde_json::json!({"a": 1}));
            after.meta.description.clear();
            let written = updated(&there, &before, &after, path).unwrap();
            assert_eq!(read_model(path, written.as_bytes()).unwrap().model, after);
            let gone: Vec<&str> = there.lines().filter(|line| !written.lines().any(|other| other == *line)).collect();
            assert!(gone.len() <= 3, "description, price, and the line that gets a comma: {gone:?}");
            let odd = there.replacen("\"name\":", "\"protected\":   false,\n \"name\" :", 1);
            let written = updated(&odd, &before, &after, path).unwrap();
            assert!(written.contains("\"protected\": false"), "{written}");
            assert_eq!(read_model(path, written.as_bytes()).unwrap().model, after);
        }
    }

    #[test]
    fn free_metadata_keeps_its_shape() {
        let path = "catalog/models/openai/gpt-5.json";
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap();
        let mut model = read_model(path, &bytes).unwrap().model;
        let free = serde_json::json!({"a": {}, "b": [], "c": [{"k": 1, "l": {}}, [2]], "d": {"e": {}}});
        model.meta.provider_metadata = free.as_object().unwrap().clone();
        let expected = "\
    \"providerMetadata\": {
      \"a\": {},
      \"b\": [],
      \"c\": [{ \"k\": 1, \"l\": {} }, [2]],
      \"d\": {
        \"e\": {}
      }
    }
  }
}
";
        let text = text(&model, path).unwrap();
        assert!(text.ends_with(expected), "{text}");
    }
}
