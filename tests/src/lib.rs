//! What the tests across crates share: repositories, tables, and a proxy that breaks things.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up shall fail")]

pub mod edits;
pub mod events;
pub mod faults;
pub mod forge;
pub mod github;
pub mod proxy;
pub mod receiver;
pub mod recorder;
pub mod repository;
pub mod stack;
pub mod tables;
