//! The tables: the only crate that speaks DynamoDB.
//!
//! Every call reports what it consumed to the store's [`Meter`], retries what DynamoDB leaves
//! unprocessed, and answers a broken condition with [`StoreError::Conflict`].

pub mod alerts;
pub mod appearances;
pub mod approvals;
pub mod audit;
pub mod backup;
mod batch;
mod bundled;
pub mod client;
mod decisions;
pub mod edits;
pub mod history;
pub mod inferences;
mod item;
pub mod lease;
pub mod limiter;
pub mod models;
pub mod outbox;
mod overrides;
pub mod past;
pub mod policy;
pub mod published;
pub mod reader;
pub mod rollouts;
pub mod runs;
mod single;
mod transaction;
pub mod units;
pub mod wish;

#[cfg(feature = "local")]
pub mod streams;
#[cfg(feature = "local")]
pub mod tables;

pub use alerts::{AlertFilter, Breach, KeptAlert};
pub use appearances::Appearances;
pub use approvals::{Approval, ManualHold};
pub use audit::{AuditPage, AuditRange, Order, Position};
pub use bundled::Bundled;
pub use client::{Store, StoreError, TableNames};
pub use inferences::{BatchKey, Counted};
pub use lease::Lease;
pub use limiter::{Limiter, Quota};
pub use outbox::Pending;
pub use past::{AsOf, Unkept};
pub use policy::PolicyCache;
pub use published::{Manifest, Publication};
pub use rollouts::{Revert, RolloutStep};
pub use runs::KeptRun;
pub use units::{Meter, Units};
pub use wish::{TakenWish, Wished, Wishes};
