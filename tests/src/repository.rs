//! Real Git repositories, made by the `git` command.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A repository with a work tree, removed when dropped.
pub struct TestRepository {
    directory: tempfile::TempDir,
    commits: std::cell::Cell<u32>,
}

impl Default for TestRepository {
    fn default() -> Self {
        Self::new()
    }
}

impl TestRepository {
    /// An empty repository on branch `main`.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let repository = Self { directory, commits: std::cell::Cell::new(0) };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// The real history in `shared/data` beside the house, with the first-parent commits of its branch, oldest first;
    /// `None` where it is not.
    #[must_use]
    #[expect(clippy::print_stdout, reason = "whoever runs the tests shall know what was not run")]
    pub fn of_real_history() -> Option<(Self, Vec<String>)> {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/models-dev-history.bundle");
        if !bundle.exists() {
            println!("not run: the history bundle is not beside the repository");
            return None;
        }
        let repository = Self::new();
        repository.git(&["fetch", "--quiet", bundle.to_str().expect("a path in UTF-8"), "main:history"]);
        let commits = repository.git(&["rev-list", "--reverse", "--first-parent", "history"]);
        Some((repository, commits.lines().map(str::to_owned).collect()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `git`, and answers what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let second = 1_767_225_600 + i64::from(self.commits.get()) * 60;
        let output = Command::new("git")
            .args(["-c", "commit.gpgsign=false", "-c", "core.autocrlf=false", "-c", "core.fsync=none"])
            .args(["-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.com")
            .env("GIT_AUTHOR_DATE", format!("{second} +0000"))
            .env("GIT_COMMITTER_DATE", format!("{second} +0000"))
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Commits everything in the work tree, and answers the commit.
    pub fn commit(&self, message: &str) -> String {
        self.commits.set(self.commits.get() + 1);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// Takes a commit back, and answers the commit that does.
    pub fn revert(&self, commit: &str) -> String {
        self.commits.set(self.commits.get() + 1);
        self.git(&["revert", "--no-edit", commit]);
        self.head()
    }

    /// Takes a commit back where that goes without conflicts.
    pub fn try_revert(&self, commit: &str) -> Option<String> {
        let before = self.head();
        let done = Command::new("git")
            .args(["-c", "commit.gpgsign=false", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(["revert", "--no-edit", commit])
            .current_dir(self.path())
            .output()
            .expect("git runs");
        if done.status.success() {
            return Some(self.head());
        }
        self.git(&["reset", "--quiet", "--hard", &before]);
        None
    }

    /// The commit that is checked out.
    #[must_use]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Where a model's file is: the id's first segment is its provider.
    #[must_use]
    pub fn model_path(&self, id: &str) -> PathBuf {
        self.path().join(format!("catalog/models/{id}.json"))
    }

    /// Writes any file of the repository.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// Writes a model's file.
    pub fn put(&self, model: &Value) {
        let id = model["id"].as_str().expect("an id");
        let text = serde_json::to_string_pretty(model).expect("JSON");
        self.write(&format!("catalog/models/{id}.json"), text);
    }

    /// Removes a model's file.
    pub fn remove(&self, id: &str) {
        std::fs::remove_file(self.model_path(id)).expect("a file to remove");
    }
}

/// A small legal model, `provider/name`, with a member changed here and there.
#[must_use]
pub fn model(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    let (provider, name) = id.split_once('/').expect("provider/name");
    let mut model = json!({
        "id": id, "name": name, "provider": provider,
        "isAvailable": true, "isLegacy": false, "isArchived": false,
        "meta": {
            "displayName": name, "capabilities": ["text"], "contextLength": 128_000,
            "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
            "requiredTier": "free", "tierRestrictionMode": "minimum", "allowedTiers": ["free", "pro"],
        },
    });
    change(&mut model);
    model
}
