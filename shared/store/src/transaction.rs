//! Transactions: all of it or none, with the reason why not.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};

use crate::batch::pause_before;
use crate::client::{Store, StoreError, call};
use crate::item::Item;

/// The most actions of one transaction
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
pub(crate) const MAX_ACTIONS: usize = 100;
/// The most bytes of one transaction, 4 MB, less what keys and expressions may add.
pub(crate) const MAX_BYTES: usize = 3_500_000;
/// Tries while other transactions are in the way.
const ROUNDS: u32 = 8;

/// One action of a transaction, with what to say when its condition breaks.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    what: String,
    write: TransactWriteItem,
}

/// A condition and the values it names.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) expression: &'static str,
    pub(crate) values: Item,
}

impl Action {
    pub(crate) fn put(
        what: impl Into<String>,
        table: &str,
        item: Item,
        condition: Option<Condition>,
    ) -> Result<Self, StoreError> {
        let mut put = Put::builder().table_name(table).set_item(Some(item));
        if let Some(Condition { expression, values }) = condition {
            put = put.condition_expression(expression);
            if !values.is_empty() {
                put = put.set_expression_attribute_values(Some(values));
            }
        }
        let put = put.build().map_err(call("TransactWriteItems"))?;
        Ok(Self { what: what.into(), write: TransactWriteItem::builder().put(put).build() })
    }

    /// A condition alone; `name` stands in it for an attribute whose name is one of DynamoDB's own words.
    pub(crate) fn check(
        what: &str,
        table: &str,
        key: Item,
        condition: Condition,
        name: Option<(&str, &str)>,
    ) -> Result<Self, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(condition.expression)
            .set_expression_attribute_values(Some(condition.values))
            .set_expression_attribute_names(name.map(|(short, name)| [(short.to_owned(), name.to_owned())].into()))
            .build()
            .map_err(call("TransactWriteItems"))?;
        Ok(Self { what: what.to_owned(), write: TransactWriteItem::builder().condition_check(check).build() })
    }

    pub(crate) fn update(
        what: &str,
        table: &str,
        key: Item,
        expression: String,
        values: Item,
    ) -> Result<Self, StoreError> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(expression)
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(call("TransactWriteItems"))?;
        Ok(Self { what: what.to_owned(), write: TransactWriteItem::builder().update(update).build() })
    }

    pub(crate) fn delete(what: &str, table: &str, key: Item, condition: Option<Condition>) -> Result<Self, StoreError> {
        let mut delete = Delete::builder().table_name(table).set_key(Some(key));
        if let Some(Condition { expression, values }) = condition {
            delete = delete.condition_expression(expression).set_expression_attribute_values(Some(values));
        }
        let delete = delete.build().map_err(call("TransactWriteItems"))?;
        Ok(Self { what: what.to_owned(), write: TransactWriteItem::builder().delete(delete).build() })
    }
}

impl Store {
    /// Does all actions or none.
    ///
    /// A broken condition is a [`StoreError::Conflict`]; another transaction in the way is waited for.
    pub(crate) async fn transact(&self, actions: &[Action]) -> Result<(), StoreError> {
        // One token for all tries: what took effect although its answer was lost is answered then, and not done again.
        let token = token();
        let mut last = None;
        for round in 0..ROUNDS {
            pause_before(round).await;
            let result = self
                .client
                .transact_write_items()
                .client_request_token(&token)
                .set_transact_items(Some(actions.iter().map(|action| action.write.clone()).collect()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            let error = match result {
                Ok(output) => {
                    output.consumed_capacity().iter().for_each(|consumed| self.meter.write(Some(consumed)));
                    return Ok(());
                }
                Err(error) => error,
            };
            match verdict(actions, &error) {
                Verdict::Broken(what) => return Err(StoreError::Conflict(what)),
                Verdict::InTheWay => last = None,
                Verdict::Busy => last = Some(error),
                Verdict::Failed => return Err(call("TransactWriteItems")(error)),
            }
        }
        Err(match last {
            Some(error) => call("TransactWriteItems")(error),
            None => StoreError::Conflict("other transactions were in the way".to_owned()),
        })
    }
}

/// A name for one transaction. The hasher's keys are random for each call.
fn token() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

enum Verdict {
    /// A condition does not hold.
    Broken(String),
    /// Another transaction writes the same items.
    InTheWay,
    Busy,
    Failed,
}

fn verdict(actions: &[Action], error: &SdkError<TransactWriteItemsError>) -> Verdict {
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => return Verdict::Busy,
        _ => return Verdict::Failed,
    };
    let codes = || reasons.iter().map(|reason| reason.code().unwrap_or("None"));
    if let Some(at) = codes().position(|code| code == "ConditionalCheckFailed") {
        return Verdict::Broken(actions.get(at).map(|action| action.what.clone()).unwrap_or_default());
    }
    if codes().all(|code| ["None", "TransactionConflict"].contains(&code)) {
        return Verdict::InTheWay;
    }
    let passing = ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    if codes().all(|code| passing.contains(&code)) { Verdict::Busy } else { Verdict::Failed }
}
