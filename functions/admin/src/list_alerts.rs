//! `GET /admin/alerts`: what somebody should know of now, newest first.

use http::StatusCode;
use roster_core::ModelId;
use roster_core::audit::Severity;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::{AlertFilter, KeptAlert};
use serde_json::json;

use crate::{App, timeline};

const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 200;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let filter = AlertFilter {
        severity: query.one("severity", str::parse::<Severity>),
        model: query.one("model", ModelId::parse),
        since: query.one("since", timeline::time),
    };
    let before = query.text("cursor");
    query.finish()?;
    let mut kept = app.store.alerts(&filter, before, limit + 1).await?;
    let has_next = kept.len() > limit;
    kept.truncate(limit);
    let next = kept.last().filter(|_| has_next).map(|last| last.key.clone());
    let alerts: Vec<_> = kept.into_iter().map(|KeptAlert { alert, .. }| alert).collect();
    let data = json!({"alerts": alerts, "nextCursor": next});
    Ok(Reply::success(StatusCode::OK, "what somebody should know of, newest first", data))
}
