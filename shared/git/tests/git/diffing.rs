use super::*;

#[test]
fn shows_every_kind_of_change() {
    let origin = Origin::new();
    for path in ["same", "edited", "removed", "mode", "to-link", "to-dir", "Case", "dir/x", "deep/er/y"] {
        origin.write(&format!("catalog/{path}"), path);
    }
    origin.write("outside", "1");
    origin.write("catalog.json", "1");
    let base = origin.commit("base");
    let root = origin.path();
    let catalog = root.join("catalog");
    origin.write("outside", "2");
    origin.write("catalog.json", "2");
    origin.write("catalog/edited", "2");
    fs::remove_file(catalog.join("removed")).unwrap();
    fs::set_permissions(catalog.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(catalog.join("to-link")).unwrap();
    symlink("same", catalog.join("to-link")).unwrap();
    fs::remove_file(catalog.join("to-dir")).unwrap();
    origin.write("catalog/to-dir/inner", "1");
    fs::rename(catalog.join("Case"), catalog.join("case")).unwrap();
    fs::remove_dir_all(catalog.join("dir")).unwrap();
    origin.write("catalog/dir", "a file now");
    origin.write("catalog/new é/z", "1");
    let head = origin.commit("head");

    let repository = origin.open();
    let expected = [
        "- catalog/Case File",
        "+ catalog/case File",
        "+ catalog/dir File",
        "- catalog/dir/x File",
        "~ catalog/edited File>File",
        "~ catalog/mode File>Executable",
        "+ catalog/new é/z File",
        "- catalog/removed File",
        "- catalog/to-dir File",
        "+ catalog/to-dir/inner File",
        "~ catalog/to-link File>Symlink",
    ];
    for prefix in ["catalog", "catalog/", "/catalog"] {
        let changes = repository.diff(Some(base), head, prefix).unwrap();
        assert_eq!(shown(&changes), expected, "{prefix}");
    }
    assert_eq!(shown(&repository.diff(Some(base), head, "catalog/to-dir").unwrap()), ["+ catalog/to-dir/inner File"]);
    assert_eq!(repository.diff(Some(base), head, "").unwrap().len(), expected.len() + 2);
    assert_eq!(repository.diff(Some(head), head, "").unwrap(), []);
    assert_eq!(repository.diff(Some(base), head, "catalog/deep").unwrap(), []);
    assert_eq!(repository.diff(Some(base), head, "absent").unwrap(), []);

    let subtree = |commit, prefix| repository.subtree(commit, prefix).unwrap();
    let expected = origin.git(&["rev-parse", "HEAD:catalog"]);
    assert_eq!(subtree(head, "catalog").unwrap().to_string(), expected.trim());
    assert_eq!(subtree(base, "catalog/deep"), subtree(head, "catalog/deep"));
    assert_ne!(subtree(base, ""), subtree(head, ""));
    assert_eq!(subtree(head, "absent/er"), None);
    assert_eq!(subtree(head, "outside"), None, "a file is not a directory");
}

#[test]
fn a_prefix_may_come_and_go() {
    let origin = Origin::new();
    let without = origin.change("other", "1");
    let with = origin.change("catalog/a", "1");
    let repository = origin.open();
    let diff = |base, head| shown(&repository.diff(base, head, "catalog").unwrap());
    assert_eq!(diff(Some(without), with), ["+ catalog/a File"]);
    assert_eq!(diff(Some(with), without), ["- catalog/a File"]);
    assert_eq!(diff(None, without), [""; 0]);
    assert_eq!(diff(None, with), ["+ catalog/a File"]);
}

#[test]
fn a_submodule_is_told_apart() {
    let origin = Origin::new();
    let base = origin.change("catalog/a", "1");
    let cacheinfo = format!("160000,{base},catalog/sub");
    origin.git(&["update-index", "--add", "--cacheinfo", &cacheinfo]);
    let head = origin.commit_index("add a submodule");
    let repository = origin.open();
    let changes = repository.diff(Some(base), head, "catalog").unwrap();
    assert_eq!(shown(&changes), ["+ catalog/sub Submodule"]);
    assert_eq!(added(&repository, head, "catalog/sub").id.to_string(), base.to_string());
}

#[test]
fn a_path_that_is_not_utf8_is_told_apart() {
    use std::os::unix::ffi::OsStrExt as _;

    let origin = Origin::new();
    let base = origin.change("catalog/a", "1");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.json");
    fs::write(origin.path().join("catalog").join(name), "1").unwrap();
    let head = origin.commit("bad name");
    let changes = origin.open().diff(Some(base), head, "catalog").unwrap();
    assert_eq!(shown(&changes), [r"+ catalog/caf\xe9.json NonUtf8Path"]);
}
