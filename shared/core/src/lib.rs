//! The domain of Roster: what a model is, what may change, and what a change means.
//!
//! Pure: no I/O, no async, no clock. Time and state come in as arguments, so every rule
//! here can be tested by calling it.

pub mod alert;
pub mod audit;
pub mod bundle;
pub mod canonical;
pub mod catalogue;
#[cfg(feature = "schema")]
pub mod command;
#[cfg(feature = "contract")]
mod contract;
pub mod decimal;
pub mod decision;
pub mod diff;
pub mod document;
pub mod effective;
pub mod end_of_life;
pub mod evaluate;
pub mod file;
pub mod finder;
pub mod guard;
pub mod inference;
pub mod lifecycle;
pub mod measure;
pub mod meta;
pub mod model;
pub mod notice;
pub mod plan;
pub mod policy;
pub mod price;
pub mod price_history;
pub mod propose;
pub mod quote;
pub mod rate;
pub mod record;
pub mod review;
pub mod rollout;
#[cfg(feature = "schema")]
pub mod schema;
pub mod status;
pub mod tier;
pub mod tree;
pub mod usage;
pub mod validate;
pub mod version;
pub mod view;
pub mod window;

pub use bundle::Bundle;
pub use decimal::Exact;
pub use document::Problem;
pub use model::{Model, ModelId};
pub use policy::Policy;
pub use price::Price;
