//! The published table: what clients read.
//!
//! `head` names the newest revision; every revision keeps its manifest, and every commit the name of its revision;
//! chunks are immutable, compressed and addressed by their content.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use jiff::Timestamp;
use roster_core::catalogue::{NextRoots, Roots};
use roster_core::record::Record;
use roster_core::tree::{Missing, Node, NodeId, Nodes, Root};
use roster_core::{ModelId, Policy};
use serde::{Deserialize, Serialize};
use zstd::bulk::Decompressor;

use crate::client::{Store, StoreError, call};
use crate::item::{self, Builder, Item, ItemReader, key};
use crate::lease::Lease;
use crate::models::{self, RecordWrite};
use crate::transaction::{Action, Condition, MAX_ACTIONS, MAX_BYTES};

/// Chunks compress three to five times at this level, in microseconds.
const ZSTD_LEVEL: i32 = 9;
/// No chunk decompresses to more: a leaf holds few models of at most 256 KiB each.
const MAX_CHUNK_BYTES: usize = 32 * 1024 * 1024;

/// One revision of the published catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// One more with every change of what is published, from 1.
    pub revision: u64,
    /// The commit that the catalogue is at; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The trees.
    pub roots: Roots,
    /// How many of the models the API owns.
    #[serde(default)]
    pub api_models: u64,
    /// The chunk of the policy; absent for the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<NodeId>,
    /// When it was published.
    pub published_at: Timestamp,
}

/// A revision to publish.
#[derive(Clone, Debug)]
pub struct Publication<'p> {
    /// The revision that is live; `None` when nothing was ever published.
    pub previous: Option<&'p Manifest>,
    /// The revision to publish.
    pub next: &'p Manifest,
    /// For how long its manifest is kept.
    pub retention_seconds: i64,
    /// Commits that earlier runs left half way, and that this one finishes.
    pub half_way: BTreeSet<String>,
}

impl Store {
    /// The newest revision; `None` when nothing was ever published.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the head cannot be read.
    pub async fn head(&self, consistent: bool) -> Result<Option<Manifest>, StoreError> {
        self.manifest("head".to_owned(), consistent).await
    }

    /// A revision's manifest; `None` when it is unknown or past its retention.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the manifest cannot be read.
    pub async fn revision(&self, revision: u64) -> Result<Option<Manifest>, StoreError> {
        // A manifest that was written a moment ago may be absent from an eventually consistent read.
        match self.manifest(revision_pk(revision), false).await? {
            Some(manifest) => Ok(Some(manifest)),
            None => self.manifest(revision_pk(revision), true).await,
        }
    }

    async fn manifest(&self, pk: String, consistent: bool) -> Result<Option<Manifest>, StoreError> {
        let item = self.published_item(pk, consistent).await?;
        item.map(|item| ItemReader::new(&item).json("manifest")).transpose()
    }

    pub(crate) async fn published_item(&self, pk: String, consistent: bool) -> Result<Option<Item>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.tables.published)
            .set_key(Some(key(pk, None)))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(call("GetItem"))?;
        self.meter.read(output.consumed_capacity());
        Ok(output.item)
    }

    /// Loads nodes.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, or a node is absent or cannot be read.
    pub async fn load_nodes(&self, ids: &[NodeId], nodes: &mut Nodes) -> Result<(), StoreError> {
        for (id, content) in self.chunks(ids).await? {
            let node = Node::decode(&content).map_err(|error| corrupt(id, error.to_string()))?;
            nodes.insert(id, Arc::new(node));
        }
        Ok(())
    }

    /// Loads a whole tree level by level, each in as few calls as there are batches.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, or a node is absent or cannot be read.
    pub async fn load_tree(&self, root: &Root, nodes: &mut Nodes) -> Result<(), StoreError> {
        let mut level = vec![root.id];
        while !level.is_empty() {
            let missing: Vec<NodeId> = level.iter().copied().filter(|id| !nodes.contains(id)).collect();
            self.load_nodes(&missing, nodes).await?;
            level = level
                .into_iter()
                .filter_map(|id| nodes.get(id).ok())
                .filter_map(|node| match node.as_ref() {
                    Node::Inner(children) => Some(children.iter().map(|child| child.id)),
                    Node::Leaf(_) => None,
                })
                .flatten()
                .collect();
        }
        Ok(())
    }

    /// Adds to the next trees when these models first appeared, loading what that takes.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, or a node is absent or cannot be read.
    pub async fn note_appearances(
        &self,
        next: &mut NextRoots,
        appeared: &BTreeMap<ModelId, Timestamp>,
        nodes: &mut Nodes,
    ) -> Result<(), StoreError> {
        if appeared.is_empty() {
            return Ok(());
        }
        while let Err(Missing(ids)) = next.note_appearances(nodes, appeared) {
            self.load_nodes(&ids, nodes).await?;
        }
        Ok(())
    }

    /// The policy of a revision.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, or the policy is absent or cannot be read.
    pub async fn policy(&self, id: Option<NodeId>) -> Result<Policy, StoreError> {
        let Some(id) = id else { return Ok(Policy::default()) };
        let chunks = self.chunks(&[id]).await?;
        let (_, content) = chunks.first().ok_or_else(|| corrupt(id, "it is absent"))?;
        serde_json::from_slice(content).map_err(|error| corrupt(id, error.to_string()))
    }

    /// Writes nodes, and the policy if there is a new one. Both are the same however often they are written.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn put_chunks(
        &self,
        nodes: &[(NodeId, Arc<Node>)],
        policy: Option<(NodeId, &str)>,
    ) -> Result<(), StoreError> {
        let mut items = Vec::with_capacity(nodes.len() + 1);
        for (id, node) in nodes {
            let content = node.encode().map_err(|error| corrupt(*id, error.to_string()))?;
            items.push(chunk_item(*id, &content)?);
        }
        if let Some((id, text)) = policy {
            items.push(chunk_item(id, text.as_bytes())?);
        }
        self.put_items(&self.tables.published, items).await
    }

    /// The contents of chunks, checked against their address.
    async fn chunks(&self, ids: &[NodeId]) -> Result<Vec<(NodeId, Vec<u8>)>, StoreError> {
        let mut wanted: HashSet<NodeId> = ids.iter().copied().collect();
        let mut found = Vec::with_capacity(wanted.len());
        // To make a context takes longer than to decompress a chunk.
        let mut decompressor = Decompressor::default();
        // A chunk that was written a moment ago may be absent from an eventually consistent read.
        for consistent in [false, true] {
            if wanted.is_empty() {
                break;
            }
            let keys = wanted.iter().map(|id| key(chunk_pk(*id), None)).collect();
            for item in self.get_items(&self.tables.published, keys, consistent).await? {
                let reader = ItemReader::new(&item);
                let content = decompressor
                    .decompress(reader.bytes("content")?, MAX_CHUNK_BYTES)
                    .map_err(|error| reader.corrupt(error.to_string()))?;
                let id = NodeId::of(&content);
                if wanted.remove(&id) {
                    found.push((id, content));
                }
            }
        }
        match wanted.into_iter().next() {
            Some(id) => Err(corrupt(id, "it is absent, or its content is not what its address says")),
            None => Ok(found),
        }
    }

    /// Publishes a revision together with the records that it shows.
    ///
    /// What one transaction takes is one transaction. More is written in several, each whole and each under the
    /// lease, with an intent that says what was begun; only the last one moves the head. Readers see the
    /// revision before or this one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is lost, a record is not as it was read, or the head moved.
    pub async fn publish(
        &self,
        lease: &Lease,
        writes: &[RecordWrite],
        publication: &Publication<'_>,
    ) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(writes.len());
        for write in writes {
            records.push(self.record_actions(write)?);
        }
        let mut closing = self.flip_actions(publication)?;
        // The fence and the intent come on top of the closing actions.
        let count = records.iter().map(|(actions, _)| actions.len()).sum::<usize>();
        let fits = count + closing.len() + 2 <= MAX_ACTIONS
            && records.iter().map(|(_, bytes)| bytes).sum::<usize>() < MAX_BYTES;
        if !fits {
            // What an earlier run had begun stays begun until the head moves.
            let begun = publication.half_way.iter().chain(&publication.next.commit);
            self.put_intent(lease, begun.cloned().collect()).await?;
            let mut batch = vec![self.fence_action(lease)?];
            let mut batch_bytes = 0;
            for (actions, bytes) in records.drain(..) {
                let is_full = batch.len() + actions.len() > MAX_ACTIONS;
                if is_full || batch.len() > 1 && batch_bytes + bytes > MAX_BYTES {
                    self.transact(&std::mem::take(&mut batch)).await?;
                    batch.push(self.fence_action(lease)?);
                    batch_bytes = 0;
                }
                batch.extend(actions);
                batch_bytes += bytes;
            }
            self.transact(&batch).await?;
        }
        if !fits || !publication.half_way.is_empty() {
            closing.push(self.clear_intent_action()?);
        }
        let mut last = vec![self.fence_action(lease)?];
        last.extend(records.into_iter().flat_map(|(actions, _)| actions));
        last.extend(closing);
        self.transact(&last).await
    }

    /// Writes a record without publishing anything: to put back one that something else than Roster changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is lost or the record is not as it was read.
    pub async fn restore(&self, lease: &Lease, write: &RecordWrite) -> Result<(), StoreError> {
        let mut actions = vec![self.fence_action(lease)?];
        actions.extend(self.record_actions(write)?.0);
        self.transact(&actions).await
    }

    /// The actions for one record and its override, and the record's size in bytes.
    pub(crate) fn record_actions(&self, write: &RecordWrite) -> Result<(Vec<Action>, usize), StoreError> {
        let (put, bytes) = self.record_action(write)?;
        Ok((std::iter::once(put).chain(self.override_action(&write.record)?).collect(), bytes))
    }

    /// The action for one record whose override stays as it is, and the record's size in bytes.
    pub(crate) fn record_action(&self, write: &RecordWrite) -> Result<(Action, usize), StoreError> {
        let what = format!("model {}", write.record.spec.id);
        let condition = match write.read_seq {
            None => Condition { expression: "attribute_not_exists(pk)", values: Item::new() },
            Some(seq) => Condition { expression: "seq = :seq", values: Builder::default().number(":seq", seq).build() },
        };
        let item = models::to_item(&write.record)?;
        let bytes = item::size(&item);
        Ok((Action::put(what, &self.tables.models, item, Some(condition))?, bytes))
    }

    /// The check that a record is still as it was read.
    pub(crate) fn unchanged_action(&self, record: &Record) -> Result<Action, StoreError> {
        let values = Builder::default().number(":seq", record.seq).build();
        let condition = Condition { expression: "seq = :seq", values };
        let what = format!("model {}", record.spec.id);
        Action::check(&what, &self.tables.models, models::record_key(&record.spec.id), condition, None)
    }

    /// The head's step to a revision, the manifest that is kept of it, and whose commit's it is.
    pub(crate) fn flip_actions(&self, publication: &Publication<'_>) -> Result<Vec<Action>, StoreError> {
        let Publication { previous, next, retention_seconds, .. } = publication;
        let manifest = |pk: String| Builder::keyed(pk).number("revision", next.revision).json("manifest", next);
        let condition = match previous {
            None => Condition { expression: "attribute_not_exists(pk)", values: Item::new() },
            Some(previous) => Condition {
                expression: "revision = :previous",
                values: Builder::default().number(":previous", previous.revision).build(),
            },
        };
        let expires = next.published_at.as_second().saturating_add(*retention_seconds);
        let kept = manifest(revision_pk(next.revision))?.number("expiresAt", expires);
        let mut actions = vec![
            Action::put("head", &self.tables.published, manifest("head".to_owned())?.build(), Some(condition))?,
            Action::put("revision", &self.tables.published, kept.build(), None)?,
        ];
        // A change by the API leaves the commit where it is: what that made is the revision before.
        let before = previous.and_then(|previous| previous.commit.as_ref());
        if let Some(commit) = next.commit.as_ref().filter(|commit| before != Some(*commit)) {
            let item = Self::commit_item(commit, next.revision, next.published_at, *retention_seconds);
            actions.push(Action::put("commit", &self.tables.published, item, None)?);
        }
        Ok(actions)
    }
}

fn chunk_item(id: NodeId, content: &[u8]) -> Result<Item, StoreError> {
    let compressed = zstd::bulk::compress(content, ZSTD_LEVEL).map_err(|error| corrupt(id, error.to_string()))?;
    Ok(Builder::keyed(chunk_pk(id)).bytes("content", compressed).build())
}

fn chunk_pk(id: NodeId) -> String {
    format!("chunk#{id}")
}

pub(crate) fn commit_pk(commit: &str) -> String {
    format!("commit#{commit}")
}

fn revision_pk(revision: u64) -> String {
    format!("revision#{revision}")
}

fn corrupt(id: NodeId, message: impl Into<String>) -> StoreError {
    StoreError::Corrupt { key: chunk_pk(id), message: message.into() }
}
