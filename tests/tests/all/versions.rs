//! Versions of a model: what the API and commits may do to them, and what policy says to it.

use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::inference::{Batch, Part};
use roster_core::policy::RetentionPolicy;
use roster_core::window::Subject;
use roster_git::{Location, Repository};
use roster_http::Role;
use roster_store::inferences::BatchKey;
use roster_sync::offline::plan_between;
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

const ONE: &str = "/admin/models/p%2Fone";

fn one(versions: &Value) -> Value {
    model("p/one", |value| value["versions"] = versions.clone())
}

fn two_versions(first: &str, second: &str) -> Value {
    json!([{"version": "1.0.0", "status": first}, {"version": "2.0.0", "status": second}])
}

/// A stack on which the API owns `p/one`, with an active and an inactive version.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    let created = stack.admin("POST /admin/models", &one(&two_versions("active", "inactive"))).await;
    assert_eq!(created.status, 201, "{}", created.text);
    stack
}

/// Counts results of a version, of which this many percent are successes.
async fn measure(stack: &TestStack, version: &str, count: usize, percent: usize) {
    let result = |at: usize| json!({"model": "p/one", "success": at * 100 < count * percent, "latencyMs": 100 + at});
    let results: Vec<Value> = (0..count).map(result).collect();
    let id = format!("{version} {count} {percent}");
    let batch = Batch::read(json!({"id": id, "results": results}).to_string().as_bytes()).unwrap();
    let subject = Subject { model: ModelId::parse("p/one").unwrap(), version: version.parse().ok() };
    let (now, mut part) = (Timestamp::now(), Part::default());
    for result in &batch.results {
        part.windows.count(&subject, now, result, "0.002".parse().ok());
        part.tally.counted += 1;
    }
    let key = BatchKey { id: id.clone(), body: id };
    stack.store.count_batch(&key, &[part], &RetentionPolicy::default(), now).await.unwrap();
}

async fn post(stack: &TestStack, path: &str, body: Value) -> Answer {
    stack.admin(&format!("POST {ONE}{path}"), &body).await
}

async fn get(stack: &TestStack, path: &str) -> Value {
    let answer = stack.admin(&format!("GET {ONE}{path}"), &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].clone()
}

/// The versions as they are: `"1.0.0 active, 2.0.0 inactive"`.
async fn statuses(stack: &TestStack) -> String {
    let all = get(stack, "/versions").await["versions"].clone();
    let told = |version: &Value| {
        format!("{} {}", version["version"].as_str().unwrap(), version["effectiveStatus"].as_str().unwrap())
    };
    all.as_array().unwrap().iter().map(told).collect::<Vec<_>>().join(", ")
}

/// The type of a problem, without what is before its name.
fn kind(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap_or_default().rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_lives_by_the_api() {
    let stack = stack().await;
    let entry = json!({
        "version": "3.0.0", "status": "testing", "releaseDate": "2026-11-01T00:00:00Z", "reason": "a new one",
        "overrides": {"inputCostPerMillionTokens": 570.10, "maxOutputTokens": 4096},
    });
    let registered = post(&stack, "/versions", entry.clone()).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    assert_eq!(
        registered.json()["data"]["operations"][0],
        json!({"operation": "register_version", "version": "3.0.0"})
    );
    let again = post(&stack, "/versions", entry).await;
    assert_eq!((again.status, kind(&again)), (409, "version-taken".to_owned()), "{}", again.text);
    for name in ["latest", "v1", "2026-11-26"] {
        let refused = post(&stack, "/versions", json!({"version": name})).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["pointer"]),
            (422, &json!("/version")),
            "{}",
            refused.text
        );
        assert!(refused.text.contains("such as 2.0.0"), "{}", refused.text);
    }
    assert_eq!(statuses(&stack).await, "1.0.0 active, 2.0.0 inactive, 3.0.0 testing");

    let estimate = get(&stack, "/versions/3.0.0/estimate?input_tokens=1000&output_tokens=0").await;
    assert_eq!(estimate["costUsd"], "0.0005701", "by its own price");
    let compared = get(&stack, "/versions/compare?a=1.0.0&b=3.0.0").await;
    let paths: Vec<&Value> = compared["differences"].as_array().unwrap().iter().map(|change| &change["path"]).collect();
    assert_eq!(json!(paths), json!(["/inputCostPerMillionTokens", "/maxOutputTokens"]));

    let moves = [
        ("/versions/1.0.0/retire", json!({"reason": "so"}), 409, "illegal-move"),
        ("/versions/1.0.0/deprecate", json!({"reason": "so"}), 409, "illegal-move"),
        ("/versions/2.0.0/deprecate", json!({"reason": "so"}), 409, "illegal-move"),
        ("/versions/9.0.0/activate", json!({}), 404, "not-found"),
        ("/versions/latest/activate", json!({}), 404, "not-found"),
        ("/versions/1.0.0/retire", json!({}), 422, "invalid"),
        ("/rollback", json!({"reason": "so"}), 409, "illegal-move"),
        ("/rollback", json!({"reason": "so", "version": "v1"}), 422, "invalid"),
    ];
    for (path, body, status, name) in moves {
        let refused = post(&stack, path, body).await;
        assert_eq!((refused.status, kind(&refused).as_str()), (status, name), "{path}: {}", refused.text);
    }
    assert_eq!(post(&stack, "/versions/2.0.0/retire", json!({"reason": "never used"})).await.status, 200);
    assert_eq!(statuses(&stack).await, "1.0.0 active, 2.0.0 retired, 3.0.0 testing");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_decide_who_takes_the_traffic() {
    let stack = stack().await;
    let decision = get(&stack, "/versions/2.0.0/decision").await;
    assert_eq!((&decision["approved"], &decision["instead"]), (&json!(false), &json!("1.0.0")));
    let refused = post(&stack, "/versions/2.0.0/activate", json!({"reason": "it is new"})).await;
    assert_eq!((refused.status, kind(&refused).as_str()), (409, "held-by-policy"), "{}", refused.text);
    let hold = &refused.json()["holds"][0];
    assert_eq!(hold["rule"], "version_decision");
    let why = "p/one: version 2.0.0 cannot take the place of 1.0.0 yet: 0 of the 50 results needed; 1.0.0 can be used instead";
    assert_eq!(hold["message"], why);
    stack.settle().await;
    let audit = stack.admin("GET /admin/audit", &Value::Null).await;
    assert!(audit.text.contains("version_decision"), "a refusal is an event: {}", audit.text);

    measure(&stack, "2.0.0", 60, 100).await;
    assert_eq!(get(&stack, "/versions/2.0.0/decision").await["approved"], true);
    let activated = post(&stack, "/versions/2.0.0/activate", json!({"reason": "it measures up"})).await;
    assert_eq!(activated.status, 200, "{}", activated.text);
    let versions = get(&stack, "/versions").await["versions"].clone();
    assert_eq!((&versions[0]["effectiveStatus"], &versions[0]["daysToEndOfLife"]), (&json!("deprecated"), &json!(90)));
    assert_eq!(versions[0]["replacementVersion"], "2.0.0");
    let active = get(&stack, "/versions/active").await;
    assert_eq!((&active["version"], &active["weightPercent"]), (&json!("2.0.0"), &json!(100)));
    let two = get(&stack, "/versions/compare?a=1.0.0&b=2.0.0").await["b"].clone();
    assert_eq!((&two["measured"]["samples"], &two["measured"]["costUsd"]), (&json!(60), &json!("0.12")));
    assert_eq!(two["evaluation"]["verdict"], "passed");
    // What was live in the other place is asked for by nobody again.
    let again = post(&stack, "/versions/2.0.0/activate", json!({})).await;
    assert_eq!((again.status, &again.json()["data"]["operations"]), (200, &json!([])));

    // A version that ends within 30 days, by policy, is told of; one that ends in 90 is not.
    let warned = stack.admin("GET /admin/warnings", &Value::Null).await.json()["data"].clone();
    assert_eq!((&warned["total"], &warned["versionsWithinDays"]), (&json!(0), &json!(30)));
    let soon = Timestamp::now() + SignedDuration::from_hours(24 * 20);
    let sooner = json!({"reason": "sooner", "endOfLife": soon});
    assert_eq!(post(&stack, "/versions/1.0.0/deprecate", sooner).await.status, 200);
    let warned = stack.admin("GET /admin/warnings", &Value::Null).await.json()["data"].clone();
    assert_eq!((&warned["total"], &warned["warnings"][0]["version"]), (&json!(1), &json!("1.0.0")), "{warned}");

    let back = post(&stack, "/rollback", json!({"reason": "complaints"})).await;
    assert_eq!(back.status, 200, "a rollback waits for no results: {}", back.text);
    assert_eq!(statuses(&stack).await, "1.0.0 active, 2.0.0 inactive");
    measure(&stack, "2.0.0", 100, 50).await;
    let failed = post(&stack, "/versions/2.0.0/activate", json!({"reason": "again"})).await;
    assert!(failed.status == 409 && failed.text.contains("does not measure up"), "{}", failed.text);
    let body = json!({"reason": "we know better"}).to_string();
    let line = format!("POST {ONE}/versions/2.0.0/activate?approve=true");
    let forced = stack.send(&line, &token("sue", &[Role::SuperAdmin]), &[], Some(&body)).await;
    assert_eq!(forced.status, 200, "{}", forced.text);
    assert_eq!(forced.json()["data"]["approved"][0]["rule"], "version_decision");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollouts_thresholds_are_those_of_its_version() {
    let stack = TestStack::new().await;
    let mut asked = one(&two_versions("active", "canary"));
    asked["rollout"] = json!({"version": "2.0.0", "steps": [{"weightPercent": 5, "holdHours": 1}],
                              "thresholds": {"minSamplesForEvaluation": 5}});
    let created = stack.admin("POST /admin/models", &asked).await;
    assert_eq!(created.status, 201, "{}", created.text);
    for (version, needed) in [("2.0.0", "0 of the 5 results needed"), ("1.0.0", "0 of the 50 results needed")] {
        let answer = stack.admin(&format!("GET {ONE}/versions/{version}/evaluation"), &Value::Null).await;
        assert!(answer.json()["message"].as_str().unwrap().ends_with(needed), "{version}: {}", answer.text);
    }
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_a_file_are_the_files() {
    let stack = TestStack::new().await;
    stack.repository.put(&one(&two_versions("active", "inactive")));
    stack.repository.commit("add one");
    assert_eq!(stack.sync().await["state"], "applied");
    let refused = post(&stack, "/versions", json!({"version": "3.0.0", "reason": "new"})).await;
    assert_eq!((refused.status, kind(&refused).as_str()), (409, "managed-by-git"), "{}", refused.text);
    assert!(refused.json()["content"].as_str().unwrap().contains("3.0.0"));

    let proposed =
        post(&stack, "/versions?mode=propose", json!({"version": "3.0.0", "reason": "Register 3.0.0"})).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text);
    let branch = proposed.json()["data"]["branch"].as_str().unwrap().to_owned();
    stack.repository.git(&["merge", "--quiet", "--no-ff", "--message", "Merge it", &branch]);
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(statuses(&stack).await, "1.0.0 active, 2.0.0 inactive, 3.0.0 inactive");
    let proposed = post(&stack, "/versions/2.0.0/activate?mode=propose", json!({"reason": "Activate 2.0.0"})).await;
    assert_eq!((proposed.status, &proposed.json()["data"]["holds"][0]["rule"]), (202, &json!("version_decision")));

    measure(&stack, "2.0.0", 60, 100).await;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    let body = json!({"reason": "an incident", "until": until}).to_string();
    let line = format!("POST {ONE}/versions/2.0.0/activate?mode=override");
    let placed = stack.send(&line, &token("sue", &[Role::SuperAdmin]), &[], Some(&body)).await;
    assert_eq!(placed.status, 200, "{}", placed.text);
    assert_eq!(statuses(&stack).await, "1.0.0 deprecated, 2.0.0 active, 3.0.0 inactive");
    stack.close().await;
}

/// What merging the working tree's commit would do, by the tables and without them.
async fn planned(stack: &TestStack, base: &str) -> (Value, Vec<String>) {
    let live = stack.admin("GET /admin/sync/plan?ref=main", &Value::Null).await.json()["data"].clone();
    let location = Location::parse(stack.repository.path().to_str().unwrap()).unwrap();
    let opened = Repository::open(&location, std::path::Path::new("unused")).unwrap();
    let (base, head) = (opened.resolve(base).unwrap(), opened.resolve("main").unwrap());
    (live, plan_between(&opened, base, head, 1, Timestamp::now()).unwrap().warnings)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_decided_as_calls_are_and_reverts_go_through() {
    let stack = TestStack::new().await;
    stack.repository.put(&one(&two_versions("active", "inactive")));
    stack.repository.commit("add one");
    assert_eq!(stack.sync().await["state"], "applied");
    let before = stack.repository.head();
    stack.repository.put(&one(&two_versions("deprecated", "active")));
    let activation = stack.repository.commit("activate 2.0.0");
    let (live, warnings) = planned(&stack, &before).await;
    assert_eq!(live["holds"][0]["rule"], "version_decision", "{live}");
    assert_eq!(warnings, ["p/one: what was measured of version 2.0.0 is not known here, and may hold its activation"]);
    assert_eq!(stack.sync().await["state"], "held");
    measure(&stack, "2.0.0", 60, 100).await;
    assert_eq!(stack.sync().await["state"], "applied", "the next look finds that it measures up");
    assert_eq!(statuses(&stack).await, "1.0.0 deprecated, 2.0.0 active");
    stack.repository.revert(&activation);
    assert_eq!(stack.sync().await["state"], "applied", "a revert waits for no results");
    assert_eq!(statuses(&stack).await, "1.0.0 active, 2.0.0 inactive");

    // A move that is not legal is held, never rejected.
    stack
        .repository
        .put(&one(&json!([{"version": "1.0.0", "status": "retired"}, {"version": "2.0.0", "status": "active"}])));
    stack.repository.commit("retire what is active");
    let held = stack.sync().await;
    assert_eq!((&held["state"], &held["holds"][0]["rule"]), (&json!("held"), &json!("version_move")), "{held}");
    let canary = json!([{"version": "1.0.0", "status": "deprecated"}, {"version": "2.0.0", "status": "canary"}]);
    stack.repository.put(&one(&canary));
    stack.repository.commit("a canary beside nothing");
    let rejected = stack.sync().await;
    assert_eq!(rejected["state"], "rejected", "{rejected}");
    assert!(rejected.to_string().contains("has no active version beside it"), "{rejected}");
    stack.close().await;
}
