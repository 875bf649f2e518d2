//! What became of each commit: one item a commit and state, in the runtime table.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::client::{Store, StoreError, call};
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
        self.put_runtime(item).await
    }

    /// The kept reports, newest first, at most `limit` older than the one under the key `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a report cannot be read.
    pub async fn runs(&self, before: Option<&str>, limit: usize) -> Result<Vec<KeptRun>, StoreError> {
        let mut runs = Vec::new();
        let mut start: Option<Item> = None;
        while runs.len() < limit {
            let mut values = Builder::default().text(":pk", PK);
            // An empty text is no key to DynamoDB, and nothing is before it.
            let condition = match before {
                Some("") => break,
                Some(key) => {
                    values = values.text(":before", key);
                    "pk = :pk AND sk < :before"
                }
                None => "pk = :pk",
            };
            let output = self
                .client
                .query()
                .table_name(&self.tables.runtime)
                .key_condition_expression(condition)
                .set_expression_attribute_values(Some(values.build()))
                .scan_index_forward(false)
                .limit(i32::try_from(limit - runs.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("Query"))?;
            self.meter.read(output.consumed_capacity());
            for item in output.items() {
                let reader = ItemReader::new(item);
                runs.push(KeptRun { key: reader.text("sk")?.to_owned(), report: reader.json("report")? });
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(runs)
    }
}
