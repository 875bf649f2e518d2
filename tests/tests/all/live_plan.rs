//! Plans against the tables: the hash that a reviewer reads on a pull request is the one that the run of its merge has,
//! also where the tables hold what no file of the branch tells.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use roster_git::{Location, Repository};
use roster_http::Role;
use roster_sync::offline::plan_between;
use roster_tests::repository::{TestRepository, model};
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// A stack on which `p/edited` and `p/removed` have a file, that of `p/back` is gone, and the API made `p/adopted`.
async fn live() -> TestStack {
    let stack = TestStack::new().await;
    for id in ["p/edited", "p/removed", "p/back"] {
        stack.repository.put(&model(id, |_| {}));
    }
    stack.repository.commit("three");
    stack.sync().await;
    stack.repository.remove("p/back");
    stack.repository.commit("one less");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(stack.admin("POST /admin/models", &model("p/adopted", |_| {})).await.status, 201);
    stack
}

/// Opens the pull request 7: a branch, and what merging it would give, where a forge keeps it.
fn open(repository: &TestRepository, change: impl FnOnce(&TestRepository)) {
    repository.git(&["switch", "--quiet", "--force-create", "pr", "main"]);
    change(repository);
    repository.commit("a change");
    let merge = ["commit-tree", "pr^{tree}", "-p", "main", "-p", "pr", "-m", "Merge pr into main"];
    let merge = repository.git(&merge);
    repository.git(&["update-ref", "refs/pull/7/merge", &merge]);
    repository.git(&["switch", "--quiet", "main"]);
}

fn merge(repository: &TestRepository, message: &str) {
    repository.git(&["merge", "--quiet", "--no-ff", "--message", message, "pr"]);
}

async fn planned(stack: &TestStack, change: &str) -> Value {
    let answer = stack.admin(&format!("GET /admin/sync/plan?ref={change}"), &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].clone()
}

/// The hash of a plan that was made from the branch alone, on the same revision.
fn offline(stack: &TestStack, revision: u64) -> String {
    let location = Location::parse(stack.repository.path().to_str().unwrap()).unwrap();
    let opened = Repository::open(&location, Path::new("unused")).unwrap();
    let commit = |name: &str| opened.resolve(name).unwrap();
    plan_between(&opened, commit("main"), commit("refs/pull/7/merge"), revision, Timestamp::now()).unwrap().hash
}

async fn newest_run(stack: &TestStack) -> Value {
    stack.admin("GET /admin/sync/runs?limit=1", &Value::Null).await.json()["data"]["runs"][0].clone()
}

async fn approve(stack: &TestStack, hash: &Value) -> u16 {
    let body = json!({"planHash": hash, "reason": "as reviewed"}).to_string();
    stack.send("POST /admin/sync/approve", &token("sue", &[Role::SuperAdmin]), &[], Some(&body)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_the_review_is_that_of_the_held_run() {
    let stack = live().await;
    let until = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(stack.admin("POST /admin/sync/hold", &json!({"reason": "all of it", "until": until})).await.status, 200);
    type Edit = fn(&TestRepository);
    let cases: [(&str, Edit, Value, bool); 4] = [
        (
            "p/edited",
            |repository| repository.put(&model("p/edited", |m| m["meta"]["inputCostPerMillionTokens"] = json!(1300))),
            json!(["update_meta"]),
            true,
        ),
        ("p/removed", |repository| repository.remove("p/removed"), json!(["archive"]), true),
        ("p/adopted", |repository| repository.put(&model("p/adopted", |_| {})), json!(["adopt"]), false),
        ("p/back", |repository| repository.put(&model("p/back", |_| {})), json!(["unarchive"]), false),
    ];
    for (id, edit, operations, is_known_offline) in cases {
        open(&stack.repository, edit);
        let plan = planned(&stack, "refs/pull/7/merge").await;
        let steps = plan["plan"]["steps"].as_array().unwrap();
        let names: Vec<&Value> = steps[0]["operations"].as_array().unwrap().iter().map(|o| &o["operation"]).collect();
        assert_eq!((steps.len(), &steps[0]["id"], json!(names)), (1, &json!(id), operations));
        assert_eq!(plan["holds"][0]["rule"], "hold");
        let markdown = plan["markdown"].as_str().unwrap();
        assert!(markdown.contains(&format!("`Roster-Approve: {}`", plan["hash"].as_str().unwrap())), "{markdown}");
        let hash = offline(&stack, plan["revision"].as_u64().unwrap());
        assert_eq!(plan["hash"] == hash, is_known_offline, "{id}");
        assert_eq!(planned(&stack, "pr").await["hash"], plan["hash"], "the branch has the same tree");

        merge(&stack.repository, "Merge pull request #7 from ann/pr");
        assert_eq!(stack.sync().await["state"], "held", "{id}");
        let run = newest_run(&stack).await;
        assert_eq!((&run["plan_hash"], &run["plan"]["steps"]), (&plan["hash"], &plan["plan"]["steps"]), "{id}");
        assert_eq!(approve(&stack, &plan["hash"]).await, 202);
        // The approval asks for the look by itself.
        stack.settle().await;
        assert_eq!(newest_run(&stack).await["state"], "applied", "{id}");
        assert_eq!(planned(&stack, "main").await["plan"]["steps"], json!([]));
    }
    stack.close().await;
}

/// An approval in the message of the merge names the hash that the review showed.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_names_the_reviewed_hash_is_applied_at_once() {
    let stack = live().await;
    open(&stack.repository, |repository| {
        repository.put(&model("p/adopted", |m| m["meta"]["inputCostPerMillionTokens"] = json!(99_000)));
    });
    let plan = planned(&stack, "refs/pull/7/merge").await;
    assert_eq!(plan["holds"][0]["rule"], "price_factor", "{plan}");
    let hash = plan["hash"].as_str().unwrap();
    merge(&stack.repository, &format!("Merge pull request #7 from ann/pr\n\nRoster-Approve: {hash}"));
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(newest_run(&stack).await["plan_hash"], hash);
    stack.close().await;
}

/// A plan writes nothing, and what it cannot be made for is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_and_nothing_is_written() {
    let stack = live().await;
    open(&stack.repository, |repository| {
        repository.put(&model("p/edited", |m| m["meta"]["inputCostPerMillionTokens"] = json!(-1)));
        repository.write("catalog/policy.json", json!({"guard": {"maxPriceFactor": 3}}).to_string());
    });
    let before = (stack.store.head(true).await.unwrap(), stack.store.runs(None, 100).await.unwrap());
    let plan = planned(&stack, "refs/pull/7/merge").await;
    assert_eq!(plan["problems"][0]["pointer"], "/meta/inputCostPerMillionTokens", "{plan}");
    for (query, status, said) in [
        ("", 400, "ref is missing"),
        ("?ref=refs/notes/x", 400, "is neither the whole id of a commit nor below refs/heads/"),
        ("?ref=main&format=xml", 400, "is neither json nor markdown"),
        ("?ref=refs/pull/8/merge", 404, "has no revision `refs/pull/8/merge`: push it first"),
        ("?ref=gone", 404, "`refs/heads/gone`"),
        ("?ref=main~1", 404, "`refs/heads/main~1`"),
        ("?ref=0123456789012345678901234567890123456789", 404, "push it first"),
    ] {
        let answer = stack.admin(&format!("GET /admin/sync/plan{query}"), &Value::Null).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == status && detail.contains(said), "{query}: {}", answer.text);
    }
    let accept = [("accept", "text/markdown")];
    let admin = token("ann", &[Role::Admin]);
    for (query, headers) in [("&format=markdown", &[][..]), ("", &accept[..])] {
        let line = format!("GET /admin/sync/plan?ref=refs/pull/7/merge{query}");
        let answer = stack.send(&line, &admin, headers, None).await;
        assert_eq!(answer.headers["content-type"], "text/markdown; charset=utf-8");
        assert!(answer.text.starts_with("<!-- roster-plan -->\n### Roster plan: rejected"), "{}", answer.text);
    }
    assert_eq!((stack.store.head(true).await.unwrap(), stack.store.runs(None, 100).await.unwrap()), before);
    stack.close().await;
}

/// The commit with which a forge tries a merge is signed by nobody, and is not the one that will be merged.
#[tokio::test(flavor = "multi_thread")]
async fn a_tried_merge_need_not_be_signed() {
    let stack = live().await;
    let example = include_str!("../../../catalog/schema/fixtures/valid/policy-every-key.json");
    let example: Value = serde_json::from_str(example).unwrap();
    let policy = json!({"signatures": {"required": true, "sshKeys": example["signatures"]["sshKeys"]}});
    open(&stack.repository, |repository| repository.write("catalog/policy.json", policy.to_string()));
    let plan = planned(&stack, "refs/pull/7/merge").await;
    assert!(plan["markdown"].as_str().unwrap().contains("#### Policy"), "{plan}");
    merge(&stack.repository, "ask for signatures");
    assert_eq!(stack.sync().await["state"], "applied");
    open(&stack.repository, |repository| repository.remove("p/removed"));
    let plan = planned(&stack, "refs/pull/7/merge").await;
    assert_eq!((&plan["problems"], &plan["plan"]["steps"][0]["id"]), (&json!([]), &json!("p/removed")));
    merge(&stack.repository, "not signed");
    assert_eq!(stack.sync().await["state"], "rejected");
    stack.close().await;
}

/// Without the live commit every record would have to be read, which no request does.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_without_the_live_commit_is_compared_by_the_next_sync() {
    let stack = live().await;
    let repository = &stack.repository;
    repository.git(&["checkout", "--quiet", "--orphan", "anew"]);
    repository.commit("another history");
    repository.git(&["branch", "--quiet", "--force", "main", "anew"]);
    repository.git(&["switch", "--quiet", "main"]);
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "--quiet", "--prune=now"]);
    let answer = stack.admin("GET /admin/sync/plan?ref=main", &Value::Null).await;
    assert_eq!((answer.status, &answer.json()["type"]), (409, &json!("urn:roster:problem:live-commit-gone")));
    stack.sync().await;
    assert_eq!(planned(&stack, "main").await["plan"]["steps"], json!([]));
    stack.close().await;
}
