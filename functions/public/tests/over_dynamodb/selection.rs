//! Whatever is asked, a listing has what a filter and a sort over all models have.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use roster_core::Model;
use roster_core::tier::Tier;
use serde_json::{Value, json};

use super::{Stack, ids};

const NUMBERS: [&str; 4] =
    ["context_length", "max_output_tokens", "input_cost_per_million_tokens", "credits_per_1k_tokens"];

fn any_model() -> impl Strategy<Value = Value> {
    let words = prop::sample::subsequence(vec!["fast", "faster", "small", "gpt-5", "Größe"], 0..4);
    let price = prop::sample::select(vec![Value::Null, json!(0), json!(10), json!(12.5), json!(10000)]);
    let abilities = prop::sample::subsequence(vec!["text", "code", "vision"], 1..=3);
    let sunset = prop::sample::select(vec![None, Some("2026-01-01T00:00:00Z"), Some("2099-01-01T00:00:00Z")]);
    let tier = prop::sample::select(Tier::ALL.to_vec());
    let names = (0u8..3, words.clone(), words, any::<[bool; 3]>());
    (names, price.clone(), price, abilities, 0u64..3, sunset, tier).prop_map(
        |(
            (provider, name, description, [legacy, available, archived]),
            input,
            output,
            abilities,
            size,
            sunset,
            tier,
        )| {
            json!({
                "name": "m", "provider": format!("p{provider}"),
                "isAvailable": available, "isLegacy": legacy, "isArchived": archived && legacy,
                "meta": {
                    "displayName": format!("M {}", name.join(" ")), "description": description.join(", "),
                    "capabilities": abilities, "contextLength": 1000 * (size + 1),
                    "inputCostPerMillionTokens": input, "outputCostPerMillionTokens": output, "sunsetDate": sunset,
                    "requiredTier": tier, "tierRestrictionMode": "minimum", "allowedTiers": [],
                },
            })
        },
    )
}

fn any_filters() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::sample::subsequence(
        vec![
            ("provider", "p1"),
            ("capability", "code"),
            ("capability", "vision"),
            ("tier", "pro_max"),
            ("available", "true"),
            ("legacy", "false"),
            ("q", "fas"),
            ("q", "Grö m"),
            ("min_context", "2000"),
            ("max_input_cost", "12.50"),
            ("max_output_cost", "1e1"),
        ],
        0..4,
    )
    .prop_filter("q is given once", |filters| filters.iter().filter(|(name, _)| *name == "q").count() < 2)
}

fn takes(model: &Value, (name, value): (&str, &str)) -> bool {
    let number = |field: &str| model[field].as_f64();
    match name {
        "provider" => model["provider"] == value,
        "capability" => model["capabilities"].as_array().unwrap().contains(&json!(value)),
        "tier" => {
            let required: Tier = model["required_tier"].as_str().unwrap().parse().unwrap();
            required <= value.parse().unwrap()
        }
        "available" => model["is_available"] == json!(value == "true"),
        "legacy" => model["is_legacy"] == json!(value == "true"),
        "min_context" => number("context_length").is_some_and(|length| length >= 2000.0),
        "max_input_cost" => number("input_cost_per_million_tokens").is_some_and(|cost| cost <= 12.5),
        "max_output_cost" => number("output_cost_per_million_tokens").is_some_and(|cost| cost <= 10.0),
        "q" => {
            let text = ["id", "name", "display_name", "description"].map(|field| model[field].as_str().unwrap());
            let words: Vec<String> =
                text.join(" ").split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
            value.split(' ').all(|asked| words.iter().any(|word| word.starts_with(&asked.to_lowercase())))
        }
        _ => unreachable!("{name}"),
    }
}

/// The order that a listing shall have.
fn order(one: &Value, other: &Value, sort: &str) -> Ordering {
    let (is_descending, field) = sort.strip_prefix('-').map_or((false, sort), |field| (true, field));
    let known = match (one[field].as_f64(), other[field].as_f64()) {
        (Some(one), Some(other)) if is_descending => other.partial_cmp(&one).unwrap(),
        (Some(one), Some(other)) => one.partial_cmp(&other).unwrap(),
        (one, other) => one.is_none().cmp(&other.is_none()),
    };
    known.then_with(|| one["id"].as_str().cmp(&other["id"].as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_listing_is_a_filter_and_a_sort(
        models in prop::collection::vec(any_model(), 0..60),
        asked in prop::collection::vec((any_filters(), prop::sample::select(NUMBERS.to_vec()), 0u8..3, 1usize..20), 20),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut stack = Stack::new().await;
            let models: Vec<Model> = models.into_iter().enumerate().map(|(n, mut model)| {
                model["id"] = json!(format!("m{n:02}"));
                serde_json::from_value(model).unwrap()
            }).collect();
            stack.publish(&models, &[]).await;
            let (_, all) = stack.list("/v1/models?limit=1000").await;
            for (filters, field, direction, limit) in asked {
                let sort = match direction { 0 => "id".to_owned(), 1 => field.to_owned(), _ => format!("-{field}") };
                let mut expected: Vec<&Value> = all["models"].as_array().unwrap().iter()
                    .filter(|model| filters.iter().all(|filter| takes(model, *filter))).collect();
                let is_ranked = sort == "id" && filters.iter().any(|(name, _)| *name == "q");
                if sort != "id" {
                    expected.sort_by(|one, other| order(one, other, &sort));
                }
                let mut query: Vec<String> = filters.iter().map(|(name, value)| format!("{name}={value}")).collect();
                query.push(format!("limit={limit}&facets=provider,tier"));
                if sort != "id" {
                    query.push(format!("sort={sort}"));
                }
                let target = format!("/v1/models?{}", query.join("&"));
                let (mut found, mut cursor) = (Vec::new(), String::new());
                loop {
                    let (status, page) = stack.list(&format!("{target}{cursor}")).await;
                    assert_eq!((status.as_u16(), &page["total"]), (200, &json!(expected.len())), "{target}");
                    let mut providers: BTreeMap<&str, u64> = BTreeMap::new();
                    expected.iter().for_each(|model| *providers.entry(model["provider"].as_str().unwrap()).or_default() += 1);
                    assert_eq!(page["facets"]["provider"], json!(providers), "{target}");
                    found.extend(page["models"].as_array().unwrap().clone());
                    match page["next_cursor"].as_str() {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => break,
                    }
                }
                if is_ranked {
                    found.sort_by(|one, other| one["id"].as_str().cmp(&other["id"].as_str()));
                }
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{target}");
            }
        });
    }
}

#[tokio::test]
async fn some_fields_of_a_page() {
    let mut stack = Stack::new().await;
    stack.publish(&[super::model("a"), super::model("b")], &[]).await;
    let (_, page) = stack.list("/v1/models?fields=access_status,id&limit=1").await;
    assert_eq!(page["models"], json!([{"id": "a", "access_status": "upgrade_required"}]));
    let (_, next) =
        stack.list(&format!("/v1/models?fields=name&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(next["models"], json!([{"name": "b"}]));
    assert_eq!(ids(&stack.list("/v1/models").await.1), ["a", "b"]);
}
