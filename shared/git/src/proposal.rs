use gix::bstr::BString;
use gix::objs::Kind;
use gix::objs::tree::EntryKind;
use gix::refs::transaction::{PreviousValue, RefEdit};
use gix::refs::{Category, FullName};
use jiff::Timestamp;

use crate::location::Place;
use crate::{BlobId, CommitId, GitError, Repository};

/// A change of one file, as a branch with one commit on top of another branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The branch that holds it, by its short name.
    pub branch: String,
    /// The branch that it is for.
    pub base: String,
    /// The file, from the root of the repository.
    pub path: String,
    /// What the file is to hold.
    pub content: String,
    /// The message of the commit.
    pub message: String,
    /// Who wrote the change.
    pub author_name: String,
    /// The author's address.
    pub author_email: String,
    /// When.
    pub at: Timestamp,
    /// The blob that the file is on the base, as whoever proposes has seen it; none for a file that is new.
    pub expected: Option<BlobId>,
}

/// What came of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposed {
    /// The commit that the branch points at.
    pub commit: CommitId,
    /// Whether it is new.
    pub created: bool,
}

impl Repository {
    /// The file at a path of a commit, if there is one.
    pub fn file(&self, commit: CommitId, path: &str) -> Result<Option<BlobId>, GitError> {
        let tree = self.find_commit(commit)?.tree().map_err(|error| self.corrupt(commit.0, error))?;
        let entry = tree.lookup_entry_by_path(path).map_err(|error| self.corrupt(tree.id, error))?;
        Ok(entry.filter(|entry| entry.mode().is_blob()).map(|entry| BlobId(entry.object_id())))
    }

    /// Writes a proposal's commit and its branch, in a repository on this machine.
    ///
    /// A branch that holds the same content already, and is not merged yet, is left as it is. One that is merged is
    /// begun anew. Nothing that is checked out changes.
    pub fn propose(&self, proposal: &Proposal) -> Result<Proposed, GitError> {
        let Place::Path(_) = &self.location().0 else {
            return Err(GitError::NotLocal { repository: self.name() });
        };
        let base = self.branch_tip(&proposal.base)?;
        if self.file(base, &proposal.path)? != proposal.expected {
            return Err(self.moved(&proposal.base));
        }
        let existing = match self.branch_tip(&proposal.branch) {
            Ok(tip) => Some(tip),
            Err(GitError::UnknownBranch { .. }) => None,
            Err(error) => return Err(error),
        };
        let blob = gix::objs::compute_hash(self.git().object_hash(), Kind::Blob, proposal.content.as_bytes())
            .map_err(|error| self.unwritable("a file", error))?;
        if let Some(tip) = existing
            && self.file(tip, &proposal.path)? == Some(BlobId(blob))
            && !self.holds(base, tip)?
        {
            return Ok(Proposed { commit: tip, created: false });
        }
        let commit = self.write_commit(base, proposal)?;
        let previous = match existing {
            Some(tip) => PreviousValue::MustExistAndMatch(tip.0.into()),
            None => PreviousValue::MustNotExist,
        };
        let name: FullName = Category::LocalBranch
            .to_full_name(proposal.branch.as_str())
            .map_err(|error| self.unwritable("a branch", error))?;
        let edit = RefEdit::update(name, commit.0, previous, BString::from("proposal: by the admin API"));
        let (name, email) = signature(proposal);
        let time = seconds(proposal.at);
        let committer =
            gix::actor::SignatureRef { name: name.as_str().into(), email: email.as_str().into(), time: &time };
        // Whoever else moves the branch meanwhile is not overwritten.
        self.git().edit_references_as([edit], Some(committer)).map_err(|_| self.moved(&proposal.branch))?;
        Ok(Proposed { commit, created: true })
    }

    fn write_commit(&self, base: CommitId, proposal: &Proposal) -> Result<CommitId, GitError> {
        let git = self.git();
        let blob = git.write_blob(&proposal.content).map_err(|error| self.unwritable("a file", error))?;
        let tree = self.find_commit(base)?.tree_id().map_err(|error| self.corrupt(base.0, error))?;
        let tree = {
            let mut editor = git.edit_tree(tree).map_err(|error| self.unwritable("a tree", error))?;
            editor
                .upsert(proposal.path.as_str(), EntryKind::Blob, blob)
                .map_err(|error| self.unwritable("a tree", error))?;
            editor.write().map_err(|error| self.unwritable("a tree", error))?
        };
        let (name, email) = signature(proposal);
        let time = seconds(proposal.at);
        let author = gix::actor::SignatureRef { name: name.as_str().into(), email: email.as_str().into(), time: &time };
        let commit = git
            .new_commit_as(author, author, &proposal.message, tree, [base.0])
            .map_err(|error| self.unwritable("a commit", error))?;
        Ok(CommitId(commit.id))
    }

    /// Whether a commit is in the history of another.
    fn holds(&self, tip: CommitId, commit: CommitId) -> Result<bool, GitError> {
        let common = self.git().merge_base(tip.0, commit.0);
        let common = common.map_err(|error| self.unreadable("the history", error))?;
        Ok(common.is_some_and(|common| common.detach() == commit.0))
    }

    fn moved(&self, branch: &str) -> GitError {
        GitError::Moved { repository: self.name(), branch: branch.to_owned() }
    }
}

/// A name and an address as a commit can hold them.
fn signature(proposal: &Proposal) -> (String, String) {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect::<String>();
    (plain(&proposal.author_name).trim().to_owned(), plain(&proposal.author_email).trim().to_owned())
}

fn seconds(at: Timestamp) -> String {
    format!("{} +0000", at.as_second())
}
