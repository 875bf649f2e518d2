//! roster-local
