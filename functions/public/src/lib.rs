//! roster-public
