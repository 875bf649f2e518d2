//! SSH signatures, as OpenSSH's PROTOCOL.sshsig describes them.

use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, SshSig};

use crate::{SignatureProblem, Signer};

/// What git signs in (gpg-interface.c, `ssh-keygen -Y sign -n git`). PROTOCOL.sshsig: the namespace keeps a signature
/// that was made for one purpose from being used for another.
const NAMESPACE: &str = "git";

/// Below, an RSA key is within reach of factoring; above, it cannot be used by the library.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Reads one line of a `.pub` file.
pub(crate) fn key(text: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(text.trim()).map_err(|error| format!("is not an SSH public key: {error}"))?;
    match (key.algorithm(), key.key_data().rsa()) {
        (Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, _) => Ok(key),
        (Algorithm::Rsa { .. }, Some(rsa)) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |n| n.len() * 8);
            if RSA_BITS.contains(&bits) {
                return Ok(key);
            }
            Err(format!("has {bits} bits: an RSA key has {} to {} here", RSA_BITS.start(), RSA_BITS.end()))
        }
        (other, _) => Err(format!("is of the kind {other}, which is not verified")),
    }
}

/// The hash in a signature is one of SHA-256 and SHA-512, and an RSA signature is not of SHA-1 (`ssh-rsa`): there is
/// no way to write another into the types of the library.
pub(crate) fn verify(text: &str, payload: &[u8], allowed: &[PublicKey]) -> Result<Signer, SignatureProblem> {
    let made = SshSig::from_pem(text).map_err(|error| SignatureProblem::Unreadable(error.to_string()))?;
    let fingerprint = made.public_key().fingerprint(HashAlg::Sha256).to_string();
    let name = || format!("SSH key {fingerprint}");
    let Some(key) = allowed.iter().find(|key| key.key_data() == made.public_key()) else {
        return Err(SignatureProblem::NotAllowed { key: name() });
    };
    if made.namespace() != NAMESPACE {
        return Err(SignatureProblem::OtherNamespace { key: name(), namespace: made.namespace().to_owned() });
    }
    key.verify(NAMESPACE, payload, &made).map_err(|_| SignatureProblem::Misfit { key: name() })?;
    Ok(Signer { comment: key.comment().to_owned(), fingerprint })
}
