use super::*;

#[test]
fn bare_worktree_and_file_url() {
    let origin = Origin::new();
    let commit = origin.change("catalog/a", "1");
    let elsewhere = TempDir::new().unwrap();
    let bare = elsewhere.path().join("bare.git");
    let worktree = elsewhere.path().join("worktree");
    origin.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    origin.git(&["worktree", "add", "--quiet", "-b", "other", worktree.to_str().unwrap()]);
    for path in [&bare, &worktree, &origin.path(), &origin.path().join(".git")] {
        let repository = open(path);
        assert_eq!(repository.branch_tip("main").unwrap(), commit, "{}", path.display());
        assert_eq!(repository.resolve("HEAD").unwrap(), commit, "{}", path.display());
    }

    git_in(&worktree, &["commit", "--quiet", "--allow-empty", "--message", "there"]);
    let there = open(&worktree).resolve("HEAD").unwrap();
    assert_ne!(there, commit);
    assert_eq!(origin.open().branch_tip("other").unwrap(), there);

    let url = Location::parse(&format!("file://{}", bare.display())).unwrap();
    let cache = TempDir::new().unwrap();
    let repository = Repository::open(&url, cache.path()).unwrap();
    assert_eq!(repository.resolve("main").unwrap(), commit);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "opened in place");
}

#[test]
fn a_directory_is_not_a_repository() {
    let dir = TempDir::new().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("absent")] {
        let location = Location::parse(path.to_str().unwrap()).unwrap();
        let error = Repository::open(&location, dir.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` is not a git repository", path.display()));
        assert!(error.source().is_some());
    }
}

#[test]
fn a_repository_can_move_to_another_thread() {
    let origin = Origin::new();
    let commit = origin.change("a", "1");
    let repository = origin.open();
    let tip = thread::spawn(move || repository.branch_tip("main").unwrap()).join().unwrap();
    assert_eq!(tip, commit);
}
