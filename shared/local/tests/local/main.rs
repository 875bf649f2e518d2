//! The local stack with toy functions under the deployed template.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod data_dir;
mod gateway;
mod lambda;
mod pump;
mod stack;
mod streams;
mod support;
