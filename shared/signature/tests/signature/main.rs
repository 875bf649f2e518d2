//! Verifies signatures that the real `git`, `ssh-keygen` and `gpg` made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod openpgp;
mod ssh;
mod support;

use jiff::Timestamp;
use roster_git::{CommitSignature, SignatureKind};
use roster_signature::{AllowedKeys, SignatureProblem, verify};
use support::{GpgHome, Origin, SshKey, allowed, judged, judged_in};

#[test]
fn an_unsigned_commit_is_said_to_be() {
    let origin = Origin::new();
    origin.git(&["commit", "--quiet", "--allow-empty", "--message", "unsigned"]);
    let problem = verify(origin.signature().as_ref(), &AllowedKeys::default(), Timestamp::now()).unwrap_err();
    assert_eq!(problem, SignatureProblem::Unsigned);
    assert_eq!(problem.to_string(), "is not signed: policy asks for a signature by an allowed key");
}

#[test]
fn what_is_no_signature_is_said_to_be() {
    let said = |kind, text: &str| {
        let signature = CommitSignature { kind, text: text.to_owned(), payload: b"tree".to_vec() };
        judged(&signature, &AllowedKeys::default()).unwrap_err()
    };
    let only = "only SSH and OpenPGP signatures are verified";
    assert_eq!(said(SignatureKind::X509, ""), format!("has an X.509 signature: {only}"));
    assert_eq!(said(SignatureKind::Unknown, ""), format!("has an unknown kind of signature: {only}"));
    for kind in [SignatureKind::Ssh, SignatureKind::OpenPgp] {
        for text in ["", "-----BEGIN SSH SIGNATURE-----\n", "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n"] {
            let said = said(kind, text);
            assert!(said.starts_with("has a signature that cannot be read: "), "{said}");
        }
        let long = "-".repeat(70_000);
        assert_eq!(said(kind, &long), "has a signature that cannot be read: it has 70000 bytes");
    }
}

#[test]
fn merges_and_messages_in_other_encodings_verify() {
    let (ssh, home) = (SshKey::new(&["-t", "ed25519"]), GpgHome::new());
    let gpg = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    let allowed = allowed(&[&ssh.public], &[&home.export(&gpg)]);
    for origin in [ssh.origin(), home.origin(&gpg)] {
        origin.signed();
        origin.git(&["switch", "--quiet", "--create", "topic"]);
        origin.signed();
        origin.git(&["tag", "--sign", "--message", "a tag", "v1"]);
        origin.git(&["switch", "--quiet", "main"]);
        origin.git(&["merge", "--quiet", "--no-ff", "--no-gpg-sign", "--message", "merge", "v1"]);
        assert_eq!(origin.signature(), None, "what it merges is signed, and it is not");
        let signature = origin.signed_in_latin_1();
        assert!(signature.payload.windows(9).any(|window| window == b"mergetag "));
        assert!(signature.payload.ends_with(b"Caf\xe9\n"));
        judged(&signature, &allowed).unwrap();
    }
}

/// Two `gpgsig` headers come out as one text with two signatures.
#[test]
fn two_signatures_are_none() {
    let key = SshKey::new(&["-t", "ed25519"]);
    let mut signature = key.origin().signed();
    signature.text.push_str(&signature.text.clone());
    let allowed = allowed(&[&key.public], &[]);
    assert_eq!(judged(&signature, &allowed).unwrap_err(), "has a signature that cannot be read: it is more than one");
}

/// With its place, not only the first.
#[test]
fn every_mistake_in_a_list_is_told() {
    let good = SshKey::new(&["-t", "ed25519"]).public;
    let lists = [vec![good, "ssh-ed25519 AAAA".to_owned()], vec!["nothing".to_owned()]];
    let problems = AllowedKeys::parse(&lists[0], &lists[1]).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| (problem.kind, problem.at)).collect();
    assert_eq!(places, [(SignatureKind::Ssh, 1), (SignatureKind::OpenPgp, 0)]);
    assert!(problems[0].message.starts_with("is not an SSH public key: "), "{problems:?}");
    assert!(problems[1].message.starts_with("is not an OpenPGP public key: "), "{problems:?}");
}
