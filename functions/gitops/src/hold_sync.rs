//! `POST /admin/sync/hold`: no plan is applied until a time, which ends it by itself, unless it is approved.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use roster_core::audit::EventKind;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::ManualHold;
use serde::Deserialize;
use serde_json::json;

use crate::{App, reasoned, tell};

/// The longest hold: one that is forgotten must end.
const MAX_DAYS: i64 = 30;

#[derive(Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    reason: String,
    until: Timestamp,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let Body { reason, until } = request.json()?;
    let reason = reasoned(reason)?;
    let latest = request.now.saturating_add(SignedDuration::from_hours(24 * MAX_DAYS)).unwrap_or(request.now);
    if until <= request.now || until > latest {
        let detail = format!("until {until} is not within the next {MAX_DAYS} days");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", detail));
    }
    let hold = ManualHold { reason, actor: request.actor()?.to_owned(), at: request.now, until };
    app.store.put_hold(&hold).await?;
    tell(app, &request, EventKind::HoldPlaced, format!("until {until}: {}", hold.reason)).await;
    Ok(Reply::success(StatusCode::OK, "held: no plan is applied until then without an approval", json!(hold)))
}
