//! `propose-reverts`: proposes that the file of a model says what its rollout came to: the version is not in use.
//!
//! The controller leaves what it took back in the runtime table, in the transaction that took it back. The stream brings
//! it here, to the same proposals that admins make; the same revert is the same proposal, however often it comes.

use jiff::Timestamp;
use roster_core::command::Command;
use roster_core::rollout::{Attempt, CONTROLLER};
use roster_core::version::VersionStatus;
use roster_edit::{Edit, Target};
use roster_http::function::EventError;
use roster_store::{Revert, StoreError};
use serde_json::{Map, Value, json};

use crate::{App, propose};

pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
    for record in records {
        let change = &record["dynamodb"];
        let Some(revert) = Revert::from_image(&change["NewImage"]) else { continue };
        if let Err(error) = propose(app, &revert, Timestamp::now()).await {
            tracing::error!(model = %revert.model_id, %error, "a revert could not be proposed");
            return Ok(json!({"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}));
        }
    }
    Ok(json!({"batchItemFailures": []}))
}

async fn propose(app: &App, revert: &Revert, now: Timestamp) -> Result<(), StoreError> {
    let Revert { model_id, status } = revert;
    let record = app.store.records([model_id]).await?.remove(model_id);
    // A commit was faster: what the file asks for now is another attempt, or none.
    let Some(record) = record.filter(|record| Attempt::id_of(record.described()).as_ref() == Some(&status.attempt))
    else {
        return Ok(());
    };
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
        // Nowhere to propose to is no failure, and neither is a file that moved on: people were alerted anyway.
        Err(problem) if problem.status().is_client_error() || problem.status().as_u16() == 501 => {
            tracing::warn!(model = %model_id, status = %problem.status(), "a revert cannot be proposed");
            Ok(())
        }
        Err(problem) => Err(StoreError::Conflict(format!("the proposal ended with {}", problem.status()))),
    }
}
