use super::*;

#[test]
fn takes_what_rev_parse_takes() {
    let origin = Origin::new();
    let first = origin.change("a", "1");
    let second = origin.change("a", "2");
    origin.git(&["tag", "light", &first.to_string()]);
    origin.git(&["tag", "--annotate", "--message", "t", "annotated", &first.to_string()]);
    origin.git(&["branch", "feature/x", &first.to_string()]);
    let repository = origin.open();
    for (revision, expected) in [
        ("HEAD", second),
        ("main", second),
        ("refs/heads/main", second),
        ("HEAD~1", first),
        ("main^", first),
        ("light", first),
        ("annotated", first),
        ("feature/x", first),
        (&second.to_string(), second),
        (&second.to_string()[..10], second),
    ] {
        assert_eq!(repository.resolve(revision).unwrap(), expected, "{revision}");
    }
    assert_eq!(repository.branch_tip("main").unwrap(), second);
    assert_eq!(repository.branch_tip("feature/x").unwrap(), first);
}

#[test]
fn says_what_is_missing_and_where() {
    let origin = Origin::new();
    origin.change("a", "1");
    let repository = origin.open();
    let place = origin.path().display().to_string();
    for branch in ["gone", "no such name", "", "a..b"] {
        assert_eq!(
            repository.branch_tip(branch).unwrap_err().to_string(),
            format!("repository {place} has no branch `{branch}`")
        );
    }
    // A tag is not a branch.
    origin.git(&["tag", "v1"]);
    assert!(matches!(repository.branch_tip("v1"), Err(GitError::UnknownBranch { .. })));
    for revision in ["gone", "main~9", "", "main..main"] {
        assert_eq!(
            repository.resolve(revision).unwrap_err().to_string(),
            format!("repository {place} has no revision `{revision}`")
        );
    }
    let absent = "0123456789012345678901234567890123456789";
    assert!(matches!(repository.resolve(absent), Err(GitError::UnknownRevision { .. })));
    assert!(matches!("main".parse::<CommitId>(), Err(GitError::InvalidId { .. })));
}

#[test]
fn a_tip_that_is_no_commit_is_an_error() {
    let origin = Origin::new();
    origin.change("a", "1");
    origin.git(&["tag", "blob", "HEAD:a"]);
    let blob = origin.git(&["rev-parse", "HEAD:a"]).trim().to_owned();
    let repository = origin.open();
    let expected = format!("object {blob} in repository {} is a blob, expected a commit", origin.path().display());
    assert_eq!(repository.resolve("blob").unwrap_err().to_string(), expected);
    assert_eq!(repository.commit(blob.parse().unwrap()).unwrap_err().to_string(), expected);
}

#[test]
fn an_empty_repository_has_no_branch() {
    let origin = Origin::new();
    assert!(matches!(origin.open().branch_tip("main"), Err(GitError::UnknownBranch { .. })));
}
