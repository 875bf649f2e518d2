//! The same suite against the embedded DynamoDB and against DynamoDB Local.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roster_core::catalogue::Roots;
use roster_local::DynamoDb;
use roster_store::{Manifest, Publication, StoreError};
use roster_sync::{State, SyncError};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

async fn suite(tables: &TestTables) {
    story(tables).await;
    leases(tables).await;
    crate::limits::suite(tables).await;
}

/// Add, reprice, remove, return, revert, and more in one commit than one transaction takes; everything twice.
async fn story(tables: &TestTables) {
    let repository = TestRepository::new();
    let twice = async |operations: &[&str]| {
        let (run, commits) = tables.sync(&repository).await;
        let names: Vec<String> =
            commits.iter().flat_map(|commit| commit.plan.operations().map(ToString::to_string)).collect();
        assert_eq!(names, operations);
        let (again, _) = tables.sync(&repository).await;
        assert_eq!((again.state, again.consumed.write), (State::Unchanged, 0.0));
        assert_eq!(again.digest, run.digest);
        assert_eq!(tables.digest().await, run.digest);
        run
    };
    repository.put(&model("p/a", |_| {}));
    repository.put(&model("p/b", |value| value["aliases"] = json!(["bee"])));
    repository.commit("add two (#1)");
    let start = twice(&["create", "create"]).await;
    repository.put(&model("p/a", |value| value["meta"]["inputCostPerMillionTokens"] = json!(1300.50)));
    repository.commit("Merge pull request #2 from ada/price");
    twice(&["update_meta"]).await;
    repository.remove("p/b");
    repository.commit("remove b");
    twice(&["archive"]).await;
    let removal = repository.head();
    repository.revert(&removal);
    twice(&["unarchive"]).await;
    repository.revert("HEAD~2");
    let back = twice(&["update_meta"]).await;
    assert_eq!(back.digest, start.digest, "reverts lead back");
    for n in 0..230 {
        repository.put(&model(&format!("p/many-{n}"), |_| {}));
    }
    repository.commit("add many");
    twice(&["create"; 230]).await;
    tables.check_history().await;

    let history = tables.history("p/a").await;
    let second = &history[1];
    assert_eq!(second.change.pull_request, Some(2));
    assert_eq!(second.change.actor, "Ada <ada@example.com>");
    assert_eq!(second.change.reason, "Merge pull request #2 from ada/price");
    assert_eq!(
        serde_json::to_string(&second.changes).unwrap(),
        r#"[{"path":"/meta/inputCostPerMillionTokens","old":1250,"new":1300.5}]"#
    );
}

/// Only one worker writes; one that lost its lease changes nothing.
async fn leases(tables: &TestTables) {
    let store = &tables.store;
    let (now, minute) = (Timestamp::now(), Duration::from_secs(60));
    let first = store.acquire_lease("first", now, minute).await.unwrap().unwrap();
    assert_eq!(store.acquire_lease("second", now, minute).await.unwrap(), None);
    let repository = TestRepository::new();
    repository.put(&model("p/z", |_| {}));
    repository.commit("z");
    let busy = tables.sync_with(&repository, |_| {}).await;
    assert!(matches!(busy, Err(SyncError::Busy)), "{busy:?}");

    let after = now + SignedDuration::from_secs(61);
    let second = store.acquire_lease("second", after, minute).await.unwrap().unwrap();
    assert!(second.fence() > first.fence());
    let head = store.head(true).await.unwrap().unwrap();
    let next = Manifest { revision: head.revision + 1, commit: None, roots: Roots::empty(), ..head.clone() };
    let publication =
        Publication { previous: Some(&head), next: &next, retention_seconds: 60, half_way: Default::default() };
    let stale = store.publish(&first, &[], &publication).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    store.renew_lease(&first, after, Duration::from_secs(3600)).await.unwrap();
    store.release_lease(&first).await.unwrap();
    assert_eq!(store.acquire_lease("third", after, minute).await.unwrap(), None, "the old holder freed the new lease");
    assert_eq!(store.head(true).await.unwrap().unwrap(), head, "a stale worker moved the head");

    let wrong = Manifest { revision: head.revision - 1, ..head.clone() };
    let moved = store.publish(&second, &[], &Publication { previous: Some(&wrong), ..publication }).await;
    assert!(matches!(moved, Err(StoreError::Conflict(_))), "{moved:?}");
    assert_eq!(store.head(true).await.unwrap().unwrap(), head);
    store.release_lease(&second).await.unwrap();
    assert!(store.acquire_lease("third", after, minute).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    let tables = TestTables::embedded().await;
    suite(&tables).await;
    tables.close().await;
}

/// Needs the directory with `DynamoDBLocal.jar`, which `scripts/test` installs and names.
#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_local() {
    let Ok(directory) = std::env::var("DYNAMODB_LOCAL") else {
        assert!(std::env::var_os("CI").is_none(), "CI must name DynamoDB Local's directory in DYNAMODB_LOCAL");
        println!("not run: DYNAMODB_LOCAL names no directory; ./scripts/test installs DynamoDB Local and names it");
        return;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("java")
        .args(["-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", "-inMemory", "-port"])
        .arg(port.to_string())
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(server);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "DynamoDB Local does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tables = TestTables::of(DynamoDb::at(format!("http://127.0.0.1:{port}"))).await;
    suite(&tables).await;
    tables.close().await;
    drop(server);
}

/// Ends with the test, whatever becomes of it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
