//! Reads Git repositories: commits, trees, blobs and who changed what. Writes one thing: a branch that proposes a
//! change.
//!
//! This is the only crate of Roster that knows Git, and it knows nothing of models: it deals in
//! bytes, paths and commits. It opens a local repository in place, or keeps a bare clone of one
//! that is served over HTTP. Everything here blocks; async callers use `spawn_blocking`.

mod commit;
mod diff;
mod error;
mod id;
mod location;
mod proposal;
mod remote;
mod repository;
mod signature;
mod walk;

pub use commit::Commit;
pub use diff::{ChangeKind, Entry, EntryKind, FileChange};
pub use error::{BoxError, GitError};
pub use id::{BlobId, CommitId, TreeId};
pub use location::Location;
pub use proposal::{Proposal, Proposed};
pub use repository::{Blob, Repository};
pub use signature::{CommitSignature, SignatureKind};
pub use walk::Walk;
