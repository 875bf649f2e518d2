//! Everything that a catalogue is, as lines of JSON: models with their versions, history, and policy. What is made of
//! such a file is the same catalogue, to its digest, on tables that were empty.
//!
//! Runtime state and earlier revisions are no part of it: a run begins with the commit, and the past with the restore.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use roster_core::audit;
use roster_core::catalogue::{self, Catalogue, Change, EditError};
use roster_core::record::{HistoryEntry, Origin, Record};
use roster_core::tree::{Missing, NodeId, Nodes};
use roster_core::{ModelId, Policy, canonical};
use serde::{Deserialize, Serialize};

use crate::client::{Store, StoreError};
use crate::models::RecordWrite;
use crate::published::{Manifest, Publication};

/// The version of the format.
const FORMAT: u32 = 1;
/// Records that are read at once.
const RECORDS: usize = 50;
/// Entries that are read at once.
const ENTRIES: usize = 25;
/// How long nobody else may write while a catalogue is restored.
const LEASE: Duration = Duration::from_secs(300);

/// One line of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The first one: what the backup is of.
    Catalogue(Box<Header>),
    /// A model.
    Model(Box<KeptModel>),
    /// A change of the model before it.
    Change(Box<HistoryEntry>),
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    format: u32,
    /// When it was begun.
    pub at: Timestamp,
    /// The published revision.
    pub revision: u64,
    /// The commit that it is at.
    pub commit: Option<String>,
    /// The digest of what is published.
    pub digest: String,
    /// How many models there are, removed ones included.
    pub models: usize,
    /// The policy in force.
    pub policy: Policy,
}

/// A model's record, with the file that the index knows it by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptModel {
    /// The file; none for a model of the API, and for one whose file is gone.
    pub path: Option<String>,
    /// The record.
    pub record: Record,
}

/// A backup that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// What it is of.
    pub header: Header,
    /// The models, by id.
    pub models: BTreeMap<ModelId, KeptModel>,
    /// The histories, oldest entry first.
    pub history: BTreeMap<ModelId, Vec<HistoryEntry>>,
}

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A line says something else than a backup does.
    #[error("line {line}: {message}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The backup is not whole.
    #[error("the backup is not whole: {0}")]
    NotWhole(String),
    /// There is something on the tables already.
    #[error("the tables are not empty: restore into new ones")]
    NotEmpty,
    /// Somebody writes.
    #[error("somebody else writes to the tables now: it holds the lease")]
    Busy,
    /// The tables do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tree cannot be made.
    #[error(transparent)]
    Catalogue(#[from] EditError),
    /// A line cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Backup {
    /// Reads a backup, and checks that it is whole: that it has the digest that it names, and that each history leads
    /// to its model.
    ///
    /// # Errors
    /// [`BackupError`] with the first thing that is wrong.
    pub fn read(text: &str) -> Result<Self, BackupError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let wrong = |at: usize, message: String| BackupError::Line { line: at + 1, message };
        let parse = |(at, line): (usize, &str)| {
            let read: Result<Line, serde_json::Error> = serde_json::from_str(line);
            read.map(|line| (at, line)).map_err(|error| wrong(at, error.to_string()))
        };
        let header = match lines.next().map(parse).transpose()? {
            Some((_, Line::Catalogue(header))) if header.format == FORMAT => *header,
            Some((at, Line::Catalogue(header))) => {
                return Err(wrong(at, format!("format {} is unknown: this reads format {FORMAT}", header.format)));
            }
            _ => return Err(wrong(0, "this is no backup: the first line does not say of what".to_owned())),
        };
        let mut backup = Self { header, models: BTreeMap::new(), history: BTreeMap::new() };
        for parsed in lines.map(parse) {
            match parsed? {
                (_, Line::Model(model)) => {
                    backup.models.insert(model.record.spec.id.clone(), *model);
                }
                (_, Line::Change(entry)) => backup.history.entry(entry.model_id.clone()).or_default().push(*entry),
                (at, Line::Catalogue(_)) => return Err(wrong(at, "a second backup begins here".to_owned())),
            }
        }
        backup.history.values_mut().for_each(|entries| entries.sort_by_key(|entry| entry.seq));
        backup.check()?;
        Ok(backup)
    }

    fn check(&self) -> Result<(), BackupError> {
        let not_whole = |message: String| Err(BackupError::NotWhole(message));
        if self.models.len() != self.header.models {
            return not_whole(format!("it has {} models of {}", self.models.len(), self.header.models));
        }
        for (id, KeptModel { record, .. }) in &self.models {
            let entries = self.history.get(id).map(Vec::as_slice).unwrap_or_default();
            if let Some(finding) = audit::verify(record, entries).first() {
                return not_whole(finding.to_string());
            }
        }
        if let Some(id) = self.history.keys().find(|id| !self.models.contains_key(*id)) {
            return not_whole(format!("it has changes of model {id}, and not the model"));
        }
        let live = self.models.values().filter(|model| !model.record.tombstone).map(|model| &model.record.spec);
        let digest = catalogue::digest(live)?;
        if digest != self.header.digest {
            let named = &self.header.digest;
            let why = "it may have been made while something changed: make another";
            return not_whole(format!("its models have the digest {digest}, and it names {named}; {why}"));
        }
        Ok(())
    }
}

impl Store {
    /// The first line of a backup of a revision.
    ///
    /// # Errors
    /// [`BackupError`] when the tables do not answer.
    pub async fn backup_header(&self, head: &Manifest, models: usize, now: Timestamp) -> Result<Line, BackupError> {
        Ok(Line::Catalogue(Box::new(Header {
            format: FORMAT,
            at: now,
            revision: head.revision,
            commit: head.commit.clone(),
            digest: head.roots.digest(),
            models,
            policy: self.policy(head.policy).await?,
        })))
    }

    /// The lines behind a place, until `max_bytes` are full, and the place to go on behind; `ids` are all of the
    /// backup's, in order. A place is `<id>`, or `<id>#<seq>` where changes before that one are to come.
    ///
    /// # Errors
    /// [`BackupError`] when the tables do not answer.
    pub async fn backup_lines(
        &self,
        head: &Manifest,
        ids: &[ModelId],
        after: &str,
        max_bytes: usize,
    ) -> Result<(String, Option<String>), BackupError> {
        let (done, begun) = match after.split_once('#') {
            Some((id, seq)) => (id, seq.parse::<u64>().ok()),
            None => (after, None),
        };
        let rest = ids.iter().filter(|id| id.as_str() > done || begun.is_some() && id.as_str() == done);
        let rest: Vec<&ModelId> = rest.collect();
        let (mut text, mut nodes) = (String::new(), Nodes::default());
        for batch in rest.chunks(RECORDS) {
            let mut records = self.records(batch.iter().copied()).await?;
            for id in batch {
                let is_begun = begun.is_some() && id.as_str() == done;
                let mut before = begun.filter(|_| is_begun);
                if !is_begun {
                    let Some(record) = records.remove(*id) else { continue };
                    let path = self.path_of(head, id, &mut nodes).await?;
                    // A newer change is on its way still, or came after the record: it is no part of this.
                    before = record.seq.checked_add(1);
                    push(&mut text, &Line::Model(Box::new(KeptModel { path, record })))?;
                }
                loop {
                    let entries = self.history(id, before, ENTRIES).await?;
                    let is_last = entries.len() < ENTRIES;
                    for entry in entries {
                        let seq = entry.seq;
                        before = Some(seq);
                        push(&mut text, &Line::Change(Box::new(entry)))?;
                        if text.len() >= max_bytes {
                            let place = if seq > 1 { format!("{id}#{seq}") } else { id.to_string() };
                            let is_end = seq == 1 && rest.last() == Some(id);
                            return Ok((text, (!is_end).then_some(place)));
                        }
                    }
                    if is_last {
                        break;
                    }
                }
                if text.len() >= max_bytes && rest.last() != Some(id) {
                    return Ok((text, Some(id.to_string())));
                }
            }
        }
        Ok((text, None))
    }

    /// Every id of a revision, removed models included, in order.
    ///
    /// # Errors
    /// [`BackupError`] when the table does not answer.
    pub async fn ids_of(&self, head: &Manifest) -> Result<Vec<ModelId>, BackupError> {
        let mut nodes = Nodes::default();
        for root in [head.roots.models, head.roots.tombstones] {
            self.load_tree(&root, &mut nodes).await?;
        }
        let ids = catalogue::ids(&nodes, &head.roots).map_err(EditError::from)?;
        Ok(ids.iter().filter_map(|id| ModelId::parse(id).ok()).collect())
    }

    /// Makes the catalogue of a backup, on tables that are empty.
    ///
    /// # Errors
    /// [`BackupError`] when they are not, or do not answer. One that dies on the way leaves tables that are not empty.
    pub async fn restore_backup(&self, backup: &Backup, now: Timestamp) -> Result<Manifest, BackupError> {
        if self.head(true).await?.is_some() || !self.all_records().await?.is_empty() {
            return Err(BackupError::NotEmpty);
        }
        let lease = self.acquire_lease("restore", now, LEASE).await?.ok_or(BackupError::Busy)?;
        let restored = self.write_backup(backup, &lease, now).await;
        self.release_lease(&lease).await?;
        restored
    }

    async fn write_backup(
        &self,
        backup: &Backup,
        lease: &crate::Lease,
        now: Timestamp,
    ) -> Result<Manifest, BackupError> {
        let mut nodes = Nodes::default();
        let changes = backup.models.iter().map(|(id, KeptModel { path, record })| {
            let path = path.as_deref().map(Into::into);
            let change = match record.tombstone {
                true => Change::Tombstone(&record.spec),
                false => Change::Present { model: &record.spec, path, in_place: false },
            };
            (id.clone(), change)
        });
        let mut next = catalogue::edit(&nodes, &catalogue::Roots::empty(), &changes.collect())?;
        for (id, KeptModel { record, .. }) in &backup.models {
            // What is removed comes to nobody, whatever its record still says.
            if let Some(status) = record.status.rollout.as_ref().filter(|_| !record.tombstone) {
                next.set_rollout(&nodes, id, Some(status))?;
                next.fresh.iter().for_each(|(id, node)| nodes.insert(*id, node.clone()));
            }
        }
        let appeared = backup.models.iter().map(|(id, model)| (id.clone(), model.record.created_at)).collect();
        next.note_appearances(&nodes, &appeared).map_err(EditError::from)?;
        let policy = canonical::to_string(&backup.header.policy)?;
        let policy_id = NodeId::of(policy.as_bytes());
        let of_api = |model: &&KeptModel| matches!(model.record.origin, Origin::Api(_)) && !model.record.tombstone;
        let manifest = Manifest {
            revision: backup.header.revision.max(1),
            commit: backup.header.commit.clone(),
            roots: next.roots,
            api_models: backup.models.values().filter(of_api).count() as u64,
            policy: (backup.header.policy != Policy::default()).then_some(policy_id),
            published_at: now,
        };
        for entries in backup.history.values() {
            self.put_history(entries).await?;
        }
        self.put_chunks(&next.fresh, manifest.policy.map(|id| (id, policy.as_str()))).await?;
        let write = |model: &KeptModel| RecordWrite { record: model.record.clone(), read_seq: None };
        let writes: Vec<RecordWrite> = backup.models.values().map(write).collect();
        let days = backup.header.policy.retention.revision_days;
        let publication = Publication {
            previous: None,
            next: &manifest,
            retention_seconds: i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400),
            half_way: BTreeSet::new(),
        };
        self.publish(lease, &writes, &publication).await?;
        Ok(manifest)
    }

    /// The file that the index knows a model by.
    async fn path_of(&self, head: &Manifest, id: &ModelId, nodes: &mut Nodes) -> Result<Option<String>, BackupError> {
        loop {
            let catalogue = Catalogue::new(nodes, &head.roots);
            let holder = catalogue.holder(&id.folded()).map_err(EditError::from)?;
            match catalogue.complete() {
                Ok(()) => return Ok(holder.and_then(|holder| holder.path).map(|path| path.to_string())),
                Err(Missing(ids)) => self.load_nodes(&ids, nodes).await?,
            }
        }
    }
}

/// Puts a line behind the others.
fn push(text: &mut String, line: &Line) -> Result<(), serde_json::Error> {
    text.push_str(&serde_json::to_string(line)?);
    text.push('\n');
    Ok(())
}
