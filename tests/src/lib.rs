//! What the tests across crates share: repositories, tables, stacks.

pub mod repository;
