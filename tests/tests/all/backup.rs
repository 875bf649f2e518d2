//! The state of the whole, and a backup of it by the API.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_http::Role;
use roster_store::backup::Backup;
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

/// A stack with models of Git and of the API, one of them removed and one changed.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    for id in ["p/one", "p/two", "p/gone"] {
        stack.repository.put(&model(id, |_| {}));
    }
    stack.repository.commit("three");
    stack.sync().await;
    stack.repository.remove("p/gone");
    stack.repository.put(&model("p/two", |value| {
        value["versions"] = json!([{"version": "1.0.0", "status": "active"}]);
        value["aliases"] = json!(["two"]);
    }));
    stack.repository.commit("one less");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(stack.admin("POST /admin/models", &model("p/own", |_| {})).await.status, 201);
    stack.settle().await;
    stack
}

async fn backup(stack: &TestStack, role: Role) -> Answer {
    stack.send("POST /admin/backup", &token("sue", &[role]), &[], None).await
}

async fn status(stack: &TestStack) -> Value {
    let answer = stack.admin("GET /admin/status", &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_by_the_api_is_restored_elsewhere() {
    let stack = stack().await;
    // Two rollouts are under way, and one of the models goes.
    for id in ["p/comes", "p/came"] {
        stack.repository.put(&model(id, |value| {
            value["versions"] =
                json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"}]);
        }));
    }
    stack.repository.commit("two more");
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(stack.event("evaluate-rollouts").await["steps"].as_array().map(Vec::len), Some(2));
    stack.repository.remove("p/came");
    stack.repository.commit("one less again");
    assert_eq!(stack.sync().await["state"], "applied");
    stack.settle().await;
    assert_eq!(backup(&stack, Role::Admin).await.status, 403);
    let answer = backup(&stack, Role::SuperAdmin).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/jsonl"));
    let saved = Backup::read(&answer.text).unwrap();

    let other = TestStack::new().await;
    let restored = other.store.restore_backup(&saved, Timestamp::now()).await.unwrap();
    let head = stack.store.head(true).await.unwrap().unwrap();
    assert_eq!(restored.roots, head.roots, "the trees are the same, to their indexes");
    assert_eq!((restored.revision, &restored.commit, restored.api_models), (head.revision, &head.commit, 1));
    let one = stack.send("GET /v1/models", "", &[], None).await.json();
    let two = other.send("GET /v1/models", "", &[], None).await.json();
    assert_eq!(one["models"], two["models"]);
    let again = other.store.restore_backup(&saved, Timestamp::now()).await.unwrap_err();
    assert_eq!(again.to_string(), "the tables are not empty: restore into new ones");
    other.close().await;
    stack.close().await;
}

/// Pages of any size make the same file.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_backup_join() {
    let stack = stack().await;
    for cents in 1..30 {
        let body = json!({"inputCostPerMillionTokens": 1250 + cents, "reason": "again"});
        assert_eq!(stack.admin("PATCH /admin/models/p%2Fown/meta", &body).await.status, 200);
    }
    stack.settle().await;
    let head = stack.store.head(true).await.unwrap().unwrap();
    let ids: Vec<ModelId> = stack.store.ids_of(&head).await.unwrap();
    assert_eq!(ids.len(), 4);
    let (whole, _) = stack.store.backup_lines(&head, &ids, "", usize::MAX).await.unwrap();
    assert_eq!(whole.lines().count(), 4 + 1 + 2 + 2 + 30);
    for max_bytes in [1, 1_500, 6_000] {
        let (mut joined, mut place, mut pages) = (String::new(), String::new(), 0);
        loop {
            let (lines, next) = stack.store.backup_lines(&head, &ids, &place, max_bytes).await.unwrap();
            joined.push_str(&lines);
            pages += 1;
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        assert_eq!(joined, whole, "pages of {max_bytes} bytes");
        assert!(pages > 1);
    }
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_lists_what_is_wrong() {
    let stack = stack().await;
    let well = status(&stack).await;
    assert_eq!((&well["isWell"], &well["wrong"]), (&json!(true), &json!([])), "{well}");
    assert_eq!((&well["revision"], &well["lastRun"]["state"]), (&json!(3), &json!("applied")));
    assert_eq!(well["models"]["byStage"], json!({"active": 3}));
    assert_eq!((&well["models"]["removed"], &well["models"]["versionsByStatus"]), (&json!(1), &json!({"active": 1})));
    assert_eq!(well["drift"]["kinds"], json!({}));

    stack.repository.put(&model("p/one", |value| value["meta"]["inputCostPerMillionTokens"] = json!(-1)));
    stack.repository.commit("a mistake");
    assert_eq!(stack.sync().await["state"], "rejected");
    stack.edit_spec("p/two", |spec| spec["name"] = json!("by hand")).await;
    let hold = json!({"reason": "an incident", "until": Timestamp::now() + jiff::SignedDuration::from_hours(1)});
    assert_eq!(stack.admin("POST /admin/sync/hold", &hold).await.status, 200);
    let ill = status(&stack).await;
    let mut what: Vec<&str> =
        ill["wrong"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    what.dedup();
    assert_eq!((&ill["isWell"], what), (&json!(false), vec!["hold", "sync", "drift"]), "{ill}");
    stack.edit_spec("p/two", |spec| spec["name"] = json!("two")).await;
    stack.close().await;
}
