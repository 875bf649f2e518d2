//! Forms of documents, made from the published JSON Schema: a field for each key, named by its JSON pointer, and back.

use std::fmt;
use std::sync::LazyLock;

use askama::Template;
use roster_core::document::escape;
use roster_core::schema;
use roster_http::Request;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::api::Mistake;
use super::page::Failure;

/// The longest form: a document of the longest kind, and what encodes it.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most rows of a list: more than any model has.
const MAX_ROWS: usize = 200;

/// The published schema of a model; beside the `properties` of each object is their `order`.
static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str::<Ordered>(schema::MODEL).map(|ordered| ordered.0).unwrap_or_default());

/// A JSON document, and the names of its keys in order.
struct Ordered(Value, Vec<String>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Ordered;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of JSON Schema")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let (mut object, mut names) = (Map::new(), Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    let raw: &RawValue = map.next_value()?;
                    // What is no object has no keys.
                    let value = match serde_json::from_str::<Ordered>(raw.get()) {
                        Ok(Ordered(value, order)) => {
                            if name == "properties" {
                                object.insert("order".to_owned(), order.into());
                            }
                            value
                        }
                        Err(_) => serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?,
                    };
                    object.insert(name.clone(), value);
                    names.push(name);
                }
                Ok(Ordered(Value::Object(object), names))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// What a form sent.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The fields of a request's body.
    ///
    /// # Errors
    /// [`Failure::Form`] when there are none.
    pub(crate) fn read(request: &Request) -> Result<Self, Failure> {
        let kind = request.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(Failure::Form("it is not application/x-www-form-urlencoded: send the page's own form"));
        }
        if request.body.len() > MAX_BYTES {
            return Err(Failure::Form("it is longer than 4 MiB: send less at once"));
        }
        Ok(Self(form_urlencoded::parse(&request.body).into_owned().collect()))
    }

    /// The first value of a field; empty without one.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }
}

/// A field of a form.
#[derive(Template)]
#[template(path = "field.html")]
pub(crate) struct Field {
    /// Its place in the document (RFC 6901), which is its name.
    pointer: String,
    /// The same as an id in the page.
    id: String,
    label: String,
    help: String,
    is_required: bool,
    kind: Kind,
    mistakes: Vec<String>,
}

enum Kind {
    /// Fixed where it names what is edited.
    Text {
        value: String,
        is_long: bool,
        is_fixed: bool,
    },
    Number {
        value: String,
    },
    Flag {
        is_on: bool,
    },
    Choice {
        options: Vec<(String, bool)>,
    },
    Many {
        options: Vec<(String, bool)>,
    },
    Lines {
        value: String,
    },
    Json {
        value: String,
    },
    Group {
        fields: Vec<Field>,
        is_open: bool,
    },
    Rows {
        rows: Vec<Field>,
        count: usize,
    },
}

/// The fields of a model, with what its keys hold now and what is wrong with them. Lists whose pointers are in `longer`
/// get one more row; the id of a known model stays.
pub(crate) fn fields(document: &Value, mistakes: &[Mistake], longer: &[&str], is_known: bool) -> Vec<Field> {
    let making = Making { mistakes, longer, is_known };
    making.keys(&SCHEMA, "", Some(document))
}

/// The fields that are wrong, each with its id in the page and what is wrong with it.
pub(crate) fn wrong(fields: &[Field]) -> Vec<(String, String)> {
    let of = |field: &Field| {
        let own = field.mistakes.iter().map(|mistake| (field.id.clone(), format!("{}: {mistake}", field.label)));
        own.chain(wrong(field.inner())).collect::<Vec<_>>()
    };
    fields.iter().flat_map(of).collect()
}

/// The values that a definition of the schema allows.
pub(crate) fn choices(definition: &str) -> Vec<String> {
    names(&SCHEMA["$defs"][definition]).unwrap_or_default()
}

/// Mistakes that no field is the place of.
pub(crate) fn elsewhere(mistakes: &[Mistake]) -> Vec<String> {
    let keys = SCHEMA["properties"].as_object();
    let has_field = |pointer: &str| {
        let key = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
        key == "reason" || key != "$schema" && keys.is_some_and(|keys| keys.contains_key(key))
    };
    mistakes.iter().filter(|mistake| !has_field(&mistake.pointer)).map(|mistake| mistake.detail.clone()).collect()
}

/// What a key is by its schema.
enum Shape {
    Text { is_long: bool },
    Number,
    Flag,
    Choice(Vec<String>),
    Many(Vec<String>),
    Lines,
    Json,
    Group,
    Rows,
}

/// A schema with what it refers to put in its place: its own words go before.
fn resolved(schema: &Value) -> Value {
    let Some(target) = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) else { return schema.clone() };
    let mut whole = SCHEMA.pointer(target).cloned().unwrap_or_default();
    if let (Some(whole), Some(own)) = (whole.as_object_mut(), schema.as_object()) {
        let own = own.iter().filter(|(key, _)| *key != "$ref");
        whole.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    }
    whole
}

fn names(schema: &Value) -> Option<Vec<String>> {
    let names = schema["enum"].as_array()?.iter();
    Some(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn shape(schema: &Value) -> Shape {
    if let Some(names) = names(schema) {
        return Shape::Choice(names);
    }
    let is = |name: &str| match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    if is("boolean") {
        Shape::Flag
    } else if is("number") || is("integer") {
        Shape::Number
    } else if is("array") {
        let items = resolved(&schema["items"]);
        match (names(&items), &items["properties"]) {
            (Some(names), _) => Shape::Many(names),
            (None, Value::Object(_)) => Shape::Rows,
            _ => Shape::Lines,
        }
    } else if is("object") {
        if schema["properties"].is_object() { Shape::Group } else { Shape::Json }
    } else {
        Shape::Text { is_long: schema["maxLength"].as_u64().is_some_and(|most| most >= 1000) }
    }
}

/// The keys of an object's schema, the reference to a schema of its own apart.
fn keys(schema: &Value) -> impl Iterator<Item = (&str, &Value, bool)> {
    let required = schema["required"].as_array();
    let is_required = move |key: &str| required.is_some_and(|required| required.iter().any(|name| name == key));
    let order = schema["order"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let order = order.filter(|key| *key != "$schema");
    order.map(move |key| (key, &schema["properties"][key], is_required(key)))
}

struct Making<'m> {
    mistakes: &'m [Mistake],
    longer: &'m [&'m str],
    /// Whether the model is there already: then its id stays.
    is_known: bool,
}

impl Making<'_> {
    fn keys(&self, schema: &Value, pointer: &str, value: Option<&Value>) -> Vec<Field> {
        let fields = keys(schema).map(|(key, schema, is_required)| {
            let value = value.and_then(|value| value.get(key));
            self.field(&resolved(schema), format!("{pointer}/{}", escape(key)), value, is_required)
        });
        fields.collect()
    }

    fn field(&self, schema: &Value, pointer: String, value: Option<&Value>, is_required: bool) -> Field {
        let text = || match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let chosen = |names: Vec<String>| {
            let has = |name: &String| match value {
                Some(Value::Array(several)) => several.iter().any(|one| one == name),
                Some(one) => one == name,
                None => false,
            };
            names.into_iter().map(|name| (name.clone(), has(&name))).collect::<Vec<_>>()
        };
        let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let own = |mistake: &&Mistake| match mistake.pointer.strip_prefix(&*pointer) {
            Some("") => true,
            // What is wrong with a key that has no field is told where it is.
            Some(below) => below.starts_with('/') && !has_field(schema, below),
            None => false,
        };
        let mistakes: Vec<String> = self.mistakes.iter().filter(own).map(|mistake| mistake.detail.clone()).collect();
        let kind = match shape(schema) {
            Shape::Text { is_long } => {
                Kind::Text { value: text(), is_long, is_fixed: self.is_known && pointer == "/id" }
            }
            Shape::Number => Kind::Number { value: text() },
            Shape::Flag => Kind::Flag { is_on: value == Some(&Value::Bool(true)) },
            Shape::Choice(names) => Kind::Choice { options: chosen(names) },
            Shape::Many(names) => Kind::Many { options: chosen(names) },
            Shape::Lines => {
                let lines = list.iter().map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned));
                Kind::Lines { value: lines.collect::<Vec<_>>().join("\n") }
            }
            Shape::Json => {
                let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
                Kind::Json {
                    value: value
                        .map(|value| value.as_str().map_or_else(|| pretty(value), str::to_owned))
                        .unwrap_or_default(),
                }
            }
            Shape::Group => {
                let fields = self.keys(schema, &pointer, value);
                let is_open = is_required || fields.iter().any(Field::is_wrong);
                Kind::Group { fields, is_open }
            }
            Shape::Rows => {
                let items = resolved(&schema["items"]);
                let count = (list.len() + usize::from(self.longer.contains(&&*pointer))).min(MAX_ROWS);
                let row = |at: usize| {
                    let fields = self.keys(&items, &format!("{pointer}/{at}"), list.get(at));
                    let is_open = at >= list.len() || fields.iter().any(Field::is_wrong);
                    let title = items["title"].as_str().unwrap_or_default();
                    let named = ["version", "from", "aboveTokens", "weightPercent"].iter();
                    let name = named.filter_map(|key| list.get(at)?.get(key)).next();
                    let name = name.map(super::show::value).unwrap_or_else(|| (at + 1).to_string());
                    let pointer = format!("{pointer}/{at}");
                    let mistakes = self.mistakes.iter().filter(|mistake| mistake.pointer == pointer);
                    Field {
                        id: id(&pointer),
                        label: format!("{title} {name}"),
                        help: String::new(),
                        is_required: false,
                        kind: Kind::Group { fields, is_open },
                        mistakes: mistakes.map(|mistake| mistake.detail.clone()).collect(),
                        pointer,
                    }
                };
                Kind::Rows { rows: (0..count).map(row).collect(), count }
            }
        };
        let words = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        Field {
            id: id(&pointer),
            pointer,
            label: words("title"),
            help: words("description"),
            is_required,
            kind,
            mistakes,
        }
    }
}

impl Field {
    /// The fields in it.
    fn inner(&self) -> &[Self] {
        match &self.kind {
            Kind::Group { fields, .. } | Kind::Rows { rows: fields, .. } => fields,
            _ => &[],
        }
    }

    fn is_wrong(&self) -> bool {
        !self.mistakes.is_empty() || self.inner().iter().any(Self::is_wrong)
    }

    /// What describes it to who hears the page.
    fn described_by(&self) -> String {
        let mistakes = if self.mistakes.is_empty() { String::new() } else { format!("{}-mistakes ", self.id) };
        format!("{mistakes}{}-help", self.id)
    }
}

fn has_field(schema: &Value, below: &str) -> bool {
    let key = below.trim_start_matches('/').split('/').next().unwrap_or_default();
    match shape(schema) {
        Shape::Group => keys(schema).any(|(name, ..)| name == key),
        Shape::Rows => true,
        _ => false,
    }
}

/// A pointer as an id: letters, digits and dashes.
fn id(pointer: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("field{}", pointer.chars().map(word).collect::<String>())
}

/// The document that a form of [`fields`] describes. What it leaves empty and the base has not is left out; a text that
/// is no number stays a text, for the schema to refuse.
pub(crate) fn document(form: &Form, base: &Value) -> Value {
    Value::Object(object(&SCHEMA, "", form, Some(base)))
}

fn object(schema: &Value, pointer: &str, form: &Form, base: Option<&Value>) -> Map<String, Value> {
    let values = keys(schema).filter_map(|(key, schema, is_required)| {
        let base = base.and_then(|base| base.get(key));
        let pointer = format!("{pointer}/{}", escape(key));
        Some((key.to_owned(), value(&resolved(schema), &pointer, form, base, is_required)?))
    });
    values.collect()
}

fn value(schema: &Value, pointer: &str, form: &Form, base: Option<&Value>, is_required: bool) -> Option<Value> {
    let takes_null = schema["type"].as_array().is_some_and(|several| several.iter().any(|one| one == "null"));
    // Nothing was written: as unknown as it may be, and as it was.
    let nothing = || match () {
        () if takes_null && (is_required || base == Some(&Value::Null)) => Some(Value::Null),
        () if base.and_then(Value::as_str) == Some("") => Some(Value::String(String::new())),
        () => None,
    };
    let text = form.get(pointer).replace("\r\n", "\n");
    match shape(schema) {
        Shape::Flag => {
            let is_on = form.has(pointer);
            (is_on || is_required || base.is_some()).then_some(Value::Bool(is_on))
        }
        Shape::Text { .. } | Shape::Choice(_) => {
            if text.trim().is_empty() {
                nothing()
            } else {
                Some(Value::String(text))
            }
        }
        Shape::Number => match text.trim() {
            "" => nothing(),
            written => {
                let number = serde_json::from_str(written).ok().filter(Value::is_number);
                Some(number.unwrap_or_else(|| Value::String(written.to_owned())))
            }
        },
        Shape::Many(names) => {
            let chosen = form.all(pointer);
            let had: Vec<&str> =
                base.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            // What was there keeps its order.
            let kept = had.iter().copied().filter(|name| chosen.contains(name));
            let new = names.iter().map(String::as_str).filter(|name| chosen.contains(name) && !had.contains(name));
            let all: Vec<Value> = kept.chain(new).map(Value::from).collect();
            (!all.is_empty() || is_required || base.is_some()).then_some(Value::Array(all))
        }
        Shape::Lines => {
            let lines: Vec<Value> =
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect();
            (!lines.is_empty() || is_required || base.is_some()).then_some(Value::Array(lines))
        }
        Shape::Json => match text.trim() {
            "" => None,
            written => Some(serde_json::from_str(written).unwrap_or_else(|_| Value::String(written.to_owned()))),
        },
        Shape::Group => {
            let object = object(schema, pointer, form, base);
            match is_blank(&object) && !is_required && !base.is_some_and(Value::is_object) {
                true => nothing(),
                false => Some(Value::Object(object)),
            }
        }
        Shape::Rows => {
            let items = resolved(&schema["items"]);
            let count = form.get(&format!("rows:{pointer}")).parse().unwrap_or(0_usize).min(MAX_ROWS);
            let row = |at: usize| {
                let pointer = format!("{pointer}/{at}");
                let base = base.and_then(|base| base.get(at));
                let row = object(&items, &pointer, form, base);
                (!is_blank(&row) && !form.has(&format!("remove:{pointer}"))).then_some(Value::Object(row))
            };
            let rows: Vec<Value> = (0..count).filter_map(row).collect();
            (!rows.is_empty() || is_required || base.is_some()).then_some(Value::Array(rows))
        }
    }
}

/// Whether nothing was written into the fields of an object: what it has is what an untouched form sends.
fn is_blank(object: &Map<String, Value>) -> bool {
    let is_blank = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    object.values().all(is_blank)
}

/// The merge patch (RFC 7396) from one document to another.
pub(crate) fn patch(old: &Value, new: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return new.clone() };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value)).map(|(key, value)| {
        let patch = before.get(key).map_or_else(|| value.clone(), |old| self::patch(old, value));
        (key.clone(), patch)
    });
    Value::Object(gone.chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a browser sends of these fields, untouched.
    fn sent(fields: &[Field]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for field in fields {
            let mut send = |value: &str| all.push((field.pointer.clone(), value.to_owned()));
            match &field.kind {
                Kind::Text { value, .. } | Kind::Number { value } | Kind::Lines { value } | Kind::Json { value } => {
                    send(value);
                }
                Kind::Flag { is_on: true } => send("on"),
                Kind::Flag { is_on: false } => {}
                Kind::Choice { options } => {
                    send(options.iter().find(|(_, is_on)| *is_on).map_or("", |(name, _)| name.as_str()));
                }
                Kind::Many { options } => options.iter().filter(|(_, is_on)| *is_on).for_each(|(name, _)| send(name)),
                Kind::Group { fields, .. } => all.extend(sent(fields)),
                Kind::Rows { rows, count } => {
                    all.push((format!("rows:{}", field.pointer), count.to_string()));
                    all.extend(sent(rows));
                }
            }
        }
        all
    }

    fn catalogue() -> Vec<Value> {
        let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/models");
        let providers = std::fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
        let files = providers.flat_map(|provider| std::fs::read_dir(provider).unwrap());
        let files =
            files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
        files.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_form_that_nobody_touches_changes_nothing() {
        let documents = catalogue();
        assert!(documents.len() > 100);
        for mut document in documents {
            document.as_object_mut().unwrap().remove("$schema");
            let form = Form(sent(&fields(&document, &[], &["/versions", "/meta/prices/tiers"], true)));
            let read = self::document(&form, &document);
            assert_eq!(patch(&document, &read), json!({}), "{}", document["id"]);
        }
    }

    #[test]
    fn what_is_written_is_read_exactly() {
        let base =
            json!({"meta": {"inputCostPerMillionTokens": 1250, "allowedTiers": ["pro", "free"]}, "aliases": ["a"]});
        let written = [
            ("/id", "acme/one"),
            ("/meta/inputCostPerMillionTokens", "570.0000000000001"),
            ("/meta/outputCostPerMillionTokens", ""),
            ("/meta/contextLength", "many"),
            ("/meta/allowedTiers", "free"),
            ("/meta/allowedTiers", "pro"),
            ("/meta/allowedTiers", "pro_max"),
            ("/meta/description", "one\r\ntwo"),
            ("/meta/providerMetadata", "{\"a\": 1.50}"),
            ("/aliases", ""),
            ("/isAvailable", "on"),
            ("rows:/versions", "2"),
            ("/versions/0/version", "1.0.0"),
            ("remove:/versions/0", "on"),
            ("/versions/1/version", "2.0.0"),
        ];
        let form = Form(written.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let read = document(&form, &base);
        assert_eq!(read["meta"]["inputCostPerMillionTokens"].to_string(), "570.0000000000001");
        assert_eq!(read["meta"]["outputCostPerMillionTokens"], Value::Null);
        assert_eq!(read["meta"]["contextLength"], "many");
        assert_eq!(read["meta"]["allowedTiers"], json!(["pro", "free", "pro_max"]));
        assert_eq!(read["meta"]["description"], "one\ntwo");
        assert_eq!(read["meta"]["providerMetadata"].to_string(), "{\"a\":1.50}");
        assert_eq!(
            (&read["aliases"], &read["isAvailable"], &read["isLegacy"]),
            (&json!([]), &json!(true), &json!(false))
        );
        assert_eq!(read["versions"], json!([{"version": "2.0.0"}]));
        assert_eq!((read.get("rollout"), read["meta"].get("prices")), (None, None));
    }

    #[test]
    fn fields_are_in_the_order_of_the_schema() {
        let all = fields(&json!({}), &[], &[], false);
        let pointers: Vec<&str> = all.iter().map(|field| field.pointer.as_str()).take(4).collect();
        assert_eq!(pointers, ["/id", "/name", "/provider", "/aliases"]);
        assert_eq!(all.len(), SCHEMA["properties"].as_object().unwrap().len() - 1);
    }

    #[test]
    fn a_mistake_is_beside_its_field() {
        let mistake = |pointer: &str| Mistake { pointer: pointer.to_owned(), detail: format!("at {pointer}") };
        let mistakes = [mistake("/meta/prices/cacheRead"), mistake("/meta"), mistake("/reason"), mistake("/meta/x/y")];
        let fields = fields(&json!({}), &mistakes, &[], false);
        let meta = fields.iter().find(|field| field.pointer == "/meta").unwrap();
        assert_eq!(meta.mistakes, ["at /meta", "at /meta/x/y"]);
        let Kind::Group { fields, is_open: true } = &meta.kind else { panic!("meta is a group") };
        let told = wrong(fields);
        let expected = ("field-meta-prices-cacheRead".to_owned(), "Cache read: at /meta/prices/cacheRead".to_owned());
        assert_eq!(told, [expected]);
        let prices = fields.iter().find(|field| field.pointer == "/meta/prices").unwrap();
        assert!(prices.is_wrong() && matches!(prices.kind, Kind::Group { is_open: true, .. }));
        assert_eq!(elsewhere(&mistakes), [""; 0]);
        assert_eq!(elsewhere(&[mistake(""), mistake("/colour")]), ["at ", "at /colour"]);
    }

    #[test]
    fn a_patch_leads_from_one_document_to_the_other() {
        let (old, new) =
            (json!({"a": 1, "b": {"c": 1, "d": [1]}, "e": 1}), json!({"a": 1, "b": {"c": 2, "d": [1]}, "f": 3}));
        assert_eq!(patch(&old, &new), json!({"b": {"c": 2}, "e": null, "f": 3}));
    }
}
