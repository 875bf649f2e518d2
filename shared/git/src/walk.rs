use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Commit, CommitId, GitError, Repository};

/// The first-parent commits that lead from one commit to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// The commits after the base up to and including the tip, oldest first.
    Linear(Vec<CommitId>),
    /// The base is not on the tip's first-parent chain: history was rewritten.
    Diverged,
    /// The base was not met within the limit.
    TooLong {
        /// The number of commits that were walked.
        limit: usize,
    },
}

impl Repository {
    /// Walks first parents from `tip` back to `base`, or to the first commit without one, and no
    /// further than `limit` commits.
    ///
    /// On a shallow clone this fails when the walk meets the boundary, and only then: behind it
    /// may lie the base.
    pub fn first_parent(&self, base: Option<CommitId>, tip: CommitId, limit: Option<usize>) -> Result<Walk, GitError> {
        // A base that was never fetched would cost a walk to the root to say the same.
        if base.is_some_and(|base| !self.knows(base) && !self.is_shallow()) {
            return Ok(Walk::Diverged);
        }
        let mut chain = Vec::new();
        let mut next = Some(tip);
        while let Some(id) = next {
            if Some(id) == base {
                chain.reverse();
                return Ok(Walk::Linear(chain));
            }
            if let Some(limit) = limit.filter(|limit| chain.len() >= *limit) {
                return Ok(Walk::TooLong { limit });
            }
            chain.push(id);
            next = self.parent(id)?;
        }
        if base.is_some() {
            return Ok(Walk::Diverged);
        }
        chain.reverse();
        Ok(Walk::Linear(chain))
    }

    /// The newest commits on the first-parent chain of `tip`, newest first, at most `limit`. A tip that is not there,
    /// and the boundary of a shallow clone, end it.
    pub fn newest(&self, tip: Option<CommitId>, limit: usize) -> Result<Vec<CommitId>, GitError> {
        let mut chain = Vec::new();
        let mut next = tip.filter(|tip| self.knows(*tip));
        while let Some(id) = next.filter(|_| chain.len() < limit) {
            chain.push(id);
            next = match self.parent(id) {
                Err(GitError::Shallow { .. }) => None,
                parent => parent?,
            };
        }
        Ok(chain)
    }

    /// For each path, the newest commit on the first-parent chain from `tip` down to, and without,
    /// `base` that changed it.
    ///
    /// Only files below `prefix` are looked at, and at most `max_commits` commits. A path that none
    /// of them changed is not in the result: naming any commit for it would blame someone who did
    /// not touch it. The boundary of a shallow clone ends the walk, as nobody can say what the
    /// commit there changed.
    pub fn attribute(
        &self,
        paths: &BTreeSet<String>,
        base: Option<CommitId>,
        tip: CommitId,
        max_commits: usize,
        prefix: &str,
    ) -> Result<BTreeMap<String, Arc<Commit>>, GitError> {
        let mut found = BTreeMap::new();
        let mut next = Some(tip);
        for _ in 0..max_commits {
            let Some(id) = next.filter(|id| Some(*id) != base && found.len() < paths.len()) else {
                break;
            };
            let parent = match self.parent(id) {
                Err(GitError::Shallow { .. }) => break,
                parent => parent?,
            };
            let mut commit = None;
            for change in self.diff(parent, id, prefix)? {
                if !paths.contains(&change.path) || found.contains_key(&change.path) {
                    continue;
                }
                let commit = match &commit {
                    Some(commit) => commit,
                    None => commit.insert(Arc::new(self.commit(id)?)),
                };
                found.insert(change.path, Arc::clone(commit));
            }
            next = parent;
        }
        Ok(found)
    }

    fn parent(&self, id: CommitId) -> Result<Option<CommitId>, GitError> {
        let commit = self.find_commit(id)?;
        let parent = commit.iter().parent_ids().next().map(CommitId);
        if parent.is_some() && self.is_shallow_boundary(id)? {
            return Err(GitError::Shallow { repository: self.name(), boundary: id });
        }
        Ok(parent)
    }
}
