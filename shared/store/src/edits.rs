//! One change of one model at once, published with it: what the admin API writes.
//!
//! It is one transaction: nobody syncs meanwhile, the model and the head are as they were read, and the answer to
//! an idempotency key is kept with what it answers.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::audit::AuditEvent;
use roster_core::record::Record;
use serde::{Deserialize, Serialize};

use crate::client::{Store, StoreError};
use crate::history::event_item;
use crate::item::{Builder, Item, ItemReader, key};
use crate::lease;
use crate::models::RecordWrite;
use crate::published::{Manifest, Publication};
use crate::transaction::{Action, Condition};

/// For how long a repeated request gets the first answer, in seconds.
const KEY_SECONDS: i64 = 24 * 60 * 60;
/// No answer decompresses to more: it holds a model, and the fields that changed twice.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A key that a client gave to a request, so that repeating it does nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The caller and the key: a fingerprint of both.
    pub id: String,
    /// A fingerprint of the request; another request cannot use the key.
    pub request: String,
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The entity tag of what it shows.
    pub etag: String,
    /// The body, JSON.
    pub body: String,
}

/// What an edit begins with.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The newest revision; `None` when nothing was ever published.
    pub head: Option<Manifest>,
    /// The models asked for, those that exist.
    pub records: Vec<Record>,
    /// Whether a sync is at work: it alone writes then.
    pub is_locked: bool,
    /// What the key was answered before, with the fingerprint of the request that it answered.
    pub answered: Option<(String, Answer)>,
}

impl Store {
    /// Reads what an edit of these models needs, all of it as it is now.
    ///
    /// # Errors
    /// [`StoreError`] when the tables do not answer or an item cannot be read.
    pub async fn begin_edit(
        &self,
        ids: &[&ModelId],
        key: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let runtime = async {
            let mut keys = vec![lease::lease_key()];
            keys.extend(key.map(answer_key));
            self.get_items(&self.tables.runtime, keys, true).await
        };
        let (head, records, items) = futures::try_join!(self.head(true), self.records(ids.iter().copied()), runtime)?;
        let mut begun = Begun { head, records: records.into_values().collect(), is_locked: false, answered: None };
        for item in items {
            let reader = ItemReader::new(&item);
            if item.contains_key("answer") {
                if i64::try_from(reader.number("expiresAt")?).is_ok_and(|end| end <= now.as_second()) {
                    continue;
                }
                begun.answered = Some((reader.text("request")?.to_owned(), read_answer(&reader)?));
            } else {
                begun.is_locked = lease::is_held(&item, now);
            }
        }
        Ok(begun)
    }

    /// Writes a model and the revision that shows it, and an event that the audit is told of it, if everything is as
    /// [`Store::begin_edit`] found it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not: begin again.
    pub async fn publish_edit(
        &self,
        write: &RecordWrite,
        publication: &Publication<'_>,
        answer: Option<(&IdempotencyKey, &Answer)>,
        event: Option<&AuditEvent>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut actions = vec![self.unlocked_action(now)?];
        actions.extend(self.record_actions(write)?.0);
        actions.extend(self.flip_actions(publication)?);
        if let Some((key, answer)) = answer {
            actions.push(self.answer_action(key, answer, now)?);
        }
        if let Some(event) = event {
            actions.push(Action::put("event", &self.tables.history, event_item(event)?, None)?);
        }
        self.transact(&actions).await
    }

    /// Writes what time made of a model, if nobody syncs and the model is as it was read. The head stays: what time
    /// does is no part of what is published.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not so: look again later.
    pub async fn put_effect(&self, write: &RecordWrite, now: Timestamp) -> Result<(), StoreError> {
        self.transact(&[self.unlocked_action(now)?, self.record_action(write)?.0]).await
    }

    /// Keeps the answer to a request that changed nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the key was used meanwhile.
    pub async fn put_answer(&self, key: &IdempotencyKey, answer: &Answer, now: Timestamp) -> Result<(), StoreError> {
        match self.put_item_if(&self.tables.runtime, answer_item(key, answer, now)?, unused(now)).await? {
            true => Ok(()),
            false => Err(StoreError::Conflict("idempotency key".to_owned())),
        }
    }

    /// The action that keeps an answer, void when the key was used meanwhile.
    pub(crate) fn answer_action(
        &self,
        key: &IdempotencyKey,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Action, StoreError> {
        let item = answer_item(key, answer, now)?;
        Action::put("idempotency key", &self.tables.runtime, item, Some(unused(now)))
    }
}

/// The condition that a key is nobody's yet. DynamoDB may take two days to remove what has expired.
fn unused(now: Timestamp) -> Condition {
    let values = Builder::default().number(":now", now.as_second()).build();
    Condition { expression: "attribute_not_exists(pk) OR expiresAt <= :now", values }
}

fn answer_key(idempotency_key: &IdempotencyKey) -> Item {
    key(format!("idempotency#{}", idempotency_key.id), Some("answer"))
}

fn answer_item(key: &IdempotencyKey, answer: &Answer, now: Timestamp) -> Result<Item, StoreError> {
    let pk = format!("idempotency#{}", key.id);
    let corrupt = |message: String| StoreError::Corrupt { key: pk.clone(), message };
    let text = serde_json::to_vec(answer).map_err(|error| corrupt(error.to_string()))?;
    let compressed = zstd::bulk::compress(&text, 3).map_err(|error| corrupt(error.to_string()))?;
    Ok(Builder::keyed(pk.as_str())
        .text("sk", "answer")
        .text("request", key.request.as_str())
        .number("expiresAt", now.as_second().saturating_add(KEY_SECONDS))
        .bytes("answer", compressed)
        .build())
}

fn read_answer(reader: &ItemReader<'_>) -> Result<Answer, StoreError> {
    let text = zstd::bulk::decompress(reader.bytes("answer")?, MAX_ANSWER)
        .map_err(|error| reader.corrupt(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| reader.corrupt(error.to_string()))
}
