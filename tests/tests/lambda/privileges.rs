//! What the rest of the suite does not make the functions call: with it, each grant of the template is used, which
//! `tests/template/privileges.py` finds in what was recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roster_http::fingerprint::fingerprint;
use roster_http::{Cursor, Role};
use roster_local::{LocalValues, Template};
use roster_tests::receiver::Receiver;
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use roster_tests::tables::lose_history;
use serde_json::{Value, json};

const SECRET: &str = "planted-hook-secret";
const NOTICES: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn versioned(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    model(id, |value| {
        value["versions"] =
            json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "inactive"}]);
        change(value);
    })
}

fn policy(more: &Value) -> String {
    let limit = json!({"requests": 100_000, "windowSeconds": 60});
    let tiers = ["free", "pro", "pro_max", "enterprise_pro", "enterprise_max", "perpetual"];
    let limits: serde_json::Map<String, Value> = tiers.iter().map(|tier| ((*tier).to_owned(), limit.clone())).collect();
    let mut policy = json!({"rateLimits": limits, "rollout": {"steps": [{"weightPercent": 50, "holdHours": 1}]}});
    policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy.to_string()
}

struct Caller<'s> {
    stack: &'s TestStack,
    token: String,
    calls: usize,
}

impl Caller<'_> {
    /// Sends a request twice under one idempotency key, and answers the first status.
    async fn twice(&mut self, line: &str, body: &Value) -> u16 {
        self.calls += 1;
        let key = format!("key-{}", self.calls);
        let text = (!body.is_null()).then(|| body.to_string());
        let mut status = 0;
        for _ in 0..2 {
            let headers = [("idempotency-key", key.as_str())];
            let answer = self.stack.send(line, &self.token, &headers, text.as_deref()).await;
            assert!(answer.status < 500, "{line}: {}", answer.text);
            status = answer.status;
        }
        status
    }
}

/// Every route as it is, by itself: the model that a path names is Git's, which refuses what changes it.
async fn every_route(caller: &mut Caller<'_>, template: &Template, query: &str, body: &Value) {
    let id = "p/git";
    for function in &template.functions {
        for route in function.routes.iter().filter(|route| route.method != "HEAD") {
            let path = route.path.to_string().replace("{id+}", id).replace("{id}", &id.replace('/', "%2F"));
            let path = path.replace("{v}", "2.0.0").replace("{name}", "model.schema.json");
            let path = path.replace("{path+}", "operations");
            assert!(!path.contains('{'), "{path}: what does the parameter stand for?");
            let changes = route.method != "GET";
            if changes || query.is_empty() {
                let body = if changes { body.clone() } else { Value::Null };
                caller.twice(&format!("{} {path}{query}", route.method), &body).await;
            }
        }
    }
}

async fn results(stack: &TestStack, model: &str, version: &str, count: usize, failures: usize) {
    for chunk in 0..count.div_ceil(500) {
        let of_chunk = chunk * 500..count.min((chunk + 1) * 500);
        let result = |n: usize| match n < failures {
            true => json!({"model": model, "version": version, "latencyMs": 5, "success": false, "error": "timeout"}),
            false => json!({"model": model, "version": version, "latencyMs": 5, "success": true}),
        };
        let results: Vec<Value> = of_chunk.map(result).collect();
        let id = format!("{model}-{version}-{count}-{chunk}");
        let body = json!({"id": id, "results": results}).to_string();
        let answer = stack.send("POST /v1/inferences", &token("meter", &[Role::Service]), &[], Some(&body)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
}

/// What was published before: pages of lists that began then, and models as they were.
async fn older_revisions(caller: &mut Caller<'_>) {
    let commit = caller.stack.repository.head();
    // No instance of these functions has loaded this revision: they were not called while it was the newest.
    let cursor = Cursor { revision: 3, bundle: None, at: Timestamp::now(), after: String::new() };
    let cursor = |view: &str| cursor.encode(&fingerprint([view, "", "[]"]));
    for line in [
        format!("/v1/models?as_of={commit}"),
        format!("/v1/models/p/git?as_of={commit}"),
        "/v1/models/p/git?as_of=3".to_owned(),
        format!("/admin/models?cursor={}", cursor("records {}")),
        format!("/admin/models/legacy?cursor={}", cursor("legacy None None")),
        format!("/admin/models/archived?cursor={}", cursor("archived None")),
        format!("/admin/models/export?to=roster&cursor={}", cursor("roster {}")),
        format!("/admin/warnings?cursor={}", cursor("warnings None None")),
    ] {
        assert_eq!(caller.twice(&format!("GET {line}"), &Value::Null).await, 200, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grant_has_its_call() {
    let receiver = Receiver::start(&[], 410, "").await;
    let variables =
        [("WEBHOOK_SECRET", SECRET), ("NOTICE_WEBHOOK_URLS", &*receiver.url), ("NOTICE_WEBHOOK_SECRET", NOTICES)];
    assert!(std::env::var_os("ARTIFACTS").is_some(), "ARTIFACTS must name what scripts/artifacts built");
    let stack = TestStack::with(&variables).await;
    let stack = &stack;
    let template = Template::load(&LocalValues::default()).unwrap();
    let now = Timestamp::now();
    let commit = async |message: &str| {
        stack.repository.commit(message);
        let run = stack.sync().await;
        assert_eq!(run["state"], "applied", "{run}");
    };
    stack.repository.write("catalog/policy.json", policy(&json!({})));
    stack.repository.put(&versioned("p/git", |value| value["versions"][1]["status"] = json!("canary")));
    stack.repository.put(&versioned("p/canary", |value| value["versions"][1]["status"] = json!("canary")));
    // One of these has its turn in each minute.
    let watched: Vec<String> = (0..5).map(|n| format!("w/m{n}")).collect();
    for id in &watched {
        stack.repository.put(&versioned(id, |_| {}));
    }
    stack.repository.put(&model("p/soon", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["sunsetDate"] = json!(now + SignedDuration::from_hours(72));
        value["meta"]["legacyReplacementModelId"] = json!("p/git");
        value["meta"]["priceSchedule"] =
            json!([{"from": now - SignedDuration::from_hours(1), "inputCostPerMillionTokens": 1000}]);
    }));
    commit("start").await;

    let mut caller = Caller { stack, token: token("root", &[Role::Admin, Role::SuperAdmin]), calls: 0 };
    every_route(&mut caller, &template, "", &json!({"reason": "try it"})).await;
    // What the API may do for a time, and what it does to its own.
    let until = now + SignedDuration::from_hours(1);
    every_route(&mut caller, &template, "?mode=override", &json!({"reason": "try it", "until": until})).await;
    for (at, (line, body)) in [
        ("PATCH /admin/models/ID", json!({"meta": {"description": "for now"}})),
        ("PATCH /admin/models/ID/meta", json!({"description": "for now"})),
        ("POST /admin/models/ID/mark-legacy", json!({"replacementModelId": "p/canary"})),
        ("POST /admin/models/ID/unmark-legacy", json!({})),
        ("POST /admin/models/ID/archive", json!({})),
        ("POST /admin/models/ID/unarchive", json!({})),
        ("POST /admin/models/ID/versions", json!({"version": "3.0.0"})),
        ("POST /admin/models/ID/versions/2.0.0/activate", json!({})),
        ("POST /admin/models/ID/versions/2.0.0/deprecate", json!({})),
        ("POST /admin/models/ID/versions/2.0.0/retire", json!({})),
        ("POST /admin/models/ID/rollback", json!({"version": "2.0.0"})),
    ]
    .into_iter()
    .enumerate()
    {
        // A model of its own for each: what one does decides what the next may.
        let id = format!("o/m{at}");
        stack.repository.put(&versioned(&id, |value| {
            if line.ends_with("unmark-legacy") {
                value["isLegacy"] = json!(true);
                value["meta"]["legacyReplacementModelId"] = json!("p/git");
            }
            if line.ends_with("deprecate") {
                value["versions"][1]["status"] = json!("canary");
            }
            if line.ends_with("unarchive") {
                value["isArchived"] = json!(true);
                value["isAvailable"] = json!(false);
            }
        }));
        commit(&format!("add {id}")).await;
        let mut body = body;
        body["reason"] = json!("for a time");
        let seconds = Timestamp::now() + SignedDuration::from_secs(4);
        let line = line.replace("ID", &id.replace('/', "%2F"));
        let status = caller.twice(&format!("{line}?mode=override&approve=true&until={seconds}"), &body).await;
        assert!(matches!(status, 200 | 201), "{line}: {status}");
    }
    older_revisions(&mut caller).await;
    // More than one transaction takes.
    for n in 0..120 {
        stack.repository.put(&model(&format!("many/m{n}"), |_| {}));
    }
    commit("many").await;
    // The overrides end.
    tokio::time::sleep(Duration::from_secs(5)).await;
    stack.event("check-drift").await;

    // Decisions by what was measured, of the API's own models.
    let own = json!({"id": "a/own", "name": "own", "provider": "a", "aliases": [], "isAvailable": true,
        "isLegacy": false, "isArchived": false, "meta": versioned("a/own", |_| {})["meta"],
        "versions": [{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "inactive"}]});
    assert_eq!(caller.twice("POST /admin/models", &own).await, 201);
    let swapped = json!([{"version": "1.0.0", "status": "inactive"}, {"version": "2.0.0", "status": "active"}]);
    caller.twice("PATCH /admin/models/a%2Fown?approve=true", &json!({"versions": swapped, "reason": "measured"})).await;
    caller
        .twice("POST /admin/models/a%2Fown/rollback?approve=true", &json!({"version": "2.0.0", "reason": "go"}))
        .await;
    let export = stack.send("GET /admin/models/export?to=roster", &caller.token, &[], None).await;
    let mut document = export.json();
    let models = document["models"].as_array_mut().unwrap();
    models.retain(|model| model["id"] == "a/own");
    assert_eq!(models.len(), 1, "{}", export.text);
    let import = |mut document: Value, versions: &Value, description: &str| {
        document["models"][0]["versions"] = versions.clone();
        document["models"][0]["meta"]["description"] = json!(description);
        document
    };
    let first = document["models"][0]["versions"].clone();
    let is_first = first[0]["status"] == "active";
    let other_way = if is_first { &swapped } else { &own["versions"] };
    let line_of_import = "POST /admin/models/import?from=roster";
    let status = caller.twice(line_of_import, &import(document.clone(), other_way, "as measured")).await;
    assert_eq!(status, 200);
    // An override that is live when all changes are held.
    let line = format!("PATCH /admin/models/p%2Fgit/meta?mode=override&until={until}");
    assert_eq!(caller.twice(&line, &json!({"description": "for now", "reason": "for a time"})).await, 200);

    // A freeze holds every change, which the audit is told; a super_admin lets it pass, which it is told as well.
    let freeze = json!({"from": now - SignedDuration::from_hours(1), "until": until, "reason": "holidays"});
    stack.repository.write("catalog/policy.json", policy(&json!({"guard": {"freezes": [freeze]}})));
    commit("freeze").await;
    let mut other = own.clone();
    other["id"] = json!("a/other");
    caller.twice("POST /admin/models", &other).await;
    caller.twice("POST /admin/models/p%2Fgit/duplicate", &json!({"id": "a/copy", "reason": "a copy"})).await;
    caller.twice(line_of_import, &import(document, &first, "held")).await;
    let ended =
        stack.send("DELETE /admin/models/p%2Fgit/override", &caller.token, &[], Some(r#"{"reason":"over"}"#)).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    caller.twice("POST /admin/models/p%2Fsoon/unmark-legacy", &json!({"reason": "it stays"})).await;
    for end in ["", "?approve=true"] {
        for line in ["POST /admin/models/a%2Fown/archive", "POST /admin/models/a%2Fown/unarchive"] {
            caller.twice(&format!("{line}{end}"), &json!({"reason": "try it"})).await;
        }
    }
    stack.repository.write("catalog/policy.json", policy(&json!({})));
    stack.repository.commit("thaw");
    stack.sync().await;

    // A push is told of.
    let path = stack.repository.path().display().to_string();
    let push = json!({"ref": "refs/heads/main", "repository": {"clone_url": path}}).to_string();
    let headers = [("x-gitlab-token", SECRET), ("x-gitlab-event", "Push Hook")];
    let answer = stack.send("POST /hooks/github", "", &headers, Some(&push)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);

    stack.settle().await;
    stack.event("lifecycle-clock").await;
    stack.event("notify").await;

    // A canary fails, and so do versions in use, which mend again. Results count from the first whole minute on.
    stack.event("evaluate-rollouts").await;
    for id in &watched {
        results(stack, id, "1.0.0", 60, 60).await;
    }
    let mut steps = BTreeSet::new();
    let started = Timestamp::now();
    let mut told = Vec::new();
    while !(steps.contains("rolled back") && told.iter().any(|told: &String| told.contains("does again"))) {
        assert!(Timestamp::now() < started + SignedDuration::from_mins(12), "{steps:?} {told:?}");
        if Timestamp::now() > started + SignedDuration::from_secs(61) && steps.insert("measured") {
            results(stack, "p/canary", "2.0.0", 60, 60).await;
        }
        let outcome = stack.event("evaluate-rollouts").await;
        if outcome.to_string().contains("was rolled back") {
            steps.insert("rolled back");
        }
        let breaches = outcome["breaches"].as_array().unwrap().iter().map(|told| told.as_str().unwrap().to_owned());
        told.extend(breaches);
        // The one whose turn it is was told: it does better within the same minute, or in five.
        if !told.is_empty() && steps.insert("mended") {
            for id in &watched {
                results(stack, id, "1.0.0", 3_000, 0).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stack.settle().await;
    stack.event("notify").await;
    stack.event("propose-reverts").await;
    // What a history lacks is looked for.
    stack.settle().await;
    lose_history(stack.endpoint(), &template.table_names.history, "a/own", 2).await;
    let hour = now - SignedDuration::from_hours(1);
    let report = stack.send(&format!("GET /admin/audit/report?from={hour}"), &caller.token, &[], None).await;
    assert_eq!(report.json()["data"]["report"]["gaps"], json!([{"modelId": "a/own", "seq": 2}]), "{}", report.text);
    // What is published is shown again, where it was lost.
    stack.lose_published().await;
    stack.sync().await;
    stack.event("evaluate-rollouts").await;
}
