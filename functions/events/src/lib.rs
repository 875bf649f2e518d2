//! roster-events
