//! How far rollouts are: published beside the catalogue, and written with the record that says it, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::alert::Alert;
use roster_core::audit::AuditEvent;
use roster_core::catalogue::{EditError, NextRoots};
use roster_core::notice::Notice;
use roster_core::rollout::RolloutStatus;
use roster_core::tree::{Entries, Missing, NodeId, Nodes, Root};

use serde::{Deserialize, Serialize};

use crate::client::{Store, StoreError};
use crate::edits::{Answer, IdempotencyKey};
use crate::history::event_item;
use crate::item::{Builder, Item, ItemReader, key};
use crate::models::RecordWrite;
use crate::published::{Manifest, Publication};
use crate::transaction::Action;

const REVERT_PK: &str = "revert";
/// For how long a revert that cannot be proposed is tried again, in seconds.
const REVERT_SECONDS: i64 = 30 * 86_400;

/// What is published of rollouts, by model.
pub(crate) type Rollouts = BTreeMap<Arc<str>, Arc<RolloutStatus>>;

/// A step of a rollout: the record that says it, and whom else it is told.
#[derive(Clone, Debug)]
pub struct RolloutStep<'s> {
    /// The record afterwards; its status has the step.
    pub write: &'s RecordWrite,
    /// What somebody should know of.
    pub alert: Option<&'s Alert>,
    /// What the world outside is told.
    pub notice: Option<&'s Notice>,
    /// What the audit is told beside the change.
    pub event: Option<&'s AuditEvent>,
    /// Whether the file of the model is to say it too: that is asked of whoever proposes changes.
    pub asks_for_revert: bool,
    /// What a request for it is answered, where the same request is to get that again.
    pub answer: Option<(&'s IdempotencyKey, &'s Answer)>,
    /// For how long the revision's manifest is kept, in days.
    pub revision_days: u64,
    /// For how long the alert is kept, in days.
    pub alert_days: u64,
}

/// A rollout that was taken back, of a model whose file still asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revert {
    /// The model.
    pub model_id: ModelId,
    /// What became of its rollout.
    pub status: RolloutStatus,
}

impl Revert {
    /// The same attempt can be made again, once the file said something else in between.
    fn sort_key(&self) -> String {
        format!("{}#{}#{}", self.model_id, self.status.attempt, self.status.started_at)
    }

    fn item(&self, now: Timestamp) -> Result<Item, StoreError> {
        let item = Builder::keyed(REVERT_PK)
            .text("sk", self.sort_key())
            .number("expiresAt", now.as_second().saturating_add(REVERT_SECONDS))
            .json("revert", self)?;
        Ok(item.build())
    }
}

impl Store {
    /// The reverts that are asked for and not proposed yet.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn reverts(&self) -> Result<Vec<Revert>, StoreError> {
        let items = self.partition_items(&self.tables.runtime, REVERT_PK).await?;
        items.iter().map(|item| ItemReader::new(item).json("revert")).collect()
    }

    /// Forgets a revert that is proposed, or that nobody asks for any more.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn forget_revert(&self, revert: &Revert) -> Result<(), StoreError> {
        self.delete_item(&self.tables.runtime, key(REVERT_PK, Some(&revert.sort_key()))).await
    }
}

/// The last rollouts that were loaded.
#[derive(Debug, Default)]
pub(crate) struct LoadedRollouts(Option<(NodeId, Arc<Rollouts>)>);

impl LoadedRollouts {
    /// Those of a tree.
    pub(crate) async fn of(
        &mut self,
        store: &Store,
        root: &Root,
        nodes: &mut Nodes,
    ) -> Result<Arc<Rollouts>, StoreError> {
        if root.count == 0 {
            return Ok(Arc::default());
        }
        if let Some((_, known)) = self.0.as_ref().filter(|(id, _)| *id == root.id) {
            return Ok(known.clone());
        }
        let corrupt = |message: String| StoreError::Corrupt { key: format!("chunk#{}", root.id), message };
        store.load_tree(root, nodes).await?;
        let entries: Entries =
            nodes.with_prefix(root, "").map_err(|Missing(ids)| corrupt(format!("{ids:?} are not loaded")))?;
        let read = |(id, text): (Arc<str>, Arc<str>)| serde_json::from_str(&text).map(|status| (id, Arc::new(status)));
        let rollouts: Result<Rollouts, serde_json::Error> = entries.into_iter().map(read).collect();
        let rollouts = Arc::new(rollouts.map_err(|error| corrupt(error.to_string()))?);
        self.0 = Some((root.id, rollouts.clone()));
        Ok(rollouts)
    }
}

/// Those of the models whose ids are in a range, its ends included.
pub(crate) fn within<'r>(
    rollouts: &'r Rollouts,
    first: &str,
    last: &str,
) -> impl Iterator<Item = (&'r Arc<str>, &'r Arc<RolloutStatus>)> {
    rollouts.range::<str, _>((Bound::Included(first), Bound::Included(last)))
}

impl Store {
    /// Writes a step of a rollout and the revision that shows it, if nobody syncs, the record is as it was read, and
    /// `head` is still the newest revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not so: look again later.
    pub async fn publish_rollout(
        &self,
        head: &Manifest,
        step: &RolloutStep<'_>,
        now: Timestamp,
    ) -> Result<Manifest, StoreError> {
        let record = &step.write.record;
        let next = self.with_rollout(head, step.write).await?;
        let manifest = Manifest { revision: head.revision + 1, roots: next.roots, published_at: now, ..head.clone() };
        self.put_chunks(&next.fresh, None).await?;
        let publication = Publication {
            previous: Some(head),
            next: &manifest,
            retention_seconds: seconds(step.revision_days),
            half_way: BTreeSet::new(),
        };
        let mut actions = vec![self.unlocked_action(now)?];
        // A record that says it already is as it was read: only what is published does not say it yet.
        actions.push(match step.write.read_seq {
            Some(seq) if seq == record.seq => self.unchanged_action(record)?,
            _ => self.record_action(step.write)?.0,
        });
        actions.extend(self.flip_actions(&publication)?);
        if let Some(alert) = step.alert {
            actions.push(self.alert_action(alert, now, step.alert_days)?);
        }
        if let Some(notice) = step.notice {
            actions.extend(self.notice_actions(notice, now)?);
        }
        if let Some((key, answer)) = step.answer {
            actions.push(self.answer_action(key, answer, now)?);
        }
        if let Some(event) = step.event {
            actions.push(Action::put("event", &self.tables.history, event_item(event)?, None)?);
        }
        if let (true, Some(status)) = (step.asks_for_revert, &record.status.rollout) {
            let revert = Revert { model_id: record.spec.id.clone(), status: status.clone() };
            actions.push(Action::put("revert", &self.tables.runtime, revert.item(now)?, None)?);
        }
        self.transact(&actions).await?;
        Ok(manifest)
    }

    /// The trees with what a record says of its rollout.
    async fn with_rollout(&self, head: &Manifest, write: &RecordWrite) -> Result<NextRoots, StoreError> {
        let mut next = NextRoots::of(head.roots);
        let mut nodes = Nodes::default();
        loop {
            match next.set_rollout(&nodes, &write.record.spec.id, write.record.status.rollout.as_ref()) {
                Ok(()) => return Ok(next),
                Err(EditError::Missing(Missing(ids))) => self.load_nodes(&ids, &mut nodes).await?,
                Err(error) => {
                    let key = format!("chunk#{}", head.roots.rollouts.id);
                    return Err(StoreError::Corrupt { key, message: error.to_string() });
                }
            }
        }
    }
}

/// Days in seconds.
pub(crate) fn seconds(days: u64) -> i64 {
    i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400)
}
