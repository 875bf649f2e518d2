//! Attributes in and out of items.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::StoreError;

/// An item as the SDK has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Builder(Item);

impl Builder {
    pub(crate) fn keyed(pk: impl Into<String>) -> Self {
        Self::default().text("pk", pk)
    }

    pub(crate) fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::S(value.into()));
        self
    }

    pub(crate) fn number(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    pub(crate) fn flag(mut self, name: &str, value: bool) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::Bool(value));
        self
    }

    pub(crate) fn bytes(mut self, name: &str, value: Vec<u8>) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
        self
    }

    /// A value as JSON text: exact, whatever DynamoDB's numbers would make of it.
    pub(crate) fn json<T: Serialize>(self, name: &str, value: &T) -> Result<Self, StoreError> {
        let text = roster_core::canonical::to_string(value).map_err(|error| StoreError::Corrupt {
            key: name.to_owned(),
            message: format!("cannot be written: {error}"),
        })?;
        Ok(self.text(name, text))
    }

    pub(crate) fn build(self) -> Item {
        self.0
    }
}

/// Reads one item's attributes; errors name the item.
pub(crate) struct ItemReader<'i> {
    item: &'i Item,
}

impl<'i> ItemReader<'i> {
    pub(crate) fn new(item: &'i Item) -> Self {
        Self { item }
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'i str, StoreError> {
        self.get(name, |value| value.as_s().ok().map(String::as_str))
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, StoreError> {
        self.get(name, |value| value.as_n().ok()?.parse().ok())
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        self.get(name, |value| value.as_bool().ok().copied())
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'i [u8], StoreError> {
        self.get(name, |value| value.as_b().ok().map(AsRef::as_ref))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(name)?).map_err(|error| self.corrupt(format!("{name}: {error}")))
    }

    fn get<T>(&self, name: &str, read: impl FnOnce(&'i AttributeValue) -> Option<T>) -> Result<T, StoreError> {
        self.item.get(name).and_then(read).ok_or_else(|| self.corrupt(format!("no usable {name}")))
    }

    pub(crate) fn corrupt(&self, message: impl Into<String>) -> StoreError {
        let part = |name: &str| self.item.get(name).map(|value| format!("{value:?}")).unwrap_or_default();
        StoreError::Corrupt { key: format!("{} {}", part("pk"), part("sk")), message: message.into() }
    }
}

/// A table's key.
pub(crate) fn key(pk: impl Into<String>, sk: Option<&str>) -> Item {
    let builder = Builder::keyed(pk);
    match sk {
        Some(sk) => builder.text("sk", sk),
        None => builder,
    }
    .build()
}

/// An item's size in bytes, as far as it counts towards DynamoDB's limits.
pub(crate) fn size(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 1,
    };
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
