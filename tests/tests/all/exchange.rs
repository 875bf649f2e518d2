//! Import and export by the API.

use roster_http::Role;
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

fn entry(price: &str) -> Value {
    let price: Value = serde_json::from_str(price).unwrap();
    json!({
        "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1000, "max_output_tokens": 100,
        "input_cost_per_token": price, "output_cost_per_token": price, "supports_vision": true,
    })
}

async fn import(stack: &TestStack, query: &str, file: &str) -> Value {
    let kind = if query.contains("from=csv") { "text/csv" } else { "application/json" };
    let line = format!("POST /admin/models/import?{query}");
    let headers = [("content-type", kind), ("x-reason", "a test")];
    let answer = stack.send(&line, &token("ann", &[Role::Admin]), &headers, Some(file)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].clone()
}

async fn export(stack: &TestStack, query: &str) -> Answer {
    let answer = stack.admin(&format!("GET /admin/models/export?{query}"), &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn counts(data: &Value) -> [u64; 3] {
    ["created", "updated", "unchanged"].map(|name| data[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_done_once_and_follows() {
    let stack = TestStack::new().await;
    stack.repository.put(&model("openai/gpt-git", |_| {}));
    stack.repository.commit("Git's own");
    stack.sync().await;
    let mut file = json!({
        "sample_spec": {}, "gpt-x": entry("1.25e-06"), "gpt-y": entry("-1"), "gpt-git": entry("5e-06"),
        "bad id": entry("1"), "no-context": {"litellm_provider": "openai", "mode": "chat"},
    });
    let dry = import(&stack, "from=litellm&dry_run=true", &file.to_string()).await;
    assert_eq!((counts(&dry), &dry["dryRun"]), ([2, 0, 0], &json!(true)), "{dry}");
    assert_eq!(stack.admin("GET /admin/models/openai%2Fgpt-x", &Value::Null).await.status, 404);

    let first = import(&stack, "from=litellm&tier=pro", &file.to_string()).await;
    assert_eq!((counts(&first), &first["next"]), ([2, 0, 0], &Value::Null), "{first}");
    let kinds = |data: &Value| -> Vec<String> {
        data["skipped"].as_array().unwrap().iter().map(|it| format!("{}: {}", it["key"], it["kind"])).collect()
    };
    let skipped = [
        "\"sample_spec\": \"example\"",
        "\"bad id\": \"illegal-id\"",
        "\"gpt-git\": \"managed-by-git\"",
        "\"no-context\": \"invalid\"",
    ];
    let mut told = kinds(&first);
    told.sort_by_key(|told| skipped.iter().position(|other| other == told));
    assert_eq!(told, skipped);
    let shown = stack.admin("GET /admin/models/openai%2Fgpt-x", &Value::Null).await.json();
    assert_eq!(shown["data"]["model"]["meta"]["inputCostPerMillionTokens"], 1250);
    assert_eq!(shown["data"]["model"]["meta"]["requiredTier"], "pro");
    let shown = stack.admin("GET /admin/models/openai%2Fgpt-y", &Value::Null).await.json();
    assert_eq!(shown["data"]["model"]["meta"]["inputCostPerMillionTokens"], Value::Null, "-1 is unknown");

    let again = import(&stack, "from=litellm", &file.to_string()).await;
    assert_eq!(counts(&again), [0, 0, 2], "{again}");

    // An admin edits one field; upstream changes that and another.
    let edit = json!({"outputCostPerMillionTokens": 1300, "reason": "ours"});
    assert_eq!(stack.admin("PATCH /admin/models/openai%2Fgpt-x/meta", &edit).await.status, 200);
    file["gpt-x"] = entry("1.5e-06");
    let next = import(&stack, "from=litellm", &file.to_string()).await;
    assert_eq!(counts(&next), [0, 1, 1], "{next}");
    let updated = next["models"].as_array().unwrap().iter().find(|told| told["id"] == "openai/gpt-x").unwrap();
    assert_eq!(updated["kept"][0]["place"], "/meta/outputCostPerMillionTokens");
    let meta =
        stack.admin("GET /admin/models/openai%2Fgpt-x", &Value::Null).await.json()["data"]["model"]["meta"].clone();
    assert_eq!((&meta["inputCostPerMillionTokens"], &meta["outputCostPerMillionTokens"]), (&json!(1500), &json!(1300)));
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_unchanged_when_it_is_imported() {
    let stack = TestStack::new().await;
    for id in ["p/one", "p/two"] {
        let document = model(id, |model| model["meta"]["internalNotes"] = json!("=1+1, \"secret\""));
        assert_eq!(stack.admin("POST /admin/models", &document).await.status, 201);
    }
    for format in ["roster", "models.dev", "litellm", "csv"] {
        let file = export(&stack, &format!("to={format}")).await;
        assert!(!file.headers.contains_key("link") && file.headers.contains_key("x-roster-revision"));
        let back = import(&stack, &format!("from={format}"), &file.text).await;
        assert_eq!((counts(&back), &back["skipped"]), ([0, 0, 2], &json!([])), "{format}: {back}");
    }
    let one = export(&stack, "to=roster&provider=q").await.json();
    assert_eq!(one, json!({"models": []}));
    let fewer = json!({"models": []}).to_string();
    assert_eq!(import(&stack, "from=roster", &fewer).await["entries"], 0, "what is not named stays");
    for (query, status) in [("", 400), ("from=excel", 400), ("from=litellm&after=-1", 400)] {
        let line = format!("POST /admin/models/import?{query}");
        assert_eq!(stack.admin(&line, &json!({})).await.status, status, "{query}");
    }
    assert_eq!(stack.admin("POST /admin/models/import?from=openrouter", &json!({})).await.status, 422);
    assert_eq!(stack.admin("GET /admin/models/export?to=openrouter", &Value::Null).await.status, 400);
    stack.close().await;
}

/// More than one request takes is done by the next ones: nothing is lost between them.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_where_it_ended() {
    let stack = TestStack::new().await;
    let file: serde_json::Map<String, Value> = (0..520)
        .map(|n| {
            (
                format!("m{n:03}"),
                if n < 505 { json!({"mode": "chat", "litellm_provider": "p"}) } else { entry("1e-06") },
            )
        })
        .collect();
    let file = Value::Object(file).to_string();
    let (mut after, mut told, mut created) = (0, 0, 0);
    loop {
        let data = import(&stack, &format!("from=litellm&after={after}"), &file).await;
        told += data["models"].as_array().unwrap().len() + data["skipped"].as_array().unwrap().len();
        created += data["created"].as_u64().unwrap();
        match data["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(after >= 500);
    assert_eq!((told, created), (520, 15));
    stack.close().await;
}
