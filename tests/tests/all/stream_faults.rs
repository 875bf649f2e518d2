//! Stream batches that are shuffled, doubled, split and delivered again after a failure make the same history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::record::HistoryEntry;
use roster_events::{App, FUNCTIONS};
use roster_http::function::{EventError, HandlerFuture, Host, Hosted};
use roster_http::{Problem, Reply, Request};
use roster_local::{DynamoDb, Hosts, LocalValues, Pump, Template};
use roster_notice::Targets;
use roster_store::Store;
use roster_store::streams::{Checkpoint, Follower};
use roster_tests::faults::Faults;
use roster_tests::proxy::Proxy;
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::{TestTables, verify_audit};
use serde_json::{Value, json};

/// A story of a few models, with many changes of each.
async fn story(tables: &TestTables) {
    let repository = TestRepository::new();
    for round in 0..8 {
        for n in 0..12 {
            repository.put(&model(&format!("p/m{n}"), |value| {
                value["meta"]["inputCostPerMillionTokens"] = json!(round);
                value["meta"]["description"] = json!("d".repeat(round * n));
            }));
        }
        repository.commit("reprice");
        tables.sync(&repository).await;
    }
    repository.remove("p/m3");
    repository.commit("remove");
    tables.sync(&repository).await;
    tables.check_history().await;
}

async fn history(store: &Store) -> BTreeMap<ModelId, Vec<HistoryEntry>> {
    let mut all = BTreeMap::new();
    store.all_history(|model, entries| drop(all.insert(model, entries))).await.unwrap();
    all
}

async fn stream(tables: &TestTables, template: &Template) -> Vec<Value> {
    let table = &template.table_names.models;
    let mut follower = Follower::open(&tables.store, tables.endpoint(), table, Checkpoint::default()).await.unwrap();
    let mut records = Vec::new();
    while let Some(batch) = follower.next(1_000).await.unwrap() {
        records.extend(batch.records);
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_of_deliveries_makes_the_same_history() {
    let template = Template::load(&LocalValues::default()).unwrap();
    let tables = TestTables::embedded().await;
    story(&tables).await;
    let expected = history(&tables.store).await;
    let records = stream(&tables, &template).await;
    assert!(records.len() > 90, "{}", records.len());
    let doubled: Vec<&Value> = records.iter().chain(&records).collect();
    let fresh = TestTables::embedded().await;
    let host = Hosted::new(app(fresh.store.clone()), FUNCTIONS);
    host.event("record-history", json!({"Records": doubled})).unwrap().await.unwrap();
    assert_eq!(history(&fresh.store).await, expected, "all of it twice in one batch");
    fresh.close().await;
    let mut failed = 0;
    for seed in 0..4 {
        let mut rng = Rng::with_seed(seed);
        let fresh = TestTables::embedded().await;
        let proxy = Proxy::start(fresh.endpoint(), Faults::random(seed, 300).with_outages(150)).await;
        let host = Hosted::new(app(fresh.store_at(&proxy.url)), FUNCTIONS);
        let mut pending: Vec<Value> = records.iter().chain(&records).cloned().collect();
        let mut deliveries = 0;
        while !pending.is_empty() {
            rng.shuffle(&mut pending);
            let batch = pending.split_off(pending.len().saturating_sub(rng.usize(1..=40)));
            deliveries += 1;
            match host.event("record-history", json!({"Records": &batch})).unwrap().await {
                Ok(answer) => assert_eq!(answer, json!({"batchItemFailures": []})),
                Err(_) => {
                    failed += 1;
                    pending.extend(batch);
                }
            }
        }
        println!("{deliveries} deliveries, {failed} failed so far; {}", proxy.behaviour);
        assert_eq!(history(&fresh.store).await, expected, "seed {seed}");
        fresh.close().await;
    }
    assert!(failed > 0, "no delivery failed");
    tables.close().await;
}

/// Delivers to the functions what the pump delivers, in another order, some of it twice, and fails every third time
/// after they have handled it.
struct Unruly {
    functions: Hosted<App>,
    rng: Mutex<Rng>,
    calls: AtomicU64,
}

impl Host for Unruly {
    fn names(&self) -> Vec<&'static str> {
        self.functions.names()
    }

    fn http(&self, name: &str, request: Request) -> Option<HandlerFuture<'_, Result<Reply, Problem>>> {
        self.functions.http(name, request)
    }

    fn event(&self, name: &str, mut event: Value) -> Option<HandlerFuture<'_, Result<Value, EventError>>> {
        if let Some(records) = event["Records"].as_array_mut() {
            let mut rng = self.rng.lock().unwrap();
            let doubled: Vec<Value> = records.iter().filter(|_| rng.bool()).cloned().collect();
            records.extend(doubled);
            rng.shuffle(records);
        }
        let handled = self.functions.event(name, event)?;
        let fails = self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        Some(Box::pin(async move {
            let answer = handled.await?;
            if fails { Err(EventError("the answer is lost".to_owned())) } else { Ok(answer) }
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pump_makes_the_same_history_of_unruly_deliveries() {
    let mut template = Template::load(&LocalValues::default()).unwrap();
    template.functions.retain(|function| function.artifact == "events");
    let sources = template.functions.iter_mut().flat_map(|function| &mut function.streams);
    sources.for_each(|source| source.batch_size = 10);
    let tables = TestTables::embedded().await;
    story(&tables).await;
    let expected = history(&tables.store).await;
    // The same records once more: into a history of their own, from the same stream.
    let other = DynamoDb::memory().unwrap();
    let store = other.store(&template).await.unwrap();
    let functions = Hosted::new(app(store.clone()), FUNCTIONS);
    let unruly = Arc::new(Unruly { functions, rng: Mutex::new(Rng::with_seed(7)), calls: AtomicU64::new(0) });
    let hosts = Hosts::Here(vec![unruly.clone() as Arc<dyn Host>]);
    let pump = Pump::start(&template, &hosts, &tables.store, tables.endpoint(), None).await.unwrap();
    pump.drain().await.unwrap();
    assert_eq!(pump.dead_letters(), []);
    assert!(unruly.calls.load(Ordering::Relaxed) > 10);
    assert_eq!(history(&store).await, expected);
    verify_audit(&tables.store).await;
    pump.shutdown().await;
    other.shutdown().await;
    tables.close().await;
}

fn app(store: Store) -> Arc<App> {
    App::with(store, Targets::default(), Arc::new(Timestamp::now))
}
