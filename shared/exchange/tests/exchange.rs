//! Other catalogues as they are published, and random models on every way out and back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use roster_core::{Model, file, validate};
use roster_exchange::{Format, Imported, Merged, Options, merge, read, write};
use rust_decimal::Decimal;
use serde_json::{Value, json};

const SAMPLES: [(Format, &str); 3] = [
    (Format::LiteLlm, "litellm-1.60.0.json"),
    (Format::ModelsDev, "models.dev-api-sample.json"),
    (Format::OpenRouter, "openrouter-models-sample.json"),
];

/// The samples in `shared/data` beside the house, where they are.
#[expect(clippy::print_stdout, reason = "whoever runs the tests shall know what was not run")]
fn sample(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("not run: {name} is not beside the repository");
        return None;
    }
    Some(std::fs::read(path).unwrap())
}

fn merged(format: Format, imported: &Imported, current: Option<&Model>) -> Merged {
    merge(format, imported, current, &Options::default()).unwrap()
}

fn model(document: &Value) -> Model {
    serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document}"))
}

/// The keys of the entries, and each entry, by hand.
fn entries(format: Format, bytes: &[u8]) -> BTreeMap<String, Value> {
    let whole: Value = serde_json::from_slice(bytes).unwrap();
    let object = |value: &Value| value.as_object().unwrap().clone();
    match format {
        Format::LiteLlm => object(&whole).into_iter().collect(),
        Format::ModelsDev => {
            let models = object(&whole).into_iter().flat_map(|(provider, value)| {
                let models = object(&value["models"]).into_iter();
                models.map(move |(key, value)| (format!("{provider}/{key}"), value)).collect::<Vec<_>>()
            });
            models.collect()
        }
        _ => whole["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["id"].as_str().unwrap().to_owned(), e.clone()))
            .collect(),
    }
}

#[test]
fn every_entry_is_imported_or_skipped_with_its_reason() {
    let mut told = BTreeMap::new();
    for (format, name) in SAMPLES {
        let Some(bytes) = sample(name) else { return };
        let reading = read(format, &bytes).unwrap();
        let all = entries(format, &bytes);
        let read: BTreeSet<&String> =
            reading.models.iter().map(|m| &m.key).chain(reading.skipped.iter().map(|s| &s.key)).collect();
        assert_eq!(read, all.keys().collect(), "{name}");
        assert_eq!(reading.entries(), all.len(), "{name}: an entry is told twice");
        let (mut valid, mut invalid) = (0, Vec::new());
        for imported in &reading.models {
            let model = model(&merged(format, imported, None).document);
            let path = file::path(&model);
            match validate::read_model(&path, file::text(&model, &path).unwrap().as_bytes()) {
                Ok(_) => valid += 1,
                Err(problems) => invalid.push(format!("{}: {}", imported.key, problems[0].message)),
            }
        }
        let skipped: Vec<String> =
            reading.skipped.iter().map(|it| format!("{} [{}]: {}", it.key, it.kind, it.reason)).collect();
        let (entries, invalid_count, skipped_count) = (all.len(), invalid.len(), skipped.len());
        assert_eq!(valid + invalid_count + skipped_count, entries, "{name}");
        let counts =
            format!("{entries} entries: {valid} valid, {invalid_count} against the rules, {skipped_count} skipped");
        told.insert(name, json!({"counts": counts, "invalid": invalid, "skipped": skipped}));
    }
    insta::assert_json_snapshot!(told);
}

/// A format, its sample, where its prices stand there and here, and by how many places they differ.
type Places = (Format, &'static str, &'static [(&'static str, &'static str)], u32);

/// Each price again, by another arithmetic: source digits as a decimal, times a power of ten.
#[test]
fn every_price_is_exact() {
    let places: [Places; 3] = [
        (
            Format::LiteLlm,
            "litellm-1.60.0.json",
            &[
                ("/input_cost_per_token", "/meta/inputCostPerMillionTokens"),
                ("/output_cost_per_token", "/meta/outputCostPerMillionTokens"),
                ("/cache_read_input_token_cost", "/meta/prices/cacheRead"),
                ("/cache_creation_input_token_cost", "/meta/prices/cacheWrite"),
                ("/input_cost_per_token_batches", "/meta/prices/batchInput"),
                ("/output_cost_per_token_batches", "/meta/prices/batchOutput"),
                ("/input_cost_per_audio_token", "/meta/prices/audioInput"),
                ("/output_cost_per_audio_token", "/meta/prices/audioOutput"),
                ("/input_cost_per_token_above_128k_tokens", "/meta/prices/tiers/0/input"),
                ("/output_cost_per_token_above_128k_tokens", "/meta/prices/tiers/0/output"),
            ],
            9,
        ),
        (
            Format::ModelsDev,
            "models.dev-api-sample.json",
            &[
                ("/cost/input", "/meta/inputCostPerMillionTokens"),
                ("/cost/output", "/meta/outputCostPerMillionTokens"),
                ("/cost/cache_read", "/meta/prices/cacheRead"),
                ("/cost/cache_write", "/meta/prices/cacheWrite"),
                ("/cost/reasoning", "/meta/prices/reasoning"),
                ("/cost/input_audio", "/meta/prices/audioInput"),
                ("/cost/tiers/0/input", "/meta/prices/tiers/0/input"),
                ("/cost/tiers/0/output", "/meta/prices/tiers/0/output"),
            ],
            3,
        ),
        (
            Format::OpenRouter,
            "openrouter-models-sample.json",
            &[
                ("/pricing/prompt", "/meta/inputCostPerMillionTokens"),
                ("/pricing/completion", "/meta/outputCostPerMillionTokens"),
                ("/pricing/input_cache_read", "/meta/prices/cacheRead"),
                ("/pricing/input_cache_write", "/meta/prices/cacheWrite"),
                ("/pricing/internal_reasoning", "/meta/prices/reasoning"),
                ("/pricing/audio", "/meta/prices/audioInput"),
            ],
            9,
        ),
    ];
    for (format, name, places, power) in places {
        let Some(bytes) = sample(name) else { return };
        let all = entries(format, &bytes);
        let mut compared = 0;
        for imported in read(format, &bytes).unwrap().models {
            let document = merged(format, &imported, None).document;
            let digits = |value: &Value| match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                other => panic!("{other}"),
            };
            let decimal =
                |text: &str| Decimal::from_scientific(text).or_else(|_| text.parse::<Decimal>()).unwrap().normalize();
            for (theirs, ours) in places {
                let theirs = all[&imported.key].pointer(theirs);
                let ours = document.pointer(ours).filter(|value| !value.is_null());
                match (theirs, ours) {
                    (Some(theirs), Some(ours)) => {
                        let expected = decimal(&digits(theirs)) * Decimal::from(10u64.pow(power));
                        assert_eq!(decimal(&digits(ours)), expected.normalize(), "{}", imported.key);
                        compared += 1;
                    }
                    (Some(theirs), None) => assert_eq!(digits(theirs), "-1", "{}", imported.key),
                    (None, Some(_)) if name.starts_with("litellm") => {}
                    (None, ours) => assert_eq!(ours, None, "{}", imported.key),
                }
            }
        }
        assert!(compared > 150, "{name}: {compared}");
    }
}

/// No key of an entry is lost: what has no field is kept.
#[test]
fn what_has_no_field_is_kept() {
    let Some(bytes) = sample("litellm-1.60.0.json") else { return };
    let all = entries(Format::LiteLlm, &bytes);
    for imported in read(Format::LiteLlm, &bytes).unwrap().models {
        let mut told: usize = 0;
        for (key, value) in all[&imported.key].as_object().unwrap() {
            let is_field = key.starts_with("supports_") || key.contains("token") || key == "deprecation_date";
            let kept = imported.extra.get(key);
            assert!(is_field || kept.is_some(), "{}: {key}", imported.key);
            if let (Some(Value::String(kept)), Value::Number(number)) = (kept, value) {
                assert_eq!(kept, number.as_str(), "{}: {key}", imported.key);
                told += 1;
            }
        }
        let noted = imported.notes.iter().filter(|note| note.contains("kept in providerMetadata")).count();
        assert!(noted <= told, "{}: {:?}", imported.key, imported.notes);
    }
}

#[test]
fn twice_changes_nothing() {
    for (format, name) in SAMPLES {
        let Some(bytes) = sample(name) else { return };
        for imported in read(format, &bytes).unwrap().models {
            let first = model(&merged(format, &imported, None).document);
            let second = merged(format, &imported, Some(&first));
            assert_eq!((model(&second.document), second.kept), (first, vec![]), "{}", imported.key);
        }
    }
}

fn one(format: Format, file: &Value) -> Imported {
    let reading = read(format, file.to_string().as_bytes()).unwrap();
    assert_eq!(reading.skipped, []);
    reading.models.into_iter().next().unwrap()
}

fn litellm(more: Value) -> Imported {
    let mut entry = json!({
        "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1000, "max_output_tokens": 100,
        "input_cost_per_token": 1, "output_cost_per_token": 2, "supports_vision": true,
    });
    json_merge(&mut entry, more);
    one(Format::LiteLlm, &json!({"gpt-x": entry}))
}

fn json_merge(entry: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
}

#[test]
fn what_people_have_edited_stays_and_the_rest_follows() {
    let price = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let first = litellm(json!({"input_cost_per_token": price("1.25e-06"), "output_cost_per_token": price("1e-05")}));
    let mut edited = merged(Format::LiteLlm, &first, None).document;
    assert_eq!(edited["id"], "openai/gpt-x");
    assert_eq!(edited["meta"]["inputCostPerMillionTokens"], 1250);
    edited["meta"]["inputCostPerMillionTokens"] = 1300.into();
    edited["meta"]["displayName"] = "GPT X".into();
    edited["meta"]["requiredTier"] = "pro".into();
    edited["meta"]["capabilities"] = json!(["text", "code"]);
    let edited = model(&edited);
    let next = litellm(json!({
        "input_cost_per_token": price("1.5e-06"), "output_cost_per_token": price("2e-05"), "supports_reasoning": true,
        "max_output_tokens": null,
    }));
    let merged = merge(Format::LiteLlm, &next, Some(&edited), &Options::default()).unwrap();
    let meta = &merged.document["meta"];
    assert_eq!(meta["inputCostPerMillionTokens"], 1300, "edited by hand");
    assert_eq!(meta["outputCostPerMillionTokens"], 20000, "follows");
    assert_eq!((&meta["displayName"], &meta["requiredTier"]), (&json!("GPT X"), &json!("pro")));
    assert_eq!(meta["capabilities"], json!(["text", "code", "reasoning"]), "vision was taken out, code was added");
    assert_eq!(meta.get("maxOutputTokens"), None, "upstream knows it no more");
    let kept: Vec<_> = merged.kept.iter().map(|kept| (kept.place.as_str(), &kept.stays, &kept.upstream)).collect();
    assert_eq!(kept, [("/meta/inputCostPerMillionTokens", &json!(1300), &json!(1500))]);
    let options = Options { take: vec!["inputCostPerMillionTokens".to_owned()], ..Options::default() };
    let taken = merge(Format::LiteLlm, &next, Some(&edited), &options).unwrap();
    assert_eq!(taken.document["meta"]["inputCostPerMillionTokens"], 1500);
}

#[test]
fn a_first_import_fills_what_is_missing_only() {
    let mut by_hand = merged(Format::LiteLlm, &litellm(json!({})), None).document;
    by_hand["meta"]["providerMetadata"] = json!({"family": "x"});
    by_hand["meta"]["outputCostPerMillionTokens"] = Value::Null;
    by_hand["meta"]["contextLength"] = 5.into();
    let by_hand = model(&by_hand);
    let merged = merged(Format::LiteLlm, &litellm(json!({})), Some(&by_hand));
    assert_eq!(merged.document["meta"]["outputCostPerMillionTokens"], 2_000_000_000);
    assert_eq!(merged.document["meta"]["contextLength"], 5);
    assert_eq!(merged.document["meta"]["providerMetadata"]["family"], "x");
    assert_eq!(merged.kept.len(), 1);
    assert_eq!(merged.kept[0].why, "was there before the first import");
}

#[test]
fn broken_entries_are_told_one_by_one() {
    let text = r#"{
        "sample_spec": {}, "a": 5, "b": {"mode": "chat", "mode": "chat"}, "c": {"litellm_provider": "p"},
        "d": {"litellm_provider": "p", "mode": "dance"}, "e e": {"litellm_provider": "p", "mode": "chat"},
        "f": {"litellm_provider": "p", "mode": "chat"}, "F": {"litellm_provider": "p", "mode": "chat"},
        "f": {"litellm_provider": "p", "mode": "chat"}, "g": {"mode": "chat"},
        "h": {"litellm_provider": "p/q", "mode": "chat"}
    }"#;
    let reading = read(Format::LiteLlm, text.as_bytes()).unwrap();
    assert_eq!(reading.entries(), 11);
    let told: Vec<String> =
        reading.skipped.iter().map(|it| format!("{}: {}: {}", it.key, it.kind, it.reason)).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    sample_spec: example: explains the format, and is no model
    a: malformed: is no object
    b: malformed: /mode: duplicate key "mode": keep one of them
    c: no-mode: mode is missing: what it can do is unknown
    d: unknown-mode: the mode "dance" is not known
    e e: illegal-id: "p/e e" is not a model id: 1 to 200 characters, segments of letters, digits and ._:@+~- that begin with a letter, a digit or ~, joined by single slashes
    g: no-provider: litellm_provider is missing
    h: illegal-id: the provider "p/q" has a slash in it, and is a directory's name here
    F: repeated: the id "p/F" but for letter case is also that of the entry "f" before it
    f: repeated: the id "p/f" is also that of the entry "f" before it
    "#);
    for (format, bytes) in [
        (Format::LiteLlm, "[]"),
        (Format::ModelsDev, "5"),
        (Format::OpenRouter, "{}"),
        (Format::Roster, "{\"models\": 1}"),
        (Format::Csv, "id,nonsense\n"),
    ] {
        assert!(read(format, bytes.as_bytes()).is_err(), "{bytes}");
    }
    assert!(write(Format::OpenRouter, &[]).is_err());
}

/// Someone edits an exported file in its own terms: that counts, and nothing else is lost.
#[test]
fn an_edit_of_what_was_exported_counts() {
    let mut document = merged(Format::LiteLlm, &litellm(json!({})), None).document;
    document["meta"]["internalNotes"] = "secret".into();
    let before = model(&document);
    let mut file: Value =
        serde_json::from_slice(&write(Format::LiteLlm, std::slice::from_ref(&before)).unwrap()).unwrap();
    file["openai/gpt-x"]["input_cost_per_token"] = serde_json::from_str("3e-06").unwrap();
    let imported = one(Format::LiteLlm, &file);
    let mut expected = serde_json::to_value(&before).unwrap();
    expected["meta"]["inputCostPerMillionTokens"] = 3000.into();
    assert_eq!(imported.document, Some(expected));
    assert_eq!(imported.notes.len(), 1);
}

fn prices() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        "(0|[1-9][0-9]{0,9})(\\.[0-9]{1,12})?".prop_map(|text| serde_json::from_str(&text).unwrap()),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~äß\n\r\t=+@\"',;-]{0,12}", "[=+@\"-][a-z]{1,3}"]
}

fn documents() -> impl Strategy<Value = Value> {
    const CAPABILITIES: [&str; 12] = [
        "text",
        "vision",
        "function_calling",
        "embedding",
        "speech_to_text",
        "text_to_speech",
        "fine_tuning",
        "moderation",
        "audio_output",
        "image_generation",
        "reasoning",
        "streaming",
    ];
    let capabilities = prop::sample::subsequence(CAPABILITIES.to_vec(), 1..6);
    let names = ("[a-c]", "(p|q)", any::<bool>());
    let numbers = prop::option::of(1u64..2_000_000);
    let tiers = prop::collection::btree_map(1u64..4, (prices(), prices()), 0..3);
    (
        names,
        capabilities,
        (prices(), prices(), prices()),
        tiers,
        numbers,
        (texts(), texts(), texts()),
        any::<[bool; 5]>(),
    )
        .prop_map(
            |((id, provider, is_long), capabilities, (input, output, cached), tiers, length, texts, flags)| {
                let id = if is_long { format!("{provider}/{id}") } else { id };
                let tiers: Vec<Value> = tiers
                .into_iter()
                .map(|(above, (input, output))| json!({"aboveTokens": above * 1500, "input": input, "output": output}))
                .collect();
                let mut document = json!({
                    "id": id, "name": format!("n{}", texts.0), "provider": provider,
                    "isAvailable": flags[0], "isLegacy": flags[1], "isArchived": flags[2], "protected": flags[3],
                    "meta": {
                        "displayName": format!("{}x", texts.1), "description": texts.2, "internalNotes": texts.1,
                        "capabilities": capabilities, "contextLength": length,
                        "inputCostPerMillionTokens": input, "outputCostPerMillionTokens": output,
                        "requiredTier": "pro", "tierRestrictionMode": "whitelist", "allowedTiers": ["pro"],
                        "providerMetadata": {"family": texts.0, "open_weights": 1.5, "x": {"y": [1, null]}},
                    },
                });
                if flags[4] {
                    document["meta"]["prices"] = json!({"cacheRead": cached, "tiers": tiers});
                    document["meta"]["deprecationNotice"] = texts.2.into();
                    document["meta"]["sunsetDate"] = "2027-01-14T05:06:07.5Z".into();
                    document["versions"] = json!([{"version": "1.0.0", "status": "active"}]);
                }
                document
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_goes_out_comes_back(documents in prop::collection::vec(documents(), 0..5)) {
        let mut models: Vec<Model> = documents.iter().map(model).collect();
        models.sort_by(|one, other| one.id.cmp(&other.id));
        models.dedup_by(|one, other| one.id.folded() == other.id.folded());
        for format in [Format::Roster, Format::ModelsDev, Format::LiteLlm, Format::Csv] {
            let reading = read(format, &write(format, &models).unwrap()).unwrap();
            prop_assert_eq!(&reading.skipped, &[]);
            let mut back: Vec<Model> =
                reading.models.iter().map(|imported| model(&merged(format, imported, None).document)).collect();
            back.sort_by(|one, other| one.id.cmp(&other.id));
            prop_assert_eq!(&back, &models, "{}", format.name());
            prop_assert!(reading.models.iter().all(|imported| imported.notes.is_empty()), "{}", format.name());
        }
    }
}
