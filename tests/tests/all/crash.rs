//! Invariant 5: killed at any write, the next run ends in the digest of an undisturbed one; and no half commit is
//! ever visible on the way.

use jiff::{SignedDuration, Timestamp};
use roster_core::tree::Root;
use roster_edit::Editor;
use roster_sync::{Options, State};
use roster_tests::edits;
use roster_tests::proxy::{Death, Dying, Proxy};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::{TestTables, reconciler};
use serde_json::json;

/// A clock that is past the dead worker's lease.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(5)
}

/// A clock that is past the lease of the worker that died after the first.
fn much_later() -> Timestamp {
    later() + SignedDuration::from_mins(5)
}

/// A repository whose last commit changes `count` models, adds one and removes one.
fn repository(count: u32) -> TestRepository {
    let repository = TestRepository::new();
    for n in 0..count + 1 {
        repository.put(&model(&format!("p/m{n}"), |_| {}));
    }
    repository.commit("start");
    for n in 0..count {
        repository.put(&model(&format!("p/m{n}"), |value| value["meta"]["inputCostPerMillionTokens"] = json!(n + 1)));
    }
    repository.put(&model("p/new", |_| {}));
    repository.remove(&format!("p/m{count}"));
    repository.commit("change");
    repository
}

/// Kills a sync of the last commit at one write after the other until one gets through; answers how many writes it
/// died at. The API makes the models `api` before.
async fn die_at_every_write(repository: &TestRepository, api: &[String], death: Death) -> i64 {
    let prepared = async || {
        let tables = TestTables::embedded().await;
        let (digest, _) = to_start(&tables, repository).await;
        let editor = Editor::new(tables.store.clone());
        for id in api {
            edits::create(&editor, &model(id, |_| {}), None).await.unwrap();
        }
        let before = if api.is_empty() { digest } else { tables.digest().await };
        (tables, before)
    };
    let api_models = async |tables: &TestTables| tables.store.head(true).await.unwrap().unwrap().api_models;
    let (undisturbed, before) = prepared().await;
    let (after, _) = undisturbed.sync(repository).await;
    let expected = (after.digest, api_models(&undisturbed).await, after.revision);
    let appearances = appearances(&undisturbed).await;
    undisturbed.close().await;
    for writes in 0.. {
        let (tables, _) = prepared().await;
        let proxy = Proxy::start(tables.endpoint(), Dying::after(writes, death)).await;
        let dying = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
        let options = Options { guard: false, ..Options::follow("main") };
        let outcome = dying.run(&options, |_, _, _| {}).await;
        let died = proxy.behaviour.died();
        let visible = tables.store.head(true).await.unwrap().unwrap();
        // A run whose last words are lost has done its work all the same.
        match outcome {
            Ok(run) => assert_eq!((&run.digest, visible.revision), (&expected.0, expected.2)),
            Err(error) => assert!(died, "{error}"),
        }
        let (digest, is_after) = (visible.roots.digest(), visible.revision == expected.2);
        assert_eq!(
            digest,
            if is_after { &*expected.0 } else { &*before },
            "half a commit is visible after {writes} writes"
        );
        let resumed = reconciler(tables.store.clone(), repository.path(), later);
        let run = resumed.run(&options, |_, _, _| {}).await.unwrap();
        assert!(run.state.is_success());
        let found = (run.digest, api_models(&tables).await, run.revision);
        assert_eq!(found, expected, "killed at write {writes}");
        assert_eq!(tables.digest().await, expected.0);
        // What the API makes appears at another time in each of these stories.
        if api.is_empty() {
            assert_eq!(self::appearances(&tables).await, appearances, "killed at write {writes}");
        }
        tables.check_history().await;
        let again = resumed.run(&options, |_, _, _| {}).await.unwrap();
        assert_eq!((again.state, again.consumed.write), (State::Unchanged, 0.0), "killed at write {writes}");
        tables.close().await;
        if !died {
            return writes;
        }
    }
    unreachable!("the loop ends when a sync gets through")
}

/// When each model first appeared: known of all of them.
async fn appearances(tables: &TestTables) -> Root {
    tables.store.head(true).await.unwrap().unwrap().roots.appearances
}

async fn to_start(tables: &TestTables, repository: &TestRepository) -> (String, u64) {
    let start = |options: &mut Options| {
        options.guard = false;
        options.to = Some("HEAD~1".to_owned());
    };
    let (run, _) = tables.sync_with(repository, start).await.unwrap();
    (run.digest, run.revision)
}

/// Dies in both ways, and checks that there were that many writes to die at.
async fn die_everywhere(repository: &TestRepository, api: &[String], least: i64) {
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        let writes = die_at_every_write(repository, api, death).await;
        assert!(writes >= least, "{writes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_one_transaction() {
    // The lease, chunks, the transaction, the run and the release.
    die_everywhere(&repository(3), &[], 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_several_transactions() {
    die_everywhere(&repository(220), &[], 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_changes_the_policy() {
    let repository = repository(3);
    repository.write("catalog/policy.json", json!({"credits": {"margin": 4}}).to_string());
    repository.commit("another margin");
    die_everywhere(&repository, &[], 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert() {
    let repository = repository(3);
    repository.revert("HEAD");
    die_everywhere(&repository, &[], 4).await;
}

/// Files take over two of the API's three models, alone and among more than one transaction takes.
#[tokio::test(flavor = "multi_thread")]
async fn an_adoption() {
    let api = ["a/one", "a/other", "a/two"].map(str::to_owned);
    for (more, least) in [(0, 4), (110, 6)] {
        let repository = repository(3);
        for id in ["a/one", "a/two"] {
            repository.put(&model(id, |value| value["meta"]["description"] = json!("ours")));
        }
        (0..more).for_each(|n| repository.put(&model(&format!("q/m{n}"), |_| {})));
        repository.commit("take over");
        die_everywhere(&repository, &api, least).await;
    }
}

/// The same request under the same key, until it is answered: made once, and answered as the first time.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_the_api() {
    let cost = json!({"inputCostPerMillionTokens": 7});
    let prepared = async || {
        let tables = TestTables::embedded().await;
        edits::create(&Editor::new(tables.store.clone()), &model("a/one", |_| {}), None).await.unwrap();
        tables
    };
    let undisturbed = prepared().await;
    let before = undisturbed.digest().await;
    edits::edit_meta(&Editor::new(undisturbed.store.clone()), "a/one", &cost, None).await.unwrap();
    let after = undisturbed.digest().await;
    undisturbed.close().await;
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        for writes in 0.. {
            let tables = prepared().await;
            let proxy = Proxy::start(tables.endpoint(), Dying::after(writes, death)).await;
            let dying = Editor::new(tables.store_at(&proxy.url));
            let outcome = edits::edit_meta(&dying, "a/one", &cost, Some("key")).await;
            let died = proxy.behaviour.died();
            assert!(outcome.is_ok() || died, "{outcome:?}");
            let visible = tables.digest().await;
            assert!(visible == before || visible == after, "half a change is visible after {writes} writes");
            let again =
                edits::edit_meta(&Editor::new(tables.store.clone()), "a/one", &cost, Some("key")).await.unwrap();
            assert_eq!(again.is_replayed, visible == after, "{death:?} at write {writes}");
            let told = json!({"seq": 2, "revision": 2, "operations": [{"operation": "update_meta"}]});
            assert_eq!(again.answer.body, told.to_string());
            assert_eq!(tables.digest().await, after);
            tables.check_history().await;
            tables.close().await;
            if !died {
                assert_eq!(writes, 2, "chunks, and the transaction");
                break;
            }
        }
    }
}

/// Dying on the way to one commit, and then on the way to another, after force-pushes that forget both.
#[tokio::test(flavor = "multi_thread")]
async fn two_half_applied_commits_in_a_row() {
    let repository = repository(220);
    let undisturbed = TestTables::embedded().await;
    let tables = TestTables::embedded().await;
    to_start(&tables, &repository).await;
    let options = Options { guard: false, ..Options::follow("main") };
    let die = async |clock: fn() -> Timestamp, writes: i64| {
        let proxy = Proxy::start(tables.endpoint(), Dying::after(writes, Death::BeforeEffect)).await;
        let dying = reconciler(tables.store_at(&proxy.url), repository.path(), clock);
        dying.run(&options, |_, _, _| {}).await.unwrap_err();
    };
    let changed = async || tables.records().await.iter().filter(|record| record.seq == 2).count();
    // The lease, the chunks, the intent, and batches of records: all but the last write get through.
    die(Timestamp::now, 7).await;
    let first = changed().await;
    assert!(first > 100, "the first worker wrote {first} records");
    // Of the second one, the lease, the chunks, the intent, and one batch of records.
    let replace_by = |id: &str| {
        repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        repository.put(&model(id, |_| {}));
        repository.commit(id)
    };
    replace_by("p/second");
    die(later, 4).await;
    let left = changed().await;
    assert!(0 < left && left < first, "the second worker left {left} of {first} records as the first one made them");
    replace_by("p/third");
    let resumed = reconciler(tables.store.clone(), repository.path(), much_later);
    let run = resumed.run(&options, |_, _, _| {}).await.unwrap();
    let (expected, _) = undisturbed.sync(&repository).await;
    assert_eq!(run.digest, expected.digest);
    assert_eq!(tables.digest().await, expected.digest);
    tables.check_history().await;
    undisturbed.close().await;
    tables.close().await;
}

/// Dying on the way to a commit that is then taken back must not leave its traces.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_applied_commit_that_is_reverted() {
    let repository = repository(220);
    let tables = TestTables::embedded().await;
    let (before, _) = to_start(&tables, &repository).await;
    // The lease, the chunks (several batches), the intent, and the first batch of records get through.
    let proxy = Proxy::start(tables.endpoint(), Dying::after(7, Death::BeforeEffect)).await;
    let dying = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
    let options = Options { guard: false, ..Options::follow("main") };
    dying.run(&options, |_, _, _| {}).await.unwrap_err();
    let changed = tables.records().await.iter().filter(|record| record.seq > 1).count();
    assert!(changed > 0, "the sync died before it wrote a record");
    repository.revert("HEAD");
    let resumed = reconciler(tables.store.clone(), repository.path(), later);
    let run = resumed.run(&options, |_, _, _| {}).await.unwrap();
    assert_eq!(run.digest, before);
    assert_eq!(tables.digest().await, before);
    tables.check_history().await;
    tables.close().await;
}
