//! The published JSON Schemas (2020-12), and what a document says against them.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::document::{Document, Problem, escape};
use crate::version;

/// The schema of `catalog/models/**.json`.
pub const MODEL: &str = include_str!("../../../catalog/schema/model.schema.json");
/// The schema of `catalog/policy.json`.
pub const POLICY: &str = include_str!("../../../catalog/schema/policy.schema.json");

/// How the pattern of a version's number begins.
const SEMVER: &str = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.";

static MODEL_VALIDATOR: LazyLock<Result<jsonschema::Validator, String>> = LazyLock::new(|| compile(MODEL));
static POLICY_VALIDATOR: LazyLock<Result<jsonschema::Validator, String>> = LazyLock::new(|| compile(POLICY));

/// Which schema a document follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// The policy.
    Policy,
}

fn compile(schema: &str) -> Result<jsonschema::Validator, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    jsonschema::options().should_validate_formats(true).build(&schema).map_err(|error| error.to_string())
}

/// Everything that a document has against its schema, in the document's order.
#[must_use]
pub fn problems(kind: Kind, document: &Document) -> Vec<Problem> {
    let validator = match kind {
        Kind::Model => &MODEL_VALIDATOR,
        Kind::Policy => &POLICY_VALIDATOR,
    };
    let validator = match validator.as_ref() {
        Ok(validator) => validator,
        Err(error) => return vec![document.problem("", format!("the published schema is broken: {error}"))],
    };
    let mut problems: Vec<Problem> = validator
        .iter_errors(document.value())
        .flat_map(|error| explain(document, &error))
        .take(crate::document::MAX_PROBLEMS)
        .collect();
    problems.sort();
    problems.dedup();
    problems
}

/// One problem for each thing that a schema error names, in the project's own words.
fn explain(document: &Document, error: &jsonschema::ValidationError<'_>) -> Vec<Problem> {
    let pointer = error.instance_path().to_string();
    let instance = shorten(error.instance());
    let one = |message: String| vec![document.problem(&pointer, message)];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|key| {
                let at = format!("{pointer}/{}", escape(key));
                document.problem(&at, format!("unknown key \"{key}\""))
            })
            .collect(),
        ValidationErrorKind::Required { property } => {
            one(format!("required key \"{}\" is missing", property.as_str().unwrap_or_default()))
        }
        ValidationErrorKind::Type { kind } => one(format!("expected {}, found {instance}", type_names(kind))),
        ValidationErrorKind::Enum { options } => one(format!("{instance} is not one of {}", shorten(options))),
        ValidationErrorKind::Minimum { limit } => one(format!("{instance} is below the minimum of {limit}")),
        ValidationErrorKind::Maximum { limit } => one(format!("{instance} is above the maximum of {limit}")),
        ValidationErrorKind::ExclusiveMinimum { limit } => one(format!("{instance} is not above {limit}")),
        ValidationErrorKind::MinLength { limit } => one(format!("{instance} is shorter than {limit} characters")),
        ValidationErrorKind::MaxLength { limit } => one(format!("longer than {limit} characters")),
        ValidationErrorKind::MinItems { limit } => one(format!("needs at least {limit} items")),
        ValidationErrorKind::UniqueItems => one(format!("{instance} names an item twice")),
        ValidationErrorKind::Pattern { pattern } => match error.instance().as_str().map(version::parse) {
            // Only versions have this pattern, and each says more than that it does not match.
            Some(Err(why)) if pattern.starts_with(SEMVER) => one(why),
            _ => one(format!("{instance} does not match {pattern}")),
        },
        ValidationErrorKind::Format { format } => one(format!("{instance} is not a valid {format}")),
        _ => one(error.to_string()),
    }
}

fn type_names(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::{Model, Policy};

    /// The documents of a fixtures directory, by file name.
    fn fixtures(directory: &str) -> Vec<(String, Vec<u8>)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/schema/fixtures").join(directory);
        let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
            .collect();
        found.sort();
        assert!(found.len() >= 10, "fixtures are gone");
        found
    }

    fn kind(name: &str) -> Kind {
        if name.starts_with("policy-") { Kind::Policy } else { Kind::Model }
    }

    #[test]
    fn invalid_fixtures_are_refused() {
        for (name, bytes) in fixtures("invalid") {
            let document = Document::parse(&name, &bytes).unwrap();
            assert_ne!(problems(kind(&name), &document), [], "{name}");
        }
    }

    #[test]
    fn every_kind_of_mistake_is_explained_in_our_own_words() {
        let said: Vec<String> = fixtures("invalid")
            .iter()
            .flat_map(|(name, bytes)| problems(kind(name), &Document::parse(name, bytes).unwrap()))
            .map(|problem| problem.to_string())
            .collect();
        for line in &said {
            assert!(line.len() < 700, "{line}");
            assert!(!line.contains("oneOf") && !line.contains("schema"), "{line}");
        }
    }

    /// What the schema takes, the types take and keep.
    #[test]
    fn valid_fixtures_survive_the_types() {
        for (name, bytes) in fixtures("valid") {
            let document = Document::parse(&name, &bytes).unwrap();
            assert_eq!(problems(kind(&name), &document), [], "{name}");
            let mut written = document.value().clone();
            written.as_object_mut().unwrap().remove("$schema");
            let typed = match kind(&name) {
                Kind::Model => serde_json::to_value(serde_json::from_value::<Model>(written.clone()).unwrap()).unwrap(),
                Kind::Policy => {
                    let policy: Policy = serde_json::from_value(written.clone()).unwrap();
                    assert_eq!(policy.problems(), [], "{name}");
                    serde_json::to_value(policy).unwrap()
                }
            };
            let kept = |change: &crate::diff::FieldChange| match (&change.old, &change.new) {
                // The types leave out what says nothing, fill in defaults, and write times in UTC.
                (Some(old), None) => {
                    old.is_null() || *old == Value::Bool(false) || matches!(old.as_str(), Some("")) || is_hollow(old)
                }
                (None, Some(_)) => true,
                (Some(old), Some(new)) => is_same_time(old, new),
                (None, None) => false,
            };
            let lost: Vec<_> =
                crate::diff::fields(&written, &typed).into_iter().filter(|change| !kept(change)).collect();
            assert!(lost.iter().all(is_hollow_list), "{name}: {lost:?}");
        }
    }

    /// Lists hold objects, which leave out nulls in their turn.
    fn is_hollow_list(change: &crate::diff::FieldChange) -> bool {
        fn strip(value: &Value) -> Value {
            match value {
                Value::Object(map) => map
                    .iter()
                    .map(|(key, value)| (key.clone(), strip(value)))
                    .filter(|(_, value)| !value.is_null() && !is_hollow(value))
                    .collect(),
                Value::Array(items) => items.iter().map(strip).collect(),
                Value::String(text) => match text.parse::<jiff::Timestamp>() {
                    Ok(at) => Value::String(at.to_string()),
                    Err(_) => value.clone(),
                },
                other => other.clone(),
            }
        }
        match (&change.old, &change.new) {
            (Some(old), Some(new)) => strip(old) == strip(new),
            _ => false,
        }
    }

    fn is_hollow(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.values().all(|value| value.is_null() || is_hollow(value)),
            _ => false,
        }
    }

    fn is_same_time(old: &Value, new: &Value) -> bool {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        matches!((time(old), time(new)), (Some(old), Some(new)) if old == new)
    }

    /// No key of the schemas is left out of the fixtures, and so none is unknown to the types.
    #[test]
    fn valid_fixtures_use_every_key_of_the_schemas() {
        fn keys(schema: &Value, found: &mut BTreeSet<String>) {
            match schema {
                Value::Object(map) => {
                    if let Some(Value::Object(properties)) = map.get("properties") {
                        found.extend(properties.keys().cloned());
                    }
                    map.values().for_each(|value| keys(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
                _ => {}
            }
        }
        fn used(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.keys().cloned());
                    map.values().for_each(|value| used(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| used(item, found)),
                _ => {}
            }
        }
        let mut known = BTreeSet::new();
        for schema in [MODEL, POLICY] {
            keys(&serde_json::from_str(schema).unwrap(), &mut known);
        }
        let mut seen = BTreeSet::new();
        for (_, bytes) in fixtures("valid") {
            used(&serde_json::from_slice(&bytes).unwrap(), &mut seen);
        }
        assert_eq!(known.difference(&seen).collect::<Vec<_>>(), [""; 0]);
    }

    /// What the types write, the schema takes.
    #[test]
    fn defaults_follow_the_schema() {
        let written = serde_json::to_vec(&Policy::default()).unwrap();
        assert_eq!(problems(Kind::Policy, &Document::parse("policy.json", &written).unwrap()), []);
        let written = serde_json::to_vec(&crate::model::tests::model("m")).unwrap();
        assert_eq!(problems(Kind::Model, &Document::parse("m.json", &written).unwrap()), []);
        let ours = include_bytes!("../../../catalog/policy.json");
        let ours = crate::validate::read_policy("catalog/policy.json", ours).unwrap();
        assert!(!ours.rate_limits.is_empty(), "what is deployed has limits, though none are the default");
        assert_eq!(Policy { rate_limits: Policy::default().rate_limits, ..ours }, Policy::default());
    }
}
