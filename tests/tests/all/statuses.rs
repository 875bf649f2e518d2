//! What a sync made of each commit, as the commit's status on GitHub: set by the function itself, and once.

use roster_http::Role;
use roster_tests::github::{BOT, TestGitHub};
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// A stack whose repository is this one on GitHub.
async fn stack_of(github: &TestGitHub) -> TestStack {
    let name = github.name();
    let variables = [("GIT_TOKEN", BOT), ("GITHUB_API_URL", github.url()), ("GITHUB_REPOSITORY", name.as_str())];
    TestStack::with(&variables).await
}

/// Commits a price, and pushes it.
async fn push(stack: &TestStack, github: &TestGitHub, price: i64) -> String {
    stack.repository.put(&model("p/one", |value| value["meta"]["inputCostPerMillionTokens"] = json!(price)));
    commit(stack, github).await
}

async fn commit(stack: &TestStack, github: &TestGitHub) -> String {
    let commit = stack.repository.commit("a price");
    github.tell("seed", json!({"pushed": [commit]})).await;
    commit
}

/// Each status of a commit, oldest first: its state on GitHub and what it says.
async fn said(github: &TestGitHub, commit: &str) -> Vec<String> {
    let state = github.state().await;
    let statuses = state["statuses"].as_array().unwrap().iter().filter(|status| status["sha"] == commit);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    statuses
        .map(|status| {
            assert_eq!(status["context"], "roster/catalogue");
            format!("{}: {}", text(&status["state"]), text(&status["description"]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_commit_that_is_approved_becomes_applied() {
    let Some(github) = TestGitHub::repository("sync-statuses") else { return };
    let stack = stack_of(&github).await;
    let first = push(&stack, &github, 100).await;
    stack.sync().await;
    assert_eq!(said(&github, &first).await, ["success: applied: revision 1, 1 operation"]);
    let far = push(&stack, &github, 100_000).await;
    for _ in 0..3 {
        assert_eq!(stack.sync().await["state"], "held");
    }
    assert_eq!(said(&github, &far).await, ["pending: held for approval: price_factor"], "set once");
    let run = stack.admin("GET /admin/sync/runs?limit=1", &Value::Null).await.json()["data"]["runs"][0].clone();
    let body = json!({"planHash": run["plan_hash"], "reason": "it is so"}).to_string();
    let super_admin = token("sue", &[Role::SuperAdmin]);
    assert_eq!(stack.send("POST /admin/sync/approve", &super_admin, &[], Some(&body)).await.status, 202);
    // The approval asks for the look by itself.
    stack.settle().await;
    let (held, applied) =
        ("pending: held for approval: price_factor".to_owned(), "success: applied: revision 2, 1 operation".to_owned());
    assert_eq!(said(&github, &far).await, [held, applied]);
    let writes = github.writes().await;
    stack.sync().await;
    assert_eq!(github.writes().await, writes, "nothing new, nothing set");

    // What is wrong is told by its place, for everybody who may read the repository.
    let wrong = push(&stack, &github, -1).await;
    assert_eq!(stack.sync().await["state"], "rejected");
    let place = "failure: rejected: 1 mistake, the first in catalog/models/p/one.json:";
    assert!(said(&github, &wrong).await[0].starts_with(place), "{:?}", said(&github, &wrong).await);
    // A held commit that the next one takes back is in that one.
    let held = push(&stack, &github, 1).await;
    assert_eq!(stack.sync().await["state"], "held");
    let back = push(&stack, &github, 100_000).await;
    stack.sync().await;
    let superseded = format!("success: superseded by {}", &back[..12]);
    assert_eq!(said(&github, &held).await, ["pending: held for approval: price_factor".to_owned(), superseded]);
    assert_eq!(said(&github, &back).await, ["success: nothing to change: revision 2"]);
    assert!(said(&github, &wrong).await.iter().all(|said| said.starts_with("failure")), "it never was good");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_jumped_over_are_superseded() {
    let Some(github) = TestGitHub::repository("jumped-statuses") else { return };
    let stack = stack_of(&github).await;
    stack.repository.write("catalog/policy.json", json!({"sync": {"maxCommitsPerRun": 3}}).to_string());
    let first = push(&stack, &github, 100).await;
    stack.sync().await;
    let mut commits = Vec::new();
    for price in 101..106 {
        commits.push(push(&stack, &github, price).await);
    }
    let tip = commits.pop().unwrap();
    assert_eq!(stack.sync().await["commits"], 1);
    assert_eq!(said(&github, &tip).await, ["success: applied: revision 2, 1 operation"]);
    let superseded = format!("success: superseded by {}", &tip[..12]);
    for commit in &commits[1..] {
        assert_eq!(said(&github, commit).await, [superseded.as_str()]);
    }
    assert_eq!(said(&github, &commits[0]).await, [""; 0], "only the newest, as many as a run may have");
    assert_eq!(said(&github, &first).await.len(), 1, "what was applied stays so");
    let run = stack.admin("GET /admin/sync/runs?limit=1", &Value::Null).await.json()["data"]["runs"][0].clone();
    assert_eq!(run["superseded"], json!([commits[3], commits[2], commits[1]]));

    // A rewritten branch: what it shares with the one before was reported already.
    stack.repository.git(&["reset", "--quiet", "--hard", &first]);
    let (one, two) = (push(&stack, &github, 110).await, push(&stack, &github, 111).await);
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(said(&github, &one).await, [format!("success: superseded by {}", &two[..12])]);
    assert_eq!(said(&github, &first).await.len(), 1);
    stack.close().await;
}

/// GitHub out of reach fails no sync, and is caught up with.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_does_not_depend_on_github() {
    let Some(github) = TestGitHub::repository("away-statuses") else { return };
    let stack = stack_of(&github).await;
    let away = json!({"message": "Not Found", "documentation_url": "x"});
    let fault = json!({"method": "GET", "path": "/statuses", "times": 1, "status": 404, "body": away});
    github.tell("fault", fault).await;
    let first = push(&stack, &github, 100).await;
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(said(&github, &first).await, [""; 0]);
    assert_eq!(stack.sync().await["state"], "unchanged");
    assert_eq!(said(&github, &first).await, ["success: applied: revision 1, 1 operation"]);
    // One that GitHub does not know keeps none of the others from theirs.
    let unknown = stack.repository.commit("never pushed");
    let second = push(&stack, &github, 101).await;
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!((said(&github, &second).await.len(), said(&github, &unknown).await.len()), (1, 0));
    stack.close().await;
}

/// A run that fails at a commit says so on it, and among the runs, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_told() {
    let Some(github) = TestGitHub::repository("failed-statuses") else { return };
    let stack = stack_of(&github).await;
    push(&stack, &github, 100).await;
    stack.sync().await;
    stack.lose_chunks().await;
    let second = push(&stack, &github, 101).await;
    for _ in 0..2 {
        assert!(stack.try_event("sync").await.is_err());
    }
    assert_eq!(said(&github, &second).await, ["error: failed: the tables do not answer; it is tried again"]);
    let runs = stack.admin("GET /admin/sync/runs", &Value::Null).await.json()["data"]["runs"].clone();
    let failed = runs.as_array().unwrap().iter().filter(|run| run["state"] == "failed").collect::<Vec<_>>();
    assert_eq!(failed.len(), 1, "{runs}");
    assert_eq!((&failed[0]["commit"], &failed[0]["message"]), (&json!(second), &json!("the tables do not answer")));
    assert_eq!(runs[0]["state"], "failed", "newest first");
    stack.close().await;
}
