//! Who may write: a lease with a fencing token, and what its holder has begun.
//!
//! The token rises with every acquisition. Every transaction of a sync checks it, so a worker that was paused
//! past its lease changes nothing when it wakes up
//! (<https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html>).

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use crate::approvals::ManualHold;
use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};
use crate::published::Manifest;
use crate::transaction::{Action, Condition};

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    owner: String,
    fence: u64,
}

impl Lease {
    /// The fencing token.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

/// Up to which commit everything is reconciled, though the catalogue did not change since an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The commit.
    pub commit: String,
    /// The commit of the published head that it was reconciled with; beside another one it says nothing.
    pub published: Option<String>,
}

/// What the runtime table remembers of the sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// How far the repository is reconciled.
    pub cursor: Option<Cursor>,
    /// The commits whose records were being written when runs stopped half way.
    pub intent: BTreeSet<String>,
    /// The hold that was placed last, whether or not it has ended.
    pub hold: Option<ManualHold>,
}

const PK: &str = "sync";

impl Store {
    /// Takes the lease until `now + ttl`; `None` when another worker holds it.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn acquire_lease(&self, owner: &str, now: Timestamp, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let until = end_of(now, ttl);
        let values = Builder::default()
            .text(":owner", owner)
            .number(":now", now.as_millisecond())
            .number(":until", until)
            .number(":one", 1)
            .build();
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(lease_key()))
            .update_expression("SET #owner = :owner, #until = :until ADD fence :one")
            .condition_expression("attribute_not_exists(#until) OR #until <= :now OR #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#until", "until")
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew);
        let Ok(item) = self.update_item_if(update).await? else { return Ok(None) };
        let item = item.unwrap_or_default();
        Ok(Some(Lease { owner: owner.to_owned(), fence: ItemReader::new(&item).number("fence")? }))
    }

    /// Holds the lease until `now + ttl`; nothing happens when it was lost.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> Result<(), StoreError> {
        self.set_lease_end(lease, end_of(now, ttl)).await
    }

    /// Gives the lease back; nothing happens when it was lost.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.set_lease_end(lease, 0).await
    }

    async fn set_lease_end(&self, lease: &Lease, until: i64) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(lease_key()))
            .update_expression("SET #until = :until")
            .condition_expression("fence = :fence AND #until > :zero")
            .expression_attribute_names("#until", "until")
            .set_expression_attribute_values(Some(
                Builder::default().number(":until", until).number(":fence", lease.fence).number(":zero", 0).build(),
            ));
        let _ = self.update_item_if(update).await?;
        Ok(())
    }

    /// What is remembered of the sync.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn sync_state(&self) -> Result<SyncState, StoreError> {
        let keys = ["cursor", "intent", "hold"].map(|sk| key(PK, Some(sk))).into();
        let mut state = SyncState::default();
        for item in self.get_items(&self.tables.runtime, keys, true).await? {
            let reader = ItemReader::new(&item);
            match reader.text("sk")? {
                "cursor" => {
                    let commit = reader.text("commit")?.to_owned();
                    let published = reader.text("published").ok().map(str::to_owned);
                    state.cursor = Some(Cursor { commit, published });
                }
                "intent" => state.intent = reader.json("commits")?,
                _ => state.hold = Some(reader.json("hold")?),
            }
        }
        Ok(state)
    }

    /// Remembers how far the repository is reconciled, and for how long the commit names the revision that it left
    /// as it was.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is lost.
    pub async fn put_cursor(
        &self,
        lease: &Lease,
        cursor: &Cursor,
        live: Option<&Manifest>,
        now: Timestamp,
        retention_seconds: i64,
    ) -> Result<(), StoreError> {
        let item = Builder::keyed(PK).text("sk", "cursor").text("commit", cursor.commit.as_str());
        let item = match &cursor.published {
            Some(published) => item.text("published", published.as_str()),
            None => item,
        }
        .build();
        let mut actions = vec![self.fence_action(lease)?, Action::put("cursor", &self.tables.runtime, item, None)?];
        if let Some(live) = live {
            let item = Self::commit_item(&cursor.commit, live.revision, now, retention_seconds);
            actions.push(Action::put("commit", &self.tables.published, item, None)?);
        }
        self.transact(&actions).await
    }

    /// Remembers which commits' records are about to be written, or were left half way.
    pub(crate) async fn put_intent(&self, lease: &Lease, commits: BTreeSet<String>) -> Result<(), StoreError> {
        let item = Builder::keyed(PK).text("sk", "intent").json("commits", &commits)?.build();
        let put = Action::put("intent", &self.tables.runtime, item, None)?;
        self.transact(&[self.fence_action(lease)?, put]).await
    }

    /// Forgets an intent whose records turned out to be as they should.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is lost.
    pub async fn clear_intent(&self, lease: &Lease) -> Result<(), StoreError> {
        self.transact(&[self.fence_action(lease)?, self.clear_intent_action()?]).await
    }

    pub(crate) fn clear_intent_action(&self) -> Result<Action, StoreError> {
        Action::delete("intent", &self.tables.runtime, key(PK, Some("intent")), None)
    }

    /// The check that makes a transaction void while anybody holds the lease.
    pub(crate) fn unlocked_action(&self, now: Timestamp) -> Result<Action, StoreError> {
        let values: Item = Builder::default().number(":now", now.as_millisecond()).build();
        let condition = Condition { expression: "attribute_not_exists(#until) OR #until <= :now", values };
        Action::check("a sync is at work", &self.tables.runtime, lease_key(), condition, Some(("#until", "until")))
    }

    /// The check that makes a transaction void once the lease is lost.
    pub(crate) fn fence_action(&self, lease: &Lease) -> Result<Action, StoreError> {
        let values: Item = Builder::default().number(":fence", lease.fence).build();
        let condition = Condition { expression: "fence = :fence", values };
        Action::check("the lease was lost", &self.tables.runtime, lease_key(), condition, None)
    }
}

pub(crate) fn lease_key() -> Item {
    key(PK, Some("lease"))
}

/// Whether a lease item says that somebody holds it.
pub(crate) fn is_held(item: &Item, now: Timestamp) -> bool {
    let until = item.get("until").and_then(|until| until.as_n().ok()).and_then(|until| until.parse::<i64>().ok());
    until.is_some_and(|until| until > now.as_millisecond())
}

fn end_of(now: Timestamp, ttl: Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}
