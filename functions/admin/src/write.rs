//! From a command to its answer: what every endpoint that changes something does.

use http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::command::{self, Command, VersionError};
use roster_core::guard::Hold;
use roster_core::record::Record;
use roster_core::{ModelId, Policy, file};
use roster_edit::{Done, Edit, Foreseen, ManagedByGit, Refusal, Target};
use roster_http::fingerprint::fingerprint;
use roster_http::{ETag, Problem, Query, Reply, Request, Role};
use roster_store::StoreError;
use roster_store::edits::{Answer, IdempotencyKey};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::body::{Body, invalid};
use crate::mode::{Mode, Wanted};
use crate::{App, propose, record};

/// The most bytes of an idempotency key.
const MAX_KEY: usize = 255;
/// What stands in a path segment as it is.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A change that an endpoint asks for.
pub(crate) struct Asked<'a> {
    /// Which model.
    pub(crate) target: Target,
    /// What is to be done.
    pub(crate) command: Command,
    /// Why, and until when.
    pub(crate) body: &'a Body,
    /// What was done, for the message: "archived", say.
    pub(crate) done: &'a str,
    /// The status of a change that is made.
    pub(crate) status: StatusCode,
}

/// The model that the path names.
///
/// # Errors
/// 404 when that is no id.
pub(crate) fn model_id(request: &Request) -> Result<ModelId, Problem> {
    ModelId::parse(request.path_parameter("id")).map_err(|error| Problem::not_found(error.to_string()))
}

/// 404 for a model that has no record.
pub(crate) async fn absent(app: &App, id: &ModelId, now: Timestamp) -> Problem {
    match app.reader.current(now).await {
        Ok(served) => no_such_model(id, served.snapshot.get(id.as_str()).map(|view| &view.id)),
        Err(error) => error.into(),
    }
}

fn no_such_model(id: &ModelId, alias_of: Option<&ModelId>) -> Problem {
    let hint = alias_of.map(|other| format!(": it is another name of {other}, use that id")).unwrap_or_default();
    Problem::not_found(format!("no model has the id \"{id}\"{hint}")).with("model_id", id.as_str())
}

/// A change of the model that the path names.
pub(crate) async fn change(
    app: &App,
    request: &Request,
    body: &Body,
    command: Command,
    done: &str,
) -> Result<Reply, Problem> {
    let target = Target::Existing(model_id(request)?);
    make(app, request, Asked { target, command, body, done, status: StatusCode::OK }).await
}

/// Makes a change and answers it.
pub(crate) async fn make(app: &App, request: &Request, asked: Asked<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(request);
    let approves = query.flag("approve").unwrap_or(false);
    let wanted = Wanted::of(&mut query);
    let is_dry_run = query.flag("dry_run").unwrap_or(false);
    query.finish()?;
    let mode = wanted.mode(request, asked.body)?;
    if approves && !request.caller.roles.contains(&Role::SuperAdmin) {
        return Err(Problem::forbidden("approve is for the role super_admin"));
    }
    if approves && asked.body.reason.trim().is_empty() {
        return Err(invalid(&[command::problem("/reason", "approving of what the guard holds needs a reason")]));
    }
    let actor = request.actor()?;
    let is_believed = |record: &Record, policy: &Policy| {
        ETag::any_matches(&record::etags(record, policy, &request.caller, request.now), request)
    };
    let Asked { target, command, body, done, status } = asked;
    // The same proposal is found again whatever its key, and a dry run has no answer to keep.
    let key = if is_dry_run || mode == Mode::Propose { None } else { idempotency_key(request, actor)? };
    let edit = Edit {
        target,
        command,
        actor,
        reason: &body.reason,
        correlation_id: &request.request_id,
        now: request.now,
        approves,
        overrides_until: if let Mode::Override(until) = mode { Some(until) } else { None },
        key,
        precondition: &is_believed,
    };
    if is_dry_run {
        return foresee(app, &edit, mode, done).await;
    }
    if mode == Mode::Propose {
        return propose::make(app, &edit, done).await;
    }
    let respond = |outcome: &Done<'_>| answer(outcome, done, status, request);
    let refused = |message: String, holds: &[Hold]| AuditEvent {
        model_id: edit.model_id(),
        correlation_id: request.request_id.clone(),
        holds: holds.to_vec(),
        ..AuditEvent::new(EventKind::WriteRefused, request.now, actor, "api", message)
    };
    match app.editor.apply(&edit, &respond).await {
        Ok(answered) => Ok(reply(&answered.answer, answered.is_replayed)),
        Err(refusal) => {
            match &refusal {
                Refusal::Held(holds) => app.store.tell(&refused(refusal.to_string(), holds)).await,
                Refusal::ManagedByGit(_) => app.store.tell(&refused(refusal.to_string(), &[])).await,
                _ => {}
            }
            refuse(app, &edit, refusal, request).await
        }
    }
}

/// What a change would do, with nothing written and nobody told.
async fn foresee(app: &App, edit: &Edit<'_>, mode: Mode, done: &str) -> Result<Reply, Problem> {
    if mode == Mode::Propose {
        return propose::foresee(app, edit, done).await;
    }
    let Foreseen { step, holds } = app.editor.foresee(edit).await.map_err(problem)?;
    let data = json!({
        "operations": step.iter().flat_map(|step| &step.operations).collect::<Vec<_>>(),
        "changes": step.iter().flat_map(|step| &step.changes).collect::<Vec<_>>(),
        "holds": holds,
    });
    let message = match step {
        Some(_) => format!("the model would be {done}: nothing was written"),
        None => format!("the model is {done} already: nothing would change"),
    };
    Ok(Reply::success(StatusCode::OK, &message, data))
}

/// A refusal as the answer to its request; under an idempotency key it stays the answer.
async fn refuse(app: &App, edit: &Edit<'_>, refusal: Refusal, request: &Request) -> Result<Reply, Problem> {
    let is_final = !matches!(
        refusal,
        Refusal::KeyReused
            | Refusal::Busy
            | Refusal::Impossible
            | Refusal::Store(_)
            | Refusal::Catalogue(_)
            | Refusal::Json(_)
    );
    let problem = problem(refusal);
    match edit.key.as_ref().filter(|_| is_final) {
        Some(key) => Err(keep(app, key, problem, request).await?),
        None => Err(problem),
    }
}

/// Keeps a refusal as what the request is answered under its key.
pub(crate) async fn keep(
    app: &App,
    key: &IdempotencyKey,
    problem: Problem,
    request: &Request,
) -> Result<Problem, StoreError> {
    let shown = problem.clone().into_reply(&request.request_id);
    let body = String::from_utf8_lossy(&shown.body).into_owned();
    let kept = Answer { status: shown.status.as_u16(), etag: String::new(), body };
    match app.store.put_answer(key, &kept, request.now).await {
        // The same request was answered meanwhile: the next repetition gets that answer.
        Ok(()) | Err(StoreError::Conflict(_)) => Ok(problem),
        Err(error) => Err(error),
    }
}

fn answer(outcome: &Done<'_>, done: &str, status: StatusCode, request: &Request) -> Answer {
    let Done { record, step, revision, policy, approved } = outcome;
    let id = &record.spec.id;
    let (status, message, operations, changes) = match step {
        Some(step) => (status, format!("model {id} is {done}"), json!(step.operations), json!(step.changes)),
        None => (StatusCode::OK, format!("model {id} is {done} already: nothing changed"), json!([]), json!([])),
    };
    let mut data = record::shown(record, policy, request.now);
    data["operations"] = operations;
    data["changes"] = changes;
    data["revision"] = (*revision).into();
    if !approved.is_empty() {
        data["approved"] = json!(approved);
    }
    let body = json!({"status": "success", "message": message, "data": data}).to_string();
    Answer { status: status.as_u16(), etag: record::etag(record).quoted(), body }
}

/// The reply with an answer, the first time or again.
pub(crate) fn reply(answer: &Answer, is_replayed: bool) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut reply = Reply::json(status, answer.body.clone());
    if !status.is_success() {
        reply = reply.with_header(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    if !answer.etag.is_empty() {
        reply.headers.extend(HeaderValue::try_from(&answer.etag).ok().map(|etag| (ETAG, etag)));
    }
    if status == StatusCode::CREATED
        && let Ok(body) = serde_json::from_str::<Value>(&answer.body)
        && let Some(id) = body["data"]["model"]["id"].as_str()
    {
        let location = format!("/admin/models/{}", utf8_percent_encode(id, SEGMENT));
        reply.headers.extend(HeaderValue::try_from(location).ok().map(|location| (LOCATION, location)));
    }
    if is_replayed {
        return reply.with_header(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    }
    reply
}

/// The request's key, if it has one (draft-ietf-httpapi-idempotency-key-header).
pub(crate) fn idempotency_key(request: &Request, actor: &str) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    // The draft has it quoted, as a structured field; most clients send it bare.
    let key = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > MAX_KEY {
        let detail = format!("the header Idempotency-Key is not 1 to {MAX_KEY} characters of ASCII");
        return Err(Problem::bad_parameter("Idempotency-Key", detail));
    }
    let body = roster_core::canonical::sha256_hex(&request.body);
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let reason = request.header("x-reason").unwrap_or_default();
    let parts = [request.method.as_str(), &request.path, &query.join("&"), reason, &body];
    Ok(Some(IdempotencyKey { id: fingerprint([actor, key]), request: fingerprint(parts) }))
}

/// What a client is told of a change that is not made.
pub(crate) fn problem(refusal: Refusal) -> Problem {
    let conflict = |kind, title, detail: String| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    let detail = refusal.to_string();
    match refusal {
        Refusal::Absent { id, alias_of } => {
            let hint =
                alias_of.map(|other| format!(": it is another name of {other}, use that id")).unwrap_or_default();
            Problem::not_found(format!("{detail}{hint}")).with("model_id", id.as_str())
        }
        Refusal::Taken { pointer, message } => {
            let errors = json!([{"pointer": pointer, "detail": message}]);
            conflict("name-taken", "Name taken", format!("{pointer}: {message}")).with("errors", errors)
        }
        Refusal::ManagedByGit(managed) => {
            let detail = format!("{detail}: change that file with a pull request, which ?mode=propose opens");
            managed_by_git(&managed, conflict("managed-by-git", "Managed by Git", detail))
        }
        Refusal::Changed => {
            let detail = "the model is not what If-Match names: read it again, and decide again";
            Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
        }
        Refusal::Invalid(problems) => invalid(&problems),
        Refusal::Versions(VersionError::Absent(version)) => Problem::not_found(detail).with("version", json!(version)),
        Refusal::Versions(VersionError::Taken { version, .. }) => {
            conflict("version-taken", "Version taken", detail).with("version", json!(version))
        }
        Refusal::Versions(_) => conflict("illegal-move", "Illegal move", detail),
        Refusal::Held(holds) => {
            let detail = format!("{detail}; a super_admin may repeat it with ?approve=true and a reason");
            conflict("held-by-policy", "Held by policy", detail).with("holds", holds_json(&holds))
        }
        Refusal::KeyReused => {
            let detail = "the Idempotency-Key was used for another request: use a new key for each";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "Key reused", detail)
        }
        Refusal::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", format!("{detail}: try again"))
            .with_header(RETRY_AFTER, HeaderValue::from_static("1")),
        Refusal::Impossible | Refusal::Json(_) => {
            tracing::error!(detail);
            Problem::internal()
        }
        Refusal::Store(error) => error.into(),
        Refusal::Catalogue(error) => {
            tracing::error!(%error, "the published catalogue cannot be read");
            Problem::internal()
        }
    }
}

/// With the file to commit instead, whole and as a difference.
fn managed_by_git(managed: &ManagedByGit, problem: Problem) -> Problem {
    let ManagedByGit { origin, before, after } = managed;
    let problem = problem.with("repository", origin.repository.as_str()).with("path", origin.path.as_str());
    let (Ok(old), Ok(new)) = (file::text(before, &origin.path), file::text(after, &origin.path)) else {
        return problem;
    };
    let (from, to) = (format!("a/{}", origin.path), format!("b/{}", origin.path));
    let diff = TextDiff::from_lines(&old, &new).unified_diff().header(&from, &to).to_string();
    problem.with("content", new).with("diff", diff)
}

fn holds_json(holds: &[Hold]) -> Value {
    serde_json::to_value(holds).unwrap_or_default()
}
