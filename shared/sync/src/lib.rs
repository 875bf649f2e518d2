//! roster-sync
