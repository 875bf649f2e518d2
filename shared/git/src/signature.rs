use gix::bstr::ByteSlice as _;

use crate::{CommitId, GitError, Repository};

/// The header that holds the signature of a commit in a SHA-1 repository.
const SIGNATURE: &[u8] = b"gpgsig ";
/// How every header of a signature begins: the signature under the other hash is `gpgsig-sha256`.
const ANY_SIGNATURE: &[u8] = b"gpgsig";

/// The signature of a commit, and what was signed. Nothing is verified here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSignature {
    /// How it is written.
    pub kind: SignatureKind,
    /// The signature, armored. Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// The commit without its signatures, byte for byte as git signed it.
    pub payload: Vec<u8>,
}

/// How a signature is written, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// `ssh-keygen -Y sign`, `gpg.format=ssh`.
    Ssh,
    /// `gpg`, `gpg.format=openpgp`.
    OpenPgp,
    /// `gpgsm`, `gpg.format=x509`.
    X509,
    /// None of those.
    Unknown,
}

impl Repository {
    /// The signature of a commit; `None` when it has none.
    ///
    /// A commit that has only a `gpgsig-sha256` has none: that header signs the commit as it would be written in a
    /// SHA-256 repository, which is another text. Git says the same of it.
    pub fn signature(&self, id: CommitId) -> Result<Option<CommitSignature>, GitError> {
        Ok(split(&self.find_commit(id)?.data))
    }
}

/// Takes a commit apart as git's own `parse_buffer_signed_by_header` (commit.c) does: the continuation lines of a
/// header begin with a space, the headers end at the first empty line, and every header of a signature is left out of
/// what was signed. Other headers stay, those of merged tags with signatures of their own (`mergetag`) too.
fn split(commit: &[u8]) -> Option<CommitSignature> {
    /// The header that a continuation line continues.
    enum Header {
        Signature,
        OtherSignature,
        Signed,
    }
    let (mut payload, mut signature) = (Vec::with_capacity(commit.len()), Vec::new());
    let mut header = Header::Signed;
    let mut rest = commit;
    while !rest.is_empty() {
        if rest.starts_with(b"\n") {
            payload.extend_from_slice(rest);
            break;
        }
        let line;
        (line, rest) = rest.split_at(rest.find_byte(b'\n').map_or(rest.len(), |end| end + 1));
        let (continued, begun) = (line.strip_prefix(b" "), line.strip_prefix(SIGNATURE));
        if continued.is_none() {
            header = match line {
                _ if begun.is_some() => Header::Signature,
                _ if line.starts_with(ANY_SIGNATURE) => Header::OtherSignature,
                _ => Header::Signed,
            };
        }
        match header {
            Header::Signature => signature.extend_from_slice(continued.or(begun).unwrap_or_default()),
            Header::OtherSignature => {}
            Header::Signed => payload.extend_from_slice(line),
        }
    }
    let text = String::from_utf8_lossy(&signature).into_owned();
    (!signature.is_empty()).then(|| CommitSignature { kind: kind(&text), text, payload })
}

/// As git's `get_format_by_sig` (gpg-interface.c) tells them apart.
fn kind(text: &str) -> SignatureKind {
    match text.lines().next() {
        Some("-----BEGIN SSH SIGNATURE-----") => SignatureKind::Ssh,
        Some("-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----") => SignatureKind::OpenPgp,
        Some("-----BEGIN SIGNED MESSAGE-----") => SignatureKind::X509,
        _ => SignatureKind::Unknown,
    }
}
