//! The published JSON Schemas (2020-12), and what a document says against them.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::document::{Document, Problem, escape};

/// The schema of `catalog/models/**.json`.
pub const MODEL: &str = include_str!("../../../catalog/schema/model.schema.json");
/// The schema of `catalog/policy.json`.
pub const POLICY: &str = include_str!("../../../catalog/schema/policy.schema.json");

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
    let mut problems: Vec<Problem> =
        validator.iter_errors(document.value()).flat_map(|error| explain(document, &error)).collect();
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
        ValidationErrorKind::Pattern { pattern } => one(format!("{instance} does not match {pattern}")),
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
