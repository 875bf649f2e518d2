//! GitHub: comments on pull requests, statuses of commits, and pull requests that propose a change of a file.
//!
//! | variable | what it is |
//! |---|---|
//! | `GITHUB_TOKEN` | the token: a workflow's own, a GitHub App's, or a personal one |
//! | `GITHUB_API_URL` | where the API is; `https://api.github.com` by default |
//!
//! Each operation looks before it writes, so that running it twice changes nothing the second time. That is also
//! what makes trying again safe: after a failure that may pass, the whole operation begins anew.

mod client;
mod comment;
mod error;
mod proposal;
mod repository;
mod status;

pub use client::{DEFAULT_API_URL, GitHub};
pub use comment::Comment;
pub use error::GitHubError;
pub use proposal::{BRANCHES, BranchFile, Proposal, PullRequest};
pub use repository::Repository;
pub use status::{CONTEXT, CommitStatus, State};
