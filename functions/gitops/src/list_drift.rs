//! `GET /admin/drift`: where the models table does not say what the branch says, field by field.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use roster_sync::Options;
use roster_sync::drift::Breadth;
use serde_json::json;

use crate::{App, out_of_reach};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let reconciler = app.reconciler().await.map_err(|error| out_of_reach(&error))?;
    let report = reconciler.drift(&Options::follow(&app.branch), Breadth::Files).await;
    let report = report.map_err(|error| out_of_reach(&error))?;
    let message = match report.drift.len() {
        0 => "the table says what the branch says",
        _ => "the table does not say what the branch says",
    };
    Ok(Reply::success(StatusCode::OK, message, json!(report)))
}
