//! `GET /admin/models/{id}/prices`: every price that a model ever had and is going to have, with who set it and why.

use http::StatusCode;
use jiff::Timestamp;
use roster_core::price_history::{self, Interval};
use roster_http::{Problem, Query, Reply, Request};
use roster_store::StoreError;
use serde_json::{Value, json};

use crate::{App, timeline, write};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// The longest history that is replayed, in changes of the model.
const MAX_CHANGES: usize = 5_000;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let before: Option<Timestamp> =
        query.one("cursor", |text| text.parse().map_err(|_| format!("\"{text}\" is no cursor of this listing")));
    query.finish()?;
    let id = write::model_id(&request)?;
    let history = app.store.whole_history(&id, MAX_CHANGES).await?;
    let history = history.ok_or_else(|| {
        timeline::too_much(format!("model {id} changed more than {MAX_CHANGES} times: read its history instead"))
    })?;
    if history.is_empty() && app.store.records([&id]).await?.is_empty() {
        return Err(write::absent(app, &id, request.now).await);
    }
    let intervals = price_history::intervals(&history).map_err(|error| {
        // An entry may be on its way still.
        Problem::from(StoreError::Corrupt { key: format!("model#{id}"), message: error.to_string() })
    })?;
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
