//! Tables for a test, with the function that follows their stream.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use roster_core::record::{HistoryEntry, Record};
use roster_core::{ModelId, audit, catalogue};
use roster_git::{Location, Repository};
use roster_http::Env;
use roster_http::function::Hosted;
use roster_local::{DynamoDb, Hosts, LocalValues, Pump, Template};
use roster_store::Store;
use roster_sync::{CommitReport, Options, Reconciler, Repo, RunReport, SyncError};
use serde_json::{Value, json};

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
        let mut template = Template::load(&LocalValues::default()).expect("the template");
        let store = dynamodb.store(&template).await.expect("the tables");
        // A test syncs, and sends notices, when it wants to.
        template.functions.retain(|function| function.name == "record-history");
        let events = Hosted::new(
            roster_events::App::new(&Env::default(), store.clone()).expect("events"),
            roster_events::FUNCTIONS,
        );
        let hosts = Hosts::Here(vec![Arc::new(events)]);
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
        assert_eq!(self.pump.dead_letters(), [], "a function gave records up");
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
        let roots = head.map_or_else(catalogue::Roots::empty, |head| head.roots);
        assert!(!roots.lacks_appearances(0), "it is not known of some model when it first appeared");
        let published = roots.digest();
        assert_eq!(digest, published, "the models table does not hold what is published");
        digest
    }

    /// A model's whole history, newest first.
    pub async fn history(&self, id: &str) -> Vec<HistoryEntry> {
        let id = ModelId::parse(id).expect("an id");
        self.store.history(&id, None, usize::from(u16::MAX)).await.expect("a history")
    }

    /// Checks that every change of every model has exactly one entry, and that the history of each model, replayed from
    /// nothing, ends in what the table holds.
    pub async fn check_history(&self) {
        self.settle().await;
        verify_audit(&self.store).await;
    }

    /// Makes one entry of a model's history disappear, which nothing of Roster does.
    pub async fn lose_history(&self, id: &str, seq: u64) {
        let template = Template::load(&LocalValues::default()).expect("the template");
        lose_history(self.endpoint(), &template.table_names.history, id, seq).await;
    }

    /// Ends the pump and the DynamoDB.
    pub async fn close(self) {
        self.pump.shutdown().await;
        self.dynamodb.shutdown().await;
    }
}

/// What `roster audit verify` finds, which must be nothing.
///
/// # Panics
/// When the history of any model is not whole.
pub async fn verify_audit(store: &Store) {
    let records = store.all_records().await.expect("the records");
    let mut records: HashMap<_, _> = records.into_iter().map(|record| (record.spec.id.clone(), record)).collect();
    let mut findings = Vec::new();
    let check = |model: ModelId, entries: Vec<HistoryEntry>| match records.remove(&model) {
        Some(record) => findings.extend(audit::verify(&record, &entries)),
        None => panic!("history of {model}, which is no model or comes twice"),
    };
    store.all_history(check).await.expect("the history");
    assert_eq!(findings, []);
    assert_eq!(records.keys().collect::<Vec<_>>(), Vec::<&ModelId>::new(), "models without a history");
}

/// Makes an entry of the history table behind an endpoint disappear: by hand, for the store deletes nothing.
pub async fn lose_history(endpoint: &str, table: &str, id: &str, seq: u64) {
    let key = json!({"pk": {"S": format!("model#{id}")}, "sk": {"N": seq.to_string()}});
    let body = json!({"TableName": table, "Key": key, "ConditionExpression": "attribute_exists(pk)"});
    by_hand(endpoint, "DeleteItem", &body).await;
}

/// Calls a local DynamoDB as somebody with a console would.
///
/// # Panics
/// When it refuses.
pub async fn by_hand(endpoint: &str, operation: &str, body: &Value) -> Value {
    let credentials = "Credential=local/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
    let request = reqwest::Client::new()
        .post(endpoint)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("x-amz-date", "20261121T000000Z")
        .header("authorization", format!("AWS4-HMAC-SHA256 {credentials}"))
        .body(body.to_string());
    let response = request.send().await.expect("the DynamoDB");
    let (status, text) = (response.status(), response.text().await.expect("an answer"));
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// A reconciler of a repository on disk.
#[must_use]
pub fn reconciler(store: Store, repository: &Path, clock: fn() -> Timestamp) -> Reconciler {
    let path = repository.to_str().expect("a path in UTF-8");
    let location = Location::parse(path).expect("a location");
    let opened = Repository::open(&location, Path::new("unused")).expect("a repository");
    Reconciler::new(store, Repo::new(opened, "test"), clock)
}
