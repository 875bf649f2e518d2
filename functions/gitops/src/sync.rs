//! `sync`: brings the tables to the tip of the branch. What calls it only says "look".

use roster_http::function::EventError;
use roster_sync::{Options, SyncError};
use serde_json::{Value, json};

use crate::App;

/// Runs once; a run that finds another one at work leaves it the work.
pub(crate) async fn handle(app: &App, _event: Value) -> Result<Value, EventError> {
    let fail = |error: &dyn std::fmt::Display| EventError(error.to_string());
    let reconciler = app.reconciler().await.map_err(|error| fail(&error))?;
    let options = Options::follow(&app.branch);
    let run = reconciler.run(&options, |at, of, commit| {
        let (state, commit, revision) = (commit.state.name(), commit.commit.as_str(), commit.revision);
        tracing::info!(state, commit, revision, at, of, "commit reconciled");
    });
    match run.await {
        Ok(report) => serde_json::to_value(report).map_err(|error| fail(&error)),
        Err(SyncError::Busy) => Ok(json!({"state": "busy"})),
        Err(error) => Err(fail(&error)),
    }
}
