//! The contract: the OpenAPI 3.1 document of what the functions answer, and what may not change in it.
//!
//! Routes come from the template, access from the registries, shapes from the types that are read and written. What is
//! left to say of a function is said once, beside it, in its artifact's `contract.rs`.

mod breaking;
mod document;
mod endpoint;
mod problems;
pub mod schemas;

pub use breaking::{breaks, may_break};
pub use document::{Operation, closed, document};
pub use endpoint::Endpoint;
pub use problems::PROBLEMS;
pub use schemas::Schemas;
