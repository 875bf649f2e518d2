//! The repository and the API on one catalogue: neither undoes, hides or lets through what is the other's.

use roster_tests::repository::model;
use roster_tests::stack::TestStack;
use serde_json::{Value, json};

fn plain(id: &str) -> Value {
    model(id, |_| {})
}

async fn create(stack: &TestStack, id: &str) {
    let created = stack.admin("POST /admin/models", &plain(id)).await;
    assert_eq!(created.status, 201, "{}", created.text);
}

async fn total(stack: &TestStack) -> Value {
    stack.send("GET /v1/models", "", &[], None).await.json()["total"].clone()
}

/// A commit that was refused and taken back stays so, though a change by the API would let it pass by now.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_and_reverted_does_not_come_back() {
    let stack = TestStack::new().await;
    stack.repository.put(&plain("p/one"));
    stack.repository.commit("add one");
    stack.sync().await;
    create(&stack, "a/x").await;
    let adopting = model("a/x", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["legacyReplacementModelId"] = json!("a/r");
    });
    stack.repository.put(&adopting);
    let refused = stack.repository.commit("take x over");
    assert_eq!(stack.sync().await["state"], "rejected");
    stack.repository.revert(&refused);
    assert_eq!(stack.sync().await["state"], "unchanged");
    create(&stack, "a/r").await;
    let before = stack.store.all_records().await.unwrap();
    let run = stack.sync().await;
    assert_eq!((&run["state"], &run["commits"]), (&json!("unchanged"), &json!(0)), "nothing is read again: {run}");
    assert_eq!(stack.store.all_records().await.unwrap().len(), before.len());
    let x = stack.admin("GET /admin/models/a%2Fx", &Value::Null).await.json();
    assert_eq!((&x["data"]["origin"]["source"], &x["data"]["seq"]), (&json!("api"), &json!(1)));
    stack.close().await;
}

/// The API's models do not count where the guard asks how much of the repository's is taken away.
#[tokio::test(flavor = "multi_thread")]
async fn the_apis_models_do_not_dilute_the_guard() {
    let stack = TestStack::new().await;
    for n in 0..5 {
        stack.repository.put(&plain(&format!("p/m{n}")));
    }
    stack.repository.commit("add five");
    stack.sync().await;
    for n in 0..50 {
        create(&stack, &format!("a/m{n}")).await;
    }
    for n in 0..3 {
        stack.repository.remove(&format!("p/m{n}"));
    }
    let three = stack.repository.commit("remove three");
    assert_eq!(stack.sync().await["holds"][0]["rule"], "archived_percent");
    stack.repository.revert(&three);
    for n in 0..5 {
        stack.repository.remove(&format!("p/m{n}"));
    }
    stack.repository.commit("remove all");
    let run = stack.sync().await;
    let rules: Vec<&str> = run["holds"].as_array().unwrap().iter().map(|hold| hold["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["archived_percent", "empty_tree"], "{run}");
    assert_eq!(total(&stack).await, 55);
    stack.close().await;
}

/// What was published is lost: the next sync publishes all of it again, whatever was done in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_published_table_comes_back_whole() {
    let stack = TestStack::new().await;
    for id in ["a/one", "a/two", "a/three"] {
        create(&stack, id).await;
    }
    // A model of the repository that refers to one of the API's.
    stack.repository.put(&model("p/one", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["legacyReplacementModelId"] = json!("a/two");
    }));
    stack.repository.commit("add one");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(total(&stack).await, 4);
    let digest = stack.sync().await["digest"].clone();
    stack.lose_published().await;
    let edited = stack.admin("PATCH /admin/models/a%2Fone/meta", &json!({"description": "d"})).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    let run = stack.sync().await;
    assert_eq!(run["state"], "applied", "{run}");
    let fresh = TestStack::beside(&stack).await;
    let listed = fresh.json()["models"].as_array().unwrap().len();
    assert_eq!(listed, 4, "{}", fresh.text);
    let back = stack.admin("PATCH /admin/models/a%2Fone/meta", &json!({"description": null})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(stack.sync().await["digest"], digest);
    stack.close().await;
}

/// A file takes over a model of the API; its removal keeps the id, in any letter case.
#[tokio::test(flavor = "multi_thread")]
async fn adopted_and_removed() {
    let stack = TestStack::new().await;
    create(&stack, "a/one").await;
    stack.repository.put(&model("a/one", |value| value["meta"]["description"] = json!("ours")));
    stack.repository.put(&plain("p/one"));
    stack.repository.commit("take one over");
    assert_eq!(stack.sync().await["state"], "applied");
    let refused = stack.admin("POST /admin/models/a%2Fone/archive", &json!({"reason": "over"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    stack.repository.remove("a/one");
    let removed = stack.repository.commit("remove one");
    assert_eq!(stack.sync().await["state"], "applied");
    for id in ["a/one", "A/One"] {
        let created = stack.admin("POST /admin/models", &plain(id)).await;
        assert_eq!((created.status, &created.json()["type"]), (409, &json!("urn:roster:problem:name-taken")));
    }
    stack.repository.revert(&removed);
    assert_eq!(stack.sync().await["state"], "applied", "the way back is open");
    stack.settle().await;
    let history = stack.admin("GET /admin/models/a%2Fone/history", &Value::Null).await.json();
    let told: Vec<&Value> = history["data"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["change"]["operations"][0]["operation"])
        .collect();
    assert_eq!(told, ["unarchive", "archive", "adopt", "create"]);
    stack.close().await;
}
