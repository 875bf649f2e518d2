//! An import laid over the model that is there.
//!
//! An upstream owns the fields that it has set, and remembers in `providerMetadata.upstream` what it said of each.
//! What is as it said then follows what it says now; what is not was edited by hand, and stays. What is kept without
//! a field of its own is the upstream's alone, under its name in `providerMetadata`.

use std::collections::BTreeSet;

use roster_core::Model;
use roster_core::canonical::sha256_hex;
use roster_core::document::escape;
use roster_core::tier::Tier;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Format, Imported, pointer};

const CAPABILITIES: &str = "/meta/capabilities";
/// Longer texts are remembered by their fingerprint.
const MAX_REMEMBERED: usize = 80;
/// Prices that a document always has: unknown is written.
const ALWAYS: [&str; 2] = ["/meta/inputCostPerMillionTokens", "/meta/outputCostPerMillionTokens"];

/// What upstreams do not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tier that a new model requires.
    pub tier: Tier,
    /// Fields that are taken from upstream whatever the file says, by place or by key.
    pub take: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tier: Tier::Free, take: Vec::new() }
    }
}

/// A field that does not follow upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its place in the document.
    pub place: String,
    /// What stays.
    pub stays: Value,
    /// What upstream says.
    pub upstream: Value,
    /// Why it stays.
    pub why: &'static str,
}

/// A model after an import.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The document.
    pub document: Value,
    /// The fields that do not follow upstream.
    pub kept: Vec<Kept>,
}

/// Lays an import over a model, or makes a new one of it.
///
/// # Errors
/// Whatever `serde_json` says when the model cannot be written as JSON.
pub fn merge(
    format: Format,
    imported: &Imported,
    current: Option<&Model>,
    options: &Options,
) -> Result<Merged, serde_json::Error> {
    if let Some(document) = &imported.document {
        return Ok(Merged { document: document.clone(), kept: Vec::new() });
    }
    let (mut document, is_new) = match current {
        Some(model) => (serde_json::to_value(model)?, false),
        None => (fresh(imported, options), true),
    };
    let remembered_at = format!("/meta/providerMetadata/upstream/{}", escape(format.name()));
    let mut memory = match document.pointer(&remembered_at) {
        Some(Value::Object(memory)) => memory.clone(),
        _ => Map::new(),
    };
    let mut kept = Vec::new();
    let places: BTreeSet<String> = imported.said.keys().chain(memory.keys()).cloned().collect();
    for place in places {
        let here = document.pointer(&place).filter(|value| !value.is_null()).cloned();
        let said = imported.said.get(&place);
        let is_taken = is_new || options.takes(&place);
        match decide(&place, here.as_ref(), memory.get(&place), said, is_taken) {
            Decision::Take(value) => {
                memory.insert(place.clone(), remembered(said.unwrap_or(&value)));
                if here.as_ref() != Some(&value) {
                    pointer::set(&mut document, &place, value);
                }
            }
            Decision::Clear => {
                memory.remove(&place);
                match ALWAYS.contains(&place.as_str()) {
                    true => pointer::set(&mut document, &place, Value::Null),
                    false => pointer::remove(&mut document, &place),
                }
            }
            Decision::Forget => drop(memory.remove(&place)),
            Decision::Keep(why) => kept.push(Kept {
                place,
                stays: here.unwrap_or_default(),
                upstream: said.cloned().unwrap_or_default(),
                why,
            }),
        }
    }
    put(&mut document, &format!("/meta/providerMetadata/{}", escape(format.name())), imported.extra.clone());
    put(&mut document, &remembered_at, memory);
    for object in ["/meta/providerMetadata/upstream", "/meta/prices"] {
        if document.pointer(object).and_then(Value::as_object).is_some_and(Map::is_empty) {
            pointer::remove(&mut document, object);
        }
    }
    Ok(Merged { document, kept })
}

/// What becomes of a field.
enum Decision {
    /// It is this, and upstream's.
    Take(Value),
    /// Upstream says nothing of it any more.
    Clear,
    /// It is gone on both sides.
    Forget,
    /// It stays as it is.
    Keep(&'static str),
}

fn decide(place: &str, here: Option<&Value>, before: Option<&Value>, said: Option<&Value>, is_taken: bool) -> Decision {
    let is_as_before = before.is_some() && here.map(remembered).as_ref() == before;
    match (before, said) {
        (_, Some(said)) if is_taken || here == Some(said) => Decision::Take(said.clone()),
        (Some(before), Some(said)) if place == CAPABILITIES => Decision::Take(joined(here, before, said)),
        (Some(_), Some(said)) if is_as_before => Decision::Take(said.clone()),
        (Some(_), Some(_)) => Decision::Keep("edited by hand"),
        (None, Some(said)) if here.is_none() => Decision::Take(said.clone()),
        (None, Some(_)) => Decision::Keep("was there before the first import"),
        (Some(_), None) if is_as_before => Decision::Clear,
        (Some(_), None) if here.is_none() => Decision::Forget,
        (_, None) => Decision::Keep("edited by hand; upstream says nothing of it any more"),
    }
}

/// Capabilities that were added and removed here, with those that upstream adds and removes.
fn joined(here: Option<&Value>, before: &Value, said: &Value) -> Value {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (here, before, said) = (list(here), list(Some(before)), list(Some(said)));
    let stay = here.iter().filter(|one| said.contains(one) || !before.contains(one));
    let new = said.iter().filter(|one| !before.contains(one) && !here.contains(one));
    stay.chain(new).cloned().collect()
}

/// What is remembered of a value.
fn remembered(value: &Value) -> Value {
    match value.as_str().filter(|text| text.len() > MAX_REMEMBERED) {
        Some(text) => format!("sha256:{}", &sha256_hex(text.as_bytes())[..16]).into(),
        None => value.clone(),
    }
}

/// A model of which only its names are known. Nothing upstream says who may use it.
fn fresh(imported: &Imported, options: &Options) -> Value {
    json!({
        "id": imported.id,
        "name": imported.rest,
        "provider": imported.provider,
        "isAvailable": true,
        "isLegacy": false,
        "isArchived": false,
        "meta": {
            "displayName": imported.rest.chars().take(255).collect::<String>(),
            "inputCostPerMillionTokens": null,
            "outputCostPerMillionTokens": null,
            "requiredTier": options.tier,
            "tierRestrictionMode": "minimum",
            "allowedTiers": [],
        },
    })
}

fn put(document: &mut Value, place: &str, map: Map<String, Value>) {
    match map.is_empty() {
        true => pointer::remove(document, place),
        false => pointer::set(document, place, Value::Object(map)),
    }
}

impl Options {
    fn takes(&self, place: &str) -> bool {
        self.take.iter().any(|taken| taken == place || place.rsplit('/').next() == Some(taken))
    }
}
