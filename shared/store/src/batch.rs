//! Batches of reads and writes, until nothing is left unprocessed.

use std::time::Duration;

use aws_sdk_dynamodb::types::{KeysAndAttributes, PutRequest, ReturnConsumedCapacity, WriteRequest};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::client::{Store, StoreError, call};
use crate::item::Item;

/// The most keys of one `BatchGetItem`.
const GET: usize = 100;
/// The most items of one `BatchWriteItem`.
const PUT: usize = 25;
/// Batches under way at once.
const CONCURRENCY: usize = 8;
/// Rounds of unprocessed items before a batch is given up.
const ROUNDS: u32 = 10;

impl Store {
    /// The items that exist among `keys`, in no order.
    pub(crate) async fn get_items(
        &self,
        table: &str,
        keys: Vec<Item>,
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let batches: Vec<Vec<Item>> = keys.chunks(GET).map(<[Item]>::to_vec).collect();
        let found: Vec<Vec<Item>> = futures::stream::iter(batches)
            .map(|batch| self.get_batch(table, batch, consistent))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn get_batch(&self, table: &str, mut keys: Vec<Item>, consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for round in 0..ROUNDS {
            if keys.is_empty() {
                return Ok(found);
            }
            pause_before(round).await;
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
            let output = self
                .client
                .batch_get_item()
                .request_items(table, wanted.map_err(call("BatchGetItem"))?)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("BatchGetItem"))?;
            output.consumed_capacity().iter().for_each(|consumed| self.meter.read(Some(consumed)));
            found.extend(output.responses.into_iter().flatten().flat_map(|(_, items)| items));
            keys = output.unprocessed_keys.into_iter().flatten().flat_map(|(_, rest)| rest.keys).collect();
        }
        if keys.is_empty() { Ok(found) } else { Err(call("BatchGetItem")(Unprocessed(keys.len()))) }
    }

    /// Puts items without conditions: for what is the same however often it is written.
    pub(crate) async fn put_items(&self, table: &str, items: Vec<Item>) -> Result<(), StoreError> {
        let batches: Vec<Vec<Item>> = items.chunks(PUT).map(<[Item]>::to_vec).collect();
        futures::stream::iter(batches)
            .map(|batch| self.put_batch(table, batch))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    async fn put_batch(&self, table: &str, items: Vec<Item>) -> Result<(), StoreError> {
        let put = |item| PutRequest::builder().set_item(Some(item)).build().map_err(call("BatchWriteItem"));
        let mut requests = items
            .into_iter()
            .map(|item| Ok(WriteRequest::builder().put_request(put(item)?).build()))
            .collect::<Result<Vec<_>, StoreError>>()?;
        for round in 0..ROUNDS {
            if requests.is_empty() {
                return Ok(());
            }
            pause_before(round).await;
            let output = self
                .client
                .batch_write_item()
                .request_items(table, requests)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("BatchWriteItem"))?;
            output.consumed_capacity().iter().for_each(|consumed| self.meter.write(Some(consumed)));
            requests = output.unprocessed_items.into_iter().flatten().flat_map(|(_, rest)| rest).collect();
        }
        if requests.is_empty() { Ok(()) } else { Err(call("BatchWriteItem")(Unprocessed(requests.len()))) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0} items were left unprocessed after {ROUNDS} rounds")]
struct Unprocessed(usize);

/// Waits longer with every round; not at all before the first.
pub(crate) async fn pause_before(round: u32) {
    if round > 0 {
        tokio::time::sleep(Duration::from_millis(25 << round.min(6))).await;
    }
}
