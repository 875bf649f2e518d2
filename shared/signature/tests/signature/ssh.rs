use super::*;

#[test]
fn every_kind_of_key_verifies() {
    for args in [
        &["-t", "ed25519"][..],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "3072"],
    ] {
        let key = SshKey::new(args);
        let signature = key.origin().signed();
        assert_eq!(signature.kind, SignatureKind::Ssh);
        let allowed = allowed(&[&key.public], &[]);
        let signer = judged(&signature, &allowed).unwrap();
        assert_eq!((signer.fingerprint, signer.comment.as_str()), (key.fingerprint(), "ada's key"), "{args:?}");

        let mut changed = signature.clone();
        changed.payload.push(b'\n');
        let misfit = format!(
            "has a signature by SSH key {} that does not fit it: \
             the commit was changed, or the signature is of another",
            key.fingerprint()
        );
        assert_eq!(judged(&changed, &allowed).unwrap_err(), misfit, "{args:?}");
    }
}

#[test]
fn a_key_that_proves_nothing_is_not_taken() {
    let refused = |args: &[&str]| {
        let problems = AllowedKeys::parse(&[SshKey::new(args).public], &[]).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(refused(&["-t", "rsa", "-b", "1024"]), "has 1024 bits: an RSA key has 2048 to 4096 here");
    let kind = "is of the kind ecdsa-sha2-nistp384, which is not verified";
    assert_eq!(refused(&["-t", "ecdsa", "-b", "384"]), kind);
}

#[test]
fn another_key_is_not_allowed() {
    let (ours, theirs) = (SshKey::new(&["-t", "ed25519"]), SshKey::new(&["-t", "ed25519"]));
    let said = judged(&theirs.origin().signed(), &allowed(&[&ours.public], &[])).unwrap_err();
    assert_eq!(said, format!("is signed by SSH key {}, which policy does not allow", theirs.fingerprint()));
}

#[test]
fn both_hashes_of_the_protocol_verify() {
    let key = SshKey::new(&["-t", "ed25519"]);
    let allowed = allowed(&[&key.public], &[]);
    let mut signature = key.origin().signed();
    for hash in ["hashalg=sha256", "hashalg=sha512"] {
        signature.text = key.sign(&["-n", "git", "-O", hash], &signature.payload);
        judged(&signature, &allowed).unwrap();
    }
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let key = SshKey::new(&["-t", "ed25519"]);
    let mut signature = key.origin().signed();
    signature.text = key.sign(&["-n", "file"], &signature.payload);
    let said = judged(&signature, &allowed(&[&key.public], &[])).unwrap_err();
    let name = key.fingerprint();
    assert_eq!(said, format!("has a signature by SSH key {name} for the namespace \"file\": git signs in \"git\""));
}

/// The key in a signature is only a name: putting an allowed one there proves nothing.
#[test]
fn a_signature_of_another_commit_or_key_is_refused() {
    let key = SshKey::new(&["-t", "ed25519"]);
    let origin = key.origin();
    let allowed = allowed(&[&key.public], &[]);
    let mut first = origin.signed();
    let second = origin.signed();
    first.text.clone_from(&second.text);
    assert!(judged(&first, &allowed).unwrap_err().contains("does not fit it"));
    judged(&second, &allowed).unwrap();
}
