//! Repositories made by the real `git`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io::Write as _};

use roster_git::{CommitId, Location, Repository};
use roster_git_server::git_command;
use tempfile::TempDir;

/// A repository with a worktree in a directory of its own.
pub(crate) struct Origin {
    dir: TempDir,
}

impl Origin {
    pub(crate) fn new() -> Self {
        let origin = Self { dir: TempDir::new().unwrap() };
        origin.git(&["init", "--quiet"]);
        origin
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Runs git here and answers what it printed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(self.dir.path(), args)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits everything in the worktree.
    pub(crate) fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.commit_index(message)
    }

    /// Commits what `git update-index` made.
    pub(crate) fn commit_index(&self, message: &str) -> CommitId {
        self.git(&["commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--message", message]);
        self.head()
    }

    /// Writes one file and commits it.
    pub(crate) fn change(&self, path: &str, content: &str) -> CommitId {
        self.write(path, content);
        self.commit(&format!("change {path}"))
    }

    pub(crate) fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
    }

    pub(crate) fn open(&self) -> Repository {
        open(&self.path())
    }
}

/// Opens a repository in place; no cache is needed for that.
pub(crate) fn open(path: &Path) -> Repository {
    let location = Location::parse(path.to_str().unwrap()).unwrap();
    Repository::open(&location, Path::new("/nonexistent")).unwrap()
}

pub(crate) fn git_in(dir: &Path, args: &[&str]) -> String {
    git_with_input(dir, args, b"")
}

pub(crate) fn git_with_input(dir: &Path, args: &[&str], input: &[u8]) -> String {
    let mut child = git_command(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
