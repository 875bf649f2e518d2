//! The clients of other APIs, the real packages, against the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// When the first commit of a test's repository is, and how much later each other one.
const FIRST: i64 = 1_767_225_660;
const STEP: i64 = 60;

/// Where the Python clients are installed; none, and a line that says so, where they are not. CI installs them.
fn installed() -> Option<PathBuf> {
    let clients = std::env::var_os("CLIENTS").map(PathBuf::from);
    if clients.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must name the clients' environment in CLIENTS");
        #[expect(clippy::print_stdout, reason = "whoever reads a test's output learns why it did nothing")]
        {
            println!("not run: CLIENTS names no environment with the clients; ./scripts/test installs it and names it");
        }
    }
    clients
}

/// What a script of `tests/clients` prints.
async fn seen(program: &Path, script: &str, stack: &TestStack) -> Value {
    let mut command = Command::new(program);
    command
        .arg(script)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients"))
        .env("ROSTER_URL", stack.url())
        .env("ROSTER_TOKEN", token("ann", &[]));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A stack whose models came with three commits: `one`, `old`, `gone` and `resting`, then `two`, then another `one`.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    let one = |input: f64| {
        model("acme/one", |value| {
            value["aliases"] = json!(["one-latest"]);
            value["meta"]["inputCostPerMillionTokens"] = json!(input);
            value["meta"]["maxOutputTokens"] = json!(4096);
            value["meta"]["capabilities"] = json!(["text", "vision", "function_calling"]);
            value["meta"]["prices"] = json!({"cacheRead": 125});
        })
    };
    let old = model("acme/old", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["legacyReplacementModelId"] = json!("acme/one");
        value["meta"]["sunsetDate"] = json!("2099-06-30T00:00:00Z");
        value["meta"]["outputCostPerMillionTokens"] = json!(null);
    });
    let gone = model("acme/gone", |value| {
        (value["isArchived"], value["isAvailable"]) = (json!(true), json!(false));
        value["meta"]["legacyReplacementModelId"] = json!("acme/one");
    });
    let resting = model("acme/resting", |value| value["isAvailable"] = json!(false));
    for models in [vec![one(1000.0), old, gone, resting], vec![model("acme/two", |_| {})], vec![one(1250.5)]] {
        models.iter().for_each(|model| stack.repository.put(model));
        stack.repository.commit("models");
        let run = stack.sync().await;
        assert_eq!(run["state"], "applied", "{run}");
    }
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_list_and_page() {
    let Some(clients) = installed() else { return };
    let stack = stack().await;
    let seen = seen(&clients.join("bin/python"), "clients.py", &stack).await;
    let openai = &seen["openai"];
    let shown = |id: &str, created: i64, shutdown: Value| json!({"id": id, "object": "model", "created": created, "owned_by": "acme", "shutdown_date": shutdown});
    let listed = json!([
        shown("acme/old", FIRST, json!("2099-06-30")),
        shown("acme/one", FIRST, json!(null)),
        shown("acme/two", FIRST + STEP, json!(null)),
    ]);
    assert_eq!(openai["listed"], listed);
    assert_eq!(
        (&openai["created"], &openai["one"], &openai["alias"]),
        (&json!(["int"]), &listed[1], &json!("acme/one"))
    );
    let refused = |class: &str, status: u16, message: &str, param: Value, code: &str| {
        json!({
            "class": class, "status": status,
            "body": {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}},
        })
    };
    let unknown = "no model has the id or alias \"acme/none\"";
    let archived = "model acme/gone is archived: use acme/one instead";
    let resting = "model acme/resting is not available now";
    assert_eq!(openai["unknown"], refused("NotFoundError", 404, unknown, json!("model"), "model_not_found"));
    assert_eq!(openai["unavailable"], refused("NotFoundError", 404, resting, json!("model"), "model_not_found"));
    assert_eq!(openai["archived"], refused("APIStatusError", 410, archived, json!("model"), "archived"));
    assert_eq!(
        openai["token"],
        refused("AuthenticationError", 401, "the token is malformed", json!(null), "invalid_api_key")
    );

    let anthropic = &seen["anthropic"];
    assert_eq!(anthropic["pages"], json!([["acme/two", "acme/old"], ["acme/one"]]), "newest first");
    assert_eq!(anthropic["back"], json!([["acme/two", "acme/old"]]));
    assert_eq!(anthropic["deprecated"], json!(["acme/old"]));
    let one = json!({
        "type": "model", "id": "acme/one", "display_name": "one", "created_at": "2026-01-01T00:01:00Z",
        "lifecycle": "active", "deprecated_at": null, "retires_at": null, "line": null, "capabilities": null,
        "max_input_tokens": 128_000, "max_tokens": 4096,
    });
    assert_eq!(anthropic["one"], one);
    let old = &anthropic["old"];
    assert_eq!((&old["lifecycle"], &old["retires_at"]), (&json!("deprecated"), &json!("2099-06-30T00:00:00Z")));
    for (what, class, status, kind) in [
        ("unknown", "NotFoundError", 404, "not_found_error"),
        ("archived", "APIStatusError", 410, "not_found_error"),
        ("limit", "BadRequestError", 400, "invalid_request_error"),
        ("token", "AuthenticationError", 401, "authentication_error"),
    ] {
        let refused = &anthropic[what];
        assert_eq!((&refused["class"], &refused["status"]), (&json!(class), &json!(status)), "{refused}");
        assert_eq!((&refused["body"]["type"], &refused["body"]["error"]["type"]), (&json!("error"), &json!(kind)));
    }
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_clients_list_and_page() {
    if installed().is_none() {
        return;
    }
    let stack = stack().await;
    let seen = seen(Path::new("node"), "clients.mjs", &stack).await;
    let openai = &seen["openai"];
    assert_eq!((&openai["integers"], &openai["one"]["created"]), (&json!(true), &json!(FIRST)));
    assert_eq!(openai["listed"].as_array().unwrap().len(), 3);
    assert_eq!((&openai["unknown"]["class"], &openai["unknown"]["status"]), (&json!("NotFoundError"), &json!(404)));
    assert_eq!((&openai["token"]["class"], &openai["token"]["status"]), (&json!("AuthenticationError"), &json!(401)));

    let openrouter = &seen["openrouter"];
    assert_eq!(openrouter["pages"], json!([["acme/old", "acme/one"], ["acme/two"]]));
    assert_eq!((&openrouter["total"], &openrouter["token"]["status"]), (&json!(3), &json!(401)));
    let one = json!({
        "id": "acme/one", "canonicalSlug": "acme/one", "name": "one", "created": FIRST, "description": "",
        "contextLength": 128_000,
        "architecture": {
            "modality": "text+image->text", "inputModalities": ["text", "image"], "outputModalities": ["text"],
            "tokenizer": "Other", "instructType": null,
        },
        "pricing": {"prompt": "0.0000012505", "completion": "0.00001", "inputCacheRead": "0.000000125"},
        "topProvider": {"contextLength": 128_000, "maxCompletionTokens": 4096, "isModerated": false},
        "perRequestLimits": null, "supportedParameters": ["max_tokens", "tools", "tool_choice"],
        "defaultParameters": null, "supportedVoices": null, "expirationDate": null,
        "links": {"details": "/v1/models/acme/one"},
    });
    assert_eq!(openrouter["models"][1], one);
    let old = &openrouter["models"][0];
    assert_eq!((&old["pricing"]["completion"], &old["expirationDate"]), (&json!("-1"), &json!("2099-06-30")));
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_appearances_outlive_what_is_published() {
    let stack = stack().await;
    let list = async || stack.send("GET /openai/v1/models", "", &[], None).await;
    let before = list().await;
    let tag = before.headers["etag"].as_str();
    let again = stack.send("GET /openai/v1/models", "", &[("if-none-match", tag)], None).await;
    assert_eq!(again.status, 304);
    // A model of the API appears when it is made.
    let made = stack.admin("POST /admin/models", &model("acme/made", |_| {})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let listed = list().await.json();
    assert_eq!(listed["data"][0]["id"], "acme/made");
    assert!(listed["data"][0]["created"].as_i64().unwrap() > FIRST, "{listed}");
    // What is published can be made again from the records, first appearances too.
    let published = async || stack.store.head(true).await.unwrap().unwrap().roots;
    let roots = published().await;
    assert!(!roots.lacks_appearances(0));
    stack.lose_published().await;
    stack.sync().await;
    assert_eq!(published().await, roots);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gate_refuses_is_told_in_the_clients_words() {
    let stack = TestStack::new().await;
    let policy = json!({"rateLimits": {"free": {"requests": 3, "windowSeconds": 3600}}});
    stack.repository.write("catalog/policy.json", policy.to_string());
    stack.repository.put(&model("acme/one", |_| {}));
    stack.repository.commit("start");
    stack.sync().await;
    // Older clients of Anthropic send their key in a header of its own, which counts nowhere else.
    let key = token("ann", &[]);
    let by_key =
        async |path: &str, key: &str| stack.send(&format!("GET {path}"), "", &[("x-api-key", key)], None).await;
    let paths = ["/anthropic/v1/models", "/anthropic/v1/models/acme%2Fone"];
    for path in paths {
        assert_eq!(by_key(path, &key).await.status, 200, "{path}");
        let refused = by_key(path, "no-token").await;
        assert_eq!((refused.status, &refused.json()["error"]["type"]), (401, &json!("authentication_error")), "{path}");
        assert!(refused.headers.contains_key("www-authenticate"));
    }
    assert_eq!(by_key("/openai/v1/models", "no-token").await.status, 200);
    assert_eq!(by_key("/v1/models", "no-token").await.status, 200);
    assert_eq!(by_key("/api/v1/models", "no-token").await.status, 200);
    for (path, pointer, said) in [
        ("/openai/v1/models", "/error/code", json!("rate_limit_exceeded")),
        ("/anthropic/v1/models", "/error/type", json!("rate_limit_error")),
        ("/api/v1/models", "/error/code", json!(429)),
    ] {
        let refused = stack.send(&format!("GET {path}"), "", &[], None).await;
        assert_eq!((refused.status, refused.json().pointer(pointer)), (429, Some(&said)), "{}", refused.text);
        assert_eq!(refused.headers["content-type"], "application/json");
        assert!(refused.headers.contains_key("retry-after"));
    }
    stack.close().await;
}
