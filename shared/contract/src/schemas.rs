//! The document's schemas, from the types that they describe.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// What the catalogue's files follow, as it is published.
const MODEL: &str = include_str!("../../../catalog/schema/model.schema.json");

/// The components of a document, while endpoints are described.
pub struct Schemas {
    generator: SchemaGenerator,
    named: Map<String, Value>,
}

impl Default for Schemas {
    fn default() -> Self {
        Self { generator: settings().for_serialize().into_generator(), named: Map::new() }
    }
}

impl Schemas {
    /// What the type is written as.
    pub fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// What the type is written as, with more keys.
    pub fn extended<'k, T: JsonSchema>(
        &mut self,
        name: &str,
        keys: impl IntoIterator<Item = (&'k str, Value)>,
    ) -> Value {
        let mut schema = T::json_schema(&mut self.generator).to_value();
        open(&mut schema);
        self.named(name, with_keys(schema, keys))
    }

    /// What the type is written as, whole: without components of its own.
    pub fn inlined<T: JsonSchema>(&mut self) -> Value {
        let settings = settings().for_serialize().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        schema.remove("title");
        let mut schema = schema.to_value();
        open(&mut schema);
        schema
    }

    /// Some of the keys that the type is written with.
    pub fn some_keys_of<T: JsonSchema>(&mut self, name: &str, description: &str) -> Value {
        let mut schema = T::json_schema(&mut self.generator).to_value();
        open(&mut schema);
        schema["description"] = description.into();
        if let Some(keys) = schema.as_object_mut() {
            keys.remove("required");
        }
        self.named(name, schema)
    }

    /// A component with some of its keys described anew.
    pub fn with_keys<'k>(&mut self, name: &str, keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
        let schema = self.named.get(name).cloned().unwrap_or_default();
        self.named(name, with_optional(schema, keys))
    }

    /// What is read as the type.
    pub fn read<T: JsonSchema>(&mut self, name: &str) -> Value {
        let settings = settings().for_deserialize().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        schema["title"] = name.into();
        self.named(name, schema)
    }

    /// A component of this name.
    pub fn named(&mut self, name: &str, schema: Value) -> Value {
        self.named.insert(name.to_owned(), schema);
        reference(name)
    }

    /// What the admin API answers: this under `data`.
    pub fn success(&mut self, data: Value) -> Value {
        object([("status", json!({"const": "success"})), ("message", text()), ("data", data)])
    }

    /// A file of the catalogue: its own schema, embedded.
    pub fn model(&mut self) -> Value {
        self.part_of_model("Model")
    }

    /// A part of such a file: `ModelVersion`, say.
    pub fn part_of_model(&mut self, component: &str) -> Value {
        self.catalogue();
        reference(component)
    }

    /// Such a part as it is answered, with more keys.
    pub fn part_with_keys<'k>(
        &mut self,
        name: &str,
        component: &str,
        keys: impl IntoIterator<Item = (&'k str, Value)>,
    ) -> Value {
        self.catalogue();
        let mut schema = self.named[component].clone();
        open(&mut schema);
        schema["title"] = name.into();
        self.named(name, with_keys(schema, keys))
    }

    /// A body that is such a part, with the reason of the change; only `required` of the keys have to be there.
    pub fn part_with_reason(&mut self, name: &str, component: &str, required: &[&str]) -> Value {
        self.catalogue();
        let mut schema = self.named[component].clone();
        schema["title"] = name.into();
        schema["required"] = json!(required);
        schema["properties"]["reason"] = reason();
        self.named(name, schema)
    }

    /// A body that is a merge patch (RFC 7396) of a component, with the reason of the change; `null` removes a key.
    pub fn patch_of(&mut self, component: &str) -> Value {
        self.catalogue();
        let mut schema = patch(&self.named[component]);
        schema["properties"]["reason"] = reason();
        if schema["properties"].get("meta").is_some() {
            let meta = patch(&self.named["ModelMeta"]);
            schema["properties"]["meta"] = json!({"anyOf": [meta, {"type": "null"}]});
        }
        self.named(&format!("{component}Patch"), schema)
    }

    /// Embeds the catalogue's schema, its definitions as components beside it.
    fn catalogue(&mut self) {
        if self.named.contains_key("Model") {
            return;
        }
        let mut schema: Value = serde_json::from_str(MODEL).unwrap_or_default();
        rename(&mut schema);
        let keys = schema.as_object_mut().map(|keys| {
            keys.remove("$schema");
            keys.remove("$id");
            keys.remove("$defs")
        });
        if let Some(Some(Value::Object(definitions))) = keys {
            self.named.extend(definitions.into_iter().map(|(name, schema)| (component_name(&name), schema)));
        }
        self.named.insert("Model".to_owned(), schema);
    }

    /// All components.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.generator.take_definitions(true);
        all.values_mut().for_each(open);
        all.append(&mut self.named);
        all
    }
}

/// What is answered may have more keys later, though none more is read. Sizes of Rust's integers are nobody's business.
fn open(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") && keys.get("additionalProperties") == Some(&Value::Bool(false)) {
                keys.remove("additionalProperties");
            }
            if keys.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                keys.remove("format");
            }
            keys.values_mut().for_each(open);
        }
        Value::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

/// A text of any kind.
#[must_use]
pub fn text() -> Value {
    json!({"type": "string"})
}

/// An object with all of these keys.
#[must_use]
pub fn object<'k>(keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let properties: Map<String, Value> = keys.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// An object with these keys too.
#[must_use]
pub fn with_keys<'k>(mut object: Value, keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    for (key, schema) in keys {
        object["properties"][key] = schema;
        if let Some(required) = object["required"].as_array_mut() {
            required.push(key.into());
        }
    }
    object
}

/// An object with these keys too, where there is something to say.
#[must_use]
pub fn with_optional<'k>(mut object: Value, keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    for (key, schema) in keys {
        object["properties"][key] = schema;
    }
    object
}

/// A list of these.
#[must_use]
pub fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// This or `null`.
#[must_use]
pub fn nullable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// A moment.
#[must_use]
pub fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// The id of a commit.
#[must_use]
pub fn commit() -> Value {
    json!({"type": "string", "pattern": "^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"})
}

/// A count from zero.
#[must_use]
pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// `true` or `false`.
#[must_use]
pub fn flag() -> Value {
    json!({"type": "boolean"})
}

/// One of these texts.
#[must_use]
pub fn one_of(texts: &[&str]) -> Value {
    json!({"type": "string", "enum": texts})
}

pub(crate) fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

fn reason() -> Value {
    json!({
        "type": ["string", "null"], "maxLength": 1000,
        "description": "Why, for the history; the header X-Reason says it instead.",
    })
}

fn patch(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(keys) = schema.as_object_mut() {
        for key in ["required", "allOf", "if", "then", "else", "dependentRequired"] {
            keys.remove(key);
        }
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.values_mut().for_each(|property| *property = nullable(property.take()));
    }
    schema
}

/// A definition of the catalogue's schema is a component beside the types' own.
fn component_name(definition: &str) -> String {
    let mut letters = definition.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    "Model".chars().chain(first).chain(letters).collect()
}

/// Makes references to definitions ones to components.
fn rename(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if let Some(Value::String(reference)) = keys.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/components/schemas/{}", component_name(name));
            }
            keys.values_mut().for_each(rename);
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}
