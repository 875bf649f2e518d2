//! What became of each commit: one item a commit and state, in the runtime table.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader};

const PK: &str = "run";

/// The kept report of one commit in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRun {
    /// What it is kept under, and what [`Store::runs`] goes on from.
    pub key: String,
    /// The report, as it was put.
    pub report: Value,
}

/// The report that a stream record's image carries, in DynamoDB's JSON.
#[must_use]
pub fn from_image(image: &Value) -> Option<KeptRun> {
    let text = |name: &str| image[name]["S"].as_str();
    Some(KeptRun { key: text("sk")?.to_owned(), report: serde_json::from_str(text("report")?).ok()? })
}

impl Store {
    /// Keeps a report until `retention_seconds` after `at`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_run<T: Serialize>(
        &self,
        at: Timestamp,
        commit: &str,
        report: &T,
        retention_seconds: i64,
    ) -> Result<(), StoreError> {
        let item = Builder::keyed(PK)
            .text("sk", format!("{at:.6}#{commit}"))
            .number("expiresAt", at.as_second().saturating_add(retention_seconds))
            .json("report", report)?
            .build();
        self.put_item(&self.tables.runtime, item).await
    }

    /// The kept reports, newest first, at most `limit` older than the one under the key `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a report cannot be read.
    pub async fn runs(&self, before: Option<&str>, limit: usize) -> Result<Vec<KeptRun>, StoreError> {
        // An empty text is no key to DynamoDB, and nothing is before it.
        if before == Some("") {
            return Ok(Vec::new());
        }
        let before = before.map(|key| AttributeValue::S(key.to_owned()));
        let items = self.last_items(&self.tables.runtime, PK, before, limit).await?;
        let run = |item: &Item| {
            let reader = ItemReader::new(item);
            Ok(KeptRun { key: reader.text("sk")?.to_owned(), report: reader.json("report")? })
        };
        items.iter().map(run).collect()
    }
}
