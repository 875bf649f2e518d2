//! `check-drift`: puts right what something else than Roster changed in the models table.

use roster_http::function::EventError;
use roster_sync::{Options, SyncError};
use serde_json::{Value, json};

use crate::App;

/// Compares the whole table with the repository. While a sync is at work it leaves that to the next time.
pub(crate) async fn handle(app: &App, _event: Value) -> Result<Value, EventError> {
    let fail = |error: &dyn std::fmt::Display| EventError(error.to_string());
    let reconciler = app.reconciler().await.map_err(|error| fail(&error))?;
    match reconciler.heal(&Options::follow(&app.branch)).await {
        Ok(report) => {
            for drift in &report.drift {
                tracing::warn!(model = %drift.id, kind = ?drift.kind, fields = drift.changes.len(), "drift");
            }
            Ok(json!(report))
        }
        Err(SyncError::Busy) => Ok(json!({"state": "busy"})),
        Err(error) => Err(fail(&error)),
    }
}
