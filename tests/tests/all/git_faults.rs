//! What may happen to the repository that is followed: a clear error while it cannot be read, the last good catalogue
//! all the while, and the digest of a clean run as soon as it can.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use roster_git::{GitError, Location, Repository};
use roster_git_server::{Rule, Server, git_command};
use roster_sync::{Options, Reconciler, Repo, RunReport, State, SyncError};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::{TestTables, reconciler};
use serde_json::json;
use tempfile::TempDir;

/// Tables that follow a repository's `main`.
struct Following {
    tables: TestTables,
    reconciler: Reconciler,
}

impl Following {
    async fn of(reconciler: impl FnOnce(&TestTables) -> Reconciler) -> Self {
        let tables = TestTables::embedded().await;
        Self { reconciler: reconciler(&tables), tables }
    }

    async fn path(path: &Path) -> Self {
        Self::of(|tables| reconciler(tables.store.clone(), path, Timestamp::now)).await
    }

    async fn look(&self, guard: bool) -> Result<RunReport, SyncError> {
        self.reconciler.run(&Options { guard, ..Options::follow("main") }, |_, _, _| {}).await
    }

    /// A look fails with this message, and leaves what is published as it was.
    async fn fails(&self, message: &str) {
        let before = self.tables.store.head(true).await.unwrap();
        let error = self.look(false).await.unwrap_err();
        assert!(error.told().contains(message), "{}", error.told());
        assert_eq!(self.tables.store.head(true).await.unwrap(), before);
    }

    /// A look ends where a clean run of `main` ends.
    async fn converges(&self, repository: &TestRepository) {
        let run = self.look(false).await.unwrap();
        assert!(run.state.is_success(), "{run:?}");
        self.is_at(repository).await;
    }

    async fn is_at(&self, repository: &TestRepository) {
        let clean = TestTables::embedded().await;
        let (expected, _) = clean.sync(repository).await;
        assert_eq!(self.tables.digest().await, expected.digest);
        self.tables.check_history().await;
        clean.close().await;
    }
}

/// Commits one file more, and answers the commit.
fn add(repository: &TestRepository, name: &str) -> String {
    repository.put(&model(&format!("p/{name}"), |_| {}));
    repository.commit(name)
}

fn started() -> TestRepository {
    let repository = TestRepository::new();
    ["a", "b", "c", "d"].iter().for_each(|name| drop(add(&repository, name)));
    repository
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_rewritten() {
    let repository = started();
    let following = Following::path(repository.path()).await;
    following.converges(&repository).await;

    repository.put(&model("p/d", |value| value["meta"]["inputCostPerMillionTokens"] = json!(7)));
    repository.git(&["commit", "--quiet", "--all", "--amend", "--message", "d, amended"]);
    following.converges(&repository).await;

    // Below what is applied: as if `b` had never been, and `c` had been another.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~3"]);
    repository.put(&model("p/c", |value| value["aliases"] = json!(["sea"])));
    repository.commit("c, otherwise");
    add(&repository, "e");
    following.converges(&repository).await;

    // What was applied is not even an object any more.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    add(&repository, "f");
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "--quiet", "--prune=now"]);
    following.converges(&repository).await;

    // A history that has nothing in common with it: the guard asks, and the last good stays until somebody approves.
    repository.git(&["checkout", "--quiet", "--orphan", "other"]);
    repository.git(&["rm", "--quiet", "-r", "--force", "."]);
    add(&repository, "z");
    repository.git(&["branch", "--quiet", "--force", "main", "other"]);
    repository.git(&["checkout", "--quiet", "main"]);
    let before = following.tables.digest().await;
    let run = following.look(true).await.unwrap();
    assert_eq!((run.state, &run.digest), (State::Held, &before), "{run:?}");
    following.converges(&repository).await;
    following.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branch_is_deleted_and_made_again() {
    let repository = started();
    let following = Following::path(repository.path()).await;
    following.converges(&repository).await;
    repository.git(&["checkout", "--quiet", "-b", "elsewhere", "HEAD~2"]);
    repository.git(&["branch", "--quiet", "-D", "main"]);
    following.fails("has no branch `main`").await;
    following.fails("has no branch `main`").await;
    repository.git(&["checkout", "--quiet", "-b", "main"]);
    following.converges(&repository).await;
    add(&repository, "g");
    following.converges(&repository).await;
    following.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone() {
    let repository = started();
    let directory = TempDir::new().unwrap();
    let url = format!("file://{}", repository.path().display());
    git_in(directory.path(), &["clone", "--quiet", "--depth", "1", &url, "."]);
    let following = Following::path(directory.path()).await;
    following.converges(&repository).await;
    ["e", "f", "g"].iter().for_each(|name| drop(add(&repository, name)));
    git_in(directory.path(), &["fetch", "--quiet", "--depth", "1", "origin", "main"]);
    git_in(directory.path(), &["reset", "--quiet", "--hard", "FETCH_HEAD"]);
    following.fails("is a shallow clone").await;
    git_in(directory.path(), &["fetch", "--quiet", "--unshallow"]);
    following.converges(&repository).await;
    following.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_gone_for_a_while() {
    let repository = started();
    let following = Following::path(repository.path()).await;
    following.converges(&repository).await;
    add(&repository, "e");
    let aside = repository.path().with_extension("aside");
    fs::rename(repository.path(), &aside).unwrap();
    following.fails("is not a git repository").await;
    fs::rename(&aside, repository.path()).unwrap();
    following.converges(&repository).await;
    following.tables.close().await;
}

/// A repository that is served over HTTP, and the directory that clones of it are kept in.
struct Served {
    repository: TestRepository,
    server: Server,
    cache: TempDir,
    _root: TempDir,
}

impl Served {
    fn new() -> Self {
        let (repository, root) = (started(), TempDir::new().unwrap());
        git_in(root.path(), &["init", "--quiet", "--bare", "r.git"]);
        repository.git(&["remote", "add", "origin", root.path().join("r.git").to_str().unwrap()]);
        let served =
            Self { repository, server: Server::start(root.path()), cache: TempDir::new().unwrap(), _root: root };
        served.push();
        served
    }

    fn push(&self) {
        self.repository.git(&["push", "--quiet", "--force", "origin", "main"]);
    }

    fn open(&self) -> Result<Repository, GitError> {
        Repository::open(&Location::parse(&format!("{}/r.git", self.server.url)).unwrap(), self.cache.path())
    }

    async fn followed(&self) -> Following {
        let repo = Repo::new(self.open().unwrap(), "test");
        Following::of(|tables| Reconciler::new(tables.store.clone(), repo, Timestamp::now)).await
    }

    fn clone(&self) -> PathBuf {
        fs::read_dir(self.cache.path()).unwrap().next().unwrap().unwrap().path()
    }

    /// Cuts every pack of the clone in half, as a full disk or a killed process may leave it.
    fn spoil(&self) {
        let packs = fs::read_dir(self.clone().join("objects/pack")).unwrap().map(|file| file.unwrap().path());
        for pack in packs.filter(|path| path.extension().is_some_and(|extension| extension == "pack")) {
            let content = fs::read(&pack).unwrap();
            // Not in place: whoever has it mapped keeps the old one.
            fs::remove_file(&pack).unwrap();
            fs::write(&pack, &content[..content.len() / 2]).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_out_of_reach_for_a_while() {
    let served = Served::new();
    let following = served.followed().await;
    following.converges(&served.repository).await;
    add(&served.repository, "e");
    served.push();
    for status in ["503 Service Unavailable", "404 Not Found", "401 Unauthorized"] {
        served.server.rule(Rule::Answer(status));
        following.fails("HTTP").await;
    }
    served.server.rule(Rule::Serve);
    following.converges(&served.repository).await;
    served.repository.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    add(&served.repository, "h");
    served.push();
    following.converges(&served.repository).await;
    following.tables.close().await;
}

/// Whatever becomes of the clone, the next look makes another; a process that has it open, and one that starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_is_lost_or_spoilt() {
    let served = Served::new();
    let following = served.followed().await;
    following.converges(&served.repository).await;

    fs::remove_dir_all(served.clone()).unwrap();
    add(&served.repository, "e");
    served.push();
    following.converges(&served.repository).await;
    fs::remove_dir_all(served.clone()).unwrap();
    served.followed().await.converges(&served.repository).await;

    served.spoil();
    add(&served.repository, "f");
    served.push();
    let _ = following.look(false).await;
    following.converges(&served.repository).await;

    // Nothing is fetched that would show it: it is found by reading, and told; the next look is good.
    served.spoil();
    let told = format!("repository {}/r.git", served.server.url);
    let warm = served.followed().await;
    warm.fails(&told).await;
    warm.converges(&served.repository).await;
    served.spoil();
    served.followed().await.fails(&told).await;
    served.followed().await.converges(&served.repository).await;
    following.tables.close().await;
}

fn git_in(directory: &Path, arguments: &[&str]) {
    let output = git_command(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
