//! What the tables hold of a model, and the history that follows from it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diff::{self, FieldChange};
use crate::model::{Model, ModelId};
use crate::plan::{Operation, Step};
use crate::status::Status;

/// Who answers for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A file of the repository.
    Git(GitOrigin),
    /// The admin API; the subject of the token that created it.
    Api(String),
}

/// The file that a model comes from, and the change that brought it to what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitOrigin {
    /// The repository, without credentials.
    pub repository: String,
    /// The file, from the root of the repository.
    pub path: String,
    /// The object id of the file's content; the last one for a removed file.
    pub blob: String,
    /// The commit that last changed the model.
    pub commit: String,
    /// The pull request of that commit, where its message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// The commit's author.
    pub author: String,
}

/// Why a record is what it is: kept beside it, and copied to its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeNote {
    /// What was done, in the order of doing.
    pub operations: Vec<Operation>,
    /// Who did it: a commit's author, or a token's subject.
    pub actor: String,
    /// Why: a commit's subject, or the reason given.
    pub reason: String,
    /// Which way it came: `git`, `api` or `clock`.
    pub source: String,
    /// When it was decided: a commit's time, which its author chooses, or the request's.
    pub at: Timestamp,
    /// When it was applied, by our own clock: what the audit is ordered by.
    pub applied_at: Timestamp,
    /// The commit, for changes by Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The pull request, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// The published revision that shows it.
    pub revision: u64,
    /// The run or request that did it.
    pub correlation_id: String,
}

/// One item of the models table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// What Git or the API asked for.
    pub spec: Model,
    /// What time has made of it.
    #[serde(default, skip_serializing_if = "Status::is_empty")]
    pub status: Status,
    /// Who answers for it.
    pub origin: Origin,
    /// One more with every change, from 1.
    pub seq: u64,
    /// Whether its file is gone: the id stays reserved.
    pub tombstone: bool,
    /// The change that made it so.
    pub change: ChangeNote,
    /// How it came to be archived, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archival>,
    /// While something else is live than its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
    /// When the id first appeared.
    pub created_at: Timestamp,
}

/// Something else than a model's file says, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Who, why and until when.
    pub terms: OverrideTerms,
    /// The object id of the file's content that it takes the place of.
    pub blob: String,
    /// What that file says: the model goes back to it.
    pub spec: Model,
}

/// Who overrides a model, why and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideTerms {
    /// Who: the subject of a token.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
}

impl OverrideTerms {
    /// The longest override, in hours: a week. What is to stay longer belongs in the file.
    pub const MAX_HOURS: i64 = 7 * 24;
}

/// How a model came to be archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archival {
    /// Who archived it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Record {
    /// The record after a step.
    #[must_use]
    pub fn after(old: Option<&Self>, step: &Step, origin: Origin, change: ChangeNote) -> Self {
        let status = old.map(|old| old.status.kept(&step.after)).unwrap_or_default();
        let is_archived = step.after.is_archived || step.tombstone || status.sunset_reached.is_some();
        let begins = old.is_none() || step.operations.contains(&Operation::Archive);
        let archived = match is_archived && begins {
            true => Some(Archival { actor: change.actor.clone(), reason: change.reason.clone(), at: change.at }),
            false => old.and_then(|old| old.archived.clone()).filter(|_| is_archived),
        };
        Self {
            spec: step.after.clone(),
            status,
            origin,
            seq: old.map_or(1, |old| old.seq + 1),
            tombstone: step.tombstone,
            created_at: old.map_or(change.at, |old| old.created_at),
            archived,
            // Whatever changes the model ends its override, or puts another in its place.
            overridden: None,
            change,
        }
    }

    /// What its file says, or the API: the spec, unless it is overridden.
    #[must_use]
    pub fn described(&self) -> &Model {
        self.overridden.as_ref().map_or(&self.spec, |overridden| &overridden.spec)
    }

    /// Whether it is archived: by what was asked for, because its file is gone, or by a sunset that it has reached.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.spec.is_archived || self.tombstone || self.status.sunset_reached.is_some()
    }

    /// The fields whose changes are its history: those of the spec, and the status beside them where there is one.
    ///
    /// # Errors
    /// Whatever `serde_json` says when it cannot write.
    pub fn state(&self) -> Result<serde_json::Value, serde_json::Error> {
        let mut state = serde_json::to_value(&self.spec)?;
        if !self.status.is_empty() {
            state["status"] = serde_json::to_value(&self.status)?;
        }
        Ok(state)
    }
}

/// One entry of the history table: one change of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The model.
    pub model_id: ModelId,
    /// The record's `seq` after the change.
    pub seq: u64,
    /// Which fields changed.
    pub changes: Vec<FieldChange>,
    /// Who did what, when and why.
    pub change: ChangeNote,
}

impl HistoryEntry {
    /// The entry for a record's step from `old` to `new`.
    ///
    /// # Errors
    /// Whatever `serde_json` says when a spec cannot be written as JSON.
    pub fn between(old: Option<&Record>, new: &Record) -> Result<Self, serde_json::Error> {
        let before = old.map_or(Ok(serde_json::Value::Object(serde_json::Map::new())), Record::state)?;
        let mut changes = diff::fields(&before, &new.state()?);
        let was_tombstone = old.is_some_and(|old| old.tombstone);
        if was_tombstone != new.tombstone {
            changes.push(FieldChange {
                path: "/tombstone".to_owned(),
                old: Some(was_tombstone.into()),
                new: Some(new.tombstone.into()),
            });
        }
        Ok(Self { model_id: new.spec.id.clone(), seq: new.seq, changes, change: new.change.clone() })
    }
}
