//! Tables for a test, with the function that follows their stream.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use roster_core::record::{HistoryEntry, Record};
use roster_core::{ModelId, catalogue};
use roster_git::{Location, Repository};
use roster_http::function::Hosted;
use roster_local::{DynamoDb, Hosts, LocalValues, Pump, Template};
use roster_store::Store;
use roster_sync::{CommitReport, Options, Reconciler, Repo, RunReport, SyncError};

use crate::repository::TestRepository;

/// The four tables, and `record-history` behind them.
pub struct TestTables {
    /// Access to them.
    pub store: Store,
    dynamodb: DynamoDb,
    pump: Pump,
}

impl TestTables {
    /// Tables of an embedded DynamoDB in memory.
    pub async fn embedded() -> Self {
        Self::of(DynamoDb::memory().expect("an embedded DynamoDB")).await
    }

    /// Tables of any local DynamoDB.
    pub async fn of(dynamodb: DynamoDb) -> Self {
        let template = Template::load(&LocalValues::default()).expect("the template");
        let store = dynamodb.store(&template).await.expect("the tables");
        let events = Hosted::new(roster_events::App::new(store.clone()), roster_events::FUNCTIONS);
        let hosts = Hosts::new(vec![Arc::new(events)]);
        let pump = Pump::start(&template, &hosts, &store, dynamodb.endpoint(), None).await.expect("a pump");
        Self { store, dynamodb, pump }
    }

    /// Where the DynamoDB answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.dynamodb.endpoint()
    }

    /// The same tables, reached through another endpoint.
    #[must_use]
    pub fn store_at(&self, endpoint: &str) -> Store {
        let template = Template::load(&LocalValues::default()).expect("the template");
        Store::local(endpoint, template.table_names)
    }

    /// Syncs a repository's `main` without a guard, and answers for each commit.
    pub async fn sync(&self, repository: &TestRepository) -> (RunReport, Vec<CommitReport>) {
        self.sync_with(repository, |options| options.guard = false).await.expect("a sync")
    }

    /// Syncs with other options than a plain sync's.
    ///
    /// # Errors
    /// Whatever the sync says.
    pub async fn sync_with(
        &self,
        repository: &TestRepository,
        change: impl FnOnce(&mut Options),
    ) -> Result<(RunReport, Vec<CommitReport>), SyncError> {
        let mut options = Options::follow("main");
        change(&mut options);
        let mut commits = Vec::new();
        let reconciler = reconciler(self.store.clone(), repository.path(), Timestamp::now);
        let run = reconciler.run(&options, |_, _, commit| commits.push(commit.clone())).await?;
        Ok((run, commits))
    }

    /// Waits until every change has its history.
    pub async fn settle(&self) {
        self.pump.drain().await.expect("a stream that can be read");
        assert_eq!(self.pump.dead_letters(), [], "record-history gave records up");
    }

    /// Every record, by id.
    pub async fn records(&self) -> Vec<Record> {
        let mut records = self.store.all_records().await.expect("the records");
        records.sort_by(|one, other| one.spec.id.cmp(&other.spec.id));
        records
    }

    /// The digest made anew from every record; it must be what is published.
    pub async fn digest(&self) -> String {
        let records = self.records().await;
        let live = records.iter().filter(|record| !record.tombstone).map(|record| &record.spec);
        let digest = catalogue::digest(live).expect("a digest");
        let head = self.store.head(true).await.expect("a head");
        let published = head.map_or_else(|| catalogue::Roots::empty().digest(), |head| head.roots.digest());
        assert_eq!(digest, published, "the models table does not hold what is published");
        digest
    }

    /// A model's whole history, newest first.
    pub async fn history(&self, id: &str) -> Vec<HistoryEntry> {
        let id = ModelId::parse(id).expect("an id");
        self.store.history(&id, None, usize::from(u16::MAX)).await.expect("a history")
    }

    /// Checks that every change of every model has exactly one entry, and that the last one is what the table holds.
    pub async fn check_history(&self) {
        self.settle().await;
        for record in self.records().await {
            let entries = self.history(record.spec.id.as_str()).await;
            let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
            let expected: Vec<u64> = (1..=record.seq).rev().collect();
            assert_eq!(seqs, expected, "history of {}", record.spec.id);
            assert_eq!(entries[0].change, record.change, "last change of {}", record.spec.id);
        }
    }

    /// Ends the pump and the DynamoDB.
    pub async fn close(self) {
        self.pump.shutdown().await;
        self.dynamodb.shutdown().await;
    }
}

/// A reconciler of a repository on disk.
#[must_use]
pub fn reconciler(store: Store, repository: &Path, clock: fn() -> Timestamp) -> Reconciler {
    let path = repository.to_str().expect("a path in UTF-8");
    let location = Location::parse(path).expect("a location");
    let opened = Repository::open(&location, Path::new("unused")).expect("a repository");
    Reconciler::new(store, Repo::new(opened, "test"), clock)
}
