//! `GET /admin/models/{id}/versions/{v}/evaluation`: what a version's results say, threshold by threshold.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use roster_core::Model;
use roster_core::decision;
use roster_core::version::Version;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::{App, timeline, write};

/// The stretch that is meant when none is named.
const DEFAULT: SignedDuration = SignedDuration::from_hours(24);

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let (since, until) = (query.one("since", timeline::time), query.one("until", timeline::time));
    query.finish()?;
    let until = until.unwrap_or(request.now);
    let since = since.unwrap_or_else(|| until.saturating_sub(DEFAULT).unwrap_or(until));
    let id = write::model_id(&request)?;
    let snapshot = app.reader.current(request.now).await?.snapshot;
    let spec = snapshot.get(id.as_str()).filter(|view| view.id == id).and_then(|view| snapshot.spec(view));
    let Some(spec) = spec else { return Err(write::absent(app, &id, request.now).await) };
    let version = &version_of(&spec, request.path_parameter("v"))?.version;
    check_stretch(since, until, snapshot.policy.retention.inference_days)?;
    let measured = app.store.measured(&id, version, since, until).await?;
    let report = decision::report(&spec, version, &measured, &snapshot.policy);
    let message = format!("version {version} of model {id}: {}", report.told());
    let data = json!({
        "modelId": id, "version": version, "since": since, "until": until,
        "report": report, "measured": measured.summary(),
    });
    Ok(Reply::success(StatusCode::OK, &message, data))
}

/// The version of a model that a path names.
fn version_of<'m>(spec: &'m Model, text: &str) -> Result<&'m Version, Problem> {
    let found = spec.versions.iter().find(|version| version.version.to_string() == text);
    found.ok_or_else(|| {
        let known: Vec<String> = spec.versions.iter().map(|version| version.version.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Problem::not_found(format!("model {} has no version \"{text}\": it has {known}", spec.id))
            .with("model_id", spec.id.as_str())
    })
}

fn check_stretch(since: Timestamp, until: Timestamp, days: u64) -> Result<(), Problem> {
    if since >= until {
        return Err(Problem::bad_parameter("since", format!("since {since} is not before until {until}")));
    }
    let hours = until.duration_since(since).as_hours();
    if hours > i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24) {
        let detail = format!("since {since} until {until} is longer than results are kept by the hour, {days} days");
        return Err(Problem::bad_parameter("since", detail));
    }
    Ok(())
}
