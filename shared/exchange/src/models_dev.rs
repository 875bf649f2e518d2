//! What models.dev publishes: an object a provider, and in it an object a model; prices in dollars for a million tokens.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr as _;

use roster_core::meta::Capability;
use roster_core::{Model, Price};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::entries::{self, Pairs};
use crate::entry::{Entry, INPUT, OUTPUT, metadata};
use crate::number::{Unit, count, written};
use crate::{CARRIED, Imported, Reading, Skipped, carried};

/// Prices of tokens, by their place here.
const PRICES: [(&str, &str); 7] = [
    ("input", INPUT),
    ("output", OUTPUT),
    ("cache_read", "/meta/prices/cacheRead"),
    ("cache_write", "/meta/prices/cacheWrite"),
    ("reasoning", "/meta/prices/reasoning"),
    ("input_audio", "/meta/prices/audioInput"),
    ("output_audio", "/meta/prices/audioOutput"),
];

const FLAGS: [(&str, Capability); 3] = [
    ("tool_call", Capability::FunctionCalling),
    ("reasoning", Capability::Reasoning),
    ("structured_output", Capability::StructuredOutput),
];

const INPUTS: [(&str, Capability); 4] = [
    ("image", Capability::Vision),
    ("pdf", Capability::Pdf),
    ("audio", Capability::AudioInput),
    ("video", Capability::VideoInput),
];

const OUTPUTS: [(&str, Capability); 3] = [
    ("image", Capability::ImageGeneration),
    ("audio", Capability::AudioOutput),
    ("video", Capability::VideoGeneration),
];

/// What the catalogue has in `providerMetadata` as it is.
const METADATA: [&str; 4] = ["family", "release_date", "knowledge", "open_weights"];

/// Where `context_over_200k` begins.
const LONG: u64 = 200_000;

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, serde_json::Error> {
    let providers: Pairs<Box<RawValue>> = serde_json::from_slice(bytes)?;
    let mut reading = Reading::default();
    for (provider, raw) in &providers.0 {
        let keys: Result<Pairs<Box<RawValue>>, _> = serde_json::from_str(raw.get());
        let models: Vec<_> = match &keys {
            Ok(keys) => keys.0.iter().filter(|(key, _)| key == "models").collect(),
            Err(_) => Vec::new(),
        };
        if models.is_empty() {
            reading.skipped.push(Skipped::new(
                provider,
                "malformed",
                "a provider is an object with the object \"models\"",
            ));
        }
        for (_, raw) in models {
            match serde_json::from_str::<Pairs<Box<RawValue>>>(raw.get()) {
                Ok(models) => models.0.iter().for_each(|(key, raw)| reading.add(imported(provider, key, raw))),
                Err(error) => {
                    let reason = format!("its models cannot be read: {error}");
                    reading.skipped.push(Skipped::new(provider, "malformed", reason));
                }
            }
        }
    }
    Ok(reading)
}

fn imported(provider: &str, key: &str, raw: &RawValue) -> Result<Imported, Skipped> {
    let whole = format!("{provider}/{key}");
    let mut map = entries::object(&whole, raw).map_err(|reason| Skipped::new(&whole, "malformed", reason))?;
    let Some(document) = map.remove(CARRIED) else { return entry(provider, key, map) };
    carried(&whole, entry(provider, key, map), document, |model| {
        let Value::Object(mut map) = shown(model) else { return None };
        map.remove(CARRIED);
        Some(entry(provider, key, map).ok()?.said)
    })
}

fn entry(provider: &str, key: &str, map: Map<String, Value>) -> Result<Imported, Skipped> {
    let mut entry = Entry::new(&format!("{provider}/{key}"), map);
    if entry.text("id") == Some(key) {
        entry.take("id");
    }
    can(&mut entry);
    entry.words("name", "/meta/displayName");
    entry.words("description", "/meta/description");
    prices(&mut entry);
    let mut limit = entry.take_object("limit");
    for (key, place) in [("context", "/meta/contextLength"), ("output", "/meta/maxOutputTokens")] {
        entry.count(&format!("limit.{key}"), limit.remove(key).unwrap_or_default(), place);
    }
    limit.into_iter().for_each(|(key, value)| entry.keep(&format!("limit.{key}"), value, false));
    entry.say("/isLegacy", Value::Bool(entry.text("status") == Some("deprecated")));
    if entry.said("/isLegacy") == Some(&Value::Bool(true)) {
        entry.take("status");
    }
    for key in METADATA {
        if let Some(value) = entry.take(key).filter(|value| value.is_string() || value.is_boolean()) {
            entry.say(&metadata(key), value);
        }
    }
    entry.imported(provider, key, |_| false)
}

/// What is put in and what comes out say what a model does.
fn can(entry: &mut Entry) {
    let mut modalities = entry.take_object("modalities");
    let mut names = |key: &str| -> Vec<String> {
        let list = modalities.remove(key).unwrap_or_default();
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (inputs, outputs) = (names("input"), names("output"));
    let has = |list: &[String], name: &str| list.iter().any(|other| other == name);
    let family = entry.text("family").unwrap_or_default().to_owned();
    if has(&outputs, "text") {
        entry.can(match () {
            () if family.contains("embed") => Capability::Embedding,
            () if family.contains("rerank") => Capability::Rerank,
            () if has(&inputs, "audio") && !has(&inputs, "text") => Capability::SpeechToText,
            () => Capability::Text,
        });
    }
    for (name, capability) in INPUTS {
        if has(&inputs, name) {
            entry.can(capability);
        }
    }
    for (name, capability) in OUTPUTS {
        if has(&outputs, name) {
            let speaks = name == "audio" && outputs.len() == 1 && has(&inputs, "text");
            entry.can(if speaks { Capability::TextToSpeech } else { capability });
        }
    }
    for (flag, capability) in FLAGS {
        if entry.flag(flag) {
            entry.can(capability);
        }
    }
    modalities.into_iter().for_each(|(key, value)| entry.keep(&format!("modalities.{key}"), value, false));
    let known = |name: &String, known: &[(&str, Capability)]| {
        matches!(name.as_str(), "text") || known.iter().any(|(other, _)| other == name)
    };
    let odd: Vec<&String> = inputs.iter().filter(|name| !known(name, &INPUTS)).collect();
    let odd: Vec<&String> = odd.into_iter().chain(outputs.iter().filter(|name| !known(name, &OUTPUTS))).collect();
    if !odd.is_empty() {
        entry.note(format!("modalities {odd:?} are no capability here: kept in providerMetadata"));
        entry.keep("modalities", json!({"input": inputs, "output": outputs}), false);
    }
}

fn prices(entry: &mut Entry) {
    let mut cost = entry.take_object("cost");
    for (key, place) in PRICES {
        let name = format!("cost.{key}");
        if let Some(value) = cost.remove(key) {
            entry.price(&name, value, place, Unit::DollarsPerMillion);
        }
    }
    if entry.said("/meta/prices/cacheRead").is_some() {
        entry.can(Capability::PromptCaching);
    }
    let long = cost.remove("context_over_200k");
    match (cost.remove("tiers"), long) {
        (Some(tiers), long) => {
            let sized = |tier: &Value| Some((count(tier.pointer("/tier/size")?).ok()??, tier.clone()));
            let list: Vec<_> = tiers.as_array().into_iter().flatten().map(sized).collect();
            let is_whole = tiers.is_array() && list.iter().all(Option::is_some);
            if is_whole && said_whole(entry, "cost.tiers", list.into_iter().flatten().collect()) {
                // Published beside the tiers, and made of them.
                if let Some(long) = long.filter(|_| !repeats(&tiers)) {
                    entry.keep("cost.context_over_200k", long, true);
                }
            } else {
                entry.keep("cost.tiers", tiers, true);
                entry.keep("cost.context_over_200k", long.unwrap_or_default(), true);
            }
        }
        (None, Some(long)) => {
            if !said_whole(entry, "cost.context_over_200k", vec![(LONG, long.clone())]) {
                entry.keep("cost.context_over_200k", long, true);
            }
        }
        (None, None) => {}
    }
    cost.into_iter().for_each(|(key, value)| entry.keep(&format!("cost.{key}"), value, true));
}

/// Whether there is one tier, which `context_over_200k` then repeats.
fn repeats(tiers: &Value) -> bool {
    tiers.as_array().is_some_and(|tiers| tiers.len() == 1)
}

/// Says tiers; what a tier has beyond input and output is kept. Whether they are as tiers are.
fn said_whole(entry: &mut Entry, name: &str, list: Vec<(u64, Value)>) -> bool {
    let mut sizes: Vec<u64> = list.iter().map(|(above, _)| *above).collect();
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.len() < list.len() {
        return false;
    }
    let mut tiers = Vec::new();
    for (above, tier) in list {
        let Value::Object(mut tier) = tier else { return false };
        tier.remove("tier");
        let mut ours = Map::from_iter([("aboveTokens".to_owned(), Value::from(above))]);
        for side in ["input", "output"] {
            let value = tier.remove(side).unwrap_or_default();
            let price = entry.part(&format!("{name}_{above}_{side}"), value, Unit::DollarsPerMillion);
            ours.extend(price.map(|price| (side.to_owned(), price)));
        }
        tiers.push(Value::Object(ours));
        tier.into_iter().for_each(|(key, value)| entry.keep(&format!("{name}_{above}_{key}"), value, true));
    }
    entry.tiers(tiers);
    true
}

pub(crate) fn write(models: &[Model]) -> Result<Vec<u8>, serde_json::Error> {
    let mut providers: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let ids: HashSet<(&str, &str)> = models.iter().map(|model| (model.provider.as_str(), model.id.as_str())).collect();
    for model in models {
        // `gpt-5` and `openai/gpt-5` may both be there.
        let (id, key) = (model.id.as_str(), key_of(model));
        let key = if key != id && ids.contains(&(model.provider.as_str(), key)) { id } else { key };
        providers.entry(&model.provider).or_default().insert(key.to_owned(), shown(model));
    }
    let all: Map<String, Value> = providers
        .into_iter()
        .map(|(provider, models)| (provider.to_owned(), json!({"id": provider, "name": provider, "models": models})))
        .collect();
    let mut bytes = serde_json::to_vec_pretty(&all)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A model's id without its provider.
fn key_of(model: &Model) -> &str {
    let id = model.id.as_str();
    id.strip_prefix(model.provider.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(id)
}

/// A model as models.dev has it, with ours beside it.
fn shown(model: &Model) -> Value {
    let meta = &model.meta;
    let can = |capability: Capability| meta.capabilities.contains(&capability);
    let of = |list: &[(&str, Capability)], and_text: bool| -> Vec<String> {
        let names = list.iter().filter(|(_, capability)| can(*capability)).map(|(name, _)| *name);
        ["text"].into_iter().filter(|_| and_text).chain(names).map(str::to_owned).collect()
    };
    let dollars = |price: &Value| {
        let price = price.as_number().and_then(|number| Price::from_str(number.as_str()).ok());
        price.map(|price| written(price, Unit::DollarsPerMillion))
    };
    let ours = json!({"meta": meta});
    let mut cost: Map<String, Value> =
        PRICES.iter().filter_map(|(key, place)| Some(((*key).to_owned(), dollars(ours.pointer(place)?)?))).collect();
    let tiers: Vec<Value> = meta
        .prices
        .iter()
        .flat_map(|prices| &prices.tiers)
        .map(|tier| {
            let sides = [("input", tier.input), ("output", tier.output)];
            let sides = sides.into_iter().filter_map(|(side, price)| Some((side, price?)));
            let sides = sides.map(|(side, price)| (side.to_owned(), written(price, Unit::DollarsPerMillion)));
            let mut shown: Map<String, Value> = sides.collect();
            shown.insert("tier".to_owned(), json!({"size": tier.above_tokens}));
            Value::Object(shown)
        })
        .collect();
    if !tiers.is_empty() {
        cost.insert("tiers".to_owned(), tiers.into());
    }
    let makes_text = [Capability::Text, Capability::Embedding, Capability::Rerank, Capability::SpeechToText];
    let speaks = if can(Capability::TextToSpeech) { vec!["audio".to_owned()] } else { Vec::new() };
    let hears = if can(Capability::SpeechToText) { vec!["audio".to_owned()] } else { Vec::new() };
    let input = [of(&INPUTS, !can(Capability::SpeechToText)), hears].concat();
    let output = [of(&OUTPUTS, makes_text.into_iter().any(can)), speaks].concat();
    let mut shown = json!({
        "id": key_of(model),
        "name": meta.display_name,
        "attachment": can(Capability::Vision) || can(Capability::Pdf),
        "modalities": {"input": input, "output": output},
        "limit": {"context": meta.context_length.unwrap_or(0), "output": meta.max_output_tokens.unwrap_or(0)},
        CARRIED: model,
    });
    for (flag, capability) in FLAGS {
        shown[flag] = can(capability).into();
    }
    if !cost.is_empty() {
        shown["cost"] = cost.into();
    }
    if !meta.description.is_empty() {
        shown["description"] = meta.description.as_str().into();
    }
    if model.is_legacy {
        shown["status"] = "deprecated".into();
    }
    for key in METADATA {
        if let Some(value) = meta.provider_metadata.get(key) {
            shown[key] = value.clone();
        }
    }
    shown
}
