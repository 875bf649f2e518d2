//! `GET /admin/models/{id}/prices`: every price that a model ever had and is going to have, with who set it and why.

use http::StatusCode;
use jiff::Timestamp;
use roster_core::price_history::{self, Interval};
use roster_http::{Problem, Query, Reply, Request};
use roster_store::history::{self, MAX_REPLAYED};
use serde_json::{Value, json};

use crate::{App, timeline, write};

const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 200;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let before: Option<Timestamp> =
        query.one("cursor", |text| text.parse().map_err(|_| format!("\"{text}\" is no cursor of this listing")));
    query.finish()?;
    let id = write::model_id(&request)?;
    let changes = app.store.whole_history(&id).await?;
    let changes = changes.ok_or_else(|| {
        timeline::too_much(format!("model {id} changed more than {MAX_REPLAYED} times: read its history instead"))
    })?;
    if changes.is_empty() && app.store.records([&id]).await?.is_empty() {
        return Err(write::absent(app, &id, request.now).await);
    }
    let intervals = history::prices_of(&id, &changes)?;
    let (shown, next) = price_history::page(intervals, before, limit);
    let data = json!({"intervals": shown.iter().map(told).collect::<Vec<_>>(), "nextCursor": next});
    Ok(Reply::success(StatusCode::OK, &format!("prices of model {id}, newest first"), data))
}

fn told(interval: &Interval<'_>) -> Value {
    let change = interval.change;
    json!({
        "from": interval.from,
        "to": interval.to,
        "inputCostPerMillionTokens": interval.input,
        "outputCostPerMillionTokens": interval.output,
        "prices": interval.prices,
        "isArchived": interval.is_archived,
        "isScheduled": interval.is_scheduled,
        "seq": interval.seq,
        "actor": change.actor,
        "reason": change.reason,
        "source": change.source,
        "commit": change.commit,
        "pullRequest": change.pull_request,
        "revision": change.revision,
    })
}
