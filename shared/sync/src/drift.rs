//! Drift: where the models table does not say what the repository says, and putting it right.

use std::collections::HashMap;

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::diff::{self, FieldChange};
use roster_core::model::Model;
use roster_core::plan::{self, Asker, Desired, Operation};
use roster_core::record::{ChangeNote, GitOrigin, Origin, OverrideTerms, Record};
use roster_core::status::Status;
use roster_git::{BlobId, CommitId};
use roster_store::models::RecordWrite;
use serde::Serialize;

use crate::read::{ReadCommit, Scope, read};
use crate::reconcile::{Options, Reconciler, SyncError, give_back};

/// How a record differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The branch's tip asks for another state than the live commit, and is not applied: it is held or rejected, or
    /// the next sync applies it.
    Pending,
    /// An admin put something else in the place of what the file says, for a time.
    Overridden,
    /// Something else than Roster changed the record.
    Edited,
    /// Something else than Roster removed the record.
    Missing,
    /// Something else than Roster made a record that no file describes.
    Unknown,
}

/// One model whose record is not what the repository says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The model.
    pub id: ModelId,
    /// Its file; empty when it has none.
    pub path: String,
    /// How it differs.
    pub kind: DriftKind,
    /// Who overrides it, why and until when.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub terms: Option<OverrideTerms>,
    /// From what the repository says to what the table holds.
    pub changes: Vec<FieldChange>,
    /// The last change of the record that Roster made: who, when and why.
    pub last_change: Option<ChangeNote>,
}

/// Every difference between the repository and the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// When it was looked at.
    pub checked_at: Timestamp,
    /// The commit that is live; absent before the first sync.
    pub live: Option<String>,
    /// The branch's tip.
    pub tip: String,
    /// How many models were compared.
    pub models: usize,
    /// The differences, by model.
    pub drift: Vec<Drift>,
    /// How many records were put right.
    pub healed: usize,
}

/// Which records are compared with the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// Those of the models that have a file: each is read by its key.
    Files,
    /// Every record of the table, which also finds those without a file.
    Table,
}

impl Reconciler {
    /// Compares the repository with the table.
    ///
    /// # Errors
    /// [`SyncError`] when the repository or the tables fail.
    pub async fn drift(&self, options: &Options, breadth: Breadth) -> Result<DriftReport, SyncError> {
        let (report, _) = self.compare(options, breadth, false).await?;
        Ok(report)
    }

    /// Compares the repository with the whole table, and puts right what something else than Roster changed.
    ///
    /// A record is put back as it was, `seq` and all: its history says what it was, and stays whole. What is
    /// overridden is left alone: a sync ends that.
    ///
    /// # Errors
    /// [`SyncError`] when the repository or the tables fail; [`SyncError::Busy`] while a sync is at work.
    pub async fn heal(&self, options: &Options) -> Result<DriftReport, SyncError> {
        let store = self.store.metered();
        let mut session = self.session(&store, options).await?;
        let heartbeat = self.take_lease(&mut session).await?;
        let healed = async {
            let (mut report, restored) = self.compare(options, Breadth::Table, true).await?;
            if let Some(lease) = &session.lease {
                for write in restored {
                    store.restore(lease, &write).await?;
                    report.healed += 1;
                }
            }
            Ok(report)
        }
        .await;
        drop(heartbeat);
        if let Some(lease) = &session.lease {
            give_back(&store, lease).await;
        }
        healed
    }

    /// The differences, and the records that put right those of them that nobody asked for.
    async fn compare(
        &self,
        options: &Options,
        breadth: Breadth,
        heals: bool,
    ) -> Result<(DriftReport, Vec<RecordWrite>), SyncError> {
        let tip = self.tip(options).await?;
        let head = self.store.head(true).await?;
        let live = head.as_ref().and_then(|head| head.commit.as_deref()).map(str::parse::<CommitId>).transpose()?;
        let mut report = DriftReport {
            checked_at: (self.clock)(),
            live: live.map(|live| live.to_string()),
            tip: tip.to_string(),
            models: 0,
            drift: Vec::new(),
            healed: 0,
        };
        let Some(live) = live else { return Ok((report, Vec::new())) };
        let whole = self.repo.with(move |repository| read(repository, &Scope::Whole, live)).await?;
        let files: HashMap<ModelId, (&str, &Model)> = whole
            .proposal
            .present
            .iter()
            .map(|sourced| (sourced.model.id.clone(), (sourced.document.path(), &sourced.model)))
            .collect();
        let mut records = match breadth {
            Breadth::Files => self.store.records(files.keys()).await?,
            Breadth::Table => {
                let all = self.store.all_records().await?;
                all.into_iter().map(|record| (record.spec.id.clone(), record)).collect()
            }
        };
        report.models = files.len();
        if tip != live {
            let next = self.repo.with(move |repository| read(repository, &Scope::Since(vec![live]), tip)).await?;
            report.drift.extend(pending(&next, &records));
        }
        let mut restored = Vec::new();
        for (id, (path, model)) in &files {
            let record = records.remove(id);
            let kind = match &record {
                None => DriftKind::Missing,
                Some(record) if record.overridden.is_some() => DriftKind::Overridden,
                Some(record) if record.spec == **model && !record.tombstone => continue,
                Some(_) => DriftKind::Edited,
            };
            if let Some(file) = whole.blobs.get(id).filter(|_| heals && kind != DriftKind::Overridden) {
                restored.extend(self.as_it_was(model, file, record.as_ref()).await?);
            }
            report.drift.push(Drift {
                id: id.clone(),
                path: (*path).to_owned(),
                kind,
                terms: terms(record.as_ref()),
                changes: between(Some(model), record.as_ref().map(|record| &record.spec)),
                last_change: record.map(|record| record.change),
            });
        }
        if breadth == Breadth::Table {
            report.drift.extend(records.into_values().filter_map(unknown));
        }
        report.drift.sort_by(|one, other| one.id.cmp(&other.id).then((one.kind as u8).cmp(&(other.kind as u8))));
        Ok((report, restored))
    }

    /// The record as it was before something else changed or removed it; none when its history does not say.
    async fn as_it_was(
        &self,
        model: &Model,
        (path, blob): &(String, BlobId),
        record: Option<&Record>,
    ) -> Result<Option<RecordWrite>, SyncError> {
        let history = self.store.history(&model.id, None, usize::from(u16::MAX)).await?;
        let (Some(newest), Some(first)) = (history.first(), history.last()) else { return Ok(None) };
        // What was overridden when it was removed is in no file: it stays missing, for somebody to look at.
        if record.is_none() && newest.change.operations.contains(&Operation::PlaceOverride) {
            return Ok(None);
        }
        let restored = match record {
            // The history may be a moment behind, so the record's own word counts, unless it went back.
            Some(record) if record.seq >= newest.seq => {
                Record { spec: model.clone(), tombstone: false, ..record.clone() }
            }
            _ => Record {
                spec: model.clone(),
                status: Status::replayed(history.iter().rev()).kept(model),
                origin: Origin::Git(GitOrigin {
                    repository: self.repo.name.to_string(),
                    path: path.clone(),
                    blob: blob.to_string(),
                    commit: newest.change.commit.clone().unwrap_or_default(),
                    pull_request: newest.change.pull_request,
                    author: newest.change.actor.clone(),
                }),
                seq: newest.seq,
                tombstone: false,
                change: newest.change.clone(),
                archived: record.and_then(|record| record.archived.clone()),
                overridden: None,
                created_at: first.change.at,
            },
        };
        Ok(Some(RecordWrite { read_seq: record.map(|record| record.seq), record: restored }))
    }
}

/// What the tip asks for that is not so yet.
fn pending(next: &ReadCommit, records: &HashMap<ModelId, Record>) -> Vec<Drift> {
    let desired = |model: &Model| Desired::Present(Box::new(model.clone()));
    let present = next
        .proposal
        .present
        .iter()
        .map(|sourced| (sourced.model.id.clone(), sourced.document.path().to_owned(), desired(&sourced.model)));
    let absent = next.proposal.absent.iter().map(|(id, path)| (id.clone(), path.clone(), Desired::Absent));
    let drift = |(id, path, desired): (ModelId, String, Desired)| {
        let record = records.get(&id);
        let step = plan::step(&id, record, &desired, Asker::Git)?;
        let after = (!step.tombstone).then_some(&step.after);
        let changes = between(after, record.map(|record| &record.spec));
        let last_change = record.map(|record| record.change.clone());
        Some(Drift { id, path, kind: DriftKind::Pending, terms: terms(record), changes, last_change })
    };
    present.chain(absent).filter_map(drift).collect()
}

/// A record of the repository without a file, unless it is a removed one's.
fn unknown(record: Record) -> Option<Drift> {
    let Origin::Git(origin) = &record.origin else { return None };
    if record.tombstone {
        return None;
    }
    Some(Drift {
        id: record.spec.id.clone(),
        path: origin.path.clone(),
        kind: DriftKind::Unknown,
        terms: None,
        changes: between(None, Some(&record.spec)),
        last_change: Some(record.change),
    })
}

fn terms(record: Option<&Record>) -> Option<OverrideTerms> {
    Some(record?.overridden.as_ref()?.terms.clone())
}

fn between(one: Option<&Model>, other: Option<&Model>) -> Vec<FieldChange> {
    let value = |model: Option<&Model>| match model {
        Some(model) => serde_json::to_value(model).unwrap_or_default(),
        None => serde_json::Value::Object(serde_json::Map::new()),
    };
    diff::fields(&value(one), &value(other))
}
