//! Who owns a model: proposals to the repository that describes it, and overrides that end by themselves.

use jiff::{SignedDuration, Timestamp};
use roster_http::Role;
use roster_sync::drift::{Breadth, DriftKind};
use roster_sync::{Options, RunReport, State};
use roster_tests::github::{ADA, TestGitHub};
use roster_tests::proxy::{Death, Dying, Proxy};
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use roster_tests::tables::reconciler;
use serde_json::{Value, json};

const ONE: &str = "/admin/models/p%2Fone";

/// A clock that is past every override.
fn next_week() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 8)
}

/// One that is past the lease of a worker that died then.
fn after_next_week() -> Timestamp {
    next_week() + SignedDuration::from_mins(5)
}

fn in_hours(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

fn one(price: u64) -> Value {
    model("p/one", |value| value["meta"]["inputCostPerMillionTokens"] = json!(price))
}

/// A stack on a repository with the models `p/one` and `p/two`, synced.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    stack.repository.put(&one(100));
    stack.repository.put(&model("p/two", |_| {}));
    stack.repository.commit("add two");
    assert_eq!(stack.sync().await["state"], "applied");
    stack
}

async fn as_super(stack: &TestStack, line: &str, body: &Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    stack.send(line, &token("sue", &[Role::SuperAdmin]), &[], body.as_deref()).await
}

async fn price(stack: &TestStack) -> Value {
    stack.send("GET /v1/models/p/one", "", &[], None).await.json()["input_cost_per_million_tokens"].clone()
}

async fn digest(stack: &TestStack) -> String {
    stack.store.head(true).await.unwrap().unwrap().roots.digest()
}

async fn put_override(stack: &TestStack, price: u64) -> Answer {
    let body = json!({"inputCostPerMillionTokens": price, "reason": "an incident", "until": in_hours(2)});
    let placed = as_super(stack, &format!("PATCH {ONE}/meta?mode=override"), &body).await;
    assert_eq!(placed.status, 200, "{}", placed.text);
    placed
}

async fn run(stack: &TestStack, clock: fn() -> Timestamp, dry_run: bool) -> RunReport {
    let reconciler = reconciler(stack.store.clone(), stack.repository.path(), clock);
    let options = Options { dry_run, ..Options::follow("main") };
    reconciler.run(&options, |_, _, _| {}).await.unwrap()
}

/// The operations of a model's newest change, and which way it came.
async fn newest(stack: &TestStack, id: &str) -> (Vec<String>, String, Value) {
    stack.settle().await;
    let history = stack.admin(&format!("GET /admin/models/{id}/history"), &Value::Null).await.json();
    let entry = &history["data"]["entries"][0];
    let operations = entry["change"]["operations"].as_array().unwrap();
    let names = operations.iter().map(|operation| operation["operation"].as_str().unwrap().to_owned()).collect();
    (names, entry["change"]["source"].as_str().unwrap().to_owned(), entry["change"]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_becomes_the_model_once_it_is_merged() {
    let stack = stack().await;
    let before = stack.repository.head();
    let line = format!("PATCH {ONE}/meta?mode=propose");
    let body = json!({"description": "better", "reason": "Say what it is\n\nRoster-Approve: 0"});
    let proposed = stack.admin(&line, &body).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text);
    let data = &proposed.json()["data"];
    let branch = data["branch"].as_str().unwrap();
    assert!(branch.starts_with("roster/p-one-"), "{branch}");
    assert_eq!((&data["path"], &data["created"]), (&json!("catalog/models/p/one.json"), &json!(true)));
    assert!(data["diff"].as_str().unwrap().contains("+    \"description\": \"better\""), "{data}");
    assert_eq!((stack.repository.head(), price(&stack).await), (before, json!(100)), "nothing changed");
    let told = stack.repository.git(&["log", "-1", "--format=%an|%s|%(trailers:only,unfold)", branch]);
    assert_eq!(told, "ann|Say what it is|Proposed-by: ann", "what a reason holds is no trailer");

    let tip = stack.repository.git(&["rev-parse", branch]);
    let again = stack.admin(&line, &body).await.json();
    assert_eq!((&again["data"]["branch"], &again["data"]["created"]), (&json!(branch), &json!(false)));
    assert_eq!(stack.repository.git(&["rev-parse", branch]), tip);

    stack.repository.git(&["merge", "--quiet", "--ff-only", branch]);
    let moved = stack.admin(&line, &body).await;
    assert_eq!((moved.status, &moved.json()["type"]), (409, &json!("urn:roster:problem:branch-moved")));
    assert_eq!(stack.sync().await["state"], "applied");
    let record = stack.admin(&format!("GET {ONE}"), &Value::Null).await.json();
    assert_eq!(record["data"]["model"]["meta"]["description"], "better");
    assert_eq!(record["data"]["change"]["reason"], "Say what it is");
    let done = stack.admin(&line, &body).await;
    assert_eq!((done.status, &done.json()["data"]["operations"]), (200, &json!([])), "nothing to propose");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_model_is_proposed_as_a_new_file() {
    let stack = stack().await;
    let proposed = stack.admin("POST /admin/models?mode=propose", &model("p/new", |_| {})).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text);
    let data = &proposed.json()["data"];
    assert_eq!(data["path"], "catalog/models/p/new.json");
    assert!(data["diff"].as_str().unwrap().starts_with("--- /dev/null"), "{data}");
    stack.repository.git(&["merge", "--quiet", "--ff-only", data["branch"].as_str().unwrap()]);
    assert_eq!(stack.sync().await["state"], "applied");
    let record = stack.admin("GET /admin/models/p%2Fnew", &Value::Null).await.json();
    assert_eq!(record["data"]["origin"]["source"], "git");
    let taken = stack.admin("POST /admin/models?mode=propose", &model("p/new", |_| {})).await;
    assert_eq!(taken.status, 409, "{}", taken.text);

    // The API's own models become the repository's that way.
    assert_eq!(stack.admin("POST /admin/models", &model("p/own", |_| {})).await.status, 201);
    let proposed = stack.admin("PATCH /admin/models/p%2Fown?mode=propose", &json!({"name": "ours"})).await;
    assert_eq!(proposed.json()["data"]["operations"][0]["operation"], "adopt", "{}", proposed.text);
    stack.repository.git(&["merge", "--quiet", "--no-edit", proposed.json()["data"]["branch"].as_str().unwrap()]);
    assert_eq!(stack.sync().await["state"], "applied");
    let record = stack.admin("GET /admin/models/p%2Fown", &Value::Null).await.json();
    assert_eq!(
        (&record["data"]["origin"]["source"], &record["data"]["model"]["name"]),
        (&json!("git"), &json!("ours"))
    );
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_would_be_rejected_for_is_not_proposed() {
    let stack = stack().await;
    let branches = || stack.repository.git(&["branch", "--list", "roster/*"]);
    for (line, body) in [
        (format!("PATCH {ONE}/meta?mode=propose"), json!({"capabilities": []})),
        (format!("PATCH {ONE}?mode=propose"), json!({"provider": "q"})),
        (format!("POST {ONE}/mark-legacy?mode=propose"), json!({"replacementModelId": "p/none"})),
        ("POST /admin/models?mode=propose".to_owned(), json!({"id": "legacy"})),
    ] {
        let refused = stack.admin(&line, &body).await;
        assert_eq!(refused.status, 422, "{line}: {}", refused.text);
    }
    let alias = stack.admin(&format!("PATCH {ONE}?mode=propose"), &json!({"aliases": ["p/two"]})).await;
    assert_eq!((alias.status, &alias.json()["type"]), (409, &json!("urn:roster:problem:name-taken")));
    assert_eq!(stack.admin(&format!("PATCH {ONE}?mode=suggest"), &json!({})).await.status, 400);
    assert_eq!(branches(), "");
    // What the guard would hold is told, and does not stand in the way.
    let dear =
        stack.admin(&format!("PATCH {ONE}/meta?mode=propose"), &json!({"inputCostPerMillionTokens": 9999})).await;
    assert_eq!((dear.status, &dear.json()["data"]["holds"][0]["rule"]), (202, &json!("price_factor")), "{}", dear.text);
    // Names of lists are no ids, nor do they come by commit.
    let mut reserved = model("p/x", |_| {});
    reserved["id"] = json!("archived");
    let refused = stack.admin("POST /admin/models", &reserved).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/id")), "{}", refused.text);
    stack.repository.write("catalog/models/p/archived.json", reserved.to_string());
    stack.repository.commit("a name of a list");
    assert_eq!(stack.sync().await["state"], "rejected");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_on_github() {
    let Some(github) = TestGitHub::repository("ownership") else { return };
    let repository = format!("https://github.com/{}", github.name());
    let variables = [("REPOSITORY", repository.as_str()), ("GITHUB_API_URL", github.url()), ("GIT_TOKEN", ADA)];
    let stack = TestStack::with(&variables).await;
    stack.repository.put(&one(100));
    stack.repository.commit("add one");
    let path = "catalog/models/p/one.json";
    let text = std::fs::read_to_string(stack.repository.path().join(path)).unwrap();
    github.tell("seed", json!({"files": {path: text}})).await;
    assert_eq!(run(&stack, Timestamp::now, false).await.state, State::Applied);

    let line = format!("POST {ONE}/archive?mode=propose");
    let body = json!({"reason": "It is over"});
    let proposed = stack.admin(&line, &body).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text);
    let data = &proposed.json()["data"];
    assert_eq!((&data["url"], &data["created"]), (&json!(format!("{repository}/pull/1")), &json!(true)));
    let state = github.state().await;
    assert_eq!(state["pulls"][0]["title"], "It is over");
    let branch = format!("heads/{}", data["branch"].as_str().unwrap());
    assert!(state["branches"][branch]["files"][path].as_str().unwrap().contains("\"isArchived\": true"));
    let writes = github.writes().await;
    let again = stack.admin(&line, &body).await.json();
    assert_eq!((&again["data"]["url"], &again["data"]["created"]), (&data["url"], &json!(false)));
    assert_eq!(github.writes().await, writes, "the second time writes nothing");

    // Somebody pushed what is not live yet.
    github.tell("seed", json!({"files": {path: text.replace("100", "101")}})).await;
    let moved = stack.admin(&line, &body).await;
    assert_eq!((moved.status, &moved.json()["type"]), (409, &json!("urn:roster:problem:branch-moved")));
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_live_at_once_and_ends_by_itself() {
    let stack = stack().await;
    let undisturbed = digest(&stack).await;
    let placed = put_override(&stack, 200).await.json();
    assert_eq!(price(&stack).await, 200);
    assert_eq!(placed["data"]["override"]["actor"], "sue");
    assert_eq!(placed["data"]["origin"]["source"], "git", "its file still describes it");
    let (operations, source, reason) = newest(&stack, "p%2Fone").await;
    assert_eq!((operations.join(" "), source.as_str()), ("place_override update_meta".to_owned(), "api"));
    assert!(reason.as_str().unwrap().ends_with(": an incident"), "{reason}");

    // It is drift, and nobody heals it while it lasts.
    let drift = stack.admin("GET /admin/drift", &Value::Null).await.json();
    let found = &drift["data"]["drift"][0];
    assert_eq!((&found["id"], &found["kind"]), (&json!("p/one"), &json!("overridden")), "{drift}");
    assert_eq!((&found["override"]["actor"], &found["override"]["reason"]), (&json!("sue"), &json!("an incident")));
    assert_eq!(found["changes"][0]["path"], "/meta/inputCostPerMillionTokens");
    assert_eq!(stack.event("check-drift").await["healed"], 0);
    assert_eq!(stack.sync().await["state"], "unchanged");
    assert_eq!(price(&stack).await, 200);

    // What is changed in the repository is still changed there.
    let managed = stack.admin(&format!("PATCH {ONE}/meta"), &json!({"description": "x"})).await;
    assert_eq!(managed.status, 409, "{}", managed.text);
    assert!(!managed.text.contains("200,"), "the file to commit knows nothing of the override: {}", managed.text);

    let planned = run(&stack, next_week, true).await;
    assert_eq!((planned.state, planned.overrides.len()), (State::Planned, 1));
    assert_eq!(price(&stack).await, 200, "a dry run changes nothing");
    let ended = run(&stack, next_week, false).await;
    assert_eq!((ended.state, ended.overrides[0].id.as_str()), (State::Applied, "p/one"));
    assert_eq!((price(&stack).await, digest(&stack).await), (json!(100), undisturbed));
    let (operations, source, reason) = newest(&stack, "p%2Fone").await;
    assert_eq!((operations.join(" "), source.as_str()), ("end_override update_meta".to_owned(), "clock"));
    assert_eq!(reason, "the override of sue is over: an incident");
    let again = run(&stack, next_week, false).await;
    assert_eq!((again.state, again.consumed.write), (State::Unchanged, 0.0), "the second time writes nothing");
    let clean = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!(clean["data"]["drift"], json!([]));
    let audit = stack.admin("GET /admin/audit?operation=place_override", &Value::Null).await.json();
    assert_eq!(audit["data"]["entries"][0]["severity"], "critical", "{audit}");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_when_its_file_changes() {
    let stack = stack().await;
    put_override(&stack, 200).await;
    // A commit of another file, and its revert, leave it alone.
    stack.repository.put(&model("p/two", |value| value["name"] = json!("deux")));
    let other = stack.repository.commit("rename two");
    assert_eq!(stack.sync().await["operations"], 1);
    stack.repository.revert(&other);
    stack.sync().await;
    assert_eq!(price(&stack).await, 200);

    // The commit's content wins, and after its revert the override is over.
    stack.repository.put(&one(150));
    let commit = stack.repository.commit("a price");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(price(&stack).await, 150);
    assert_eq!(newest(&stack, "p%2Fone").await.0, ["end_override", "update_meta"]);
    stack.repository.revert(&commit);
    stack.sync().await;
    assert_eq!(price(&stack).await, 100);
    assert_eq!(run(&stack, next_week, false).await.state, State::Unchanged, "nothing is left to end");

    // A commit that says what the override says ends it all the same.
    put_override(&stack, 200).await;
    stack.repository.put(&one(200));
    stack.repository.commit("as overridden");
    stack.sync().await;
    assert_eq!(newest(&stack, "p%2Fone").await.0, ["end_override"]);
    let clean = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!(clean["data"]["drift"], json!([]));

    // A removed file takes its override along.
    put_override(&stack, 300).await;
    stack.repository.remove("p/one");
    stack.repository.commit("remove one");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(stack.send("GET /v1/models/p/one", "", &[], None).await.status, 410);
    let record = stack.admin(&format!("GET {ONE}"), &Value::Null).await.json();
    assert_eq!(record["data"]["model"]["meta"]["inputCostPerMillionTokens"], 200, "what its file said last");
    assert_eq!(record["data"].get("override"), None);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_override_what_and_for_how_long() {
    let stack = stack().await;
    let line = format!("PATCH {ONE}/meta?mode=override");
    let body = |until: Timestamp| json!({"description": "x", "reason": "an incident", "until": until});
    assert_eq!(stack.admin(&line, &body(in_hours(1))).await.status, 403, "an admin");
    for (line, body, pointer) in [
        (line.clone(), body(in_hours(24 * 7 + 1)), "/until"),
        (line.clone(), body(in_hours(-1)), "/until"),
        (line.clone(), json!({"reason": "an incident"}), "/until"),
        (line.clone(), json!({"reason": "an incident", "until": "soon"}), "/until"),
        (line.clone(), json!({"until": in_hours(1)}), "/reason"),
        (
            "POST /admin/models?mode=override".to_owned(),
            json!({"id": "p/new", "reason": "x", "until": in_hours(1)}),
            "",
        ),
    ] {
        let refused = as_super(&stack, &line, &body).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{}",
            refused.text
        );
    }
    assert_eq!(as_super(&stack, &format!("PATCH {ONE}/meta?until={}", in_hours(1)), &json!({})).await.status, 400);
    assert_eq!(stack.admin("POST /admin/models", &model("p/own", |_| {})).await.status, 201);
    let own = as_super(&stack, "PATCH /admin/models/p%2Fown/meta?mode=override", &body(in_hours(1))).await;
    assert_eq!(own.status, 422, "{}", own.text);
    let held = json!({"inputCostPerMillionTokens": 9999, "reason": "an incident", "until": in_hours(1)});
    let refused = as_super(&stack, &line, &held).await;
    assert_eq!((refused.status, &refused.json()["type"]), (409, &json!("urn:roster:problem:held-by-policy")));
    assert_eq!(as_super(&stack, &format!("{line}&approve=true"), &held).await.status, 200);

    // A second one replaces the first, and an admin ends it before its time.
    let second = format!("POST {ONE}/archive?mode=override&until={}", in_hours(3));
    let second = as_super(&stack, &second, &json!({"reason": "worse"})).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!(second.json()["data"]["override"]["reason"], "worse");
    assert_eq!(stack.send("GET /v1/models/p/one", "", &[], None).await.status, 410);
    let ended = stack.admin(&format!("DELETE {ONE}/override"), &json!({"reason": "it is over"})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!(ended.json()["data"]["operations"][0]["operation"], "end_override");
    assert_eq!(price(&stack).await, 100, "what the first one took the place of");
    let again = stack.admin(&format!("DELETE {ONE}/override"), &Value::Null).await.json();
    assert_eq!(again["message"], "model p/one is what its file says already: nothing changed");
    assert_eq!(run(&stack, next_week, false).await.state, State::Unchanged);
    stack.close().await;
}

/// Everything is read anew: after a loss, and after a rewritten history.
#[tokio::test(flavor = "multi_thread")]
async fn an_override_outlives_what_is_no_change_of_its_file() {
    let stack = stack().await;
    put_override(&stack, 200).await;
    stack.lose_published().await;
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(price(&stack).await, 200);
    stack.repository.git(&["commit", "--amend", "--quiet", "--message", "another word"]);
    stack.sync().await;
    assert_eq!(price(&stack).await, 200);
    // The file moves: the id may have its provider in its path once or twice.
    let moved = "catalog/models/p/p/one.json";
    std::fs::create_dir_all(stack.repository.path().join("catalog/models/p/p")).unwrap();
    stack.repository.git(&["mv", "catalog/models/p/one.json", moved]);
    stack.repository.commit("move one");
    stack.sync().await;
    assert_eq!(price(&stack).await, 200);
    let proposed = stack.admin(&format!("PATCH {ONE}/meta?mode=propose"), &json!({"description": "x"})).await.json();
    assert_eq!(proposed["data"]["path"], moved, "{proposed}");
    assert!(!proposed["data"]["diff"].as_str().unwrap().contains("200"), "what is overridden is not proposed");
    let drift = reconciler(stack.store.clone(), stack.repository.path(), next_week);
    let drift = drift.drift(&Options::follow("main"), Breadth::Table).await.unwrap();
    assert_eq!(drift.drift.iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::Overridden]);
    run(&stack, next_week, false).await;
    assert_eq!(price(&stack).await, 100);
    stack.close().await;
}

/// What its file says breaks a rule by now: it stays, which is told, until a commit mends that.
#[tokio::test(flavor = "multi_thread")]
async fn an_override_that_cannot_end_is_told() {
    let stack = stack().await;
    let mut leads = one(100);
    leads["meta"]["legacyReplacementModelId"] = json!("p/two");
    stack.repository.put(&leads);
    stack.repository.commit("one leads to two");
    stack.sync().await;
    let body = json!({"legacyReplacementModelId": null, "reason": "two is ill", "until": in_hours(2)});
    assert_eq!(as_super(&stack, &format!("PATCH {ONE}/meta?mode=override"), &body).await.status, 200);
    let archived =
        |is: bool| move |value: &mut Value| (value["isArchived"], value["isAvailable"]) = (json!(is), json!(!is));
    stack.repository.put(&model("p/two", archived(true)));
    stack.repository.commit("archive two");
    assert_eq!(stack.sync().await["state"], "applied");
    let stuck = run(&stack, next_week, false).await;
    assert_eq!((stuck.state, stuck.overrides.len()), (State::Unchanged, 0));
    let drift = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!(drift["data"]["drift"][0]["kind"], "overridden");
    let id = roster_core::ModelId::parse("p/one").unwrap();
    assert!(stack.store.records([&id]).await.unwrap()[&id].overridden.is_some());
    stack.repository.put(&model("p/two", archived(false)));
    stack.repository.commit("two is back");
    run(&stack, next_week, false).await;
    assert_eq!(run(&stack, next_week, false).await.overrides.len(), 1);
    let record = stack.admin(&format!("GET {ONE}"), &Value::Null).await.json();
    assert_eq!(record["data"]["model"]["meta"]["legacyReplacementModelId"], "p/two");
    stack.close().await;
}

/// Killed at any write on its way to the end, it ends with the next run.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_override_is_taken_up_again() {
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        for writes in 0.. {
            let stack = stack().await;
            let undisturbed = digest(&stack).await;
            put_override(&stack, 200).await;
            let overridden = digest(&stack).await;
            let proxy = Proxy::start(stack.endpoint(), Dying::after(writes, death)).await;
            let dying = reconciler(stack.store_at(&proxy.url), stack.repository.path(), next_week);
            let outcome = dying.run(&Options::follow("main"), |_, _, _| {}).await;
            let died = proxy.behaviour.died();
            assert!(outcome.is_ok() || died, "{outcome:?}");
            let visible = digest(&stack).await;
            assert!(visible == overridden || visible == undisturbed, "half an end is visible after {writes} writes");
            run(&stack, after_next_week, false).await;
            assert_eq!(digest(&stack).await, undisturbed, "killed at write {writes}");
            let again = run(&stack, after_next_week, false).await;
            assert_eq!((again.state, again.consumed.write), (State::Unchanged, 0.0), "killed at write {writes}");
            stack.close().await;
            if !died {
                assert!(writes >= 3, "lease, chunks, transaction and release: {writes}");
                break;
            }
        }
    }
}
