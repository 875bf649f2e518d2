//! The public catalogue as clients of the gateway see it: listings, the past, encodings and `HEAD`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack};
use serde_json::{Value, json};

/// A stack with a small catalogue of every kind of model.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    let put = |id: &str, change: &dyn Fn(&mut Value)| stack.repository.put(&model(id, |value| change(value)));
    put("openai/gpt-5", &|value| {
        value["aliases"] = json!(["gpt-5-latest"]);
        value["meta"]["description"] = json!("Thinks before it answers");
        value["meta"]["contextLength"] = json!(272_000);
        value["meta"]["outputCostPerMillionTokens"] = json!(10_000);
    });
    put("openai/gpt-5-mini", &|value| {
        value["meta"]["capabilities"] = json!(["text", "vision"]);
        value["meta"]["inputCostPerMillionTokens"] = json!(250);
    });
    put("anthropic/claude", &|value| {
        value["isLegacy"] = json!(true);
        value["meta"]["legacyReplacementModelId"] = json!("openai/gpt-5");
        value["meta"]["sunsetDate"] = json!("2099-01-01T00:00:00Z");
        value["meta"]["requiredTier"] = json!("pro");
        value["meta"]["inputCostPerMillionTokens"] = Value::Null;
    });
    stack.repository.commit("start");
    stack.sync().await;
    stack
}

/// What differs from run to run.
fn scrub(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if ["commit", "request_id", "next_cursor"].contains(&name.as_str()) && value.is_string() {
                    *value = "…".into();
                } else {
                    scrub(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}

fn tell(text: &mut String, line: &str, answer: &Answer) {
    writeln!(text, "{line}\n{}", answer.status).unwrap();
    for (name, value) in &answer.headers {
        match name.as_str() {
            "date" | "x-request-id" | "content-length" => {}
            "ratelimit" => {}
            "deprecation" => writeln!(text, "{name}: {}…", &value[..1]).unwrap(),
            _ => writeln!(text, "{name}: {value}").unwrap(),
        }
    }
    let mut body = answer.json();
    scrub(&mut body);
    writeln!(text, "{}\n", serde_json::to_string_pretty(&body).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers() {
    let stack = stack().await;
    stack.repository.put(&model("openai/gpt-5-mini", |value| {
        value["meta"]["inputCostPerMillionTokens"] = json!(300);
    }));
    stack.repository.remove("anthropic/claude");
    stack.repository.commit("a price and an end");
    stack.sync().await;
    let mut text = String::new();
    for line in [
        "GET /v1/models?limit=1",
        "GET /v1/models?q=gpt&fields=id,display_name&facets=provider,capability,tier",
        "GET /v1/models?sort=-input_cost_per_million_tokens&max_input_cost=1250&min_context=1000&fields=id",
        "GET /v1/models?changed_since=1",
        "GET /v1/models?as_of=1&legacy=true",
        "GET /v1/models/anthropic/claude?as_of=1",
        "GET /v1/models/anthropic%2Fclaude",
        "GET /v1/models?order=price",
        "GET /v1/models?sort=price&fields=price&q=-&facets=price&as_of=then&min_context=few&max_input_cost=-1",
        "GET /v1/models?as_of=7",
        "GET /v1/models?changed_since=2099-01-01T00:00:00Z",
        "GET /v1/models/openai/gpt-5?fields=id",
    ] {
        tell(&mut text, line, &stack.send(line, "", &[], None).await);
    }
    insta::assert_snapshot!(text);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_known_again_and_has_a_head() {
    let stack = stack().await;
    for target in [
        "/v1/models",
        "/v1/models?limit=1&sort=context_length",
        "/v1/models?q=gpt&facets=tier",
        "/v1/models?changed_since=1",
        "/v1/models?as_of=1",
        "/v1/models/openai/gpt-5",
        "/v1/models/gpt-5-latest?as_of=1",
    ] {
        let get = stack.send(&format!("GET {target}"), "", &[], None).await;
        assert_eq!(get.status, 200, "{target}: {}", get.text);
        let same = |answer: &Answer| {
            let varying =
                |name: &str| ["date", "x-request-id", "content-length", "content-type", "ratelimit"].contains(&name);
            let kept = |headers: &BTreeMap<String, String>| -> Vec<(String, String)> {
                headers.clone().into_iter().filter(|(name, _)| !varying(name)).collect()
            };
            assert_eq!(kept(&answer.headers), kept(&get.headers), "{target}");
        };
        let head = stack.send(&format!("HEAD {target}"), "", &[], None).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.headers["content-length"], get.text.len().to_string());
        same(&head);
        for method in ["GET", "HEAD"] {
            let known = [("if-none-match", get.headers["etag"].as_str())];
            let again = stack.send(&format!("{method} {target}"), "", &known, None).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{method} {target}");
            same(&again);
        }
    }
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_answers_are_the_same_answers() {
    let stack = stack().await;
    let client = reqwest::Client::new();
    let get = async |target: &str, headers: &[(&str, &str)]| {
        let mut request = client.get(format!("{}{target}", stack.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, encoding, tag) = (response.status(), header("content-encoding"), header("etag"));
        assert!(header("vary").unwrap().contains("Accept-Encoding"));
        (status.as_u16(), encoding, tag, response.bytes().await.unwrap())
    };
    for target in ["/v1/models", "/v1/models?changed_since=1&includeArchived=false", "/v1/models/openai/gpt-5"] {
        let (_, none, plain_tag, plain) = get(target, &[]).await;
        assert_eq!(none, None);
        let plain_tag = plain_tag.unwrap();
        // Twice: the second one was kept.
        for coding in ["gzip", "zstd", "gzip", "zstd"] {
            let (status, encoding, tag, body) = get(target, &[("accept-encoding", coding)]).await;
            let tag = tag.unwrap();
            if plain.len() < 1024 {
                assert_eq!((status, encoding, &tag, &body), (200, None, &plain_tag, &plain), "{target}");
                continue;
            }
            assert_eq!((status, encoding.as_deref()), (200, Some(coding)), "{target}");
            let mut decoded = Vec::new();
            match coding {
                "gzip" => drop(flate2::read::GzDecoder::new(&*body).read_to_end(&mut decoded).unwrap()),
                _ => decoded = zstd::bulk::decompress(&body, plain.len()).unwrap(),
            }
            assert_eq!(decoded, plain, "{target}");
            assert_eq!(tag, format!("{}-{coding}\"", plain_tag.trim_end_matches('"')));
            // Whichever representation a client has, it has the answer.
            for known in [&tag, &plain_tag] {
                let headers = [("accept-encoding", coding), ("if-none-match", known.as_str())];
                let (status, _, again, body) = get(target, &headers).await;
                assert_eq!((status, again.as_ref(), body.len()), (304, Some(known), 0));
            }
        }
        assert_eq!(get(target, &[("accept-encoding", "identity;q=0, br")]).await.0, 406);
    }
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_names_the_revision_that_it_made_or_left() {
    let stack = stack().await;
    let first = stack.repository.head();
    let before = stack.send("GET /v1/models", "", &[], None).await;
    stack.repository.write("README.md", "words");
    let silent = stack.repository.commit("nothing that is published");
    stack.sync().await;
    let (status, created) = {
        let body = json!({
            "id": "api-1", "name": "api-1", "provider": "p", "isAvailable": true, "isLegacy": false,
            "isArchived": false, "reason": "a test",
            "meta": {
                "displayName": "One", "capabilities": ["text"], "contextLength": 1000,
                "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
                "requiredTier": "free", "tierRestrictionMode": "minimum", "allowedTiers": [],
            },
        });
        let answer = stack.admin("POST /admin/models", &body).await;
        (answer.status, answer.text)
    };
    assert_eq!(status, 201, "{created}");
    stack.repository.put(&model("openai/gpt-6", |_| {}));
    let last = stack.repository.commit("one more");
    stack.sync().await;
    for commit in [&first, &silent] {
        let then = stack.send(&format!("GET /v1/models?as_of={commit}"), "", &[], None).await;
        assert_eq!((then.status, &then.text), (200, &before.text), "{commit}");
    }
    let now = stack.send(&format!("GET /v1/models?as_of={last}"), "", &[], None).await;
    assert_eq!(now.text, stack.send("GET /v1/models", "", &[], None).await.text);
    assert_eq!(now.json()["revision"], 3);
    stack.close().await;
}
