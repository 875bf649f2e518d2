//! `GET /health`: which catalogue is served, and whether it is the newest.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use roster_http::{Problem, Reply, Request};
use serde_json::json;

use crate::App;
use crate::catalogue::{is_degraded, source_headers, source_name};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let served = app.catalogue(request.now).await?;
    let snapshot = &served.snapshot;
    let is_published = snapshot.revision > 0;
    if !is_published && snapshot.bundle.is_none() {
        let detail = "no catalogue was published yet: the first sync publishes one";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing-published", "Nothing published", detail));
    }
    let mut body = json!({
        "status": if is_degraded(served.source) { "degraded" } else { "ok" },
        "source": source_name(served.source),
        "revision": snapshot.revision,
        "commit": snapshot.commit,
        "models": snapshot.visible_count(),
        "published_at": is_published.then_some(snapshot.published_at),
        "age_seconds": is_published.then(|| age_seconds(snapshot.published_at, request.now)),
    });
    if snapshot.policy.read_source.shadow_percent > 0 {
        body["shadow"] = json!(app.shadow_counts());
    }
    let reply = Reply::json(StatusCode::OK, body.to_string());
    let reply = reply.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply.with_headers(source_headers(served.source)))
}

/// Seconds since the publication; none when the publisher's clock is ahead of ours.
fn age_seconds(published_at: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(published_at.as_second()).max(0)
}
