//! `evaluate-rollouts`: takes new versions further while they measure up, and back once they do not; and tells where a
//! version in use does not ([`crate::watch`]).
//!
//! It knows from the published catalogue which versions come. Each step is one transaction: the record that says it,
//! the revision that shows it, the alert, and what else is told. Who was faster, a sync, an edit or another instance,
//! voids it, and the next minute looks again; so being late, twice or killed does no harm.

use jiff::Timestamp;
use roster_core::alert;
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::decision::{self, Rule};
use roster_core::lifecycle::Stage;
use roster_core::measure::Measured;
use roster_core::record::{Origin, Record};
use roster_core::rollout::{self, Attempt, CONTROLLER, Mover, RolloutState, RolloutStatus, Seen};
use roster_core::view::View;
use roster_core::{Model, Policy};
use roster_http::function::EventError;
use roster_http::telemetry;
use roster_store::models::RecordWrite;
use roster_store::reader::Snapshot;
use roster_store::{Manifest, RolloutStep, StoreError};
use serde_json::{Value, json};

use crate::{App, watch};

pub(crate) async fn handle(app: &App) -> Result<Value, EventError> {
    let now = (app.clock)();
    let snapshot = app.published(now).await?;
    let comes = |view: &&View| view.canary().is_some() && view.stage != Stage::Archived;
    let (mut steps, mut left, mut head, mut broken) = (Vec::new(), 0, None, None);
    for view in snapshot.views().filter(comes) {
        match step(app, &snapshot, view, &mut head, now).await {
            Ok(None) => {}
            Ok(Some(status)) => steps.push(json!({"model": view.id, "told": status.told()})),
            Err(StoreError::Conflict(what)) => {
                tracing::info!(model = %view.id, what, "left for the next time");
                left += 1;
            }
            // One model's trouble is not the others'.
            Err(error) => {
                tracing::error!(model = %view.id, %error, "a rollout could not be evaluated");
                broken = Some(error);
            }
        }
    }
    let breaches = match watch::look(app, &snapshot, now).await {
        Ok((breaches, trouble)) => {
            broken = broken.or(trouble);
            breaches
        }
        Err(error) => return Err(EventError::of(error)),
    };
    match broken {
        Some(error) => Err(EventError::of(error)),
        None => Ok(json!({"steps": steps, "left": left, "breaches": breaches})),
    }
}

/// Takes one model's rollout a step further, where one is due; `head` is the newest revision, as far as it is known.
async fn step(
    app: &App,
    snapshot: &Snapshot,
    view: &View,
    head: &mut Option<Manifest>,
    now: Timestamp,
) -> Result<Option<RolloutStatus>, StoreError> {
    let policy = &snapshot.policy;
    let Some(spec) = snapshot.spec(view) else { return Ok(None) };
    let Some(attempt) = Attempt::of(&spec, policy) else { return Ok(None) };
    let published = snapshot.rollout(&view.id).filter(|status| status.is_of(&spec));
    let Some(next) = decided(app, view, &spec, &attempt, published, policy, now).await? else { return Ok(None) };

    let newest = match head.take() {
        Some(head) => head,
        None => app.store.head(true).await?.filter(|head| head.revision == snapshot.revision).ok_or_else(moved)?,
    };
    // Records of a commit that is half applied are not what anybody has seen.
    if !app.store.sync_state().await?.intent.is_empty() {
        return Err(StoreError::Conflict("a sync was left half way".to_owned()));
    }
    let record = app.store.records([&view.id]).await?.remove(&view.id).ok_or_else(moved)?;
    if Attempt::id_of(&record.spec) != Some(attempt.id.clone()) {
        return Err(moved());
    }
    let is_known = record.status.rollout.as_ref().filter(|status| status.is_of(&record.spec)) == published;
    *head = Some(match is_known {
        true => publish(app, &newest, &record, &next, policy, now).await?,
        false => republish(app, &newest, &record, policy, now).await?,
    });
    let status = if is_known { Some(next) } else { record.status.rollout };
    if let Some(status) = &status {
        tracing::info!(model = %view.id, state = status.state.name(), told = status.told(), "a rollout moved");
    }
    Ok(status)
}

fn moved() -> StoreError {
    StoreError::Conflict("the catalogue moved".to_owned())
}

/// The status that what was measured leads to.
async fn decided(
    app: &App,
    view: &View,
    spec: &Model,
    attempt: &Attempt,
    status: Option<&RolloutStatus>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<RolloutStatus>, StoreError> {
    let measured = async |from: Timestamp| match from < now {
        true => app.store.measured(&spec.id, &attempt.version, from, now).await,
        false => Ok(Measured::default()),
    };
    let window = attempt.limits.window_start(now);
    let (step, recent) = match status {
        Some(status) => {
            futures::try_join!(measured(status.step_counts_from()), measured(window.max(status.counts_from())))?
        }
        None => Default::default(),
    };
    let report = |measured| decision::report(spec, &attempt.version, measured, policy);
    let (step_report, recent_report) = (report(&step), report(&recent));
    let decision = decision::decide(&view.versions, &attempt.version, &step_report, &step, policy, now);
    // What was measured speaks for itself.
    let refusals = decision.refusals.iter().filter(|refusal| refusal.rule != Rule::Evaluation);
    let refusal = refusals.map(|refusal| refusal.message.as_str()).collect::<Vec<_>>().join("; ");
    let seen = Seen {
        step: &step_report,
        window: &recent_report,
        refusal: Some(refusal.as_str()).filter(|refusal| !refusal.is_empty()),
    };
    Ok(attempt.next(status, seen, now))
}

async fn publish(
    app: &App,
    head: &Manifest,
    record: &Record,
    next: &RolloutStatus,
    policy: &Policy,
    now: Timestamp,
) -> Result<Manifest, StoreError> {
    let correlation_id = format!("rollout-{}-{}", next.attempt, now.as_millisecond());
    let by = Mover { actor: CONTROLLER, source: CONTROLLER, correlation_id: &correlation_id };
    let after = rollout::after(record, next.clone(), by, head.revision + 1, now);
    let told = alert::of_rollout(&record.spec.id, next);
    let is_refused = matches!(next.state, RolloutState::Paused | RolloutState::RolledBack);
    let event = is_refused.then(|| AuditEvent {
        model_id: Some(record.spec.id.clone()),
        revision: Some(head.revision),
        correlation_id: correlation_id.clone(),
        ..AuditEvent::new(EventKind::VersionRefused, now, CONTROLLER, CONTROLLER, next.told())
    });
    let step = RolloutStep {
        write: &RecordWrite { read_seq: Some(record.seq), record: after },
        alert: told.as_ref().map(|(alert, _)| alert),
        notice: told.as_ref().map(|(_, notice)| notice),
        event: event.as_ref(),
        asks_for_revert: next.state == RolloutState::RolledBack && matches!(record.origin, Origin::Git(_)),
        answer: None,
        revision_days: policy.retention.revision_days,
        alert_days: policy.retention.run_days,
    };
    let head = app.store.publish_rollout(head, &step, now).await?;
    if let Some((alert, _)) = &told {
        telemetry::count_alert(alert);
    }
    Ok(head)
}

/// Shows again what the record says: what was published of it is lost.
async fn republish(
    app: &App,
    head: &Manifest,
    record: &Record,
    policy: &Policy,
    now: Timestamp,
) -> Result<Manifest, StoreError> {
    let step = RolloutStep {
        write: &RecordWrite { read_seq: Some(record.seq), record: record.clone() },
        alert: None,
        notice: None,
        event: None,
        asks_for_revert: false,
        answer: None,
        revision_days: policy.retention.revision_days,
        alert_days: policy.retention.run_days,
    };
    app.store.publish_rollout(head, &step, now).await
}
