//! Taking a rollout back by hand: at once and whosever the model is, for it changes the status and not the spec.

use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use roster_core::record::{Origin, Record};
use roster_core::rollout::{self, Mover, RolloutStatus};
use roster_core::{ModelId, Policy, alert, version};
use roster_edit::Refusal;
use roster_http::{ETag, Problem, Reply, Request};
use roster_store::models::RecordWrite;
use roster_store::{RolloutStep, StoreError};
use serde_json::json;

use crate::{App, record, write};

/// How long it may wait for a sync or for faster writers.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it waits before it looks again.
const LOOK: Duration = Duration::from_millis(100);

/// Takes back the rollout of a model, where it has one that leads back to the version asked for; `None` where it has
/// none, and the spec is what is to change.
pub(crate) async fn take_back(
    app: &App,
    request: &Request,
    id: &ModelId,
    number: Option<&semver::Version>,
    reason: &str,
) -> Result<Option<Reply>, Problem> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let record = app.store.records([id]).await?.remove(id).filter(|record| !record.tombstone);
        let Some(record) = record else { return Ok(None) };
        // Where another version is active since, the one that it was rolled back to is not what one is at.
        let leads_back = |status: &RolloutStatus| {
            let active = version::active(&record.spec.versions);
            active.is_some_and(|active| active.version == status.stable)
                && number.is_none_or(|number| *number == status.stable)
        };
        let Some(status) = record.status.rollout.clone().filter(leads_back) else { return Ok(None) };
        let policy = app.policies.current(&app.store).await?;
        let tags = record::etags(&record, &policy, &request.caller, request.now);
        if !ETag::any_matches(&tags, request) {
            let detail = "the model is not what If-Match names: read it again, and decide again";
            let title = "Precondition failed";
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title, detail));
        }
        let now = request.now.checked_add(started.elapsed()).unwrap_or(request.now);
        let back = status
            .rolled_back(&record.spec, reason, now)
            .map_err(|error| write::problem(Refusal::Versions(error.into())))?;
        let Some(back) = back else {
            return Ok(Some(reply(&record, &status, None, &policy, now)));
        };
        match write(app, request, &record, &back, &policy, now).await {
            Ok((after, revision)) => return Ok(Some(reply(&after, &back, Some(revision), &policy, now))),
            Err(StoreError::Conflict(_)) => tokio::time::sleep(LOOK).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::unavailable())
}

async fn write(
    app: &App,
    request: &Request,
    record: &Record,
    back: &RolloutStatus,
    policy: &Policy,
    now: Timestamp,
) -> Result<(Record, u64), StoreError> {
    let moved = || StoreError::Conflict("nothing is published".to_owned());
    let head = app.store.head(true).await?.ok_or_else(moved)?;
    let actor = request.caller.subject.as_deref().unwrap_or_default();
    let by = Mover { actor, source: "api", correlation_id: &request.request_id };
    let after = rollout::after(record, back.clone(), by, head.revision + 1, now);
    let told = alert::of_rollout(&record.spec.id, back);
    let step = RolloutStep {
        write: &RecordWrite { read_seq: Some(record.seq), record: after.clone() },
        alert: told.as_ref().map(|(alert, _)| alert),
        notice: told.as_ref().map(|(_, notice)| notice),
        event: None,
        asks_for_revert: matches!(record.origin, Origin::Git(_)),
        revision_days: policy.retention.revision_days,
        alert_days: policy.retention.run_days,
    };
    let head = app.store.publish_rollout(&head, &step, now).await?;
    Ok((after, head.revision))
}

fn reply(record: &Record, status: &RolloutStatus, revision: Option<u64>, policy: &Policy, now: Timestamp) -> Reply {
    let RolloutStatus { version, stable, .. } = status;
    let id = &record.spec.id;
    let message = match revision {
        Some(_) => format!("model {id} is back at version {stable}, and version {version} is blocked"),
        None => format!("model {id} is back at version {stable} already: nothing changed"),
    };
    let mut data = record::shown(record, policy, now);
    data["operations"] = if revision.is_some() { json!(record.change.operations) } else { json!([]) };
    data["rollout"] = json!(status);
    data["revision"] = json!(revision.unwrap_or(record.change.revision));
    Reply::success(StatusCode::OK, &message, data).with_etag(&record::etag(record))
}
