use super::*;

#[test]
fn goes_from_base_to_tip() {
    let origin = Origin::new();
    let chain: Vec<_> = (0..5).map(|n| origin.change("a", &n.to_string())).collect();
    let repository = origin.open();
    let walk = |base, limit| repository.first_parent(base, chain[4], limit).unwrap();
    assert_eq!(walk(Some(chain[1]), None), Walk::Linear(chain[2..].to_vec()));
    assert_eq!(walk(Some(chain[4]), Some(0)), Walk::Linear(vec![]));
    assert_eq!(walk(Some(chain[1]), Some(3)), Walk::Linear(chain[2..].to_vec()));
    assert_eq!(walk(Some(chain[1]), Some(2)), Walk::TooLong { limit: 2 });
    assert_eq!(walk(None, None), Walk::Linear(chain.clone()));
    let unknown = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(walk(Some(unknown), None), Walk::Diverged);
    assert!(matches!(repository.first_parent(Some(chain[0]), unknown, None), Err(GitError::MissingObject { .. })));
}

#[test]
fn sees_a_force_push() {
    let origin = Origin::new();
    let root = origin.change("a", "1");
    let lost = origin.change("a", "2");
    let repository = origin.open();
    origin.git(&["reset", "--quiet", "--hard", &root.to_string()]);
    let new = origin.change("a", "3");
    let tip = repository.branch_tip("main").unwrap();
    assert_eq!(tip, new);
    assert_eq!(repository.first_parent(Some(lost), tip, None).unwrap(), Walk::Diverged);
    assert_eq!(shown(&repository.diff(Some(lost), tip, "").unwrap()), ["~ a File>File"]);
}

#[test]
fn a_merged_commit_is_not_on_the_chain() {
    let origin = Origin::new();
    origin.change("a", "1");
    origin.git(&["switch", "--quiet", "--create", "topic"]);
    let side = origin.change("b", "1");
    origin.git(&["switch", "--quiet", "main"]);
    origin.git(&["merge", "--quiet", "--no-ff", "--message", "m", "topic"]);
    let walk = origin.open().first_parent(Some(side), origin.head(), None).unwrap();
    assert_eq!(walk, Walk::Diverged);
}

#[test]
fn fails_at_the_boundary_of_a_shallow_clone_and_not_before() {
    let origin = Origin::new();
    let base = origin.change("a", "1");
    let chain: Vec<_> = (2..5).map(|n| origin.change("a", &n.to_string())).collect();
    let tip = chain[2];
    let elsewhere = TempDir::new().unwrap();
    let url = format!("file://{}", origin.path().display());
    git_in(elsewhere.path(), &["clone", "--quiet", "--depth", "2", &url, "."]);
    let mut repository = open(elsewhere.path());

    let walk = |repository: &Repository, base, limit| repository.first_parent(Some(base), tip, limit);
    assert_eq!(walk(&repository, chain[1], None).unwrap(), Walk::Linear(vec![tip]));
    assert_eq!(walk(&repository, base, Some(1)).unwrap(), Walk::TooLong { limit: 1 });
    assert_eq!(
        walk(&repository, base, None).unwrap_err().to_string(),
        format!(
            "repository {} is a shallow clone, so history before commit {} is missing: \
             run `git fetch --unshallow`, or check out with fetch-depth: 0",
            elsewhere.path().display(),
            chain[1]
        )
    );
    assert_eq!(shown(&repository.diff(None, tip, "").unwrap()), ["+ a File"]);
    let paths = BTreeSet::from(["a".to_owned()]);
    assert_eq!(repository.attribute(&paths, None, tip, 9, "").unwrap()["a"].id, tip);
    assert!(repository.attribute(&paths, None, chain[1], 9, "").unwrap().is_empty());

    git_in(elsewhere.path(), &["fetch", "--quiet", "--unshallow"]);
    repository.refresh().unwrap();
    assert_eq!(walk(&repository, base, None).unwrap(), Walk::Linear(chain));
}
