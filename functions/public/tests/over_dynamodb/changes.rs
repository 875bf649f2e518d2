//! Whoever applies the changes to an old copy of a listing has the listing.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use roster_core::{Model, ModelId};
use serde_json::{Value, json};

use super::{Stack, model};

#[derive(Clone, Debug)]
struct Step {
    /// For each model: whether to leave it, to remove it, or what it becomes.
    models: Vec<Option<Option<Model>>>,
    minutes: i64,
    copies: bool,
}

fn any_step() -> impl Strategy<Value = Step> {
    let becomes = (1u64..4, any::<[bool; 3]>(), -100i64..200, 0usize..3).prop_map(
        |(price, [archived, vision, schedules], sunset, replacement)| {
            let mut model = model("m");
            model.meta.input_cost_per_million_tokens = price.to_string().parse().ok();
            (model.is_archived, model.is_available) = (archived, !archived);
            if vision {
                model.meta.capabilities.push(roster_core::meta::Capability::Vision);
            }
            let start: jiff::Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
            if sunset > 0 {
                model.meta.sunset_date = Some(start + SignedDuration::from_mins(sunset));
                model.meta.legacy_replacement_model_id = ModelId::parse(&format!("m{replacement}")).ok();
            }
            if schedules {
                let from = start + SignedDuration::from_mins(sunset.abs());
                let scheduled = json!([{"from": from, "inputCostPerMillionTokens": 7}]);
                model.meta.price_schedule = serde_json::from_value(scheduled).unwrap();
            }
            model
        },
    );
    let one = prop_oneof![6 => Just(None), 1 => Just(Some(None)), 3 => becomes.prop_map(|model| Some(Some(model)))];
    (prop::collection::vec(one, 12), 0i64..60, any::<bool>()).prop_map(|(models, minutes, copies)| Step {
        models,
        minutes,
        copies,
    })
}

/// A client's copy of a listing, and the revision that it asks from.
#[derive(Default)]
struct Copy {
    models: BTreeMap<String, Value>,
    revision: u64,
}

impl Copy {
    /// Brings the copy up to date, page by page.
    async fn update(&mut self, stack: &Stack, filters: &str) {
        let since = if self.revision == 0 { String::new() } else { format!("&changed_since={}", self.revision) };
        let mut cursor = String::new();
        loop {
            let (status, page) = stack.list(&format!("/v1/models?limit=3{filters}{since}{cursor}")).await;
            assert_eq!(status.as_u16(), 200, "{page}");
            for model in page["models"].as_array().unwrap() {
                self.models.insert(model["id"].as_str().unwrap().to_owned(), model.clone());
            }
            for gone in page["gone"].as_array().into_iter().flatten() {
                assert_eq!(["removed", "archived", "unmatched"].iter().filter(|why| gone[**why] == true).count(), 1);
                self.models.remove(gone["id"].as_str().unwrap());
            }
            self.revision = page["revision"].as_u64().unwrap();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_copy_that_is_kept_up_to_date_is_the_listing(steps in prop::collection::vec(any_step(), 1..10)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut stack = Stack::new().await;
            let filters = ["", "&capability=vision"];
            let mut copies: [Copy; 2] = Default::default();
            let mut known: BTreeMap<String, Model> = BTreeMap::new();
            let end = Step { models: vec![None; 12], minutes: 0, copies: true };
            for step in steps.into_iter().chain([end]) {
                let (mut present, mut removed) = (Vec::new(), Vec::new());
                for (n, becomes) in step.models.into_iter().enumerate() {
                    let id = format!("m{n}");
                    match becomes {
                        None => {}
                        Some(Some(mut model)) => {
                            model.id = ModelId::parse(&id).unwrap();
                            known.insert(id, model.clone());
                            present.push(model);
                        }
                        Some(None) => removed.extend(known.remove(&id).map(|mut model| {
                            model.is_archived = true;
                            model
                        })),
                    }
                }
                if !present.is_empty() || !removed.is_empty() || stack.live.is_none() {
                    stack.publish(&present, &removed).await;
                }
                if step.copies {
                    for (copy, filters) in copies.iter_mut().zip(filters) {
                        copy.update(&stack, filters).await;
                        let (_, listing) = stack.list(&format!("/v1/models?limit=1000{filters}")).await;
                        let copied: Vec<&Value> = copy.models.values().collect();
                        let mut listed: Vec<&Value> = listing["models"].as_array().unwrap().iter().collect();
                        listed.sort_by_key(|model| model["id"].as_str().unwrap().to_owned());
                        assert_eq!(copied, listed);
                    }
                }
                stack.now += SignedDuration::from_mins(step.minutes);
            }
        });
    }
}

#[tokio::test]
async fn only_what_changed_is_told() {
    let mut stack = Stack::new().await;
    let all: Vec<Model> = (0..40).map(|n| model(&format!("m{n:02}"))).collect();
    stack.publish(&all, &[]).await;
    let mut other = model("m07");
    other.meta.description = "another".to_owned();
    let mut gone = super::archived("m03", "m07");
    stack.publish(&[other, gone.clone()], &[super::archived("m20", "m03")]).await;
    let (_, page) = stack.list("/v1/models?changed_since=1&fields=id").await;
    let expected = json!({
        "models": [{"id": "m07"}],
        "gone": [
            {"id": "m03", "archived": true, "replacement_model_id": "m07"},
            {"id": "m20", "removed": true, "replacement_model_id": "m07"},
        ],
        "total": 3, "user_tier": "free", "revision": 2, "commit": format!("{:040}", 2), "next_cursor": null,
    });
    assert_eq!(page, expected);
    let (_, none) = stack.list("/v1/models?changed_since=2").await;
    assert_eq!((&none["models"], &none["gone"], &none["total"]), (&json!([]), &json!([]), &json!(0)));
    // What was taken back is no change.
    gone.is_archived = false;
    gone.is_available = true;
    gone.meta.legacy_replacement_model_id = None;
    stack.publish(&[gone, model("m20"), all[7].clone()], &[]).await;
    assert_eq!(stack.list("/v1/models?changed_since=1").await.1["total"], 0);
    assert_eq!(stack.list("/v1/models?changed_since=4").await.0.as_u16(), 400);
}
