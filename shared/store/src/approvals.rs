//! What people decide about the sync: approvals of held plans, and holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::{Store, StoreError};
use crate::item::{Builder, ItemReader, key};

/// For how long an approval is kept, in seconds: a week. The plan it names is usually void long before.
const APPROVAL_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The approval of exactly one plan on exactly one state of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The plan's hash.
    pub plan_hash: String,
    /// Who approves.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A time in which no plan is applied without an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ManualHold {
    /// What people are told.
    pub reason: String,
    /// Who holds.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
}

impl Store {
    /// Keeps an approval; the first one of a plan stays.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_approval(&self, approval: &Approval) -> Result<(), StoreError> {
        let item = Builder::keyed(approval_pk(&approval.plan_hash))
            .text("sk", "approval")
            .number("expiresAt", approval.at.as_second().saturating_add(APPROVAL_SECONDS))
            .json("approval", approval)?
            .build();
        self.put_item(&self.tables.runtime, item).await
    }

    /// The approval of a plan.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the approval cannot be read.
    pub async fn approval(&self, plan_hash: &str) -> Result<Option<Approval>, StoreError> {
        let keys = vec![key(approval_pk(plan_hash), Some("approval"))];
        let items = self.get_items(&self.tables.runtime, keys, true).await?;
        items.first().map(|item| ItemReader::new(item).json("approval")).transpose()
    }

    /// Holds the sync; `until` says when that ends by itself.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_hold(&self, hold: &ManualHold) -> Result<(), StoreError> {
        let item = Builder::keyed("sync").text("sk", "hold").json("hold", hold)?.build();
        self.put_item(&self.tables.runtime, item).await
    }

    /// The hold that was placed last, whether or not it has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the hold cannot be read.
    pub async fn hold(&self) -> Result<Option<ManualHold>, StoreError> {
        let keys = vec![key("sync", Some("hold"))];
        let items = self.get_items(&self.tables.runtime, keys, true).await?;
        items.first().map(|item| ItemReader::new(item).json("hold")).transpose()
    }
}

fn approval_pk(plan_hash: &str) -> String {
    format!("approval#{plan_hash}")
}
