use std::path::PathBuf;

use thiserror::Error;

use crate::CommitId;

/// The underlying cause of a [`GitError`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a repository could not be read.
///
/// No variant holds a token or the userinfo of a URL.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GitError {
    /// The text is not a path or a URL.
    #[error("invalid repository location `{input}`: {reason}")]
    InvalidLocation {
        /// The location as given, without userinfo.
        input: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The URL's scheme is none of `file`, `http` and `https`.
    #[error("unsupported scheme `{scheme}` in repository location `{input}`: use https, file or a path")]
    UnsupportedScheme {
        /// The location as given, without userinfo.
        input: String,
        /// The scheme found.
        scheme: String,
    },

    /// The text is not a full object id.
    #[error("invalid object id `{input}`: expected 40 hexadecimal digits")]
    InvalidId {
        /// The text as given.
        input: String,
    },

    /// The path is not a repository.
    #[error("`{}` is not a git repository", path.display())]
    NotARepository {
        /// The path that was opened.
        path: PathBuf,
        /// What was missing.
        source: BoxError,
    },

    /// A token would be sent in clear text.
    #[error("refusing to send a token to {url} in clear text: use https")]
    InsecureToken {
        /// The URL without userinfo.
        url: String,
    },

    /// The server did not answer.
    #[error("{url} is unreachable: check the host name, its certificate and the network")]
    Unreachable {
        /// The URL without userinfo.
        url: String,
        /// The failure of the connection.
        source: BoxError,
    },

    /// The server asks for credentials and none were given.
    #[error("{url} requires authentication (HTTP 401): give a token that may read it")]
    TokenRequired {
        /// The URL without userinfo.
        url: String,
    },

    /// The server does not accept the token, or the token may not read this repository.
    #[error(
        "{url} rejected the token (HTTP {status}): check its expiry and that it may read the repository's contents"
    )]
    TokenRejected {
        /// The URL without userinfo.
        url: String,
        /// 401 or 403.
        status: u16,
    },

    /// The server knows no such repository, or hides it from this caller.
    #[error("{url} was not found (HTTP 404): check the address, and the token if the repository is private")]
    RemoteNotFound {
        /// The URL without userinfo.
        url: String,
    },

    /// The server answered with another status.
    #[error("{url} answered HTTP {status}: check the address, or try again later")]
    Refused {
        /// The URL without userinfo.
        url: String,
        /// The status.
        status: u16,
    },

    /// The server redirects, and a token is only sent to the address it was given for.
    #[error("{url} redirects elsewhere, where its token is not sent: use the address it redirects to")]
    Redirected {
        /// The URL without userinfo.
        url: String,
        /// Where it redirects to, as far as known.
        source: BoxError,
    },

    /// The fetch failed for another reason.
    #[error("could not fetch {url}")]
    Fetch {
        /// The URL without userinfo.
        url: String,
        /// What failed.
        source: BoxError,
    },

    /// The directory that holds clones cannot be used.
    #[error("could not use the clone at `{}`", path.display())]
    Cache {
        /// The directory of the clone.
        path: PathBuf,
        /// What failed.
        source: BoxError,
    },

    /// There is no such branch.
    #[error("repository {repository} has no branch `{branch}`")]
    UnknownBranch {
        /// Where the repository is.
        repository: String,
        /// The branch asked for.
        branch: String,
    },

    /// The revision names nothing in this repository.
    #[error("repository {repository} has no revision `{revision}`")]
    UnknownRevision {
        /// Where the repository is.
        repository: String,
        /// The revision asked for.
        revision: String,
        /// Why it did not resolve.
        source: BoxError,
    },

    /// The object exists and is of another kind.
    #[error("object {id} in repository {repository} is a {actual}, expected a {expected}")]
    WrongKind {
        /// Where the repository is.
        repository: String,
        /// The object asked for.
        id: String,
        /// The kind asked for.
        expected: &'static str,
        /// The kind found.
        actual: String,
    },

    /// The object does not exist.
    #[error("object {id} is missing from repository {repository}: fetch it, or use a clone without a filter")]
    MissingObject {
        /// Where the repository is.
        repository: String,
        /// The object asked for.
        id: String,
    },

    /// The object exists and cannot be read.
    #[error("object {id} in repository {repository} is corrupt: run `git fsck` there")]
    CorruptObject {
        /// Where the repository is.
        repository: String,
        /// The object asked for.
        id: String,
        /// What is wrong with it.
        source: BoxError,
    },

    /// A walk met the boundary of a shallow clone.
    #[error(
        "repository {repository} is a shallow clone, so history before commit {boundary} is missing: \
         run `git fetch --unshallow`, or check out with fetch-depth: 0"
    )]
    Shallow {
        /// Where the repository is.
        repository: String,
        /// The oldest commit there is.
        boundary: CommitId,
    },

    /// References, trees or configuration could not be read.
    #[error("could not read {what} of repository {repository}")]
    Read {
        /// Where the repository is.
        repository: String,
        /// What was being read.
        what: String,
        /// What failed.
        source: BoxError,
    },

    /// A branch is not what whoever writes has seen.
    #[error("branch `{branch}` of repository {repository} is not what it was: look again, and propose anew")]
    Moved {
        /// Where the repository is.
        repository: String,
        /// The branch.
        branch: String,
    },

    /// Only a repository on this machine is written to.
    #[error("{repository} is not on this machine: propose changes to it by the API of its host")]
    NotLocal {
        /// Where the repository is.
        repository: String,
    },

    /// An object or a reference could not be written.
    #[error("could not write {what} to repository {repository}")]
    Write {
        /// Where the repository is.
        repository: String,
        /// What was being written.
        what: String,
        /// What failed.
        source: BoxError,
    },
}

impl GitError {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Fetch { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
