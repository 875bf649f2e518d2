//! Verifies signatures of commits against the keys that are allowed: SSH and OpenPGP.
//!
//! A crate of its own, since OpenPGP brings many crates along: only what applies commits is built with it. It asks
//! no agent, no keyring, no network and no clock: the keys and the time are given.

mod openpgp;
mod ssh;

use jiff::Timestamp;
use roster_git::{CommitSignature, SignatureKind};
use thiserror::Error;

/// Longer signatures are not looked at: one of OpenPGP with RSA has about 1 KB.
const MAX_BYTES: usize = 64 * 1024;

/// The keys that may sign commits.
#[derive(Debug, Clone, Default)]
pub struct AllowedKeys {
    ssh: Vec<ssh_key::PublicKey>,
    openpgp: Vec<pgp::composed::SignedPublicKey>,
}

/// A key that cannot be one to allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct KeyProblem {
    /// Whether it is in the list of SSH keys or in that of OpenPGP keys.
    pub kind: SignatureKind,
    /// Its place in the list, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub message: String,
}

impl AllowedKeys {
    /// Reads SSH keys, each as a line of a `.pub` file, and OpenPGP keys, each as an armored block.
    ///
    /// A key that can verify nothing is a mistake here, rather than a commit that nobody can sign later. Whether a key
    /// has expired is asked only when it signs.
    ///
    /// # Errors
    /// Every key that cannot be read or is too weak.
    pub fn parse(ssh_keys: &[String], gpg_keys: &[String]) -> Result<Self, Vec<KeyProblem>> {
        let mut allowed = Self::default();
        let mut problems = Vec::new();
        let mut problem = |kind, at, message| problems.push(KeyProblem { kind, at, message });
        for (at, text) in ssh_keys.iter().enumerate() {
            match ssh::key(text) {
                Ok(key) => allowed.ssh.push(key),
                Err(message) => problem(SignatureKind::Ssh, at, message),
            }
        }
        for (at, text) in gpg_keys.iter().enumerate() {
            match openpgp::keys(text) {
                Ok(keys) => allowed.openpgp.extend(keys),
                Err(message) => problem(SignatureKind::OpenPgp, at, message),
            }
        }
        if problems.is_empty() { Ok(allowed) } else { Err(problems) }
    }
}

/// Who signed a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// `SHA256:…` of an SSH key; the hexadecimal fingerprint of an OpenPGP key, of its primary key where a subkey signed.
    pub fingerprint: String,
    /// What the list of keys calls it: the comment of an SSH key, the first user id of an OpenPGP key.
    pub comment: String,
}

/// Why a commit does not count as signed. Each reads as the end of a sentence that begins with the commit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// It has no signature.
    #[error("is not signed: policy asks for a signature by an allowed key")]
    Unsigned,
    /// The signature is of a kind that is not verified.
    #[error("has {0} signature: only SSH and OpenPGP signatures are verified")]
    Unsupported(&'static str),
    /// The signature cannot be read.
    #[error("has a signature that cannot be read: {0}")]
    Unreadable(String),
    /// A key signed that is not allowed.
    #[error("is signed by {key}, which policy does not allow")]
    NotAllowed {
        /// The key, with its fingerprint.
        key: String,
    },
    /// An allowed key signed something else.
    #[error("has a signature by {key} that does not fit it: the commit was changed, or the signature is of another")]
    Misfit {
        /// The key, with its fingerprint.
        key: String,
    },
    /// An SSH signature was made for another purpose.
    #[error("has a signature by {key} for the namespace \"{namespace}\": git signs in \"git\"")]
    OtherNamespace {
        /// The key, with its fingerprint.
        key: String,
        /// The purpose.
        namespace: String,
    },
    /// The key, or the signature, has expired.
    #[error("is signed by {key}: {what} expired on {on}")]
    Expired {
        /// The key, with its fingerprint.
        key: String,
        /// What of it expired.
        what: &'static str,
        /// When.
        on: Timestamp,
    },
    /// The key may not sign commits: it is revoked, for another use, or too weak.
    #[error("is signed by {key}, {why}")]
    Unfit {
        /// The key, with its fingerprint.
        key: String,
        /// What is wrong with the key.
        why: String,
    },
}

/// Who signed a commit, when an allowed key did and is good at `now`.
///
/// The time is the caller's, not the commit's and not the signature's: those are what the signer claims, and whoever
/// has a key that expired can claim any. `git verify-commit` goes by the clock as well.
///
/// # Errors
/// [`SignatureProblem`] in every other case.
pub fn verify(
    signature: Option<&CommitSignature>,
    allowed: &AllowedKeys,
    now: Timestamp,
) -> Result<Signer, SignatureProblem> {
    let signature = signature.ok_or(SignatureProblem::Unsigned)?;
    let text = signature.text.as_str();
    if text.len() > MAX_BYTES {
        return Err(SignatureProblem::Unreadable(format!("it has {} bytes", text.len())));
    }
    // Git puts several signature headers one after the other. Which one of them counts must not be up to a parser.
    if text.matches("-----BEGIN ").count() > 1 {
        return Err(SignatureProblem::Unreadable("it is more than one".to_owned()));
    }
    match signature.kind {
        SignatureKind::Ssh => ssh::verify(text, &signature.payload, &allowed.ssh),
        SignatureKind::OpenPgp => openpgp::verify(text, &signature.payload, &allowed.openpgp, now),
        SignatureKind::X509 => Err(SignatureProblem::Unsupported("an X.509")),
        SignatureKind::Unknown => Err(SignatureProblem::Unsupported("an unknown kind of")),
    }
}
