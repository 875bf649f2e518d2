//! The tests across crates, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

mod access;
mod admin;
mod admin_bodies;
mod backup;
mod bad_input;
mod clients;
mod crash;
mod exchange;
mod faults;
mod git_faults;
mod github;
mod house;
mod inferences;
mod interplay;
mod invariants;
mod limits;
mod listing;
mod live_plan;
mod notices;
mod operations;
mod ownership;
mod plan_hash;
mod prices;
mod read_source;
mod readers;
mod real_server;
mod replay;
mod rollouts;
mod signed;
mod statuses;
mod store_suite;
mod stream_faults;
mod units;
mod versions;
mod webhook;
