//! `GET /health`: which catalogue is served, and whether it is the newest.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use roster_http::{Problem, Reply, Request};
use roster_store::reader::Source;
use serde_json::json;

use crate::App;
use crate::catalogue::{from_source, source_name};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let served = app.catalogue(request.now).await?;
    let snapshot = &served.snapshot;
    if snapshot.revision == 0 {
        let detail = "no catalogue was published yet: the first sync publishes one";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing-published", "Nothing published", detail));
    }
    let body = json!({
        "status": match served.source { Source::Live => "ok", Source::Stale => "degraded" },
        "source": source_name(served.source),
        "revision": snapshot.revision,
        "commit": snapshot.commit,
        "models": snapshot.visible_count(),
        "published_at": snapshot.published_at,
        "age_seconds": age_seconds(snapshot.published_at, request.now),
    });
    let reply = Reply::json(StatusCode::OK, body.to_string());
    Ok(from_source(served.source, reply.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))))
}

/// Seconds since the publication; none when the publisher's clock is ahead of ours.
fn age_seconds(published_at: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(published_at.as_second()).max(0)
}
