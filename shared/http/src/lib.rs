//! What every function shares: requests, replies, errors, tokens, and the way into Lambda.
//!
//! The only crate that knows `lambda_http`, `lambda_runtime` and `jsonwebtoken`.

pub mod env;
pub mod function;
pub mod problem;
pub mod reply;
pub mod request;

pub use env::Env;
pub use function::{Function, Handler};
pub use problem::Problem;
pub use reply::Reply;
pub use request::Request;
