//! Invariant 10: what a commit and a request cost does not depend on the catalogue's size.

use std::time::Duration;

use jiff::Timestamp;
use roster_store::reader::Reader;
use roster_store::{AsOf, Units};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

/// The mean cost of commits of one file each, spread over a catalogue of `size` models.
async fn cost_of_one_file(size: u32) -> Units {
    let repository = TestRepository::new();
    for n in 0..size {
        repository.put(&model(&format!("p{}/m{n:05}", n % 10), |_| {}));
    }
    repository.commit("start");
    let tables = TestTables::embedded().await;
    tables.sync(&repository).await;
    let commits = 20;
    let mut total = Units::default();
    for k in 0..commits {
        let n = k * (size / commits);
        let id = format!("p{}/m{n:05}", n % 10);
        repository.put(&model(&id, |value| value["meta"]["inputCostPerMillionTokens"] = json!(1300)));
        repository.commit("one file");
        let (run, _) = tables.sync(&repository).await;
        assert_eq!(run.operations, 1);
        total = total + run.consumed;
    }
    // A request costs a fraction of a unit, and none while the last answer is young enough.
    let reader = Reader::new(tables.store.metered(), Duration::ZERO);
    reader.current(Timestamp::now()).await.unwrap();
    let patient = tables.store.metered();
    let metered = Reader::new(patient.clone(), Duration::from_secs(60));
    let now = Timestamp::now();
    metered.current(now).await.unwrap();
    let loaded = patient.consumed();
    for _ in 0..100 {
        metered.current(now).await.unwrap();
    }
    assert_eq!(patient.consumed(), loaded);
    let asking = tables.store.metered();
    let eager = Reader::new(asking.clone(), Duration::ZERO);
    eager.current(now).await.unwrap();
    let loaded = asking.consumed();
    for _ in 0..10 {
        eager.current(Timestamp::now()).await.unwrap();
    }
    let each = (asking.consumed() - loaded).read / 10.0;
    assert!(each <= 1.0, "{each} read units a request at {size} models");
    // The past costs what it has other than the present, once.
    let as_of = AsOf::Revision(1);
    eager.as_of(&as_of, now).await.unwrap().unwrap();
    let loaded = asking.consumed();
    for _ in 0..10 {
        eager.as_of(&as_of, Timestamp::now()).await.unwrap().unwrap();
    }
    let each = (asking.consumed() - loaded).read / 10.0;
    assert!(each <= 1.0, "{each} read units a request of the past at {size} models");
    tables.close().await;
    Units { read: total.read / f64::from(commits), write: total.write / f64::from(commits) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_one_file_costs_the_same_at_any_size() {
    let small = cost_of_one_file(1_000).await;
    let large = cost_of_one_file(10_000).await;
    println!("one file of 1,000 models: {small}; of 10,000: {large}");
    let ratio = (large.read + large.write) / (small.read + small.write);
    assert!((0.9..=1.1).contains(&ratio), "{small} at 1,000 models, {large} at 10,000: {ratio}");
}
