use super::*;

/// A repository whose commits are signed with an SSH key.
fn signing() -> Origin {
    let origin = Origin::new();
    let key = origin.path().join(".git/key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    origin.git(&["config", "gpg.format", "ssh"]);
    origin.git(&["config", "user.signingkey", key.to_str().unwrap()]);
    origin
}

fn signed(origin: &Origin, message: &[u8], options: &[&str]) -> CommitId {
    let mut args = options.to_vec();
    args.extend(["commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--gpg-sign", "--file=-"]);
    git_with_input(&origin.path(), &args, message);
    origin.head()
}

/// OpenSSH's own word that a text is byte for byte what was signed.
fn check_by_ssh_keygen(signature: &CommitSignature) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("signature");
    fs::write(&file, &signature.text).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "check-novalidate", "-n", "git", "-s"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&signature.payload).unwrap();
    assert!(child.wait().unwrap().success());
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn raw(origin: &Origin, id: CommitId) -> Vec<u8> {
    let output = git_command(&origin.path()).args(["cat-file", "commit", &id.to_string()]).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn written(origin: &Origin, commit: &[u8]) -> CommitId {
    let args = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    git_with_input(&origin.path(), &args, commit).trim().parse().unwrap()
}

#[test]
fn an_unsigned_commit_has_none() {
    let origin = Origin::new();
    let id = origin.change("a", "1");
    assert_eq!(origin.open().signature(id).unwrap(), None);
}

#[test]
fn what_was_signed_comes_out_byte_for_byte() {
    let origin = signing();
    let latin = "Caf\u{e9}".chars().map(|letter| letter as u8).collect::<Vec<_>>();
    let message = [b"Title\n\ngpgsig in the message\n continued\n\n\n".as_slice(), &latin, b"\n\n"].concat();
    let id = signed(&origin, &message, &["-c", "i18n.commitEncoding=ISO-8859-1"]);
    let signature = origin.open().signature(id).unwrap().unwrap();
    assert_eq!(signature.kind, SignatureKind::Ssh);
    assert!(signature.payload.ends_with(&message), "{}", signature.payload.escape_ascii());
    assert!(contains(&signature.payload, b"\nencoding ISO-8859-1\n\nTitle"));
    check_by_ssh_keygen(&signature);
}

#[test]
fn a_merged_tag_stays_in_what_was_signed() {
    let origin = signing();
    signed(&origin, b"root", &[]);
    origin.git(&["switch", "--quiet", "--create", "topic"]);
    signed(&origin, b"topic", &[]);
    origin.git(&["tag", "--sign", "--message", "a tag", "v1"]);
    origin.git(&["switch", "--quiet", "main"]);
    origin.git(&["merge", "--quiet", "--no-ff", "--gpg-sign", "--message", "merge", "v1"]);
    let signature = origin.open().signature(origin.head()).unwrap().unwrap();
    assert!(contains(&signature.payload, b"\nmergetag object "));
    assert!(contains(&signature.payload, b"\n -----BEGIN SSH SIGNATURE-----"));
    assert!(!contains(&signature.payload, b"gpgsig"));
    check_by_ssh_keygen(&signature);
}

#[test]
fn the_signature_of_another_hash_is_none_and_is_not_signed() {
    let origin = signing();
    let id = signed(&origin, b"signed", &[]);
    let ours = origin.open().signature(id).unwrap().unwrap();
    let commit = raw(&origin, id);
    let at = commit.windows(7).position(|window| window == b"gpgsig ").unwrap();
    let other = b"gpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\n";
    let end = commit.len() - b"\nsigned".len();
    for at in [at, end] {
        let both = written(&origin, &[&commit[..at], other, &commit[at..]].concat());
        assert_eq!(origin.open().signature(both).unwrap().as_ref(), Some(&ours));
    }
    let alone = written(&origin, &[&commit[..at], other, b"\nsigned"].concat());
    assert_eq!(origin.open().signature(alone).unwrap(), None);
}

#[test]
fn kinds_are_told_by_the_first_line() {
    let origin = Origin::new();
    let commit = raw(&origin, origin.change("a", "1"));
    let end = commit.windows(2).position(|window| window == b"\n\n").unwrap() + 1;
    for (first, kind) in [
        ("-----BEGIN PGP SIGNATURE-----", SignatureKind::OpenPgp),
        ("-----BEGIN PGP MESSAGE-----", SignatureKind::OpenPgp),
        ("-----BEGIN SIGNED MESSAGE-----", SignatureKind::X509),
        ("-----BEGIN SSH SIGNATURE-----", SignatureKind::Ssh),
        ("-----BEGIN LOVE LETTER-----", SignatureKind::Unknown),
        ("", SignatureKind::Unknown),
    ] {
        let header = format!("gpgsig {first}\n body\n \n");
        let id = written(&origin, &[&commit[..end], header.as_bytes(), &commit[end..]].concat());
        let signature = origin.open().signature(id).unwrap().unwrap();
        assert_eq!((signature.kind, signature.text), (kind, format!("{first}\nbody\n\n")));
        assert_eq!(signature.payload, commit);
    }
}

/// `git replace` would put what nobody signed in the place of what a signed commit names.
#[test]
fn nothing_is_read_in_the_place_of_something_else() {
    let origin = signing();
    origin.write("a", "good");
    origin.git(&["add", "--all"]);
    let id = signed(&origin, b"good", &[]);
    let evil = git_with_input(&origin.path(), &["hash-object", "-w", "--stdin"], b"evil");
    let good = origin.git(&["rev-parse", "HEAD:a"]);
    origin.git(&["replace", good.trim(), evil.trim()]);
    assert_eq!(origin.git(&["cat-file", "blob", good.trim()]), "evil", "git itself is fooled");
    let repository = origin.open();
    let entry = added(&repository, id, "a");
    assert_eq!(repository.blob(entry.id, 100).unwrap(), Blob::Content(b"good".to_vec()));
}
