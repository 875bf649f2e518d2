//! `DELETE /admin/models/{id}/override`: the model's file counts again, before the override ends by itself.

use roster_core::command::Command;
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let body = Body::read(&request)?;
    body.without_keys()?;
    write::change(app, &request, &body, Command::EndOverride, "what its file says").await
}
