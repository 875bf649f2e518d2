use super::*;

#[test]
fn are_read_up_to_a_size() {
    let origin = Origin::new();
    origin.write("small", b"\x00\xff");
    origin.write("big", vec![b'x'; 3_000_000]);
    origin.write("empty", "");
    symlink("small", origin.path().join("link")).unwrap();
    let commit = origin.commit("files");
    for packed in [false, true] {
        if packed {
            origin.git(&["gc", "--quiet"]);
        }
        let repository = origin.open();
        let read = |path, max| repository.blob(added(&repository, commit, path).id, max).unwrap();
        assert_eq!(read("small", 2), Blob::Content(vec![0, 255]));
        assert_eq!(read("small", 1), Blob::TooLarge { bytes: 2 });
        assert_eq!(read("big", 256 * 1024), Blob::TooLarge { bytes: 3_000_000 });
        assert_eq!(read("big", u64::MAX), Blob::Content(vec![b'x'; 3_000_000]));
        assert_eq!(read("empty", 0), Blob::Content(vec![]));
        assert_eq!(read("link", 10), Blob::Content(b"small".to_vec()));
    }
    let absent = "0123456789012345678901234567890123456789".parse().unwrap();
    assert!(matches!(origin.open().blob(absent, 1), Err(GitError::MissingObject { .. })));
    let not_a_blob = commit.to_string().parse().unwrap();
    assert!(matches!(origin.open().blob(not_a_blob, 1), Err(GitError::WrongKind { .. })));
}

#[test]
fn that_are_corrupt_are_named() {
    let origin = Origin::new();
    let commit = origin.change("a", "content");
    let id = added(&origin.open(), commit, "a").id;
    let hex = id.to_string();
    let file = origin.path().join(".git/objects").join(&hex[..2]).join(&hex[2..]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, b"garbage").unwrap();
    let error = origin.open().blob(id, 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("object {hex} in repository {} is corrupt: run `git fsck` there", origin.path().display())
    );
    assert!(error.source().is_some());
}
