//! What every function shares: requests, replies, errors, tokens, and the way into Lambda.
//!
//! The only crate that knows `lambda_http`, `lambda_runtime`, `jsonwebtoken` and `reqwest`.

mod answer;
pub mod auth;
mod claims;
pub mod client;
pub mod cors;
pub mod cursor;
mod encoding;
pub mod env;
pub mod etag;
pub mod fingerprint;
pub mod function;
pub mod gate;
mod issuer_keys;
mod jwks;
pub mod lambda;
mod limit;
pub mod problem;
pub mod query;
pub mod reply;
pub mod request;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod token;
mod traces;

pub use answer::{MAX_JSON_BYTES, answer};
pub use auth::{Authenticator, Caller, Role};
pub use client::Client;
pub use cors::Cors;
pub use cursor::Cursor;
pub use encoding::Encodings;
pub use env::Env;
pub use etag::ETag;
pub use function::{Dialect, Function, Handler, Host, Hosted};
pub use gate::{Access, Admission, Gate, Gatekeeper};
pub use problem::Problem;
pub use query::Query;
pub use reply::Reply;
pub use request::Request;
pub use telemetry::Telemetry;
