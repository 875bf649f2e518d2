//! `POST /admin/sync`: an admin, or CI after a merge, wants the branch looked at.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::App;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let wish = app.store.wish().await?;
    let message = format!("the branch {} will be looked at", app.branch);
    let body = json!({"status": "success", "message": message, "data": {"wish": wish}});
    Ok(Reply::json(StatusCode::ACCEPTED, body.to_string()))
}
