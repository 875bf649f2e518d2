//! Reads repositories that the real `git` made.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod attribution;
mod blobs;
mod changes_underneath;
mod diffing;
mod opening;
mod over_http;
mod proposing;
mod real_history;
mod resolving;
mod signing;
mod support;
mod walking;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{error::Error, fs, thread};

use roster_git::{
    Blob, ChangeKind, CommitId, CommitSignature, Entry, EntryKind, FileChange, GitError, Location, Repository,
    SignatureKind, Walk,
};
use roster_git_server::{Rule, Server, git_command};
use support::{Origin, git_in, git_with_input, open};
use tempfile::TempDir;

/// Changes as `+ path kind`, `~ path from>to`, `- path kind`.
fn shown(changes: &[FileChange]) -> Vec<String> {
    changes
        .iter()
        .map(|FileChange { path, kind }| match kind {
            ChangeKind::Added(entry) => format!("+ {path} {:?}", entry.kind),
            ChangeKind::Modified { from, to } => format!("~ {path} {:?}>{:?}", from.kind, to.kind),
            ChangeKind::Deleted(entry) => format!("- {path} {:?}", entry.kind),
        })
        .collect()
}

fn added(repository: &Repository, commit: CommitId, path: &str) -> Entry {
    let changes = repository.diff(None, commit, "").unwrap();
    match changes.into_iter().find(|change| change.path == path).unwrap().kind {
        ChangeKind::Added(entry) => entry,
        other => panic!("{path}: {other:?}"),
    }
}

/// A message and all its causes.
fn chain(error: &GitError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
