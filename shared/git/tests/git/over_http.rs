use super::*;

/// A bare repository that is served, and one to push to it from.
struct Served {
    root: TempDir,
    work: Origin,
    cache: TempDir,
    server: Server,
}

impl Served {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let work = Origin::new();
        work.change("catalog/a", "1");
        let bare = root.path().join("r.git");
        git_in(root.path(), &["init", "--quiet", "--bare", "r.git"]);
        work.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        work.git(&["push", "--quiet", "origin", "main"]);
        let server = Server::start(root.path());
        Self { root, work, cache: TempDir::new().unwrap(), server }
    }

    fn location(&self) -> Location {
        Location::parse(&format!("{}/r.git", self.server.url)).unwrap()
    }

    fn open(&self) -> Result<Repository, GitError> {
        Repository::open(&self.location(), self.cache.path())
    }

    fn push(&self, path: &str, content: &str) -> CommitId {
        let commit = self.work.change(path, content);
        self.work.git(&["push", "--quiet", "origin", "main"]);
        commit
    }
}

#[test]
fn a_clone_is_whole_and_follows_pushes() {
    let served = Served::new();
    let first = served.work.head();
    let mut repository = served.open().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), first);
    assert_eq!(repository.resolve("HEAD").unwrap(), first);

    let second = served.push("catalog/b", "1");
    served.work.git(&["tag", "--annotate", "--message", "t", "v1"]);
    served.work.git(&["push", "--quiet", "origin", "v1"]);
    assert_eq!(repository.branch_tip("main").unwrap(), first, "not before a refresh");
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), second);
    assert_eq!(repository.resolve("v1").unwrap(), second);
    assert_eq!(repository.first_parent(Some(first), second, None).unwrap(), Walk::Linear(vec![second]));
    assert_eq!(shown(&repository.diff(Some(first), second, "").unwrap()), ["+ catalog/b File"]);
    let id = added(&repository, second, "catalog/b").id;
    assert_eq!(repository.blob(id, 10).unwrap(), Blob::Content(b"1".to_vec()));

    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), second, "nothing new");
}

/// A forge keeps a pull request beside branches and tags: it is there for whoever names it.
#[test]
fn a_pull_request_is_fetched_by_its_reference() {
    let served = Served::new();
    let mut repository = served.open().unwrap();
    let main = served.work.head();
    let merge = served.work.change("catalog/b", "1");
    served.work.git(&["push", "--quiet", "origin", "HEAD:refs/pull/7/merge"]);
    repository.refresh().unwrap();
    assert!(repository.resolve("refs/pull/7/merge").is_err(), "not mirrored");
    assert!(repository.resolve(&merge.to_string()).is_err());
    assert_eq!(repository.fetch_reference("refs/pull/7/merge").unwrap(), merge);
    assert_eq!(repository.branch_tip("main").unwrap(), main);
    assert_eq!(shown(&repository.diff(Some(main), merge, "").unwrap()), ["+ catalog/b File"]);

    // It moves as the forge wills, and goes.
    served.work.git(&["reset", "--quiet", "--hard", &main.to_string()]);
    let other = served.work.change("catalog/c", "1");
    served.work.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/pull/7/merge"]);
    assert_eq!(repository.fetch_reference("refs/pull/7/merge").unwrap(), other);
    served.work.git(&["push", "--quiet", "origin", ":refs/pull/7/merge"]);
    for unknown in
        ["refs/pull/7/merge", "refs/pull/8/merge", "refs/heads/none", "refs/heads/main~0", "main", "HEAD^{/x}"]
    {
        let error = repository.fetch_reference(unknown).unwrap_err();
        assert!(matches!(error, GitError::UnknownRevision { .. }), "{unknown}: {error}");
    }
    assert_eq!(repository.fetch_reference("refs/heads/main").unwrap(), main);
}

#[test]
fn a_clone_outlives_the_process_and_the_server() {
    let served = Served::new();
    drop(served.open().unwrap());
    let requests = served.server.requests();
    let repository = served.open().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), served.work.head());
    assert_eq!(served.server.requests(), requests, "nothing was fetched");
    assert_eq!(fs::read_dir(served.cache.path()).unwrap().count(), 1);
}

#[test]
fn rewritten_and_deleted_branches_are_followed() {
    let served = Served::new();
    let root = served.work.head();
    let lost = served.push("catalog/a", "2");
    served.work.git(&["push", "--quiet", "origin", "main:topic", "main:refs/tags/t"]);
    let mut repository = served.open().unwrap();
    assert_eq!(repository.branch_tip("topic").unwrap(), lost);

    served.work.git(&["reset", "--quiet", "--hard", &root.to_string()]);
    let new = served.work.change("catalog/a", "3");
    served.work.git(&["push", "--quiet", "--force", "origin", "main", ":topic", ":refs/tags/t"]);
    served.work.git(&["push", "--quiet", "origin", "main:topic/below"]);
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), new);
    assert_eq!(repository.branch_tip("topic/below").unwrap(), new);
    assert!(matches!(repository.branch_tip("topic"), Err(GitError::UnknownBranch { .. })));
    assert!(matches!(repository.resolve("t"), Err(GitError::UnknownRevision { .. })));
    assert_eq!(repository.first_parent(Some(lost), new, None).unwrap(), Walk::Diverged);

    git_in(&served.root.path().join("r.git"), &["symbolic-ref", "HEAD", "refs/heads/topic/below"]);
    let other = served.push("catalog/a", "4");
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), other);
    assert_eq!(repository.resolve("HEAD").unwrap(), new, "HEAD is the server's");
}

#[test]
fn an_empty_repository_can_be_cloned() {
    let served = Served::new();
    git_in(served.root.path(), &["init", "--quiet", "--bare", "empty.git"]);
    let location = Location::parse(&format!("{}/empty.git", served.server.url)).unwrap();
    let mut repository = Repository::open(&location, served.cache.path()).unwrap();
    assert!(matches!(repository.branch_tip("main"), Err(GitError::UnknownBranch { .. })));
    repository.refresh().unwrap();
    served.work.git(&["push", "--quiet", served.root.path().join("empty.git").to_str().unwrap(), "main"]);
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), served.work.head());
}

#[test]
fn a_broken_clone_is_replaced() {
    let served = Served::new();
    let mut repository = served.open().unwrap();
    let clone = fs::read_dir(served.cache.path()).unwrap().next().unwrap().unwrap().path();

    // A killed process leaves its locks.
    let tip = served.push("catalog/a", "2");
    fs::write(clone.join("refs/heads/main.lock"), "").unwrap();
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), tip);
    assert!(!clone.join("refs/heads/main.lock").exists());

    fs::remove_file(clone.join("HEAD")).unwrap();
    assert_eq!(served.open().unwrap().branch_tip("main").unwrap(), tip);
    assert_eq!(fs::read_dir(served.cache.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn hundreds_of_fetches_do_not_pile_up() {
    let served = Served::new();
    let mut repository = served.open().unwrap();
    for round in 0..60 {
        let tip = served.push("catalog/a", &format!("round {round}"));
        repository.refresh().unwrap();
        assert_eq!(repository.branch_tip("main").unwrap(), tip);
        repository.commit(tip).unwrap();
    }
    let clone = fs::read_dir(served.cache.path()).unwrap().next().unwrap().unwrap().path();
    let packs = fs::read_dir(clone.join("objects/pack")).unwrap();
    let packs = packs.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "pack").count();
    assert!(packs < 52, "{packs} packs");
}

#[test]
fn a_token_lets_in_and_is_not_told() {
    let served = Served::new();
    let url = format!("{}/r.git", served.server.url);
    // x-access-token:s3cret
    let header = "Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";
    served.server.rule(Rule::RequireAuthorization(header.to_owned()));

    let error = served.open().unwrap_err();
    assert_eq!(error.to_string(), format!("{url} requires authentication (HTTP 401): give a token that may read it"));

    let wrong = served.location().with_token("wr0ng".to_owned());
    let error = Repository::open(&wrong, served.cache.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{url} rejected the token (HTTP 401): check its expiry and that it may read the \
             repository's contents"
        )
    );
    assert!(!format!("{error:?} {}", chain(&error)).contains("wr0ng"));
    assert_eq!(fs::read_dir(served.cache.path()).unwrap().count(), 0, "a failed clone leaves nothing");

    let right = served.location().with_token("s3cret".to_owned());
    let mut repository = Repository::open(&right, served.cache.path()).unwrap();
    let tip = served.push("catalog/b", "1");
    repository.refresh().unwrap();
    assert_eq!(repository.branch_tip("main").unwrap(), tip);
    assert!(!format!("{repository:?}").contains("s3cret"));
    for file in walk_files(served.cache.path()) {
        let content = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("s3cret") && !text.contains("eC1hY2Nlc3M"), "{}", file.display());
    }

    served.server.rule(Rule::RequireAuthorization("another".to_owned()));
    assert!(matches!(repository.refresh(), Err(GitError::TokenRejected { status: 401, .. })));
    assert_eq!(repository.branch_tip("main").unwrap(), tip, "what was fetched can still be read");

    let userinfo = Location::parse(&url.replace("http://", "http://x-access-token:s3cret@")).unwrap();
    served.server.rule(Rule::RequireAuthorization(header.to_owned()));
    let mut repository = Repository::open(&userinfo, served.cache.path()).unwrap();
    repository.refresh().unwrap();
}

#[test]
fn each_refusal_has_its_own_error() {
    let served = Served::new();
    let url = format!("{}/r.git", served.server.url);
    let token = served.location().with_token("s3cret".to_owned());
    let failed = |location: &Location| {
        let error = Repository::open(location, served.cache.path()).unwrap_err();
        assert!(!chain(&error).contains("s3cret"), "{}", chain(&error));
        error
    };
    served.server.rule(Rule::Answer("404 Not Found"));
    assert_eq!(
        failed(&served.location()).to_string(),
        format!("{url} was not found (HTTP 404): check the address, and the token if the repository is private")
    );
    served.server.rule(Rule::Answer("403 Forbidden"));
    assert!(matches!(failed(&token), GitError::TokenRejected { status: 403, .. }));
    assert!(matches!(failed(&served.location()), GitError::Refused { status: 403, .. }));
    served.server.rule(Rule::Answer("503 Service Unavailable"));
    let error = failed(&token);
    assert_eq!(error.to_string(), format!("{url} answered HTTP 503: check the address, or try again later"));
    assert!(error.is_retryable());
    served.server.rule(Rule::Answer("301 Moved Permanently\r\nLocation: http://127.0.0.1:1/elsewhere.git"));
    assert!(matches!(failed(&token), GitError::Redirected { .. }));
    served.server.rule(Rule::Answer("200 OK\r\nContent-Type: text/html"));
    let error = failed(&token);
    assert_eq!(error.to_string(), format!("could not fetch {url}"));
    assert!(chain(&error).contains("smart"), "{}", chain(&error));

    served.server.rule(Rule::Serve);
    let absent = Location::parse(&format!("{}/absent.git", served.server.url)).unwrap();
    assert!(matches!(failed(&absent), GitError::RemoteNotFound { .. }));
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let cache = TempDir::new().unwrap();
    for host in ["127.0.0.1:1", "host.invalid"] {
        let location = Location::parse(&format!("http://{host}/r.git")).unwrap();
        let error = Repository::open(&location, cache.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("http://{host}/r.git is unreachable: check the host name, its certificate and the network"),
            "{}",
            chain(&error)
        );
        assert!(error.is_retryable());
    }
    let insecure = Location::parse("http://host.invalid/r.git").unwrap().with_token("t".to_owned());
    let error = Repository::open(&insecure, cache.path()).unwrap_err();
    assert!(matches!(error, GitError::InsecureToken { .. }));
}

fn walk_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}
