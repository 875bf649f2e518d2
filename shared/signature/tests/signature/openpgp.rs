use pgp::composed::{ArmorOptions, Deserializable as _, SignedPublicKey};

use super::*;

#[test]
fn every_kind_of_key_verifies() {
    for algorithm in ["ed25519", "rsa2048", "nistp256"] {
        let home = GpgHome::new();
        let key = home.key("Ada <ada@example.com>", algorithm, "sign", "never");
        let signature = home.origin(&key).signed();
        assert_eq!(signature.kind, SignatureKind::OpenPgp);
        let allowed = allowed(&[], &[&home.export(&key)]);
        let signer = judged(&signature, &allowed).unwrap();
        assert_eq!((&signer.fingerprint, signer.comment.as_str()), (&key, "Ada <ada@example.com>"), "{algorithm}");

        let mut changed = signature.clone();
        changed.payload.push(b'\n');
        let misfit = format!(
            "has a signature by OpenPGP key {key} that does not fit it: \
             the commit was changed, or the signature is of another"
        );
        assert_eq!(judged(&changed, &allowed).unwrap_err(), misfit, "{algorithm}");
    }
}

#[test]
fn another_key_is_not_allowed() {
    let home = GpgHome::new();
    let ours = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    let theirs = home.key("Eve <eve@example.com>", "ed25519", "sign", "never");
    let said = judged(&home.origin(&theirs).signed(), &allowed(&[], &[&home.export(&ours)])).unwrap_err();
    assert_eq!(said, format!("is signed by OpenPGP key {theirs}, which policy does not allow"));
}

#[test]
fn one_block_may_hold_several_keys() {
    let home = GpgHome::new();
    let ada = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    let bob = home.key("Bob <bob@example.com>", "ed25519", "sign", "never");
    let allowed = allowed(&[], &[&home.gpg(&["--armor", "--export"])]);
    for key in [&ada, &bob] {
        assert_eq!(judged(&home.origin(key).signed(), &allowed).unwrap().fingerprint, *key);
    }
}

#[test]
fn an_expired_key_is_refused() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "ed25519", "sign", "30d");
    let signature = home.origin(&key).signed();
    let before = allowed(&[], &[&home.export(&key)]);
    judged_in(29, &signature, &before).unwrap();
    let said = judged_in(31, &signature, &before).unwrap_err();
    assert!(said.starts_with(&format!("is signed by OpenPGP key {key}: the key expired on 2")), "{said}");

    // Extended, in the copy that is allowed: what the newest signature on the key says holds.
    home.gpg(&["--quick-set-expire", &key, "60d"]);
    let extended = allowed(&[], &[&home.export(&key)]);
    judged_in(31, &signature, &extended).unwrap();
    judged_in(61, &signature, &extended).unwrap_err();
}

#[test]
fn an_expired_signature_is_refused() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    std::fs::write(home.path().join("gpg.conf"), "default-sig-expire 2d\n").unwrap();
    let signature = home.origin(&key).signed();
    let allowed = allowed(&[], &[&home.export(&key)]);
    judged_in(1, &signature, &allowed).unwrap();
    let said = judged_in(3, &signature, &allowed).unwrap_err();
    assert!(said.contains("the signature expired on 2"), "{said}");
}

#[test]
fn a_revoked_key_is_refused() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    let signature = home.origin(&key).signed();
    judged(&signature, &allowed(&[], &[&home.export(&key)])).unwrap();
    // Written beside every new key, with a colon against carelessness.
    let revocation = home.path().join(format!("openpgp-revocs.d/{key}.rev"));
    let revocation = std::fs::read_to_string(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    home.gpg_with_input(&["--import"], revocation.as_bytes());
    let said = judged(&signature, &allowed(&[], &[&home.export(&key)])).unwrap_err();
    assert_eq!(said, format!("is signed by OpenPGP key {key}, which is revoked"));
}

#[test]
fn a_subkey_signs_for_its_key_as_long_as_it_may() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "ed25519", "cert", "never");
    let alone = AllowedKeys::parse(&[], &[home.export(&key)]).unwrap_err();
    let nothing = format!("OpenPGP key {key} signs nothing: it, or a subkey, needs the flag for signing");
    assert_eq!(alone[0].message, nothing);

    home.gpg(&["--quick-add-key", &key, "cv25519", "encr", "never"]);
    home.gpg(&["--quick-add-key", &key, "ed25519", "sign", "30d"]);
    let signature = home.origin(&key).signed();
    let with_subkey = allowed(&[], &[&home.export(&key)]);
    assert_eq!(judged(&signature, &with_subkey).unwrap().fingerprint, key);
    let said = judged_in(31, &signature, &with_subkey).unwrap_err();
    assert!(said.starts_with(&format!("is signed by OpenPGP key {key}: its subkey expired on 2")), "{said}");

    let answers = b"key 2\nrevkey\ny\n0\n\ny\nsave\n";
    home.gpg_with_input(&["--command-fd", "0", "--no-batch", "--edit-key", &key], answers);
    let said = judged(&signature, &allowed(&[], &[&home.export(&key)])).unwrap_err();
    assert_eq!(said, format!("is signed by OpenPGP key {key}, which is revoked"));
}

/// RFC 9580, section 9.5: what depends on SHA-1 proves nothing any more.
#[test]
fn a_weak_hash_or_key_is_refused() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "rsa2048", "sign", "never");
    std::fs::write(home.path().join("gpg.conf"), "digest-algo SHA1\n").unwrap();
    let said = judged(&home.origin(&key).signed(), &allowed(&[], &[&home.export(&key)])).unwrap_err();
    assert_eq!(said, format!("is signed by OpenPGP key {key}, over a SHA1 hash, which proves nothing any more"));

    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "rsa1024", "sign", "never");
    AllowedKeys::parse(&[], &[home.export(&key)]).unwrap_err();
}

#[test]
fn a_revoked_user_id_leaves_the_others() {
    let home = GpgHome::new();
    let key = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    home.gpg(&["--quick-add-uid", &key, "Ada <ada@example.org>"]);
    let signature = home.origin(&key).signed();
    home.gpg(&["--quick-revoke-uid", &key, "Ada <ada@example.com>"]);
    judged(&signature, &allowed(&[], &[&home.export(&key)])).unwrap();
}

/// What a key says of itself counts only with its own signature on it.
#[test]
fn a_key_that_was_put_together_is_refused() {
    let home = GpgHome::new();
    let ours = home.key("Ada <ada@example.com>", "ed25519", "sign", "never");
    let theirs = home.key("Eve <eve@example.com>", "ed25519", "cert", "never");
    home.gpg(&["--quick-add-key", &theirs, "ed25519", "sign", "never"]);
    let signature = home.origin(&theirs).signed();
    let read = |key: &str| SignedPublicKey::from_string(&home.export(key)).unwrap().0;
    let armored = |key: SignedPublicKey| key.to_armored_string(ArmorOptions::default()).unwrap();

    let mut grafted = read(&ours);
    grafted.public_subkeys = read(&theirs).public_subkeys;
    let said = judged(&signature, &allowed(&[], &[&armored(grafted)])).unwrap_err();
    let why = "whose subkey has no valid signature of the key on it";
    assert_eq!(said, format!("is signed by OpenPGP key {ours}, {why}"));

    let mut borrowed = read(&ours);
    borrowed.details = read(&theirs).details;
    let mut bare = read(&ours);
    bare.details.users.clear();
    for key in [borrowed, bare] {
        let problems = AllowedKeys::parse(&[], &[armored(key)]).unwrap_err();
        assert!(problems[0].message.ends_with("signs nothing: it, or a subkey, needs the flag for signing"));
    }
}
