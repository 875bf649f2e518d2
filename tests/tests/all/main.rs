//! The tests across crates, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

mod access;
mod admin;
mod admin_bodies;
mod bad_input;
mod crash;
mod github;
mod house;
mod interplay;
mod invariants;
mod limits;
mod listing;
mod operations;
mod plan_hash;
mod read_source;
mod readers;
mod replay;
mod signed;
mod store_suite;
mod units;
mod webhook;
