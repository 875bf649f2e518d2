//! Reading a commit: only the files that differ, each parsed and checked by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roster_core::document::{self, Problem};
use roster_core::plan::Asker;
use roster_core::propose::Asked;
use roster_core::validate::{self, CATALOG, FileRole, Proposal};
use roster_core::{ModelId, Policy};
use roster_git::{Blob, BlobId, ChangeKind, CommitId, Entry, EntryKind, GitError, Repository};
use serde::Deserialize;

use crate::signed::read_policy;

/// Which files a commit is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of earlier commits: the last applied one, and one that was left half way.
    Since(Vec<CommitId>),
    /// None: every file is read.
    Whole,
}

/// What a commit asks for, as far as its files say.
#[derive(Clone, Debug, Default)]
pub struct ReadCommit {
    /// The models that it describes anew, and those whose file is gone.
    pub proposal: Proposal,
    /// The content of each model's file.
    pub blobs: BTreeMap<ModelId, (String, BlobId)>,
    /// The policy, when its file changed; the inner `None` when the file is gone.
    pub policy: Option<Option<Policy>>,
    /// Every mistake in the files.
    pub problems: Vec<Problem>,
}

/// Reads what a commit changes.
///
/// # Errors
/// [`GitError`] when the repository cannot be read.
pub fn read(repository: &Repository, scope: &Scope, commit: CommitId) -> Result<ReadCommit, GitError> {
    let mut files: BTreeMap<String, (Option<Entry>, BTreeSet<BlobId>)> = BTreeMap::new();
    let bases: Vec<Option<CommitId>> = match scope {
        Scope::Since(bases) => bases.iter().copied().map(Some).collect(),
        Scope::Whole => vec![None],
    };
    for base in bases {
        for change in repository.diff(base, commit, CATALOG)? {
            let (new, old) = match change.kind {
                ChangeKind::Added(to) => (Some(to), None),
                ChangeKind::Modified { from, to } => (Some(to), Some(from)),
                ChangeKind::Deleted(from) => (None, Some(from)),
            };
            let (entry, olds) = files.entry(change.path).or_default();
            *entry = new;
            olds.extend(old.map(|old| old.id));
        }
    }
    // With two, an old content may be of the commit that was left half way, and say nothing of what is published.
    let has_one_base = matches!(scope, Scope::Since(bases) if bases.len() == 1);
    // Where everything is read, a policy that is not found is one that is not there.
    let policy = (*scope == Scope::Whole).then_some(None);
    let mut read = ReadCommit { policy, ..ReadCommit::default() };
    for (path, (entry, olds)) in files {
        match validate::role(&path) {
            FileRole::Model => read.model(repository, path, entry, olds, has_one_base)?,
            FileRole::Policy => read.policy(repository, &path, entry)?,
            FileRole::Other => {}
        }
    }
    for sourced in &read.proposal.present {
        read.proposal.absent.remove(&sourced.model.id);
    }
    Ok(read)
}

impl ReadCommit {
    /// What it asks for, to be judged.
    #[must_use]
    pub fn asked(&self) -> Asked<'_> {
        let (proposal, problems) = (&self.proposal, self.problems.as_slice());
        Asked { proposal, problems, policy_changes: self.policy.is_some(), asker: Asker::Git }
    }

    fn model(
        &mut self,
        repository: &Repository,
        path: String,
        entry: Option<Entry>,
        olds: BTreeSet<BlobId>,
        has_one_base: bool,
    ) -> Result<(), GitError> {
        let olds = olds.into_iter().filter_map(|old| id_of(repository, old).transpose());
        let olds: Vec<ModelId> = olds.collect::<Result<_, _>>()?;
        if let Some(entry) = entry {
            let sourced = match content(repository, &path, entry)? {
                Ok(bytes) => validate::read_model(&path, &bytes),
                Err(problem) => Err(vec![problem]),
            };
            match sourced {
                Ok(sourced) => {
                    if has_one_base && olds.contains(&sourced.model.id) {
                        self.proposal.in_place.insert(sourced.model.id.clone());
                    }
                    self.blobs.insert(sourced.model.id.clone(), (path.clone(), entry.id));
                    self.proposal.present.push(Arc::new(sourced));
                }
                Err(problems) => {
                    // Nobody can say whether the file still holds its models.
                    self.problems.extend(problems);
                    self.proposal.unreadable.extend(validate::possible_ids(&path));
                    self.proposal.unreadable.extend(olds.iter().map(ToString::to_string));
                    self.proposal.touched.insert(path);
                    return Ok(());
                }
            }
        }
        self.proposal.absent.extend(olds.into_iter().map(|id| (id, path.clone())));
        self.proposal.touched.insert(path);
        Ok(())
    }

    fn policy(&mut self, repository: &Repository, path: &str, entry: Option<Entry>) -> Result<(), GitError> {
        let Some(entry) = entry else {
            self.policy = Some(None);
            return Ok(());
        };
        let policy = match content(repository, path, entry)? {
            Ok(bytes) => read_policy(path, &bytes),
            Err(problem) => Err(vec![problem]),
        };
        match policy {
            Ok(policy) => self.policy = Some(Some(policy)),
            Err(problems) => self.problems.extend(problems),
        }
        Ok(())
    }
}

/// A file's bytes, or why it can have none.
fn content(repository: &Repository, path: &str, entry: Entry) -> Result<Result<Vec<u8>, Problem>, GitError> {
    let refuse = |message: &str| Ok(Err(Problem::of_file(path, message)));
    match entry.kind {
        EntryKind::File | EntryKind::Executable => match repository.blob(entry.id, document::MAX_BYTES)? {
            Blob::Content(bytes) => Ok(Ok(bytes)),
            Blob::TooLarge { bytes } => refuse(&document::too_large(bytes)),
        },
        EntryKind::Symlink => refuse("is a symbolic link: write the file itself"),
        EntryKind::Submodule => refuse("is a submodule: write the files themselves"),
        EntryKind::NonUtf8Path => refuse("the path is not UTF-8: rename the file"),
    }
}

/// The id that an earlier content of a file had; content that never was a model has none.
fn id_of(repository: &Repository, blob: BlobId) -> Result<Option<ModelId>, GitError> {
    #[derive(Deserialize)]
    struct IdOnly {
        id: ModelId,
    }
    match repository.blob(blob, document::MAX_BYTES)? {
        Blob::Content(bytes) => Ok(serde_json::from_slice::<IdOnly>(&bytes).ok().map(|only| only.id)),
        Blob::TooLarge { .. } => Ok(None),
    }
}
