//! `sync`: brings the tables to the tip of the branch. What calls it only says "look".

use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
use roster_http::function::EventError;
use roster_sync::{Options, SyncError};
use serde_json::{Value, json};

use crate::App;

/// Runs once; a run that finds another one at work leaves it the work.
pub(crate) async fn handle(app: &App, _event: Value) -> Result<Value, EventError> {
    let fail = |error: &dyn std::fmt::Display| EventError(error.to_string());
    let reconciler = match app.reconciler().await {
        Ok(reconciler) => reconciler,
        Err(error) => {
            tell(app, &error.to_string()).await;
            return Err(fail(&error));
        }
    };
    let options = Options::follow(&app.branch);
    let run = reconciler.run(&options, |at, of, commit| {
        let (state, commit, revision) = (commit.state.name(), commit.commit.as_str(), commit.revision);
        tracing::info!(state, commit, revision, at, of, "commit reconciled");
    });
    match run.await {
        Ok(report) => serde_json::to_value(report).map_err(|error| fail(&error)),
        Err(SyncError::Busy) => Ok(json!({"state": "busy"})),
        Err(error) => {
            tell(app, &error.told()).await;
            Err(fail(&error))
        }
    }
}

/// Keeps a failure for the audit; the same one again within the hour is no news.
async fn tell(app: &App, message: &str) {
    let now = Timestamp::now();
    let hour = now.as_second() - now.as_second().rem_euclid(3600);
    let event = AuditEvent {
        kind: EventKind::SyncFailed,
        at: Timestamp::from_second(hour).unwrap_or(now),
        actor: "sync".to_owned(),
        source: "git".to_owned(),
        message: message.to_owned(),
        model_id: None,
        commit: None,
        pull_request: None,
        revision: None,
        correlation_id: String::new(),
        holds: Vec::new(),
    };
    if let Err(error) = app.store.put_event(&event).await {
        tracing::warn!(%error, "an event could not be kept for the audit");
    }
}
