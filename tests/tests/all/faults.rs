//! The tables fail in every way that DynamoDB can: what comes out is what an undisturbed run makes, and nobody ever
//! sees half of a commit.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use roster_core::tier::Tier;
use roster_edit::{Answered, Editor, Refusal};
use roster_local::DataDir;
use roster_store::reader::{Reader, Snapshot};
use roster_store::{Store, StoreError};
use roster_sync::{Options, State, SyncError};
use roster_tests::edits;
use roster_tests::faults::{Fault, Faults};
use roster_tests::proxy::{Holding, Proxy};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::{TestTables, reconciler};
use serde_json::json;

use crate::invariants::{Step, commit, step};

/// More models than one transaction takes.
const MANY: u32 = 110;

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    Commit(Step),
    /// A commit of more than one transaction.
    Reprice(u16),
    /// The API makes a model.
    Create(u8),
    /// The API gives a model another price.
    Edit(u8, u16),
    /// A look at the branch.
    Poll,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(
        prop_oneof![
            8 => step().prop_map(Act::Commit),
            1 => (0u16..3).prop_map(Act::Reprice),
            2 => (0u8..3).prop_map(Act::Create),
            2 => (0u8..3, 0u16..4).prop_map(|(slot, price)| Act::Edit(slot, price)),
            6 => Just(Act::Poll),
        ],
        4..16,
    )
}

/// Begins again until it gets through or fails for good, as a client or the next look does.
async fn persist<T, E: Display>(
    again: &AtomicU64,
    passes: impl Fn(&E) -> bool,
    attempt: impl AsyncFn() -> Result<T, E>,
) -> Result<T, E> {
    let mut outcome = attempt().await;
    for _ in 0..100 {
        match &outcome {
            Err(error) if passes(error) => again.fetch_add(1, Ordering::Relaxed),
            _ => return outcome,
        };
        outcome = attempt().await;
    }
    outcome
}

/// What the API is told, where that is final.
fn told(outcome: Result<Answered, Refusal>) -> Result<String, String> {
    outcome.map(|answered| answered.answer.body).map_err(|refusal| refusal.to_string())
}

/// What clients are shown by a snapshot, whole.
fn shown(snapshot: &Snapshot) -> String {
    let mut bytes = Vec::new();
    snapshot.views().for_each(|view| view.write(Tier::EnterpriseMax, &mut bytes));
    String::from_utf8(bytes).unwrap()
}

/// Everything that was ever visible, by revision.
#[derive(Default)]
struct Seen {
    digests: BTreeMap<u64, String>,
    shown: BTreeMap<u64, String>,
}

/// Looks until it is told to stop: at the head itself, and at what clients get over the way that fails.
async fn watch(direct: Store, failing: Store, stop: Arc<AtomicBool>) -> Seen {
    let reader = Reader::new(failing, Duration::ZERO);
    let (mut seen, mut last) = (Seen::default(), 0);
    while !stop.load(Ordering::Relaxed) {
        if let Some(head) = direct.head(true).await.unwrap() {
            let digest = head.roots.digest();
            assert_eq!(seen.digests.entry(head.revision).or_insert_with(|| digest.clone()), &digest);
        }
        if let Ok(served) = reader.current(Timestamp::now()).await {
            let (revision, shown) = (served.snapshot.revision, shown(&served.snapshot));
            assert!(revision >= last, "clients went back from {last} to {revision}");
            assert_eq!(seen.shown.entry(revision).or_insert_with(|| shown.clone()), &shown);
            last = revision;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

async fn check(acts: &[Act], seed: u64, permille: u64) -> (Proxy<Faults>, u64) {
    let repository = TestRepository::new();
    let (clean, tables) = (TestTables::embedded().await, TestTables::embedded().await);
    let proxy = Proxy::start(tables.endpoint(), Faults::random(seed, permille).with_outages(10)).await;
    let failing = tables.store_at(&proxy.url);
    let stop = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(tables.store.clone(), failing.clone(), stop.clone()));
    let (editor, clean_editor) = (Editor::new(failing.clone()), Editor::new(clean.store.clone()));
    let reconciler = reconciler(failing, repository.path(), Timestamp::now);
    let options = Options { guard: false, ..Options::follow("main") };
    let again = AtomicU64::new(0);
    let mut commits = vec![repository.commit("nothing yet")];
    let out_of_reach = |refusal: &Refusal| matches!(refusal, Refusal::Busy | Refusal::Store(_));
    for (at, act) in acts.iter().chain([&Act::Poll]).enumerate() {
        let key = format!("key-{at}");
        match act {
            Act::Commit(step) => commits.extend(commit(&repository, step, &commits)),
            Act::Reprice(price) => {
                for n in 0..MANY {
                    let priced =
                        |value: &mut serde_json::Value| value["meta"]["inputCostPerMillionTokens"] = json!(price);
                    repository.put(&model(&format!("q/m{n}"), priced));
                }
                commits.push(repository.commit("reprice many"));
            }
            Act::Create(slot) => {
                let made = model(&format!("a/m{slot}"), |_| {});
                let expected = told(edits::create(&clean_editor, &made, Some(&key)).await);
                let outcome = persist(&again, out_of_reach, async || edits::create(&editor, &made, Some(&key)).await);
                assert_eq!(told(outcome.await), expected, "{act:?}");
            }
            Act::Edit(slot, price) => {
                let (id, price) = (format!("a/m{slot}"), json!({"inputCostPerMillionTokens": price}));
                let expected = told(edits::edit_meta(&clean_editor, &id, &price, Some(&key)).await);
                let edit = async || edits::edit_meta(&editor, &id, &price, Some(&key)).await;
                assert_eq!(told(persist(&again, out_of_reach, edit).await), expected, "{act:?}");
            }
            Act::Poll => {
                let (expected, _) = clean.sync(&repository).await;
                let run = persist(&again, |_| true, async || reconciler.run(&options, |_, _, _| {}).await);
                let run = run.await.unwrap();
                assert_eq!((run.revision, &run.digest), (expected.revision, &expected.digest));
                // A lease that could not be given back ends by itself; that is not waited for here.
                let owner = &options.correlation_id;
                let left = tables.store.acquire_lease(owner, Timestamp::now(), Duration::from_secs(1)).await.unwrap();
                tables.store.release_lease(&left.unwrap()).await.unwrap();
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let seen = watching.await.unwrap();
    assert_eq!(tables.digest().await, clean.digest().await);
    tables.check_history().await;
    let undisturbed = Reader::new(clean.store.clone(), Duration::ZERO);
    for (revision, digest) in &seen.digests {
        let manifest = clean.store.revision(*revision).await.unwrap().unwrap();
        assert_eq!(&manifest.roots.digest(), digest, "half a commit was published as revision {revision}");
    }
    for (revision, shown_then) in seen.shown.iter().filter(|(revision, _)| **revision > 0) {
        let snapshot = undisturbed.at_revision(*revision, Timestamp::now()).await.unwrap().unwrap();
        assert_eq!(&shown(&snapshot), shown_then, "half a commit was shown as revision {revision}");
    }
    tables.close().await;
    clean.close().await;
    (proxy, again.into_inner())
}

/// Commits, changes by the API and looks in any order, while 5 to 20 of 100 calls fail in some way, and all of them now and then.
#[test]
fn random_work_under_random_faults() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let injected = std::cell::RefCell::new(BTreeMap::<Fault, u64>::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 8,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&(acts(), any::<u64>(), 50u64..200), |(acts, seed, permille)| {
        let (proxy, again) = runtime.block_on(check(&acts, seed, permille));
        println!("{}; {} acts, {again} begun again", proxy.behaviour, acts.len());
        proxy
            .behaviour
            .injected()
            .iter()
            .for_each(|(fault, count)| *injected.borrow_mut().entry(*fault).or_default() += count);
        Ok(())
    });
    outcome.unwrap();
    println!("in all: {:?}", injected.borrow());
}

/// A call that took effect is not taken for another writer's, whatever comes between it and its answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_and_then_a_conflict() {
    for more in [&[Fault::Conflict][..], &[Fault::Conflict, Fault::Conflict], &[Fault::InProgress; 7]] {
        let tables = TestTables::embedded().await;
        let faults: Vec<Fault> = [Fault::AnswerLost].iter().chain(more).copied().collect();
        let proxy = Proxy::start(tables.endpoint(), Faults::scripted("TransactWriteItems", &faults)).await;
        let editor = Editor::new(tables.store_at(&proxy.url));
        let answered = edits::create(&editor, &model("a/one", |_| {}), None).await.unwrap();
        assert_eq!(
            answered.answer.body,
            json!({"seq": 1, "revision": 1, "operations": [{"operation": "create"}]}).to_string()
        );
        assert_eq!(proxy.behaviour.injected().values().sum::<u64>() as usize, faults.len());
        tables.check_history().await;
        tables.close().await;
    }
}

/// A worker that fails right after it took the lease gives it back: nobody has to wait for its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_given_back_by_who_cannot_go_on() {
    let repository = TestRepository::new();
    repository.put(&model("p/one", |_| {}));
    repository.commit("add one");
    let tables = TestTables::embedded().await;
    // The first look reads the state once, and again under the lease: then the SDK gives up.
    let faults = [&[Fault::Slow][..], &[Fault::RequestLost; 6]].concat();
    let proxy = Proxy::start(tables.endpoint(), Faults::scripted("BatchGetItem", &faults)).await;
    let failing = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
    let failed = failing.run(&Options::follow("main"), |_, _, _| {}).await;
    assert!(matches!(failed, Err(SyncError::Store(StoreError::Call { .. }))), "{failed:?}");
    let (run, _) = tables.sync(&repository).await;
    assert_eq!(run.state, State::Applied);
    tables.close().await;
}

/// The lease is one worker's and free afterwards, whichever answers about it are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answers_are_lost() {
    let repository = TestRepository::new();
    let tables = TestTables::embedded().await;
    // Taken, and given back.
    for faults in [
        &[Fault::AnswerLost][..],
        &[Fault::AnswerLost, Fault::Conflict, Fault::AnswerLost],
        &[Fault::Slow, Fault::AnswerLost],
        &[Fault::Slow, Fault::Conflict, Fault::AnswerLost, Fault::Conflict],
    ] {
        repository.commit("look");
        let proxy = Proxy::start(tables.endpoint(), Faults::scripted("UpdateItem", faults)).await;
        let worker = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
        worker.run(&Options::follow("main"), |_, _, _| {}).await.unwrap();
        let lease = tables.store.acquire_lease("another", Timestamp::now(), Duration::from_secs(60)).await.unwrap();
        tables.store.release_lease(&lease.expect("a free lease")).await.unwrap();
        assert_eq!(proxy.behaviour.injected().values().sum::<u64>() as usize, faults.len(), "{}", proxy.behaviour);
    }
    tables.close().await;
}

/// What failed, at whichever commit.
fn cause(error: &SyncError) -> &SyncError {
    match error {
        SyncError::Commit { source, .. } => source,
        error => error,
    }
}

/// A clock past the lease of whoever goes by the time of day.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(5)
}

/// A worker is paused in any of a large commit's transactions; another one takes over and goes further. When the first
/// wakes up, its call arrives, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_paused_past_its_lease_changes_nothing() {
    for transactions in 0..4 {
        let repository = TestRepository::new();
        let reprice = |price: u32| {
            for n in 0..MANY {
                let priced = |value: &mut serde_json::Value| value["meta"]["inputCostPerMillionTokens"] = json!(price);
                repository.put(&model(&format!("p/m{n}"), priced));
            }
            repository.commit("reprice")
        };
        reprice(1);
        let tables = TestTables::embedded().await;
        tables.sync(&repository).await;
        reprice(2);
        // The intent, two batches of records, and the flip.
        let proxy = Proxy::start(tables.endpoint(), Holding::after(transactions, "TransactWriteItems")).await;
        let paused = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
        let options = Options { guard: false, ..Options::follow("main") };
        let other = async {
            proxy.behaviour.reached().await;
            repository.put(&model("p/further", |_| {}));
            repository.commit("further");
            let other = reconciler(tables.store.clone(), repository.path(), later);
            let run = other.run(&options, |_, _, _| {}).await.unwrap();
            let left = (tables.records().await, tables.store.head(true).await.unwrap());
            proxy.behaviour.release();
            (run, left)
        };
        let (woken, (run, left)) = tokio::join!(paused.run(&options, |_, _, _| {}), other);
        match woken.as_ref().map_err(cause) {
            Err(SyncError::Store(StoreError::Conflict(what))) => assert_eq!(what, "the lease was lost"),
            other => panic!("{other:?}"),
        }
        assert_eq!((tables.records().await, tables.store.head(true).await.unwrap()), left);
        assert_eq!(tables.digest().await, run.digest);
        let clean = TestTables::embedded().await;
        assert_eq!(clean.sync(&repository).await.0.digest, run.digest);
        tables.check_history().await;
        clean.close().await;
        tables.close().await;
    }
}

/// Two workers at once over tables that fail, one of which never believes the other's lease.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_race() {
    let repository = TestRepository::new();
    let (clean, tables) = (TestTables::embedded().await, TestTables::embedded().await);
    let proxy = Proxy::start(tables.endpoint(), Faults::random(5, 100)).await;
    let one = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
    let other = reconciler(tables.store_at(&proxy.url), repository.path(), later);
    let again = AtomicU64::new(0);
    for round in 0..6u32 {
        for n in 0..if round % 2 == 0 { MANY } else { 3 } {
            repository
                .put(&model(&format!("p/m{n}"), |value| value["meta"]["inputCostPerMillionTokens"] = json!(round)));
        }
        repository.commit("reprice");
        let options = [(); 2].map(|()| Options { guard: false, ..Options::follow("main") });
        // Whoever loses says so, and nothing else.
        let (first, second) = tokio::join!(one.run(&options[0], |_, _, _| {}), other.run(&options[1], |_, _, _| {}));
        for outcome in [first, second] {
            let is_answer =
                matches!(outcome.as_ref().map_err(cause), Ok(_) | Err(SyncError::Busy | SyncError::Store(_)));
            assert!(is_answer, "{outcome:?}");
        }
        let run = persist(&again, |_| true, async || other.run(&options[1], |_, _, _| {}).await);
        let (expected, _) = clean.sync(&repository).await;
        assert_eq!(run.await.unwrap().digest, expected.digest, "round {round}");
        assert_eq!(tables.digest().await, expected.digest);
    }
    println!("{}; {} begun again", proxy.behaviour, again.into_inner());
    tables.check_history().await;
    tables.close().await;
    clean.close().await;
}

/// Walks the real history, commit by commit, while one call in a hundred fails.
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
async fn replay(count: usize, seed: u64) {
    let Some((repository, commits)) = TestRepository::of_real_history() else { return };
    let count = count.min(commits.len());
    let to = commits[count - 1].clone();
    let started = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    // On disk the stream has an index: in memory, each write reads all records that the stream ever had.
    let dynamodb = DataDir::create(directory.path()).unwrap().open().await.unwrap();
    let (clean, tables) = (TestTables::embedded().await, TestTables::of(dynamodb).await);
    let undisturbed = |options: &mut Options| {
        options.guard = false;
        options.to = Some(to.clone());
    };
    let (expected, _) = clean.sync_with(&repository, undisturbed).await.unwrap();
    let proxy = Proxy::start(tables.endpoint(), Faults::random(seed, 10)).await;
    let reconciler = reconciler(tables.store_at(&proxy.url), repository.path(), Timestamp::now);
    let mut options = Options { guard: false, every_commit: true, ..Options::follow("main") };
    options.to = Some(to);
    let again = AtomicU64::new(0);
    let walked = std::sync::Mutex::new(Vec::new());
    let walk =
        async || reconciler.run(&options, |_, _, commit| walked.lock().unwrap().push(commit.commit.clone())).await;
    let run = persist(&again, |_| true, walk).await.unwrap();
    tables.check_history().await;
    let (digest, seconds) = (tables.digest().await, started.elapsed().as_secs_f64());
    let mut walked = walked.into_inner().unwrap();
    walked.dedup();
    println!("commits: {count}, of which {} were walked; runs begun again: {}", walked.len(), again.into_inner());
    println!("{}", proxy.behaviour);
    println!("digest of the clean run:  {}", expected.digest);
    println!("digest under the faults:  {digest}");
    println!("seconds: {seconds:.1}");
    assert!(proxy.behaviour.injected().values().sum::<u64>() >= count as u64 / 40, "hardly anything failed");
    assert_eq!((&run.digest, &digest), (&expected.digest, &expected.digest));
    tables.close().await;
    clean.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_history_while_one_call_in_a_hundred_fails() {
    let commits = std::env::var("REPLAYED_COMMITS").map_or(120, |number| number.parse().unwrap());
    replay(commits, 1).await;
}
