//! The reconciler: makes the tables say what the repository says.
//!
//! read -> validate -> plan -> guard -> apply -> publish -> report. A run is told nothing but "look": it resolves
//! the branch itself, so lost, repeated and reordered calls change nothing but when it looks.

pub mod drift;
mod live;
pub mod offline;
mod overrides;
mod read;
mod reconcile;
pub mod report;
mod signed;

pub use live::Change;
pub use overrides::EndedOverride;
pub use read::{ReadCommit, Scope, read};
pub use reconcile::{Options, Reconciler, Repo, SyncError};
pub use report::{CommitReport, PlanReport, RunReport, State};
pub use signed::read_policy;
