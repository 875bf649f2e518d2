//! LiteLLM's list: an object a model, under the name that LiteLLM calls it by; prices in dollars a token.

use std::str::FromStr as _;

use roster_core::meta::Capability;
use roster_core::{Model, Price};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::entries::{self, Pairs};
use crate::entry::{Entry, INPUT, OUTPUT};
use crate::number::{Unit, count, written};
use crate::{CARRIED, Imported, Reading, Skipped, carried, number};

/// The entry that explains the others.
const EXAMPLE: &str = "sample_spec";

/// What a mode makes a model able to do.
const MODES: [(&str, Capability); 13] = [
    ("chat", Capability::Text),
    ("completion", Capability::Text),
    ("responses", Capability::Text),
    ("embedding", Capability::Embedding),
    ("image_generation", Capability::ImageGeneration),
    ("image_edit", Capability::ImageGeneration),
    ("video_generation", Capability::VideoGeneration),
    ("audio_transcription", Capability::SpeechToText),
    ("audio_speech", Capability::TextToSpeech),
    ("moderation", Capability::Moderation),
    ("moderations", Capability::Moderation),
    ("rerank", Capability::Rerank),
    ("search", Capability::WebSearch),
];

/// What a flag says that a model can do. Where two say the same, the first is written.
const FLAGS: [(&str, Capability); 14] = [
    ("supports_vision", Capability::Vision),
    ("supports_image_input", Capability::Vision),
    ("supports_embedding_image_input", Capability::Vision),
    ("supports_function_calling", Capability::FunctionCalling),
    ("supports_reasoning", Capability::Reasoning),
    ("supports_response_schema", Capability::StructuredOutput),
    ("supports_prompt_caching", Capability::PromptCaching),
    ("supports_web_search", Capability::WebSearch),
    ("supports_pdf_input", Capability::Pdf),
    ("supports_audio_input", Capability::AudioInput),
    ("supports_audio_output", Capability::AudioOutput),
    ("supports_video_input", Capability::VideoInput),
    ("supports_computer_use", Capability::ComputerUse),
    ("supports_native_streaming", Capability::Streaming),
];

/// Prices of tokens, by their place here. Where two have one place, the first that is said counts, and is written.
const PRICES: [(&str, &str); 12] = [
    ("input_cost_per_token", INPUT),
    ("output_cost_per_token", OUTPUT),
    ("cache_read_input_token_cost", "/meta/prices/cacheRead"),
    ("input_cost_per_token_cache_hit", "/meta/prices/cacheRead"),
    ("cache_creation_input_token_cost", "/meta/prices/cacheWrite"),
    ("input_cost_per_token_batches", "/meta/prices/batchInput"),
    ("input_cost_per_token_batch_requests", "/meta/prices/batchInput"),
    ("output_cost_per_token_batches", "/meta/prices/batchOutput"),
    ("output_cost_per_reasoning_token", "/meta/prices/reasoning"),
    ("input_cost_per_audio_token", "/meta/prices/audioInput"),
    ("output_cost_per_audio_token", "/meta/prices/audioOutput"),
    ("output_cost_per_image_token", "/meta/prices/imageOutput"),
];

/// Providers that have another name here.
const PROVIDERS: [(&str, &str); 7] = [
    ("azure_text", "azure"),
    ("bedrock_converse", "bedrock"),
    ("cohere_chat", "cohere"),
    ("gemini", "google"),
    ("text-completion-openai", "openai"),
    ("together_ai", "togetherai"),
    ("voyage", "voyageai"),
];

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, serde_json::Error> {
    let pairs: Pairs<Box<RawValue>> = serde_json::from_slice(bytes)?;
    let mut reading = Reading::default();
    for (key, raw) in &pairs.0 {
        reading.add(imported(key, raw));
    }
    Ok(reading)
}

fn imported(key: &str, raw: &RawValue) -> Result<Imported, Skipped> {
    if key == EXAMPLE {
        return Err(Skipped::new(key, "example", "explains the format, and is no model"));
    }
    let mut map = entries::object(key, raw).map_err(|reason| Skipped::new(key, "malformed", reason))?;
    let Some(document) = map.remove(CARRIED) else { return entry(key, map) };
    carried(key, entry(key, map), document, |model| {
        let Value::Object(mut map) = shown(model) else { return None };
        map.remove(CARRIED);
        Some(entry(key, map).ok()?.said)
    })
}

fn entry(key: &str, map: Map<String, Value>) -> Result<Imported, Skipped> {
    let mut entry = Entry::new(key, map);
    let Some(upstream) = entry.text("litellm_provider").map(str::to_owned) else {
        return Err(entry.skipped("no-provider", "litellm_provider is missing"));
    };
    let Some(mode) = entry.text("mode").map(str::to_owned) else {
        return Err(entry.skipped("no-mode", "mode is missing: what it can do is unknown"));
    };
    let Some((_, capability)) = MODES.iter().find(|(name, _)| *name == mode) else {
        return Err(entry.skipped("unknown-mode", format!("the mode {} is not known", number::shorten(&mode))));
    };
    entry.can(*capability);
    for (flag, capability) in FLAGS {
        if entry.flag(flag) {
            entry.can(capability);
        }
    }
    for (key, place) in PRICES {
        entry.own_price(key, place, Unit::DollarsPerToken);
    }
    tiers(&mut entry);
    lengths(&mut entry, *capability == Capability::Text);
    entry.sunset("deprecation_date");
    entry.words("display_name", "/meta/displayName");
    let (provider, rest) = place(key, &upstream);
    entry.imported(provider, rest, |key| key.contains("cost"))
}

/// The provider as it is called here, and the name without it.
fn place<'a>(key: &'a str, upstream: &'a str) -> (&'a str, &'a str) {
    // `vertex_ai-anthropic_models` and the like are departments of one provider.
    let family = ["vertex_ai", "fireworks_ai"].into_iter().find(|family| upstream.starts_with(family));
    let whole = family.unwrap_or(upstream);
    let ours = PROVIDERS.iter().find(|(theirs, _)| *theirs == whole).map_or(whole, |(_, ours)| ours);
    match key.split_once('/') {
        Some((first, rest)) if [upstream, whole, ours].contains(&first) => (ours, rest),
        _ => (ours, key),
    }
}

/// `max_tokens` is what the others are when they are not said.
fn lengths(entry: &mut Entry, is_text: bool) {
    let rest = entry.take("max_tokens").unwrap_or_default();
    let mut is_used = false;
    for (key, place, may_default) in
        [("max_input_tokens", "/meta/contextLength", true), ("max_output_tokens", "/meta/maxOutputTokens", is_text)]
    {
        match entry.take(key) {
            Some(value) => entry.count(key, value, place),
            None if may_default => {
                is_used = true;
                entry.count("max_tokens", rest.clone(), place);
            }
            None => {}
        }
    }
    // Mostly it repeats one of them.
    let said = count(&rest).ok().flatten().map(Value::from);
    let is_told =
        ["/meta/contextLength", "/meta/maxOutputTokens"].into_iter().any(|place| entry.said(place) == said.as_ref());
    if !is_used && !is_told {
        entry.keep("max_tokens", rest, false);
    }
}

/// `input_cost_per_token_above_128k_tokens` and its like.
fn tiers(entry: &mut Entry) {
    let mut tiers: Vec<(u64, Map<String, Value>)> = Vec::new();
    for (side, ours) in [("input", "input"), ("output", "output")] {
        let before = format!("{side}_cost_per_token_above_");
        for key in entry.keys_with(&before, "k_tokens") {
            let thousands = &key[before.len()..key.len() - "k_tokens".len()];
            let Some(above) = thousands.parse::<u64>().ok().and_then(|thousands| thousands.checked_mul(1000)) else {
                continue;
            };
            let value = entry.take(&key).unwrap_or_default();
            if let Some(price) = entry.part(&key, value, Unit::DollarsPerToken) {
                let at = tiers.iter().position(|(other, _)| *other == above).unwrap_or_else(|| {
                    tiers.push((above, Map::from_iter([("aboveTokens".to_owned(), above.into())])));
                    tiers.len() - 1
                });
                tiers[at].1.insert(ours.to_owned(), price);
            }
        }
    }
    entry.tiers(tiers.into_iter().map(|(_, tier)| Value::Object(tier)).collect());
}

pub(crate) fn write(models: &[Model]) -> Result<Vec<u8>, serde_json::Error> {
    let all: Map<String, Value> = models.iter().map(|model| (model.id.to_string(), shown(model))).collect();
    let mut bytes = serde_json::to_vec_pretty(&all)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A model as LiteLLM has it, with ours beside it.
fn shown(model: &Model) -> Value {
    let meta = &model.meta;
    let can = |capability: &Capability| meta.capabilities.contains(capability);
    let mode = MODES.iter().find(|(_, capability)| can(capability)).map_or("chat", |(mode, _)| mode);
    let mut shown = json!({
        "litellm_provider": model.provider,
        "mode": mode,
        "display_name": meta.display_name,
    });
    let set = |shown: &mut Value, key: &str, value: Value| {
        if !value.is_null() {
            shown[key] = value;
        }
    };
    set(&mut shown, "max_input_tokens", json!(meta.context_length));
    set(&mut shown, "max_output_tokens", json!(meta.max_output_tokens));
    set(&mut shown, "max_tokens", json!(meta.max_output_tokens.or(meta.context_length)));
    let dollars = |price: &Value| {
        let price = price.as_number().and_then(|number| Price::from_str(number.as_str()).ok());
        price.map_or(Value::Null, |price| written(price, Unit::DollarsPerToken))
    };
    let ours = json!({"meta": meta});
    let mut places = Vec::new();
    for (key, place) in PRICES {
        if !places.contains(&place) {
            places.push(place);
            set(&mut shown, key, ours.pointer(place).map_or(Value::Null, dollars));
        }
    }
    for tier in meta.prices.iter().flat_map(|prices| &prices.tiers).filter(|tier| tier.above_tokens % 1000 == 0) {
        let thousands = tier.above_tokens / 1000;
        for (side, price) in [("input", tier.input), ("output", tier.output)] {
            let price = price.map_or(Value::Null, |price| written(price, Unit::DollarsPerToken));
            set(&mut shown, &format!("{side}_cost_per_token_above_{thousands}k_tokens"), price);
        }
    }
    let mut told = Vec::new();
    for (flag, capability) in FLAGS.iter().filter(|(_, capability)| can(capability)) {
        if !told.contains(capability) {
            told.push(*capability);
            shown[*flag] = true.into();
        }
    }
    let sunset = meta.sunset_date.map(|sunset| sunset.to_string().chars().take(10).collect::<String>());
    set(&mut shown, "deprecation_date", json!(sunset));
    set(&mut shown, CARRIED, json!(model));
    shown
}
