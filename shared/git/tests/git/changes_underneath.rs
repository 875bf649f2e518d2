use super::*;

#[test]
fn commits_packed_refs_and_gc_are_seen() {
    let origin = Origin::new();
    let first = origin.change("a", "1");
    let mut repository = origin.open();
    assert_eq!(repository.branch_tip("main").unwrap(), first);

    for round in 2..6 {
        let tip = origin.change("a", &round.to_string());
        assert_eq!(repository.branch_tip("main").unwrap(), tip, "a loose reference");
        origin.git(&["pack-refs", "--all", "--prune"]);
        assert_eq!(repository.branch_tip("main").unwrap(), tip, "a packed reference");
        origin.git(&["gc", "--quiet", "--prune=now"]);
        assert_eq!(repository.branch_tip("main").unwrap(), tip);
        assert_eq!(repository.commit(tip).unwrap().subject, "change a", "a new pack");
        if round % 2 == 0 {
            repository.refresh().unwrap();
            assert_eq!(repository.resolve("main~1").unwrap(), repository.resolve("HEAD^").unwrap());
        }
    }
    let Walk::Linear(walk) = repository.first_parent(Some(first), origin.head(), None).unwrap() else {
        panic!("diverged");
    };
    assert_eq!(walk.len(), 4);

    origin.git(&["switch", "--quiet", "--detach"]);
    origin.git(&["branch", "--quiet", "--delete", "--force", "main"]);
    assert!(matches!(repository.branch_tip("main"), Err(GitError::UnknownBranch { .. })));
}

#[test]
fn many_packs_are_no_trouble() {
    let origin = Origin::new();
    let first = origin.change("a", "0");
    let mut repository = origin.open();
    for round in 1..60 {
        origin.change("a", &round.to_string());
        origin.git(&["repack", "--quiet", "-d"]);
        let tip = repository.branch_tip("main").unwrap();
        repository.refresh().unwrap();
        assert_eq!(repository.commit(tip).unwrap().id, origin.head());
    }
    let walk = repository.first_parent(Some(first), origin.head(), None).unwrap();
    assert!(matches!(walk, Walk::Linear(chain) if chain.len() == 59));
}
