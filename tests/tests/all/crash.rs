//! Invariant 5: killed at any write, the next run ends in the digest of an undisturbed one; and no half commit is
//! ever visible on the way.

use jiff::{SignedDuration, Timestamp};
use roster_core::tree::Root;
use roster_sync::{Options, State};
use roster_tests::proxy::{Death, DyingProxy};
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

/// Kills a sync at one write after the other until one gets through; answers how many writes it died at.
async fn die_at_every_write(count: u32, death: Death) -> i64 {
    let repository = repository(count);
    let undisturbed = TestTables::embedded().await;
    let (before, _) = to_start(&undisturbed, &repository).await;
    let (after, _) = undisturbed.sync(&repository).await;
    let appearances = appearances(&undisturbed).await;
    undisturbed.close().await;
    assert_ne!(before, after.digest);
    for writes in 0.. {
        let tables = TestTables::embedded().await;
        to_start(&tables, &repository).await;
        let proxy = DyingProxy::start(tables.endpoint(), writes, death).await;
        let dying = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
        let options = Options { guard: false, ..Options::follow("main") };
        let outcome = dying.run(&options, |_, _, _| {}).await;
        let died = proxy.died();
        let visible = tables.store.head(true).await.unwrap().unwrap().roots.digest();
        // A run whose last words are lost has done its work all the same.
        match outcome {
            Ok(run) => assert_eq!((run.digest, visible.as_str()), (after.digest.clone(), after.digest.as_str())),
            Err(error) => assert!(died, "{error}"),
        }
        assert!(visible == before || visible == after.digest, "half a commit is visible after {writes} writes");
        let resumed = reconciler(tables.store.clone(), repository.path(), later);
        let run = resumed.run(&Options { guard: false, ..Options::follow("main") }, |_, _, _| {}).await.unwrap();
        assert!(run.state.is_success());
        assert_eq!(run.digest, after.digest, "killed at write {writes}");
        assert_eq!(tables.digest().await, after.digest);
        assert_eq!(self::appearances(&tables).await, appearances, "killed at write {writes}");
        tables.check_history().await;
        let again = resumed.run(&Options { guard: false, ..Options::follow("main") }, |_, _, _| {}).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_one_transaction() {
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        let writes = die_at_every_write(3, death).await;
        assert!(writes >= 4, "lease, chunks, transaction, run and release: {writes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_several_transactions() {
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        let writes = die_at_every_write(220, death).await;
        assert!(writes >= 8, "{writes}");
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
        let proxy = DyingProxy::start(tables.endpoint(), writes, Death::BeforeEffect).await;
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
    let proxy = DyingProxy::start(tables.endpoint(), 7, Death::BeforeEffect).await;
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
