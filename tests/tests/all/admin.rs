//! The admin API through the gateway: the long stories, and what is refused.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::command::Command;
use roster_edit::{Done, Edit, Editor, Refusal, Target};
use roster_http::Role;
use roster_store::edits::Answer as KeptAnswer;
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// A model as the body of `POST /admin/models`.
fn document(id: &str) -> Value {
    model(id, |_| {})
}

/// From nothing to a model that is legacy, archived, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_models_whole_life() {
    let stack = TestStack::new().await;
    for id in ["acme/one", "acme/two"] {
        let created = stack.admin("POST /admin/models", &document(id)).await;
        assert_eq!(created.status, 201, "{}", created.text);
        assert_eq!(created.headers["location"], format!("/admin/models/{}", id.replace('/', "%2F")));
    }
    let marked = json!({"replacementModelId": "acme/two", "deprecationNotice": "use two", "reason": "two is better"});
    let marked = stack.admin("POST /admin/models/acme%2Fone/mark-legacy", &marked).await;
    assert_eq!(marked.status, 200, "{}", marked.text);
    let shown = stack.send("GET /v1/models/acme/one", "", &[], None).await.json();
    assert_eq!(shown["legacy_info"]["replacement_model_id"], "acme/two");

    let archived = stack.admin("POST /admin/models/acme%2Fone/archive", &json!({"reason": "over"})).await;
    assert_eq!(archived.status, 200, "{}", archived.text);
    let gone = stack.send("GET /v1/models/acme/one", "", &[], None).await;
    assert_eq!((gone.status, &gone.json()["replacement_model_id"]), (410, &json!("acme/two")));

    let again = stack.admin("POST /admin/models/acme%2Fone/archive", &json!({"reason": "over and out"})).await;
    assert_eq!((again.status, &again.json()["data"]["operations"]), (200, &json!([])));
    let back = stack.admin("POST /admin/models/acme%2Fone/unarchive", &Value::Null).await;
    assert_eq!(back.status, 200, "{}", back.text);
    let shown = stack.send("GET /v1/models/acme/one", "", &[], None).await.json();
    assert_eq!((&shown["is_legacy"], &shown["is_available"]), (&json!(true), &json!(true)));
    let cleared = stack.admin("POST /admin/models/acme%2Fone/unmark-legacy", &json!({})).await;
    assert_eq!(cleared.json()["data"]["model"]["meta"].get("legacyReplacementModelId"), None);

    stack.settle().await;
    let history = stack.admin("GET /admin/models/acme%2Fone/history", &Value::Null).await.json();
    let entries = history["data"]["entries"].as_array().unwrap();
    let told: Vec<String> = entries
        .iter()
        .map(|entry| {
            let change = &entry["change"];
            format!("{} {} {}", entry["seq"], change["operations"][0]["operation"], change["reason"])
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"5 "unmark_legacy" """#,
            r#"4 "unarchive" """#,
            r#"3 "archive" "over""#,
            r#"2 "mark_legacy" "two is better""#,
            r#"1 "create" """#
        ]
    );
    assert!(entries.iter().all(|entry| entry["change"]["actor"] == "ann" && entry["change"]["source"] == "api"));
    stack.close().await;
}

/// Two hundred writers on one model: no update is lost, and the history has no gap.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writers_lose_nothing() {
    let stack = TestStack::new().await;
    assert_eq!(stack.admin("POST /admin/models", &document("acme/one")).await.status, 201);
    let writers = (0..200).map(|writer| {
        let patch = json!({"providerMetadata": {format!("writer{writer}"): writer}});
        let (stack, ann, key) = (&stack, token("ann", &[Role::Admin]), format!("writer{writer}"));
        async move {
            // A client that is told to come back, or not told how it ended, asks again under the same key.
            for _ in 0..20 {
                let body = patch.to_string();
                let headers = [("idempotency-key", key.as_str())];
                let answer = stack.send("PATCH /admin/models/acme%2Fone/meta", &ann, &headers, Some(&body)).await;
                if answer.status < 500 {
                    return answer;
                }
            }
            panic!("no answer to {key}");
        }
    });
    for answer in futures::future::join_all(writers).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    stack.settle().await;
    let record = stack.admin("GET /admin/models/acme%2Fone", &Value::Null).await.json();
    assert_eq!(record["data"]["seq"], 201);
    assert_eq!(record["data"]["model"]["meta"]["providerMetadata"].as_object().unwrap().len(), 200);
    let id = ModelId::parse("acme/one").unwrap();
    let history = stack.store.history(&id, None, 1000).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=201).rev().collect::<Vec<_>>());
    stack.close().await;
}

/// A key makes a repeated request the same request.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer() {
    let stack = TestStack::new().await;
    let body = document("acme/one").to_string();
    let ann = token("ann", &[Role::Admin]);
    let send = async |key: &str, body: &str| {
        stack.send("POST /admin/models", &ann, &[("idempotency-key", key)], Some(body)).await
    };
    let first = send("k1", &body).await;
    let second = send("k1", &body).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.text, second.text);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    let other = send("k1", &document("acme/two").to_string()).await;
    assert_eq!((other.status, &other.json()["type"]), (422, &json!("urn:roster:problem:key-reused")));
    let taken = send("k2", &body).await;
    assert_eq!((taken.status, &taken.json()["errors"][0]["pointer"]), (409, &json!("/id")));
    let again = send("k2", &body).await;
    assert_eq!((again.status, &again.text), (409, &taken.text), "a refusal stays the answer, too");
    assert_eq!(again.headers["content-type"], "application/problem+json");
    stack.close().await;
}

/// The same when each writer is an instance of its own, as Lambda may have it, with a sync in between.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_many_instances_and_a_sync_lose_nothing() {
    let stack = TestStack::new().await;
    assert_eq!(stack.admin("POST /admin/models", &document("acme/one")).await.status, 201);
    let id = ModelId::parse("acme/one").unwrap();
    let writers = (0..24).map(|writer| {
        let (editor, id) = (Editor::new(stack.store.metered()), id.clone());
        async move {
            let patch = json!({"providerMetadata": {format!("writer{writer}"): writer}});
            loop {
                let edit = Edit {
                    overrides_until: None,
                    target: Target::Existing(id.clone()),
                    command: Command::EditMeta(patch.as_object().unwrap().clone()),
                    actor: "ann",
                    reason: "",
                    correlation_id: "test",
                    now: Timestamp::now(),
                    approves: false,
                    key: None,
                    precondition: &|_, _| true,
                };
                let answer = |_: &Done<'_>| KeptAnswer { status: 200, etag: String::new(), body: String::new() };
                match editor.apply(&edit, &answer).await {
                    Ok(_) => return,
                    Err(Refusal::Busy) => {}
                    Err(refusal) => panic!("{refusal}"),
                }
            }
        }
    });
    let syncs = async {
        for n in 0..5 {
            stack.repository.put(&model(&format!("p/m{n}"), |_| {}));
            stack.repository.commit("add one");
            assert_eq!(stack.sync().await["state"], "applied");
        }
    };
    futures::future::join(futures::future::join_all(writers), syncs).await;
    stack.settle().await;
    let record = stack.admin("GET /admin/models/acme%2Fone", &Value::Null).await.json();
    assert_eq!(record["data"]["seq"], 25);
    assert_eq!(record["data"]["model"]["meta"]["providerMetadata"].as_object().unwrap().len(), 24);
    assert_eq!(stack.send("GET /v1/models", "", &[], None).await.json()["total"], 6);
    let history = stack.store.history(&id, None, 1000).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=25).rev().collect::<Vec<_>>());
    stack.close().await;
}

/// A model is created, and clients find it by each of its names, at its exact price, as their tier may.
#[tokio::test(flavor = "multi_thread")]
async fn creation() {
    let stack = TestStack::new().await;
    let body = r#"{
        "id": "acme/new", "name": "new-2026", "provider": "acme", "aliases": ["acme-latest"],
        "isAvailable": true, "isLegacy": false, "isArchived": false, "reason": "customers ask for it",
        "meta": {
            "displayName": "New", "capabilities": ["text", "vision"], "contextLength": 272000,
            "inputCostPerMillionTokens": 1250.000000000001, "outputCostPerMillionTokens": 10000,
            "requiredTier": "pro_max", "tierRestrictionMode": "minimum", "allowedTiers": ["pro_max"],
            "internalNotes": "the margin is thin"
        }
    }"#;
    let ann = token("ann", &[Role::Admin]);
    let created = stack.send("POST /admin/models", &ann, &[], Some(body)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let data = &created.json()["data"];
    assert_eq!(
        (&data["model"]["meta"]["creditsPer1kTokens"], &data["computed"][0]),
        (&json!(28), &json!("/meta/creditsPer1kTokens"))
    );
    let location = created.headers["location"].clone();
    let got = stack.send(&format!("GET {location}"), &ann, &[], None).await;
    assert_eq!(got.json()["data"]["model"]["meta"]["internalNotes"], "the margin is thin");
    assert_eq!(got.headers["etag"], created.headers["etag"]);
    for name in ["acme/new", "acme%2Fnew", "acme-latest"] {
        let shown = stack.send(&format!("GET /v1/models/{name}"), "", &[], None).await;
        assert_eq!(shown.status, 200, "{name}: {}", shown.text);
        assert!(shown.text.contains(r#""input_cost_per_million_tokens":1250.000000000001,"#), "{}", shown.text);
        assert!(!shown.text.contains("thin"), "{}", shown.text);
        assert_eq!(shown.json()["access_status"], "upgrade_required");
    }
    let refused = stack.send("POST /v1/resolve", "", &[], Some(r#"{"model": "acme-latest"}"#)).await;
    assert_eq!((refused.status, &refused.json()["type"]), (403, &json!("urn:roster:problem:tier-not-allowed")));
    let resolved = stack.send("POST /v1/resolve", &ann, &[], Some(r#"{"model": "acme-latest"}"#)).await.json();
    assert_eq!((&resolved["model_id"], &resolved["name"]), (&json!("acme/new"), &json!("new-2026")));
    let listed = stack.send("GET /v1/models?capability=vision", "", &[], None).await.json();
    assert_eq!((&listed["total"], &listed["models"][0]["id"]), (&json!(1), &json!("acme/new")));
    stack.close().await;
}

/// A chain of deprecations: whatever is archived on the way, everybody is told the end that is in use.
#[tokio::test(flavor = "multi_thread")]
async fn deprecation_with_replacement() {
    let stack = TestStack::new().await;
    for id in ["a/one", "a/two", "a/three"] {
        assert_eq!(stack.admin("POST /admin/models", &document(id)).await.status, 201);
    }
    for (id, to) in [("a%2Fone", "a/two"), ("a%2Ftwo", "a/three")] {
        let body = json!({"replacementModelId": to, "sunsetDate": "2099-01-01T00:00:00Z", "reason": "newer"});
        let marked = stack.admin(&format!("POST /admin/models/{id}/mark-legacy"), &body).await;
        assert_eq!(marked.status, 200, "{}", marked.text);
    }
    let legacy = stack.admin("GET /admin/models/legacy", &Value::Null).await.json();
    assert_eq!(legacy["data"]["models"][0]["replacementChain"], json!(["a/two", "a/three"]));
    let circle = stack.admin("POST /admin/models/a%2Fthree/mark-legacy", &json!({"replacementModelId": "a/one"})).await;
    assert_eq!(circle.status, 422, "{}", circle.text);
    let archive = json!({"reason": "over"});
    let early = stack.admin("POST /admin/models/a%2Ftwo/archive", &archive).await;
    assert_eq!(early.status, 422, "another model is sent here: {}", early.text);
    let one = stack.admin("POST /admin/models/a%2Fone/archive", &archive).await;
    assert_eq!(one.status, 200, "{}", one.text);
    let gone = stack.send("GET /v1/models/a/one", "", &[], None).await;
    assert_eq!((gone.status, &gone.json()["replacement_model_id"]), (410, &json!("a/three")));
    let resolve = stack.send("POST /v1/resolve", "", &[], Some(r#"{"model": "a/one"}"#)).await;
    assert_eq!((resolve.status, &resolve.json()["replacement_model_id"]), (410, &json!("a/three")));
    let listed = stack.send("GET /v1/models", "", &[], None).await.json();
    assert_eq!(listed["total"], 2);
    let archived = stack.admin("GET /admin/models/archived", &Value::Null).await.json();
    assert_eq!(archived["data"]["models"][0]["archived"]["reason"], "over");
    assert_eq!(archived["data"]["models"][0]["replacementInUse"], "a/three");
    stack.close().await;
}
