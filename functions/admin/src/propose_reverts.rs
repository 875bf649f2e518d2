//! `propose-reverts`: proposes that the file of a model says what its rollout came to: the version is not in use.
//!
//! The controller leaves what it took back in the runtime table, in the transaction that took it back. It is proposed
//! from there as admins propose: the same revert is the same proposal, so one that is forgotten late changes nothing.
//! What cannot be proposed stays, for the next minute.

use http::StatusCode;
use jiff::Timestamp;
use roster_core::command::Command;
use roster_core::record::Record;
use roster_core::rollout::{CONTROLLER, RolloutStatus};
use roster_core::version::VersionStatus;
use roster_edit::{Edit, Target};
use roster_http::function::EventError;
use roster_store::{Revert, StoreError};
use serde_json::{Map, Value, json};

use crate::{App, propose};

pub(crate) async fn handle(app: &App) -> Result<Value, EventError> {
    let reverts = app.store.reverts().await.map_err(EventError::of)?;
    let mut waiting = Vec::new();
    for revert in &reverts {
        let done = async {
            propose(app, revert, Timestamp::now()).await?;
            app.store.forget_revert(revert).await
        };
        if let Err(error) = done.await {
            tracing::error!(model = %revert.model_id, %error, "a revert could not be proposed");
            waiting.push(revert.model_id.as_str());
        }
    }
    // A failed call is what the alarm counts.
    match waiting.as_slice() {
        [] => Ok(json!({"done": reverts.len()})),
        waiting => Err(EventError(format!("reverts wait to be proposed: {}", waiting.join(", ")))),
    }
}

async fn propose(app: &App, revert: &Revert, now: Timestamp) -> Result<(), StoreError> {
    let Revert { model_id, status } = revert;
    let record = app.store.records([model_id]).await?.remove(model_id);
    let Some(record) = record.filter(|record| is_asked_for(record, status)) else { return Ok(()) };
    let mut versions = record.described().versions.clone();
    for version in versions.iter_mut().filter(|version| version.version == status.version) {
        version.status = VersionStatus::Inactive;
    }
    let edit = Edit {
        target: Target::Existing(model_id.clone()),
        command: Command::Edit(Map::from_iter([("versions".to_owned(), json!(versions))])),
        actor: CONTROLLER,
        reason: &status.told(),
        correlation_id: &format!("revert-{}", status.attempt),
        now,
        approves: false,
        overrides_until: None,
        key: None,
        precondition: &|_, _| true,
    };
    let done = format!("without {}, which was rolled back", status.version);
    match propose::make(app, &edit, &done).await {
        Ok(reply) => {
            tracing::info!(model = %model_id, answer = %String::from_utf8_lossy(&reply.body), "a revert is proposed");
            Ok(())
        }
        // Nowhere to propose to is no failure: people were alerted anyway. All else may pass, a branch that is ahead of
        // what is live among it.
        Err(problem) if problem.status() == StatusCode::NOT_IMPLEMENTED => {
            tracing::warn!(model = %model_id, status = %problem.status(), "a revert cannot be proposed");
            Ok(())
        }
        Err(problem) => Err(StoreError::Conflict(format!("the proposal ended with {}", problem.status()))),
    }
}

/// Whether the file still asks for the attempt that was taken back. A commit may have been faster: then it asks for
/// another one, or none, or for the same one anew.
fn is_asked_for(record: &Record, taken_back: &RolloutStatus) -> bool {
    let is_anew =
        |status: &RolloutStatus| status.attempt == taken_back.attempt && status.started_at != taken_back.started_at;
    taken_back.is_of(record.described()) && !record.status.rollout.as_ref().is_some_and(is_anew)
}
