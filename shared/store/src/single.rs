//! Single items with a condition, and items page by page.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};

use crate::batch::pause_before;
use crate::client::{Store, StoreError, call};
use crate::item::{Builder, Item};
use crate::transaction::Condition;

/// Tries while transactions are in the way.
const ROUNDS: u32 = 8;

impl Store {
    /// Puts an item, whatever is there.
    pub(crate) async fn put_item(&self, table: &str, item: Item) -> Result<(), StoreError> {
        let put = self.client.put_item().table_name(table).set_item(Some(item));
        let output = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        self.meter.write(output.map_err(call("PutItem"))?.consumed_capacity());
        Ok(())
    }

    /// Deletes an item, whatever it is.
    pub(crate) async fn delete_item(&self, table: &str, key: Item) -> Result<(), StoreError> {
        let delete = self.client.delete_item().table_name(table).set_key(Some(key));
        let output = delete.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        self.meter.write(output.map_err(call("DeleteItem"))?.consumed_capacity());
        Ok(())
    }

    /// Puts an item if its condition holds, and answers whether it did.
    pub(crate) async fn put_item_if(&self, table: &str, item: Item, condition: Condition) -> Result<bool, StoreError> {
        let values = Some(condition.values).filter(|values| !values.is_empty());
        let put = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression(condition.expression)
            .set_expression_attribute_values(values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match undisturbed(|| put.clone().send()).await {
            Ok(output) => {
                self.meter.write(output.consumed_capacity());
                Ok(true)
            }
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                self.meter.refused_write();
                Ok(false)
            }
            Err(error) => Err(call("PutItem")(error)),
        }
    }

    /// Sends an update with a condition, and answers what it returns; or the item that was in its way, if any.
    pub(crate) async fn update_item_if(
        &self,
        update: UpdateItemFluentBuilder,
    ) -> Result<Result<Option<Item>, Option<Item>>, StoreError> {
        let update = update
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match undisturbed(|| update.clone().send()).await {
            Ok(output) => {
                self.meter.write(output.consumed_capacity());
                Ok(Ok(output.attributes))
            }
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => {
                    self.meter.refused_write();
                    Ok(Err(refused.item))
                }
                error => Err(call("UpdateItem")(error)),
            },
            Err(error) => Err(call("UpdateItem")(error)),
        }
    }

    /// The items of a query, at most `limit`, page by page.
    pub(crate) async fn query_items(&self, query: QueryFluentBuilder, limit: usize) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start: Option<Item> = None;
        while items.len() < limit {
            let output = query
                .clone()
                .limit(i32::try_from(limit - items.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("Query"))?;
            self.meter.read(output.consumed_capacity());
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// Every item of one partition, consistently.
    pub(crate) async fn partition_items(&self, table: &str, pk: &str) -> Result<Vec<Item>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .consistent_read(true)
            .set_expression_attribute_values(Some(Builder::default().text(":pk", pk).build()));
        self.query_items(query, usize::MAX).await
    }

    /// The items of one partition, by descending sort key, at most `limit` of those before `before`.
    pub(crate) async fn last_items(
        &self,
        table: &str,
        pk: &str,
        before: Option<AttributeValue>,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        let condition = if before.is_some() { "pk = :pk AND sk < :before" } else { "pk = :pk" };
        let mut values = Builder::default().text(":pk", pk).build();
        values.extend(before.map(|before| (":before".to_owned(), before)));
        let query = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(false);
        self.query_items(query, limit).await
    }

    /// Hands over every item of a table, those of one partition together.
    pub(crate) async fn scan_items(
        &self,
        table: &str,
        mut each: impl FnMut(&Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut start: Option<Item> = None;
        loop {
            let page = self
                .client
                .scan()
                .table_name(table)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(call("Scan"))?;
            self.meter.read(page.consumed_capacity());
            page.items().iter().try_for_each(&mut each)?;
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
    }
}

/// Sends a write again while transactions that write or check the same item are in its way; the SDK does not.
async fn undisturbed<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut round = 0;
    loop {
        pause_before(round).await;
        let outcome = send().await;
        let code = outcome.as_ref().err().and_then(ProvideErrorMetadata::code);
        if round == ROUNDS || code != Some("TransactionConflictException") {
            return outcome;
        }
        round += 1;
    }
}
