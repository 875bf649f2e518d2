//! Prices over time, and quotes, through the gateway.

use jiff::Timestamp;
use roster_http::Role;
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

const LATER: &str = "2099-01-01T00:00:00Z";

fn priced(input: u64, change: impl FnOnce(&mut Value)) -> Value {
    model("acme/one", |value| {
        value["aliases"] = json!(["one-latest"]);
        value["meta"]["inputCostPerMillionTokens"] = json!(input);
        value["meta"]["internalNotes"] = json!("margin is thin");
        change(value);
    })
}

async fn commit(stack: &TestStack, model: &Value, message: &str) -> String {
    stack.repository.put(model);
    let commit = stack.repository.commit(message);
    stack.sync().await;
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn every_price_is_told_with_its_time_and_its_commit() {
    let stack = TestStack::new().await;
    let first = commit(&stack, &priced(1250, |_| {}), "Add a model").await;
    commit(&stack, &priced(1250, |value| value["meta"]["description"] = json!("new")), "Describe it").await;
    let raised = commit(&stack, &priced(1500, |_| {}), "Raise a price\n\nMerge pull request #12 from a/b").await;
    stack.repository.put(&priced(1500, |value| {
        value["meta"]["priceSchedule"] =
            json!([{"from": LATER, "inputCostPerMillionTokens": 1000, "prices": {"cacheRead": 0.125}}]);
    }));
    let planned = stack.repository.commit("Plan a price (#13)");
    stack.sync().await;
    stack.settle().await;

    let get = async |query: &str| stack.send(&format!("GET /v1/prices/acme/one{query}"), "", &[], None).await;
    let answer = get("").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains(r#""prices":{"cache_read":0.125}"#), "{}", answer.text);
    let body = answer.json();
    assert_eq!(
        (&body["model_id"], &body["revision"], &body["next_cursor"]),
        (&json!("acme/one"), &json!(4), &json!(null))
    );
    let shown: Vec<Value> = body["intervals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|interval| {
            json!([
                interval["input_cost_per_million_tokens"],
                interval["is_scheduled"],
                interval["commit"],
                interval["pull_request"]
            ])
        })
        .collect();
    let expected = json!([[1000, true, planned, 13], [1500, false, raised, null], [1250, false, first, null],]);
    assert_eq!(json!(shown), expected);
    let times = |at: usize| (body["intervals"][at]["from"].clone(), body["intervals"][at]["to"].clone());
    assert_eq!(times(0), (json!(LATER), json!(null)));
    assert_eq!((times(1).1, times(2).1), (times(0).0, times(1).0), "without a gap");
    // Nobody but admins learns who did it and why, or what is noted of it.
    for secret in ["Ada", "actor", "Raise a price", "reason", "thin"] {
        assert!(!answer.text.contains(secret), "{secret} in {}", answer.text);
    }

    let alias = stack.send("GET /v1/prices/one-latest", "", &[], None).await;
    assert_eq!(alias.text, answer.text);
    let tag = answer.headers["etag"].as_str();
    let again = stack.send("GET /v1/prices/acme/one", "", &[("if-none-match", tag)], None).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let (mut pages, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = get(&query).await.json();
        pages.extend(page["intervals"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=1&cursor={cursor}");
    }
    assert_eq!(json!(pages), body["intervals"]);
    for (query, status) in [("?limit=0", 400), ("?cursor=x", 400), ("?offset=1", 400)] {
        assert_eq!(get(query).await.status, status, "{query}");
    }
    assert_eq!(stack.send("GET /v1/prices/acme/none", "", &[], None).await.status, 404);

    let whole = stack.admin("GET /admin/models/acme%2Fone/prices", &Value::Null).await.json();
    let newest = &whole["data"]["intervals"][0];
    assert_eq!((&newest["seq"], &newest["actor"]), (&json!(4), &json!("Ada <ada@example.com>")));
    assert_eq!((&newest["reason"], &newest["prices"]), (&json!("Plan a price (#13)"), &json!({"cacheRead": 0.125})));
    assert_eq!(stack.admin("GET /admin/models/acme%2Fnone/prices", &Value::Null).await.status, 404);

    // Archived is 410 here as elsewhere, and an admin sees when that was.
    commit(
        &stack,
        &priced(1500, |value| (value["isArchived"], value["isAvailable"]) = (json!(true), json!(false))),
        "Archive it",
    )
    .await;
    stack.settle().await;
    assert_eq!(get("").await.status, 410);
    let admin = token("ann", &[Role::Admin]);
    let seen = stack.send("GET /v1/prices/acme/one", &admin, &[], None).await.json();
    assert_eq!(seen["intervals"][0]["is_archived"], json!(true));
    stack.close().await;
}

async fn quote(stack: &TestStack, body: &Value) -> Answer {
    stack.send("POST /v1/quote", "", &[], Some(&body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_exact_or_refused() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(1250, |value| {
        value["meta"]["prices"] = json!({
            "cacheRead": 125, "batchInput": 625, "tiers": [{"aboveTokens": 200_000, "input": 2500, "output": 15000}],
        });
        value["meta"]["priceSchedule"] = json!([{"from": LATER, "inputCostPerMillionTokens": 1000}]);
        value["meta"]["sunsetDate"] = json!("2099-06-01T00:00:00Z");
    }));
    stack
        .repository
        .put(&model("acme/gone", |value| (value["isArchived"], value["isAvailable"]) = (json!(true), json!(false))));
    stack.repository.put(&model("acme/dear", |value| {
        value["meta"]["inputCostPerMillionTokens"] = json!(1.0);
        value["meta"]["outputCostPerMillionTokens"] = json!(null);
        value["meta"]["creditsPer1kTokens"] = json!(3);
    }));
    stack.repository.commit("start");
    stack.sync().await;
    let asked = |more: Value| {
        let mut body = json!({"model": "one-latest", "inputTokens": 1000, "outputTokens": 500});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };

    let answer = quote(&stack, &asked(json!({"cachedInputTokens": 600}))).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"), "{}", answer.text);
    let mut body = answer.json();
    body["at"].take();
    let expected = json!({
        "requested": "one-latest", "model_id": "acme/one", "at": null, "batch": false,
        "components": [
            {"component": "input", "tokens": 400, "price_per_million_tokens": 1250, "cost_usd": "0.0005"},
            {"component": "cached_input", "tokens": 600, "price_per_million_tokens": 125, "cost_usd": "0.000075"},
            {"component": "output", "tokens": 500, "price_per_million_tokens": 10000, "cost_usd": "0.005"},
        ],
        "cost_usd": "0.005575", "credits": 28, "is_legacy": false, "replacement_model_id": null,
        "sunset_date": "2099-06-01T00:00:00Z", "revision": 1,
    });
    assert_eq!(body, expected);
    for (more, cost) in [
        (json!({"inputTokens": 0, "outputTokens": 0}), "0"),
        (json!({"inputTokens": 200_001}), "0.5075025"),
        (json!({"at": LATER}), "0.006"),
        (json!({"reasoningTokens": 500}), "0.00625"),
        (json!({"batch": true, "outputTokens": 0}), "0.000625"),
        (json!({"inputTokens": 1_000_000_000_000u64, "outputTokens": 0}), "2500000"),
    ] {
        assert_eq!(quote(&stack, &asked(more.clone())).await.json()["cost_usd"], cost, "{more}");
    }
    let counted = quote(&stack, &json!({"model": "acme/dear", "inputTokens": 1500, "outputTokens": 0})).await.json();
    assert_eq!((&counted["cost_usd"], &counted["credits"]), (&json!("0.0000015"), &json!(5)));

    // What is not known is named, and nothing is taken in its place.
    for (more, pointer) in [
        (json!({"batch": true}), "/meta/prices/batchOutput"),
        (json!({"batch": true, "cachedInputTokens": 1}), "/meta/prices"),
        (json!({"inputTokens": 200_001, "cachedInputTokens": 1}), "/meta/prices/tiers/0"),
        (json!({"model": "acme/dear"}), "/meta/outputCostPerMillionTokens"),
    ] {
        let answer = quote(&stack, &asked(more.clone())).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["price_pointer"]), (422, &json!(pointer)), "{more}");
        assert_eq!(body["type"], "urn:roster:problem:unknown-price");
        assert!(body["detail"].as_str().unwrap().contains(pointer), "{body}");
    }
    let yesterday = Timestamp::now() - jiff::SignedDuration::from_hours(24);
    for (more, pointers) in [
        (json!({"cachedInputTokens": 1001, "reasoningTokens": 501}), vec!["/cachedInputTokens", "/reasoningTokens"]),
        (json!({"outputTokens": 1_000_000_000_001u64}), vec!["/outputTokens"]),
        (json!({"at": yesterday}), vec!["/at"]),
        (json!({"at": "2099-06-01T00:00:00Z"}), vec!["/at"]),
    ] {
        let answer = quote(&stack, &asked(more.clone())).await;
        let body = answer.json();
        let named: Vec<&str> =
            body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!((answer.status, named), (422, pointers), "{more}");
    }
    for (more, status) in [
        (json!({"model": "acme/none"}), 404),
        (json!({"model": "acme/gone"}), 410),
        (json!({"inputTokens": -1}), 422),
        (json!({"inputTokens": 1.5}), 422),
        (json!({"tokens": 1}), 422),
        (json!({"at": "tomorrow"}), 422),
    ] {
        let answer = quote(&stack, &asked(more.clone())).await;
        assert_eq!(answer.status, status, "{more}: {}", answer.text);
    }
    assert_eq!(quote(&stack, &json!({"model": "acme/one"})).await.status, 422, "counts must be given");
    stack.close().await;
}
