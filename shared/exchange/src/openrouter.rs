//! What OpenRouter answers: a list of models; prices in dollars a token, as texts, and `-1` where it depends.

use roster_core::meta::Capability;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::entries;
use crate::entry::{Entry, INPUT, OUTPUT};
use crate::number::Unit;
use crate::{Imported, Reading, Skipped};

/// Who serves what OpenRouter lists, whoever made it: the prices are its own.
const PROVIDER: &str = "openrouter";

/// Prices of tokens, by their place here.
const PRICES: [(&str, &str); 8] = [
    ("prompt", INPUT),
    ("completion", OUTPUT),
    ("input_cache_read", "/meta/prices/cacheRead"),
    ("input_cache_write", "/meta/prices/cacheWrite"),
    ("internal_reasoning", "/meta/prices/reasoning"),
    ("audio", "/meta/prices/audioInput"),
    ("audio_output", "/meta/prices/audioOutput"),
    ("image_output", "/meta/prices/imageOutput"),
];

const INPUTS: [(&str, Capability); 4] = [
    ("image", Capability::Vision),
    ("file", Capability::Pdf),
    ("audio", Capability::AudioInput),
    ("video", Capability::VideoInput),
];

const OUTPUTS: [(&str, Capability); 6] = [
    ("text", Capability::Text),
    ("image", Capability::ImageGeneration),
    ("audio", Capability::AudioOutput),
    ("video", Capability::VideoGeneration),
    ("embeddings", Capability::Embedding),
    ("rerank", Capability::Rerank),
];

const PARAMETERS: [(&str, Capability); 3] = [
    ("tools", Capability::FunctionCalling),
    ("structured_outputs", Capability::StructuredOutput),
    ("reasoning", Capability::Reasoning),
];

#[derive(Deserialize)]
struct Listing {
    data: Vec<Box<RawValue>>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, serde_json::Error> {
    let listing: Listing = serde_json::from_slice(bytes)?;
    let mut reading = Reading::default();
    for (at, raw) in listing.data.iter().enumerate() {
        reading.add(imported(at, raw));
    }
    Ok(reading)
}

fn imported(at: usize, raw: &RawValue) -> Result<Imported, Skipped> {
    let place = format!("data/{at}");
    let map = entries::object(&place, raw).map_err(|reason| Skipped::new(&place, "malformed", reason))?;
    let Some(id) = map.get("id").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Skipped::new(&place, "malformed", "has no id"));
    };
    let mut entry = Entry::new(&id, map);
    entry.take("id");
    entry.say("/name", id.as_str().into());
    entry.words("name", "/meta/displayName");
    entry.words("description", "/meta/description");
    can(&mut entry);
    let mut pricing = entry.take_object("pricing");
    for (key, place) in PRICES {
        if let Some(value) = pricing.remove(key) {
            entry.price(&format!("pricing.{key}"), value, place, Unit::DollarsPerToken);
        }
    }
    if entry.said("/meta/prices/cacheRead").is_some() {
        entry.can(Capability::PromptCaching);
    }
    pricing.into_iter().for_each(|(key, value)| entry.keep(&format!("pricing.{key}"), value, true));
    let mut top = entry.take_object("top_provider");
    let own = entry.take("context_length").filter(|value| !value.is_null());
    let served = top.remove("context_length").unwrap_or_default();
    match own {
        Some(own) => {
            if served != own {
                entry.keep("top_provider.context_length", served, false);
            }
            entry.count("context_length", own, "/meta/contextLength");
        }
        None => entry.count("top_provider.context_length", served, "/meta/contextLength"),
    }
    let most = top.remove("max_completion_tokens").unwrap_or_default();
    entry.count("top_provider.max_completion_tokens", most, "/meta/maxOutputTokens");
    top.into_iter().for_each(|(key, value)| entry.keep(&format!("top_provider.{key}"), value, false));
    entry.sunset("expiration_date");
    let rest = id.strip_prefix("openrouter/").unwrap_or(&id);
    entry.imported(PROVIDER, rest, |_| false)
}

/// What is put in, what comes out and which parameters are taken say what a model does. All of it is kept besides.
fn can(entry: &mut Entry) {
    let architecture = entry.take_object("architecture");
    let parameters = entry.take("supported_parameters").unwrap_or_default();
    let lists = [
        (architecture.get("output_modalities"), &OUTPUTS[..]),
        (architecture.get("input_modalities"), &INPUTS[..]),
        (Some(&parameters), &PARAMETERS[..]),
    ];
    for (list, known) in lists {
        let names: Vec<&str> = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, capability) in known {
            if names.contains(name) {
                entry.can(*capability);
            }
        }
    }
    entry.keep("supported_parameters", parameters, false);
    architecture.into_iter().for_each(|(key, value)| entry.keep(&format!("architecture.{key}"), value, false));
}
