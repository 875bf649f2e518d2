//! A catalogue as one document: what readers carry along for when there is no table to read, or not yet.
//!
//! `{"models": […], "policy": {…}}` with the same documents as the catalogue's files, or the bare list of models
//! that a program may have had in its code.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::canonical;
use crate::model::Model;
use crate::policy::Policy;

/// A catalogue in one piece, without what only admins may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bundle {
    models: Vec<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
}

/// A document that is no bundle: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{message}")]
pub struct InvalidBundle {
    place: String,
    message: String,
}

impl InvalidBundle {
    fn new(place: &str, message: impl ToString) -> Self {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        Self { place, message: message.to_string() }
    }
}

impl Bundle {
    /// A bundle of these models, sorted, with their internal notes left out.
    ///
    /// # Errors
    /// [`InvalidBundle`] when two models share a name, letter case aside, or the policy breaks a rule.
    pub fn new(mut models: Vec<Model>, policy: Option<Policy>) -> Result<Self, InvalidBundle> {
        models.sort_by(|one, other| one.id.cmp(&other.id));
        let mut holders = HashMap::new();
        for model in &models {
            for name in std::iter::once(&model.id).chain(&model.aliases) {
                if let Some(other) = holders.insert(name.folded(), &model.id) {
                    let message = format!("\"{name}\" is already a name of model \"{other}\"");
                    return Err(InvalidBundle::new(&format!("model \"{}\"", model.id), message));
                }
            }
        }
        if let Some((pointer, message)) = policy.as_ref().and_then(|policy| policy.problems().into_iter().next()) {
            return Err(InvalidBundle::new(&format!("policy{pointer}"), message));
        }
        models.iter_mut().for_each(|model| model.meta.internal_notes.clear());
        Ok(Self { models, policy })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`InvalidBundle`] with the first mistake.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidBundle> {
        let document: Value = serde_json::from_slice(text).map_err(|error| InvalidBundle::new("", error))?;
        let (models, policy) = match document {
            Value::Array(models) => (models, None),
            Value::Object(mut members) => {
                members.remove("$schema");
                let (models, policy) = (members.remove("models"), members.remove("policy"));
                if let Some(key) = members.keys().next() {
                    return Err(InvalidBundle::new(key, "unknown key, expected models or policy"));
                }
                let Some(Value::Array(models)) = models else {
                    return Err(InvalidBundle::new("models", "is not a list"));
                };
                (models, policy)
            }
            _ => return Err(InvalidBundle::new("", "neither a list of models nor an object with models and policy")),
        };
        let models = models.into_iter().enumerate().map(|(at, value)| {
            let id = value.get("id").and_then(Value::as_str).map(|id| format!(" \"{id}\"")).unwrap_or_default();
            read(&format!("models[{at}]{id}"), value)
        });
        Self::new(models.collect::<Result<_, _>>()?, policy.map(|value| read("policy", value)).transpose()?)
    }

    /// The models, by id.
    #[must_use]
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The policy, if it brings one.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// The document: the same text for the same bundle.
    ///
    /// # Errors
    /// Whatever `serde_json` says when it cannot write.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        canonical::to_string(self)
    }
}

/// A model or a policy out of the document of its file, which may name a schema.
///
/// # Errors
/// [`InvalidBundle`] that names `place`.
pub fn read<T: DeserializeOwned>(place: &str, mut document: Value) -> Result<T, InvalidBundle> {
    if let Some(members) = document.as_object_mut() {
        members.remove("$schema");
    }
    serde_path_to_error::deserialize(document).map_err(|error| match error.path().to_string() {
        path if path == "." => InvalidBundle::new(place, error.inner()),
        path => InvalidBundle::new(&format!("{place}: {path}"), error.inner()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use serde_json::json;

    fn document(id: &str) -> Value {
        let mut document = serde_json::to_value(model(id)).unwrap();
        document["$schema"] = json!("../../schema/model.schema.json");
        document["meta"]["internalNotes"] = json!("margin is thin");
        document
    }

    fn parse(document: &Value) -> Result<Bundle, String> {
        Bundle::parse(document.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_and_an_object_are_read_and_written_the_same() {
        let list = parse(&json!([document("b"), document("a")])).unwrap();
        let object = parse(&json!({"models": [document("a"), document("b")]})).unwrap();
        assert_eq!(list, object);
        let text = list.to_json().unwrap();
        assert!(text.starts_with(r#"{"models":[{"id":"a","#) && !text.contains("thin"), "{text}");
        assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), list);
        assert_eq!(parse(&json!([])).unwrap(), Bundle::default());
        let policy = json!({"$schema": "x", "readSource": {"tablePercent": 10}});
        let with_policy = parse(&json!({"models": [], "policy": policy})).unwrap();
        assert_eq!(with_policy.policy().unwrap().read_source.table_percent, 10);
        assert_eq!(Bundle::parse(with_policy.to_json().unwrap().as_bytes()).unwrap(), with_policy);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let mut priced = document("m");
        priced["meta"]["inputCostPerMillionTokens"] = json!(-1);
        let mut alias = document("n");
        alias["aliases"] = json!(["M"]);
        let tiers = json!({"models": [], "policy": {"tiers": ["free"]}});
        for (wrong, expected) in [
            (json!("x"), "neither a list of models"),
            (json!({"policy": {}}), "models: is not a list"),
            (json!({"models": [], "modles": []}), "modles: unknown key"),
            (json!([document("a"), {"id": "b"}]), "models[1] \"b\": missing field"),
            (json!([document("m"), priced]), "models[1] \"m\": meta.inputCostPerMillionTokens: "),
            (json!([document("m"), alias]), "model \"n\": \"M\" is already a name of model \"m\""),
            (json!([document("m"), document("m")]), "model \"m\": \"m\" is already a name of model \"m\""),
            (tiers, "policy/tiers: every tier must stand"),
        ] {
            let message = parse(&wrong).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(Bundle::parse(b"[").unwrap_err().to_string().contains("line 1"));
    }
}
