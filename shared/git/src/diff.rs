use std::fmt::Write as _;

use gix::bstr::ByteSlice;
use gix::diff::tree::recorder::Change;
use gix::diff::tree::{Recorder, State};
use gix::objs::TreeRefIter;
use gix::objs::tree::{self, EntryMode};

use crate::{BlobId, CommitId, GitError, Repository, TreeId};

/// A file that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path from the repository's root, separated by `/`.
    ///
    /// When the path is not UTF-8, the entry's kind is [`EntryKind::NonUtf8Path`] and this is the
    /// path for people to read, with the offending bytes written as `\xff`.
    pub path: String,
    /// What happened to the file.
    pub kind: ChangeKind,
}

/// What happened to a file. A rename is a deletion and an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the newer tree has it.
    Added(Entry),
    /// Both trees have it, with another content or kind.
    Modified {
        /// The older tree's entry.
        from: Entry,
        /// The newer tree's entry.
        to: Entry,
    },
    /// Only the older tree has it.
    Deleted(Entry),
}

/// What a tree holds at a path that is not a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The content; for a submodule, a commit of another repository.
    pub id: BlobId,
    /// What kind of file it is.
    pub kind: EntryKind,
}

/// The kind of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link, whose content is its target.
    Symlink,
    /// A submodule, which has no content here.
    Submodule,
    /// Anything whose path is not UTF-8.
    NonUtf8Path,
}

impl Repository {
    /// The files below the directory `prefix` that differ between two commits, in order of their
    /// paths' bytes; without `base`, every file. An empty `prefix` means the whole tree.
    ///
    /// Trees are compared by object id, so a directory that did not change is never opened, and no
    /// file is ever read.
    pub fn diff(&self, base: Option<CommitId>, head: CommitId, prefix: &str) -> Result<Vec<FileChange>, GitError> {
        let before = base.map(|base| self.subtree(base, prefix)).transpose()?.flatten();
        let after = self.subtree(head, prefix)?;
        if before == after {
            return Ok(Vec::new());
        }
        let mut changes: Vec<_> = self.tree_changes(before, after)?.into_iter().filter_map(file_change).collect();
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));

        let directory = prefix.trim_matches('/');
        Ok(changes
            .into_iter()
            .map(|(path, kind)| match directory {
                "" => named(&path, kind),
                _ => named(&[directory.as_bytes(), b"/", &path[..]].concat(), kind),
            })
            .collect())
    }

    /// The tree at the directory `prefix` of a commit; `None` when there is none, or a file.
    pub fn subtree(&self, commit: CommitId, prefix: &str) -> Result<Option<TreeId>, GitError> {
        let commit_object = self.find_commit(commit)?;
        let mut tree = commit_object.tree_id().map_err(|error| self.corrupt(commit.0, error))?.detach();
        for name in prefix.split('/').filter(|name| !name.is_empty()) {
            let parent = self.find_object(tree, gix::objs::Kind::Tree)?.into_tree();
            match parent.find_entry(name) {
                Some(entry) if entry.mode().is_tree() => tree = entry.object_id(),
                _ => return Ok(None),
            }
        }
        Ok(Some(TreeId(tree)))
    }

    fn tree_changes(&self, before: Option<TreeId>, after: Option<TreeId>) -> Result<Vec<Change>, GitError> {
        let read = |tree: Option<TreeId>| match tree {
            Some(id) => self.find_object(id.0, gix::objs::Kind::Tree).map(|tree| tree.data.clone()),
            None => Ok(Vec::new()),
        };
        let (before, after) = (read(before)?, read(after)?);
        let hash = self.git().object_hash();
        let mut recorder = Recorder::default();
        gix::diff::tree(
            TreeRefIter::from_bytes(&before, hash),
            TreeRefIter::from_bytes(&after, hash),
            State::default(),
            &self.git().objects,
            &mut recorder,
        )
        .map_err(|error| self.unreadable("the trees", error))?;
        Ok(recorder.records)
    }
}

/// Directories are of no interest, and neither are modes that git itself takes for the same.
fn file_change(change: Change) -> Option<(Vec<u8>, ChangeKind)> {
    let (path, kind) = match change {
        Change::Addition { entry_mode, oid, path, .. } => (path, ChangeKind::Added(entry(entry_mode, oid)?)),
        Change::Deletion { entry_mode, oid, path, .. } => (path, ChangeKind::Deleted(entry(entry_mode, oid)?)),
        Change::Modification { previous_entry_mode, previous_oid, entry_mode, oid, path } => {
            let kind = match (entry(previous_entry_mode, previous_oid), entry(entry_mode, oid)) {
                (Some(from), Some(to)) if from == to => return None,
                (Some(from), Some(to)) => ChangeKind::Modified { from, to },
                (None, Some(to)) => ChangeKind::Added(to),
                (Some(from), None) => ChangeKind::Deleted(from),
                (None, None) => return None,
            };
            (path, kind)
        }
    };
    Some((path.into(), kind))
}

fn entry(mode: EntryMode, id: gix::ObjectId) -> Option<Entry> {
    let kind = match mode.kind() {
        tree::EntryKind::Tree => return None,
        tree::EntryKind::Blob => EntryKind::File,
        tree::EntryKind::BlobExecutable => EntryKind::Executable,
        tree::EntryKind::Link => EntryKind::Symlink,
        tree::EntryKind::Commit => EntryKind::Submodule,
    };
    Some(Entry { id: BlobId(id), kind })
}

fn named(path: &[u8], kind: ChangeKind) -> FileChange {
    match path.to_str() {
        Ok(path) => FileChange { path: path.to_owned(), kind },
        Err(_) => FileChange { path: escaped(path), kind: kind.with_non_utf8_path() },
    }
}

fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

impl ChangeKind {
    fn with_non_utf8_path(self) -> Self {
        let mark = |entry: Entry| Entry { kind: EntryKind::NonUtf8Path, ..entry };
        match self {
            Self::Added(entry) => Self::Added(mark(entry)),
            Self::Modified { from, to } => Self::Modified { from: mark(from), to: mark(to) },
            Self::Deleted(entry) => Self::Deleted(mark(entry)),
        }
    }
}
