//! The same suite against the embedded DynamoDB and against DynamoDB Local.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::audit::{self, AuditEntry, AuditEvent, EventKind, Finding};
use roster_core::catalogue::Roots;
use roster_core::record::HistoryEntry;
use roster_local::DynamoDb;
use roster_store::{AuditRange, KeptRun, Manifest, Order, Publication, StoreError};
use roster_sync::{State, SyncError};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

async fn suite(tables: &TestTables) {
    story(tables).await;
    leases(tables).await;
    losses(tables).await;
    timeline(tables).await;
    runs(tables).await;
    crate::limits::suite(tables).await;
    crate::webhook::suite(tables).await;
    crate::inferences::suite(tables).await;
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

/// What is lost from the history is found.
async fn losses(tables: &TestTables) {
    let store = &tables.store;
    let a = ModelId::parse("p/a").unwrap();
    let record = store.records([&a]).await.unwrap().remove(&a).unwrap();
    tables.lose_history("p/a", 2).await;
    let mut found = Vec::new();
    let check = |model: ModelId, entries: Vec<HistoryEntry>| {
        if model == a {
            found = audit::verify(&record, &entries);
        }
    };
    store.all_history(check).await.unwrap();
    assert_eq!(found, [Finding::Missing { model: a.clone(), from: 2, to: 2 }]);
    let b = ModelId::parse("p/b").unwrap();
    let asked = [(a.clone(), 1), (a.clone(), 2), (b.clone(), 1), (b.clone(), 99), (a.clone(), 1)];
    assert_eq!(store.history_exists(asked).await.unwrap(), HashSet::from([(a, 1), (b, 1)]));
    assert_eq!(store.history_exists([]).await.unwrap(), HashSet::new());
}

/// The audit by time: every entry once and in order, in both directions, whatever the pages.
async fn timeline(tables: &TestTables) {
    let store = &tables.store;
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let change = |model: &str, seq: u64, at: &str| -> HistoryEntry {
        serde_json::from_value(json!({
            "modelId": model, "seq": seq, "changes": [{"path": "/x", "new": "y".repeat(if seq == 10 { 50_000 } else { 1 })}],
            "change": {
                "operations": [{"operation": "update_meta"}], "actor": "ada", "reason": "why", "source": "git",
                "at": at, "appliedAt": at, "revision": seq, "correlationId": "run",
            },
        }))
        .unwrap()
    };
    let event = |message: &str, when: &str| AuditEvent {
        kind: EventKind::SyncFailed,
        at: at(when),
        actor: "ada".to_owned(),
        source: "git".to_owned(),
        message: message.to_owned(),
        model_id: None,
        commit: None,
        pull_request: None,
        revision: Some(1),
        correlation_id: "run".to_owned(),
        holds: Vec::new(),
    };
    // Years before the commits of the other tests. In the order expected: by time, then by model and seq.
    let instant = "2001-03-03T12:00:00Z";
    let mut expected = vec![
        AuditEntry::Change(change("t/a", 1, "2001-03-01T00:00:00Z")),
        AuditEntry::Change(change("t/b", 1, "2001-03-01T23:59:59.999999999Z")),
        AuditEntry::Event(event("early", "2001-03-02T00:00:00Z")),
        AuditEntry::Change(change("t/a", 2, "2001-03-02T00:00:00.5Z")),
        AuditEntry::Change(change("t/a", 3, "2001-03-02T00:00:01Z")),
        AuditEntry::Event(event("noon", instant)),
    ];
    expected.extend((1..=12).map(|seq| AuditEntry::Change(change("t/many", seq, instant))));
    expected.extend((0..40).map(|n| AuditEntry::Change(change(&format!("t/one-{n:02}"), 1, instant))));
    expected.push(AuditEntry::Change(change("t/z", 1, "2001-03-10T08:00:00Z")));
    for entry in &expected {
        match entry {
            AuditEntry::Change(entry) => store.put_history(std::slice::from_ref(entry)).await.unwrap(),
            AuditEntry::Event(event) => assert!(store.put_event(event).await.unwrap()),
        }
    }
    // Told again, and later: it stays as it was told first.
    let AuditEntry::Event(early) = &expected[2] else { unreachable!() };
    assert!(!store.put_event(early).await.unwrap());

    let pages = async |from: &str, to: &str, order: Order, limit: usize, max_days: usize| {
        let range = AuditRange { from: at(from), to: at(to), order };
        let (mut entries, mut position, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.audit_page(&range, position.as_ref(), limit, max_days).await.unwrap();
            assert!(page.entries.len() <= limit);
            entries.extend(page.entries);
            pages += 1;
            // As a cursor carries it.
            let text = serde_json::to_string(&page.next).unwrap();
            position = serde_json::from_str(&text).unwrap();
            if position.is_none() {
                return (entries, pages);
            }
            assert!(pages < 500, "no end of pages of {limit} within {max_days} days");
        }
    };
    let (from, to) = ("2001-03-01T00:00:00Z", "2001-03-11T00:00:00Z");
    let backwards: Vec<_> = expected.iter().rev().cloned().collect();
    for (limit, max_days) in [(1, 1), (1, 100), (2, 3), (7, 2), (expected.len(), 100), (1000, 1), (1000, 100)] {
        assert!(pages(from, to, Order::OldestFirst, limit, max_days).await.0 == expected, "{limit} {max_days}");
        assert!(pages(from, to, Order::NewestFirst, limit, max_days).await.0 == backwards, "{limit} {max_days}");
    }
    // No page is promised that would be empty, unless the days of a call are used up.
    assert_eq!(pages(from, to, Order::OldestFirst, expected.len(), 100).await.1, 1);
    assert_eq!(pages(from, to, Order::OldestFirst, 1, 100).await.1, expected.len());
    assert_eq!(pages(from, to, Order::NewestFirst, 1000, 4).await.1, 3);

    // The beginning is inside, the end is not; nothing is between an instant and itself.
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let count = async |from: &str, to: &str| pages(from, to, order, 3, 2).await.0.len();
        assert_eq!(count("2001-03-01T00:00:00Z", "2001-03-01T23:59:59.999999999Z").await, 1);
        assert_eq!(count("2001-03-01T00:00:00.000000001Z", "2001-03-02T00:00:00Z").await, 1);
        assert_eq!(count("2001-03-02T00:00:00Z", "2001-03-02T00:00:00.5Z").await, 1);
        assert_eq!(count("2001-03-02T00:00:00.5Z", "2001-03-02T00:00:01Z").await, 1);
        assert_eq!(count("2001-03-02T00:00:00.500000001Z", "2001-03-02T00:00:01.000000001Z").await, 1);
        assert_eq!(count(instant, "2001-03-03T12:00:00.000000001Z").await, 53);
        assert_eq!(count(instant, instant).await, 0);
        assert_eq!(count(to, from).await, 0);
    }
    // The compressed entry came back whole, and events are no history of a model.
    let mut models = HashSet::new();
    store
        .all_history(|model, entries| assert!(models.insert(model) && entries.is_sorted_by_key(|e| e.seq)))
        .await
        .unwrap();
    assert!(models.contains("t/many") && models.contains("p/many-229"));
}

/// The kept reports of runs, newest first and page by page.
async fn runs(tables: &TestTables) {
    let store = &tables.store;
    let kept = store.runs(None, 1000).await.unwrap();
    assert!(kept.len() >= 6 && kept.iter().is_sorted_by(|one, other| one.key > other.key));
    let newest = &kept[0].report;
    assert_eq!(
        (&newest["state"], &newest["subject"], &newest["operations"]),
        (&json!("applied"), &json!("add many"), &json!(230))
    );
    let mut paged: Vec<KeptRun> = Vec::new();
    loop {
        let page = store.runs(paged.last().map(|run| run.key.as_str()), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, kept);
    assert_eq!(store.runs(Some(""), 2).await.unwrap(), []);
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
