//! A forge: a bare repository behind a real Git server, which tells a webhook of every push.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use roster_git_server::{Server, git_command};
use serde_json::Value;

use crate::repository::TestRepository;

/// The secret that the forge signs with.
pub const SECRET: &str = "a secret that only the forge knows";
/// What the repository's webhook is told by.
const HOOK: &str = include_str!("post-receive.sh");

/// A forge with one empty repository, removed when dropped.
pub struct TestForge {
    directory: tempfile::TempDir,
    server: Server,
}

/// A delivery, as the forge remembers it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When the push had moved the branch, since 1970.
    pub began: Duration,
    /// The commit that was pushed.
    pub commit: String,
    /// The status of the answer.
    pub status: u16,
    /// How long the answer took, as who asked saw it.
    pub took: Duration,
    /// The body of the answer.
    pub answer: Value,
}

impl Default for TestForge {
    fn default() -> Self {
        Self::new()
    }
}

impl TestForge {
    /// A forge whose repository takes pushes over HTTP, and tells nobody yet.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(directory.path());
        let forge = Self { directory, server };
        let bare = forge.bare();
        fs::create_dir_all(&bare).expect("a directory");
        forge.git(&["init", "--quiet", "--bare"]);
        forge.git(&["config", "http.receivepack", "true"]);
        forge.git(&["config", "webhook.secret", SECRET]);
        forge.git(&["config", "webhook.home", forge.url().trim_end_matches(".git")]);
        let hook = bare.join("hooks/post-receive");
        fs::create_dir_all(bare.join("hooks")).expect("a directory");
        fs::write(&hook, HOOK).expect("a hook");
        fs::set_permissions(&hook, Permissions::from_mode(0o755)).expect("a hook that can be run");
        forge
    }

    /// The address of the repository.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/acme/catalogue.git", self.server.url)
    }

    /// A directory beside the repository, for clones of it.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// From now on every push is told to this webhook, as this forge tells it: `github`, `gitlab` or `gitea`.
    pub fn tell(&self, webhook: &str, forge: &str) {
        self.git(&["config", "webhook.url", webhook]);
        self.git(&["config", "webhook.forge", forge]);
    }

    /// From now on nobody is told.
    pub fn tell_nobody(&self) {
        self.git(&["config", "--unset", "webhook.url"]);
    }

    /// Makes a repository a clone of the forge's, as far as pushes are concerned.
    pub fn adopt(&self, clone: &TestRepository) {
        clone.git(&["remote", "add", "origin", &self.url()]);
    }

    /// Every delivery so far, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let text = fs::read_to_string(self.bare().join("deliveries")).unwrap_or_default();
        text.lines().map(|line| delivery(line).expect("a delivery")).collect()
    }

    fn bare(&self) -> PathBuf {
        self.directory.path().join(Path::new("acme/catalogue.git"))
    }

    fn git(&self, arguments: &[&str]) {
        let status = git_command(&self.bare()).args(arguments).status().expect("git runs");
        assert!(status.success(), "git {arguments:?}");
    }
}

fn delivery(line: &str) -> Option<Delivery> {
    let mut words = line.splitn(5, ' ');
    Some(Delivery {
        began: Duration::from_nanos(words.next()?.parse().ok()?),
        commit: words.next()?.to_owned(),
        status: words.next()?.parse().ok()?,
        took: Duration::from_secs_f64(words.next()?.parse().ok()?),
        answer: serde_json::from_str(words.next()?).ok()?,
    })
}
