use super::*;
use roster_git::{BlobId, Proposal};

const PATH: &str = "catalog/models/p/m.json";

fn proposal(content: &str, expected: Option<BlobId>) -> Proposal {
    Proposal {
        branch: "roster/p-m".to_owned(),
        base: "main".to_owned(),
        path: PATH.to_owned(),
        content: content.to_owned(),
        message: "Raise it\n\nBecause.\n\nProposed-by: ann\n".to_owned(),
        author_name: "ann <x>\n".to_owned(),
        author_email: "ann@example.com".to_owned(),
        at: "2026-11-25T00:00:00Z".parse().unwrap(),
        expected,
    }
}

fn origin() -> (Origin, Repository) {
    let origin = Origin::new();
    origin.git(&["checkout", "--quiet", "-B", "main"]);
    origin.write("other.json", "{}");
    origin.change(PATH, "old\n");
    let repository = origin.open();
    (origin, repository)
}

#[test]
fn a_branch_gets_one_commit_and_nothing_else_changes() {
    let (origin, repository) = origin();
    let base = origin.head();
    let seen = repository.file(base, PATH).unwrap();
    let proposed = repository.propose(&proposal("new\n", seen)).unwrap();
    assert!(proposed.created);
    assert_eq!(origin.git(&["rev-parse", "roster/p-m"]).trim(), proposed.commit.to_string());
    assert_eq!(origin.git(&["rev-parse", "roster/p-m^"]).trim(), base.to_string());
    assert_eq!(origin.git(&["diff", "--name-only", "main", "roster/p-m"]).trim(), PATH);
    assert_eq!(origin.git(&["show", &format!("roster/p-m:{PATH}")]), "new\n");
    let told = origin.git(&["log", "-1", "--format=%an|%ae|%cn|%ct|%s|%(trailers:key=Proposed-by)", "roster/p-m"]);
    assert_eq!(told.trim(), "ann x|ann@example.com|ann x|1795564800|Raise it|Proposed-by: ann");
    assert_eq!(origin.git(&["status", "--porcelain"]), "", "nothing that is checked out changes");
    origin.git(&["fsck", "--strict"]);

    let again = repository.propose(&proposal("new\n", seen)).unwrap();
    assert_eq!((again.commit, again.created), (proposed.commit, false));
    // Another change under the same name takes its place.
    assert!(repository.propose(&proposal("newer\n", seen)).unwrap().created);
    assert_eq!(origin.git(&["rev-list", "--count", "main..roster/p-m"]).trim(), "1");
}

#[test]
fn what_was_merged_is_begun_anew() {
    let (origin, mut repository) = origin();
    let seen = repository.file(origin.head(), PATH).unwrap();
    let first = repository.propose(&proposal("new\n", seen)).unwrap();
    origin.git(&["merge", "--quiet", "--no-ff", "--message", "merge", "roster/p-m"]);
    let stale = repository.propose(&proposal("new\n", seen)).unwrap_err();
    assert!(matches!(stale, GitError::Moved { .. }), "{stale}");
    origin.git(&["revert", "--no-edit", "--mainline", "1", "HEAD"]);
    repository.refresh().unwrap();
    let second = repository.propose(&proposal("new\n", seen)).unwrap();
    assert!(second.created && second.commit != first.commit);
    assert_eq!(origin.git(&["rev-list", "--count", "main..roster/p-m"]).trim(), "1");
}

#[test]
fn a_new_file_and_its_directories() {
    let (origin, repository) = origin();
    let mut new = proposal("{}\n", None);
    new.path = "catalog/models/q/r/new.json".to_owned();
    assert!(repository.propose(&new).unwrap().created);
    assert_eq!(origin.git(&["show", "roster/p-m:catalog/models/q/r/new.json"]), "{}\n");
    new.path = PATH.to_owned();
    let there = repository.propose(&new).unwrap_err();
    assert!(matches!(there, GitError::Moved { .. }), "the file is there: {there}");
}
