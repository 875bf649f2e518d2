//! `DELETE /admin/sync/hold`: ends a hold before its time, and has applied what it held.

use http::StatusCode;
use roster_core::audit::EventKind;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::ManualHold;
use serde_json::json;

use crate::{App, look_soon, tell};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let hold = app.store.hold().await?.filter(|hold| request.now < hold.until);
    let Some(hold) = hold else {
        return Ok(Reply::success(StatusCode::OK, "nothing is held: nothing changed", json!(null)));
    };
    let ended = ManualHold { until: request.now, ..hold };
    app.store.put_hold(&ended).await?;
    tell(app, &request, EventKind::HoldEnded, format!("by {}", request.actor()?)).await;
    look_soon(app).await;
    Ok(Reply::success(StatusCode::OK, "released: what was held is applied within seconds", json!(ended)))
}
