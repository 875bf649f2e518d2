//! What became of each commit: one item a commit and state, in the runtime table.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use jiff::Timestamp;
use serde::Serialize;

use crate::client::{Store, StoreError, call};
use crate::item::Builder;

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
}
