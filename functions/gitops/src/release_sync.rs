//! `DELETE /admin/sync/hold`: ends a hold before its time.

use http::StatusCode;
use roster_core::audit::EventKind;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::ManualHold;
use serde_json::json;

use crate::{App, actor, success, tell, unavailable};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let hold = app.store.hold().await.map_err(unavailable)?.filter(|hold| request.now < hold.until);
    let Some(hold) = hold else {
        return Ok(success(StatusCode::OK, "nothing is held: nothing changed", json!(null)));
    };
    let ended = ManualHold { until: request.now, ..hold };
    app.store.put_hold(&ended).await.map_err(unavailable)?;
    tell(app, &request, EventKind::HoldEnded, format!("by {}", actor(&request)?)).await;
    Ok(success(StatusCode::OK, "released: the next sync applies what was held", json!(ended)))
}
