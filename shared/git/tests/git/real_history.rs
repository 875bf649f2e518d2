use std::time::Instant;

use super::*;

const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/models-dev-history.bundle");

#[test]
fn the_sum_of_its_diffs_is_its_tree() {
    if !Path::new(BUNDLE).exists() {
        println!("skipped: {BUNDLE} is absent");
        return;
    }
    let dir = TempDir::new().unwrap();
    git_in(dir.path(), &["clone", "--quiet", "--bare", BUNDLE, "."]);
    let repository = open(dir.path());
    let tip = repository.resolve("HEAD").unwrap();
    let root = git_in(dir.path(), &["rev-list", "--first-parent", "--max-parents=0", "HEAD"]);
    let root: CommitId = root.trim().parse().unwrap();
    let Walk::Linear(rest) = repository.first_parent(Some(root), tip, None).unwrap() else {
        panic!("the history diverged");
    };
    let commits: Vec<_> = [root].into_iter().chain(rest).collect();
    assert_eq!(commits.len(), 900);

    let started = Instant::now();
    let mut files = BTreeMap::new();
    let mut changed = 0;
    let mut previous = None;
    for commit in &commits {
        let changes = repository.diff(previous, *commit, "").unwrap();
        changed += changes.len();
        for FileChange { path, kind } in changes {
            match kind {
                ChangeKind::Added(entry) => assert_eq!(files.insert(path, entry), None),
                ChangeKind::Modified { from, to } => {
                    assert_eq!(files.insert(path, to), Some(from));
                }
                ChangeKind::Deleted(entry) => assert_eq!(files.remove(&path), Some(entry)),
            }
        }
        previous = Some(*commit);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} diffs of {changed} changes, {} files: {:.0} diffs a second",
        commits.len(),
        files.len(),
        commits.len() as f64 / seconds
    );

    let listed: BTreeMap<_, _> = git_in(dir.path(), &["ls-tree", "-r", "-z", "HEAD"])
        .split_terminator('\0')
        .map(|line| {
            let (meta, path) = line.split_once('\t').unwrap();
            let mut meta = meta.split(' ');
            let mode = meta.next().unwrap().to_owned();
            (path.to_owned(), (mode, meta.nth(1).unwrap().to_owned()))
        })
        .collect();
    let mode = |kind| match kind {
        EntryKind::File => "100644",
        EntryKind::Executable => "100755",
        EntryKind::Symlink => "120000",
        EntryKind::Submodule => "160000",
        EntryKind::NonUtf8Path => "?",
    };
    let summed: BTreeMap<_, _> =
        files.iter().map(|(path, entry)| (path.clone(), (mode(entry.kind).to_owned(), entry.id.to_string()))).collect();
    assert!(summed == listed, "the diffs do not add up to the tree");

    let at_once: BTreeMap<_, _> = repository
        .diff(None, tip, "")
        .unwrap()
        .into_iter()
        .map(|change| match change.kind {
            ChangeKind::Added(entry) => (change.path, entry),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(at_once == files, "one diff differs from the sum of all");
    for commit in commits {
        repository.commit(commit).unwrap();
    }
}
