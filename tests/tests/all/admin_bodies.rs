//! Every answer of the admin API, whole: one snapshot an endpoint.

use std::fmt::Write as _;

use roster_http::Role;
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

/// What differs from run to run.
const VARYING: [&str; 22] = [
    "request_id",
    "correlationId",
    "at",
    "appliedAt",
    "decidedAt",
    "createdAt",
    "from",
    "to",
    "first",
    "last",
    "nextCursor",
    "next_cursor",
    "id",
    "commit",
    "blob",
    "repository",
    "daysLeft",
    "author",
    "endOfLife",
    "publishedAt",
    "live",
    "tip",
];

fn scrub(value: &mut Value, is_event: bool) {
    match value {
        Value::Object(map) => {
            let is_event = is_event || map.get("type").is_some_and(|kind| kind == "event");
            for (name, value) in map {
                let varies = VARYING.contains(&name.as_str()) && (name != "id" || is_event);
                if varies && (value.is_string() || value.is_number()) {
                    *value = "…".into();
                } else {
                    scrub(value, false);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, false)),
        _ => {}
    }
}

/// Calls of one endpoint with their answers, as text.
struct Transcript<'s> {
    stack: &'s TestStack,
    text: String,
}

impl<'s> Transcript<'s> {
    fn new(stack: &'s TestStack) -> Self {
        Self { stack, text: String::new() }
    }

    async fn call(&mut self, line: &str, body: Value) -> Answer {
        self.call_as(&[Role::Admin], line, &[], body).await
    }

    async fn call_as(&mut self, roles: &[Role], line: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let body = (!body.is_null()).then(|| body.to_string());
        let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let token = if roles.is_empty() { String::new() } else { token("ann", roles) };
        let answer = self.stack.send(line, &token, headers, body.as_deref()).await;
        let who = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
        let _ = writeln!(self.text, "{line} as {who} {}", body.unwrap_or_default());
        for (name, value) in headers {
            let _ = writeln!(self.text, "{name}: {value}");
        }
        let _ = writeln!(self.text, "-> {}", answer.status);
        for name in ["location", "idempotent-replayed", "www-authenticate"] {
            if let Some(value) = answer.headers.get(name) {
                let _ = writeln!(self.text, "{name}: {value}");
            }
        }
        let mut shown = answer.json();
        scrub(&mut shown, false);
        let _ = writeln!(self.text, "{}\n", serde_json::to_string_pretty(&shown).unwrap());
        answer
    }

    fn text(self) -> String {
        self.text
    }
}

fn document(id: &str) -> Value {
    model(id, |_| {})
}

/// A stack with models of the API, `a/one` and `a/two`, and `git/one` of the repository.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    stack.repository.put(&document("git/one"));
    stack.repository.commit("add one");
    stack.sync().await;
    for id in ["a/one", "a/two"] {
        assert_eq!(stack.admin("POST /admin/models", &document(id)).await.status, 201);
    }
    stack
}

/// The content that a refusal names is a file that makes the model what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_git_owns_is_told_as_the_file_to_commit() {
    let stack = stack().await;
    let line = "POST /admin/models/git%2Fone/mark-legacy";
    let refused = stack.admin(line, &json!({"deprecationNotice": "soon"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let body = refused.json();
    let diff = body["diff"].as_str().unwrap();
    assert!(diff.starts_with("--- a/catalog/models/git/one.json\n+++ b/catalog/models/git/one.json\n@@ "), "{diff}");
    assert!(diff.contains("\n+    \"deprecationNotice\": \"soon\""), "{diff}");
    stack.repository.write(body["path"].as_str().unwrap(), body["content"].as_str().unwrap());
    stack.repository.commit("mark one as legacy");
    assert_eq!(stack.sync().await["state"], "applied");
    let again = stack.admin(line, &json!({"deprecationNotice": "soon"})).await;
    assert_eq!(again.status, 200, "what holds already is no change: {}", again.text);
    stack.close().await;
}

/// What every endpoint for one model refuses alike.
async fn refusals(calls: &mut Transcript<'_>, method: &str, rest: &str, body: &Value) {
    calls.call_as(&[], &format!("{method} /admin/models/a%2Fone{rest}"), &[], body.clone()).await;
    calls.call_as(&[Role::Service], &format!("{method} /admin/models/a%2Fone{rest}"), &[], body.clone()).await;
    calls.call(&format!("{method} /admin/models/absent{rest}"), body.clone()).await;
    calls.call(&format!("{method} /admin/models/git%2Fone{rest}"), body.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions() {
    const ONE: &str = "/admin/models/a%2Fone";
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    refusals(&mut calls, "POST", "/versions", &json!({"version": "1.0.0"})).await;
    let entries = [
        json!({"version": "1.0.0", "status": "active", "reason": "the first"}),
        json!({"version": "2.0.0", "overrides": {"inputCostPerMillionTokens": 500}}),
        json!({"version": "2.0.0"}),
        json!({"version": "latest", "colour": "red"}),
    ];
    for entry in entries {
        calls.call(&format!("POST {ONE}/versions"), entry).await;
    }
    let reads = [
        "/versions",
        "/versions/active",
        "/versions/compare?a=1.0.0&b=2.0.0",
        "/versions/compare?a=1.0.0",
        "/versions/2.0.0/decision",
        "/versions/3.0.0/decision",
        "/versions/2.0.0/estimate?input_tokens=1000&output_tokens=100",
    ];
    for read in reads {
        calls.call(&format!("GET {ONE}{read}"), Value::Null).await;
    }
    calls.call(&format!("POST {ONE}/versions/2.0.0/activate"), Value::Null).await;
    let (line, reason) =
        (format!("POST {ONE}/versions/2.0.0/activate?approve=true"), json!({"reason": "it is tested"}));
    calls.call_as(&[Role::SuperAdmin], &line, &[], reason).await;
    let steps = [
        ("/versions/2.0.0/deprecate", json!({"reason": "slow"})),
        ("/versions/1.0.0/deprecate", json!({"reason": "slow", "gracePeriodDays": 30})),
        ("/rollback", json!({"reason": "complaints"})),
        ("/versions/2.0.0/retire", json!({"reason": "never again"})),
        ("/versions/2.0.0/activate", json!({"reason": "again"})),
    ];
    for (step, body) in steps {
        calls.call(&format!("POST {ONE}{step}"), body).await;
    }
    stack.settle().await;
    calls.call("GET /admin/status", Value::Null).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    calls.call_as(&[], "POST /admin/models", &[], document("a/new")).await;
    calls.call_as(&[Role::Service], "POST /admin/models", &[], document("a/new")).await;
    calls.call("POST /admin/models", json!({"id": "a/new", "colour": "red"})).await;
    calls.call("POST /admin/models", json!([])).await;
    let gpt = model("a/gpt-5", |value| {
        value["meta"]["inputCostPerMillionTokens"] = json!(1250);
        value["meta"]["outputCostPerMillionTokens"] = json!(10000);
        value["reason"] = json!("customers ask for it");
    });
    let created = calls.call("POST /admin/models", gpt.clone()).await;
    assert_eq!(created.json()["data"]["model"]["meta"]["creditsPer1kTokens"], 28);
    calls.call("POST /admin/models", gpt).await;
    calls.call("POST /admin/models", model("a/x", |value| value["aliases"] = json!(["A/ONE"]))).await;
    calls.call("POST /admin/models", document("git/one")).await;
    let kept = stack.send("POST /admin/models", &token("ann", &[Role::Admin]), &[], Some("{")).await;
    assert_eq!((kept.status, &kept.json()["type"]), (400, &json!("urn:roster:problem:malformed-body")));
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_were_removed_or_archived_stay_reserved() {
    let stack = stack().await;
    stack.admin("POST /admin/models/a%2Fone/archive", &json!({"reason": "over"})).await;
    stack.repository.put(&document("git/two"));
    stack.repository.commit("add two");
    stack.sync().await;
    stack.repository.remove("git/two");
    stack.repository.commit("remove two");
    assert_eq!(stack.sync().await["state"], "applied");
    let mut calls = Transcript::new(&stack);
    calls.call("POST /admin/models", document("a/one")).await;
    calls.call("POST /admin/models", document("git/two")).await;
    calls.call("POST /admin/models", model("a/x", |value| value["aliases"] = json!(["git/two"]))).await;
    calls.call("POST /admin/models/git%2Ftwo/unarchive", Value::Null).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn get() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    refusals(&mut calls, "GET", "", &Value::Null).await;
    calls.call("GET /admin/models/a%2Fone", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone?colour=red", Value::Null).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mark_and_unmark_legacy() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    refusals(&mut calls, "POST", "/mark-legacy", &json!({})).await;
    let line = "POST /admin/models/a%2Fone/mark-legacy";
    calls.call(line, json!({"sunsetDate": "2020-01-01T00:00:00Z"})).await;
    calls.call(line, json!({"replacementModelId": "nowhere", "notice": "x"})).await;
    calls.call(line, json!({"replacementModelId": "nowhere"})).await;
    calls.call(line, json!({"replacementModelId": "a/one"})).await;
    let keys = json!({
        "replacementModelId": "a/two", "deprecationNotice": "use two", "sunsetDate": "2099-01-01T00:00:00Z",
        "reason": "two is better",
    });
    calls.call(line, keys.clone()).await;
    calls.call(line, keys).await;
    calls.call("POST /admin/models/a%2Ftwo/mark-legacy", json!({"replacementModelId": "a/one"})).await;
    calls.call("POST /admin/models/a%2Fone/unmark-legacy", json!({"why": 1})).await;
    calls.call("POST /admin/models/a%2Fone/unmark-legacy", Value::Null).await;
    calls.call("POST /admin/models/a%2Fone/unmark-legacy", Value::Null).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_and_unarchive() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    refusals(&mut calls, "POST", "/archive", &json!({"reason": "over"})).await;
    let line = "POST /admin/models/a%2Fone/archive";
    calls.call(line, json!({})).await;
    calls.call(line, json!({"reason": 7})).await;
    calls.call_as(&[Role::Admin], line, &[("x-reason", "over")], Value::Null).await;
    calls.call(line, json!({"reason": "over again"})).await;
    calls.call_as(&[], "GET /v1/models/a/one", &[], Value::Null).await;
    calls.call_as(&[], "POST /v1/resolve", &[], json!({"model": "a/one"})).await;
    calls.call_as(&[], "GET /v1/models?includeArchived=true", &[], Value::Null).await;
    calls.call("GET /v1/models?includeArchived=true&limit=1", Value::Null).await;
    calls.call("POST /admin/models/a%2Fone/unarchive", Value::Null).await;
    calls.call_as(&[], "POST /v1/resolve", &[], json!({"model": "a/one"})).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edit() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    refusals(&mut calls, "PATCH", "/meta", &json!({"description": "d"})).await;
    let line = "PATCH /admin/models/a%2Fone/meta";
    calls.call(line, json!({"displayName": "", "colour": "red", "contextLength": -1})).await;
    let shown = stack.admin("GET /admin/models/a%2Fone", &Value::Null).await;
    let tag = shown.headers["etag"].as_str();
    let ann = token("ann", &[Role::Admin]);
    let body = json!({"description": "better", "reason": "readers asked"}).to_string();
    let first = stack.send(line, &ann, &[("if-match", tag)], Some(&body)).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let lost = stack.send(line, &ann, &[("if-match", tag)], Some(&body)).await;
    assert_eq!((lost.status, &lost.json()["type"]), (412, &json!("urn:roster:problem:precondition-failed")));
    let again = stack.send(line, &ann, &[("if-match", &first.headers["etag"])], Some(&body)).await;
    assert_eq!((again.status, &again.json()["data"]["operations"]), (200, &json!([])));
    let public = stack.send("GET /v1/models/a/one", &ann, &[], None).await;
    let body = json!({"description": "best"}).to_string();
    let by_public = stack.send(line, &ann, &[("if-match", &public.headers["etag"])], Some(&body)).await;
    assert_eq!(by_public.status, 200, "the tag that clients have is taken, too: {}", by_public.text);
    let lost = stack.send(line, &ann, &[("if-match", &public.headers["etag"])], Some(&body)).await;
    assert_eq!(lost.status, 412);
    calls.call("PATCH /admin/models/a%2Fone", json!({"isArchived": true, "id": "b"})).await;
    calls.call("PATCH /admin/models/a%2Fone", json!({"isAvailable": false, "aliases": ["one"]})).await;
    calls.call("PATCH /admin/models/one", json!({"isAvailable": true})).await;
    calls.call("PATCH /admin/models/a%2Ftwo", json!({"aliases": ["one"]})).await;
    calls.call(line, json!({"inputCostPerMillionTokens": 1_000_000})).await;
    calls.call("PATCH /admin/models/a%2Fone/meta?approve=true", json!({"inputCostPerMillionTokens": 1_000_000})).await;
    let line = "PATCH /admin/models/a%2Fone/meta?approve=true";
    calls.call_as(&[Role::SuperAdmin], line, &[], json!({"inputCostPerMillionTokens": 1_000_000})).await;
    let approved = json!({"inputCostPerMillionTokens": 1_000_000, "reason": "it is so"});
    calls.call_as(&[Role::SuperAdmin], line, &[], approved).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate() {
    let stack = stack().await;
    let mut calls = Transcript::new(&stack);
    calls.call_as(&[], "POST /admin/models/a%2Fone/duplicate", &[], json!({"id": "a/copy"})).await;
    calls.call("POST /admin/models/absent/duplicate", json!({"id": "a/copy"})).await;
    calls.call("POST /admin/models/a%2Fone/duplicate", json!({})).await;
    calls.call("POST /admin/models/a%2Fone/duplicate", json!({"id": "a/two"})).await;
    let overrides = json!({"id": "a/copy", "meta": {"displayName": "A copy"}});
    calls.call("POST /admin/models/git%2Fone/duplicate", overrides).await;
    insta::assert_snapshot!(calls.text());
    let onto_itself = stack.admin("POST /admin/models/a%2Fone/duplicate", &json!({"id": "a/one"})).await;
    assert_eq!(onto_itself.json()["type"], "urn:roster:problem:name-taken", "{}", onto_itself.text);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let stack = stack().await;
    let sunset = json!({"replacementModelId": "a/two", "sunsetDate": "2099-01-01T00:00:00Z"});
    stack.admin("POST /admin/models/a%2Fone/mark-legacy", &sunset).await;
    stack.admin("POST /admin/models/a%2Ftwo/mark-legacy", &json!({"replacementModelId": "git/one"})).await;
    let mut calls = Transcript::new(&stack);
    calls.call_as(&[], "GET /admin/models/legacy", &[], Value::Null).await;
    calls.call("GET /admin/models/legacy?sunset=1", Value::Null).await;
    calls.call("GET /admin/models/legacy?sunset_within_days=7", Value::Null).await;
    let first = calls.call("GET /admin/models/legacy?limit=1", Value::Null).await.json();
    let cursor = first["data"]["nextCursor"].as_str().unwrap();
    let next = stack.admin(&format!("GET /admin/models/legacy?limit=1&cursor={cursor}"), &Value::Null).await.json();
    assert_eq!((&next["data"]["models"][0]["id"], &next["data"]["nextCursor"]), (&json!("a/two"), &Value::Null));
    let other = stack.admin(&format!("GET /admin/models/archived?cursor={cursor}"), &Value::Null).await;
    assert_eq!(other.status, 400, "a cursor of another list");
    stack.admin("POST /admin/models/a%2Fone/archive", &json!({"reason": "over"})).await;
    calls.call("GET /admin/models/archived", Value::Null).await;
    calls.call("GET /admin/models/archived?provider=other&legacy=false", Value::Null).await;
    let days = next["data"]["models"][0]["daysLeft"].clone();
    assert_eq!(days, Value::Null);
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices() {
    let stack = stack().await;
    let change = json!({"inputCostPerMillionTokens": 1300, "prices": {"cacheRead": 130}, "reason": "the new list"});
    assert_eq!(stack.admin("PATCH /admin/models/a%2Fone/meta", &change).await.status, 200);
    stack.settle().await;
    let mut calls = Transcript::new(&stack);
    calls.call_as(&[], "GET /admin/models/a%2Fone/prices", &[], Value::Null).await;
    calls.call("GET /admin/models/absent/prices", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/prices?limit=0&cursor=x", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/prices?limit=1", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/prices", Value::Null).await;
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_audit() {
    let stack = stack().await;
    stack.admin("POST /admin/models/a%2Fone/mark-legacy", &json!({"reason": "old"})).await;
    stack.admin("POST /admin/models/git%2Fone/archive", &json!({"reason": "not mine"})).await;
    stack.admin("PATCH /admin/models/a%2Fone/meta", &json!({"inputCostPerMillionTokens": 9_999_999})).await;
    stack.settle().await;
    let mut calls = Transcript::new(&stack);
    calls.call_as(&[], "GET /admin/models/a%2Fone/history", &[], Value::Null).await;
    calls.call("GET /admin/models/absent/history", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/history?limit=0&cursor=x", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/history?limit=1", Value::Null).await;
    calls.call("GET /admin/models/a%2Fone/history?cursor=2", Value::Null).await;
    calls.call_as(&[], "GET /admin/audit", &[], Value::Null).await;
    calls.call("GET /admin/audit?severity=grave&from=yesterday&colour=red", Value::Null).await;
    calls.call("GET /admin/audit?from=2020-01-01&to=2026-01-01", Value::Null).await;
    calls.call("GET /admin/audit?model=a/one", Value::Null).await;
    calls.call("GET /admin/audit?operation=write_refused", Value::Null).await;
    calls.call("GET /admin/audit?view=critical", Value::Null).await;
    calls.call("GET /admin/audit/report", Value::Null).await;
    let mut pages = 0;
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let page = stack.admin(&format!("GET /admin/audit?limit=2{cursor}"), &Value::Null).await.json();
        let entries = page["data"]["entries"].as_array().unwrap();
        seen.extend(entries.iter().map(|entry| format!("{} {}", entry["at"], entry["id"])));
        pages += 1;
        match page["data"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let all = stack.admin("GET /admin/audit", &Value::Null).await.json();
    assert_eq!((pages, seen.len()), (3, all["data"]["entries"].as_array().unwrap().len()));
    assert!(seen.is_sorted_by(|one, other| one > other), "newest first, each once: {seen:?}");
    let jsonl = stack.admin("GET /admin/audit/export?limit=4", &Value::Null).await;
    assert_eq!(jsonl.headers["content-type"], "application/jsonl");
    let rest = jsonl.headers["link"].trim_start_matches('<').split('>').next().unwrap().to_owned();
    let rest = stack.admin(&format!("GET /admin/audit/export{rest}"), &Value::Null).await;
    assert_eq!((jsonl.text.lines().count(), rest.text.lines().count()), (4, 2));
    assert!(!rest.headers.contains_key("link"));
    let csv = stack.admin("GET /admin/audit/export?format=csv", &Value::Null).await;
    assert_eq!((csv.headers["content-type"].as_str(), csv.text.lines().count()), ("text/csv; charset=utf-8", 7));
    insta::assert_snapshot!(calls.text());
    stack.close().await;
}
