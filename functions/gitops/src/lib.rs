//! roster-gitops
