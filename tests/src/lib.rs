//! roster-tests
