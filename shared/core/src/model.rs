//! A model as the catalogue describes it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::meta::Meta;
use crate::version::{Rollout, Version};

/// The most characters an id may have.
pub const MAX_ID_CHARS: usize = 200;

/// A model's id: segments `[A-Za-z0-9~][A-Za-z0-9._:@+~-]*` joined by single slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ModelId(Arc<str>);

/// A text that is no model id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a model id: 1 to 200 characters, segments of letters, digits and ._:@+~- that begin with a letter, a digit or ~, joined by single slashes"
)]
pub struct InvalidId(String);

impl ModelId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks the id's grammar or length.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let legal = text.len() <= MAX_ID_CHARS && text.split('/').all(is_segment);
        if legal { Ok(Self(text.into())) } else { Err(InvalidId(text.chars().take(MAX_ID_CHARS + 1).collect())) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without regard to letter case: two models may not share it.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'~')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._:@+~-".contains(&b))
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ModelId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ModelId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One model: a catalogue file, or the body of `POST /admin/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// The model's id, unique ignoring case among all ids and aliases.
    pub id: ModelId,
    /// The name that the provider's API takes.
    pub name: String,
    /// Who serves it: the first directory below `models/`.
    pub provider: String,
    /// Other names that lead here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<ModelId>,
    /// Whether it can be used now.
    pub is_available: bool,
    /// Whether it is on its way out.
    pub is_legacy: bool,
    /// Whether it is hidden from clients.
    pub is_archived: bool,
    /// Whether removing or archiving it is held for approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Everything else about it.
    pub meta: Meta,
    /// Its registered versions, in the file's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
    /// How a new version is brought out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small legal model for tests.
    pub(crate) fn model(id: &str) -> Model {
        serde_json::from_value(serde_json::json!({
            "id": id, "name": id, "provider": "p",
            "isAvailable": true, "isLegacy": false, "isArchived": false,
            "meta": {
                "displayName": id, "capabilities": ["text"], "contextLength": 1000,
                "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
                "requiredTier": "free", "tierRestrictionMode": "minimum", "allowedTiers": [],
            },
        }))
        .unwrap()
    }

    #[test]
    fn ids() {
        for good in ["gpt-5", "openai/gpt-5", "~anthropic/claude", "a", "Qwen/Qwen3:free", "a@b+c~d._"] {
            assert_eq!(ModelId::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(201);
        for bad in ["", "/a", "a/", "a//b", "-a", "a b", "ä", "a/.b", "..", "a\n", long.as_str()] {
            assert!(ModelId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_model_survives_a_round_trip() {
        let before = model("a");
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), before);
    }
}
