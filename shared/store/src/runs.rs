//! What became of each commit: one item a commit and state, in the runtime table.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::client::{Store, StoreError, call};
use crate::item::{Builder, ItemReader};

const PK: &str = "run";

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
        let output = self
            .client
            .put_item()
            .table_name(&self.tables.runtime)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(call("PutItem"))?;
        self.meter.write(output.consumed_capacity());
        Ok(())
    }

    /// The newest reports, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a report cannot be read.
    pub async fn runs(&self, limit: u16) -> Result<Vec<Value>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.runtime)
            .key_condition_expression("pk = :pk")
            .set_expression_attribute_values(Some(Builder::default().text(":pk", PK).build()))
            .scan_index_forward(false)
            .limit(i32::from(limit))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(call("Query"))?;
        self.meter.read(output.consumed_capacity());
        output.items().iter().map(|item| ItemReader::new(item).json("report")).collect()
    }
}
