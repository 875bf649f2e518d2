//! Taking back, pausing and resuming a rollout by hand: at once and whosever the model is, for it changes the status and
//! not the spec.

use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use roster_core::record::{Origin, Record};
use roster_core::rollout::{self, Mover, RolloutStatus};
use roster_core::{ModelId, Policy, alert, command, version};
use roster_edit::Refusal;
use roster_http::{ETag, Problem, Query, Reply, Request, telemetry};
use roster_store::edits::{Answer, Begun, IdempotencyKey};
use roster_store::models::RecordWrite;
use roster_store::{RolloutStep, StoreError};
use serde_json::json;

use crate::body::{Body, invalid};
use crate::{App, record, write};

/// How long it may wait for a sync or for faster writers.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it waits before it looks again.
const LOOK: Duration = Duration::from_millis(100);

/// What is done to a rollout by hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'s> {
    /// The stable version has the traffic again, if it is this one.
    TakeBack(Option<&'s semver::Version>),
    /// It goes no further.
    Pause,
    /// It goes on.
    Resume,
}

impl Step<'_> {
    /// Whether it can be done to a rollout.
    fn fits(self, record: &Record, status: &RolloutStatus) -> bool {
        match self {
            // Where another version is active since, the one that it was rolled back to is not what one is at.
            Self::TakeBack(number) => {
                let active = version::active(&record.spec.versions);
                active.is_some_and(|active| active.version == status.stable)
                    && number.is_none_or(|number| *number == status.stable)
            }
            Self::Pause | Self::Resume => status.is_open() && status.is_of(&record.spec),
        }
    }

    /// The status afterwards; `None` where it is so already.
    fn done(
        self,
        record: &Record,
        status: &RolloutStatus,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<RolloutStatus>, Refusal> {
        match self {
            Self::TakeBack(_) => {
                status.rolled_back(&record.spec, reason, now).map_err(|error| Refusal::Versions(error.into()))
            }
            Self::Pause => Ok(status.paused(actor, reason, now)),
            Self::Resume => Ok(status.resumed(reason, now)),
        }
    }

    fn told(self, id: &ModelId, status: &RolloutStatus, is_new: bool) -> String {
        let RolloutStatus { version, stable, .. } = status;
        match (self, is_new) {
            (Self::TakeBack(_), true) => {
                format!("model {id} is back at version {stable}, and version {version} is blocked")
            }
            (Self::TakeBack(_), false) => format!("model {id} is back at version {stable} already: nothing changed"),
            (Self::Pause, true) => format!("the rollout of version {version} of model {id} is paused"),
            (Self::Pause, false) => {
                format!("the rollout of version {version} of model {id} is paused already: nothing changed")
            }
            (Self::Resume, true) => {
                format!("the rollout of version {version} of model {id} goes on: its step begins anew")
            }
            (Self::Resume, false) => {
                format!("nobody paused the rollout of version {version} of model {id}: nothing changed")
            }
        }
    }
}

/// Pauses or resumes the rollout of the model that the path names.
///
/// # Errors
/// 409 where no rollout is under way, 422 without a reason.
pub(crate) async fn hold(app: &App, request: &Request, step: Step<'_>) -> Result<Reply, Problem> {
    Query::of(request).finish()?;
    let body = Body::read(request)?;
    body.without_keys()?;
    if body.reason.trim().is_empty() {
        return Err(invalid(&[command::problem("/reason", "pausing or resuming a rollout needs a reason")]));
    }
    let id = write::model_id(request)?;
    if let Some(reply) = make(app, request, &id, step, &body.reason).await? {
        return Ok(reply);
    }
    if app.store.records([&id]).await?.is_empty() {
        return Err(write::absent(app, &id, request.now).await);
    }
    let detail =
        format!("no rollout of model {id} is under way: a version that is a canary beside an active one begins one");
    Err(Problem::new(StatusCode::CONFLICT, "illegal-move", "Illegal move", detail))
}

/// Does this to the rollout of a model; `None` where it has none that it fits: then a roll back is of the spec.
pub(crate) async fn make(
    app: &App,
    request: &Request,
    id: &ModelId,
    step: Step<'_>,
    reason: &str,
) -> Result<Option<Reply>, Problem> {
    let key = write::idempotency_key(request, request.actor()?)?;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let now = request.now.checked_add(started.elapsed()).unwrap_or(request.now);
        let begun = app.store.begin_edit(&[id], key.as_ref(), now).await?;
        if let (Some(key), Some((asked, answer))) = (&key, &begun.answered) {
            let is_same = *asked == key.request;
            return if is_same {
                Ok(Some(write::reply(answer, true)))
            } else {
                Err(write::problem(Refusal::KeyReused))
            };
        }
        let record = begun.records.first().filter(|record| !record.tombstone);
        let found = record.and_then(|record| Some((record, record.status.rollout.as_ref()?)));
        let Some((record, status)) = found.filter(|(record, status)| step.fits(record, status)) else {
            return Ok(None);
        };
        let policy = app.policies.of(&app.store, begun.head.as_ref()).await?;
        let tags = record::etags(record, &policy, &request.caller, now);
        let back = match ETag::any_matches(&tags, request) {
            true => step.done(record, status, request.actor()?, reason, now),
            false => Err(Refusal::Changed),
        };
        let back = match (back, &key) {
            (Ok(back), _) => back,
            (Err(refusal), Some(key)) => {
                return Err(write::keep(app, key, write::problem(refusal), request).await?);
            }
            (Err(refusal), None) => return Err(write::problem(refusal)),
        };
        let asked = Asked { request, step, begun: &begun, record, key: key.as_ref(), policy: &policy, now };
        let written = match &back {
            Some(back) => asked.write(app, back).await,
            None => asked.leave(app, status).await,
        };
        match written {
            Ok(answer) => return Ok(Some(write::reply(&answer, false))),
            Err(StoreError::Conflict(_)) => tokio::time::sleep(LOOK).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(write::problem(Refusal::Busy))
}

/// What is asked for, and what was found.
struct Asked<'a> {
    request: &'a Request,
    step: Step<'a>,
    begun: &'a Begun,
    record: &'a Record,
    key: Option<&'a IdempotencyKey>,
    policy: &'a Policy,
    now: Timestamp,
}

impl Asked<'_> {
    async fn write(&self, app: &App, back: &RolloutStatus) -> Result<Answer, StoreError> {
        let Self { record, policy, now, step, .. } = *self;
        let is_back = matches!(step, Step::TakeBack(_));
        let moved = || StoreError::Conflict("nothing is published".to_owned());
        let head = self.begun.head.as_ref().ok_or_else(moved)?;
        let actor = self.request.caller.subject.as_deref().unwrap_or_default();
        let by = Mover { actor, source: "api", correlation_id: &self.request.request_id };
        let after = rollout::after(record, back.clone(), by, head.revision + 1, now);
        // Whoever pauses a rollout knows of it.
        let told = alert::of_rollout(&record.spec.id, back).filter(|_| is_back);
        let answer = answer(step, &after, back, Some(head.revision + 1), policy, now);
        let step = RolloutStep {
            write: &RecordWrite { read_seq: Some(record.seq), record: after },
            alert: told.as_ref().map(|(alert, _)| alert),
            notice: told.as_ref().map(|(_, notice)| notice),
            event: None,
            asks_for_revert: is_back && matches!(record.origin, Origin::Git(_)),
            answer: self.key.map(|key| (key, &answer)),
            revision_days: policy.retention.revision_days,
            alert_days: policy.retention.run_days,
        };
        app.store.publish_rollout(head, &step, now).await?;
        if let Some((alert, _)) = &told {
            telemetry::count_alert(alert);
        }
        Ok(answer)
    }

    /// It is so already.
    async fn leave(&self, app: &App, status: &RolloutStatus) -> Result<Answer, StoreError> {
        let answer = answer(self.step, self.record, status, None, self.policy, self.now);
        if let Some(key) = self.key {
            app.store.put_answer(key, &answer, self.now).await?;
        }
        Ok(answer)
    }
}

fn answer(
    step: Step<'_>,
    record: &Record,
    status: &RolloutStatus,
    revision: Option<u64>,
    policy: &Policy,
    now: Timestamp,
) -> Answer {
    let message = step.told(&record.spec.id, status, revision.is_some());
    let mut data = record::shown(record, policy, now);
    data["operations"] = if revision.is_some() { json!(record.change.operations) } else { json!([]) };
    data["rollout"] = json!(status);
    data["revision"] = json!(revision.unwrap_or(record.change.revision));
    let body = json!({"status": "success", "message": message, "data": data}).to_string();
    Answer { status: StatusCode::OK.as_u16(), etag: record::etag(record).quoted(), body }
}
