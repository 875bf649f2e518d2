//! The tests across crates, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

mod access;
mod admin;
mod admin_bodies;
mod bad_input;
mod crash;
mod house;
mod invariants;
mod limits;
mod read_source;
mod readers;
mod replay;
mod store_suite;
mod units;
mod webhook;
