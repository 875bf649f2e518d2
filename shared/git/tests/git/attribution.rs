use super::*;

#[test]
fn of_a_merge_is_the_merge() {
    let origin = Origin::new();
    let root = origin.change("a", "1");
    origin.git(&["switch", "--quiet", "--create", "topic"]);
    origin.change("b", "1");
    origin.git(&["switch", "--quiet", "main"]);
    let message = "Merge pull request #123 from x/y\n\nAdd b\n\nReviewed-by: Grace\nreviewed-by: Alan";
    origin.git(&["merge", "--quiet", "--no-ff", "--message", message, "topic"]);
    let merge = origin.head();

    let repository = origin.open();
    let commit = repository.commit(merge).unwrap();
    assert_eq!(commit.id, merge);
    assert_eq!(commit.author_name, "Ada");
    assert_eq!(commit.author_email, "ada@example.com");
    assert_eq!(commit.authored_at.to_string(), "2026-01-02T01:04:05Z");
    assert_eq!(commit.committed_at.to_string(), "2026-01-03T00:00:00Z");
    assert_eq!(commit.subject, "Merge pull request #123 from x/y");
    assert_eq!(commit.message, message);
    assert_eq!(commit.pull_request, Some(123));
    assert!(commit.is_merge);
    assert_eq!(commit.trailer("Reviewed-By"), ["Grace", "Alan"]);
    assert_eq!(commit.trailer("Signed-off-by"), [""; 0]);
    assert_eq!(
        repository.first_parent(Some(root), merge, None).unwrap(),
        Walk::Linear(vec![merge]),
        "the branch's own commits are not on the chain"
    );
}

#[test]
fn of_a_squash_is_its_author() {
    let origin = Origin::new();
    origin.write("a", "1");
    let id = origin.commit("Add a model\nto the catalogue (#7)\n\nRoster-Approve: abc\n");
    let commit = origin.open().commit(id).unwrap();
    assert_eq!(commit.subject, "Add a model to the catalogue (#7)");
    assert_eq!(commit.pull_request, Some(7));
    assert_eq!(commit.trailer("Roster-Approve"), ["abc"]);
    assert!(!commit.is_merge);
}

#[test]
fn a_long_message_is_cut_and_its_trailers_are_not() {
    let origin = Origin::new();
    let message = format!("Title (#7)\n\n{}\n\nRoster-Approve: abc", "é".repeat(20_000));
    let id = origin.commit(&message);
    let commit = origin.open().commit(id).unwrap();
    assert!((16_000..=16_384).contains(&commit.message.len()), "{}", commit.message.len());
    assert_eq!(commit.trailer("Roster-Approve"), ["abc"]);
}

#[test]
fn of_odd_commits_does_not_fail() {
    let origin = Origin::new();
    origin.change("a", "1");
    let tree = origin.git(&["rev-parse", "HEAD^{tree}"]);
    let odd = [
        b"tree ".as_slice(),
        tree.trim().as_bytes(),
        b"\nauthor M\xfcller <m\xfc@x> 99999999999999 +0000\ncommitter  <> 0 +0000\n\n\n\n caf\xe9 \n",
    ]
    .concat();
    let args = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let id = git_with_input(&origin.path(), &args, &odd).trim().parse().unwrap();
    let commit = origin.open().commit(id).unwrap();
    assert_eq!(commit.author_name, "M\u{fffd}ller");
    assert_eq!(commit.authored_at, jiff::Timestamp::MAX);
    assert_eq!(commit.subject, "caf\u{fffd}");
}

#[test]
fn of_paths_is_the_newest_commit_that_changed_them() {
    let origin = Origin::new();
    let base = origin.change("catalog/old", "1");
    let first = origin.change("catalog/a", "1");
    let second = origin.change("catalog/b", "1");
    let third = origin.change("catalog/a", "2");
    origin.git(&["rm", "--quiet", "catalog/b"]);
    let tip = origin.commit("remove b");
    let paths: BTreeSet<_> = ["catalog/a", "catalog/b", "catalog/old", "catalog/none"].map(str::to_owned).into();

    let repository = origin.open();
    let attribute = |base, tip, max_commits| -> BTreeMap<_, _> {
        let found = repository.attribute(&paths, base, tip, max_commits, "catalog").unwrap();
        found.into_iter().map(|(path, commit)| (path, commit.id)).collect()
    };
    let expect = |pairs: &[(&str, CommitId)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(path, id)| ((*path).to_owned(), *id)).collect()
    };
    assert_eq!(attribute(Some(base), tip, 100), expect(&[("catalog/a", third), ("catalog/b", tip)]));
    assert_eq!(
        attribute(None, tip, 100),
        expect(&[("catalog/a", third), ("catalog/b", tip), ("catalog/old", base)]),
        "the root commit changed what it holds"
    );
    assert_eq!(attribute(None, tip, 1), expect(&[("catalog/b", tip)]));
    assert_eq!(attribute(None, tip, 0), expect(&[]));
    assert_eq!(attribute(Some(first), second, 100), expect(&[("catalog/b", second)]));
}
