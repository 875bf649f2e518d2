//! `POST /admin/models/{id}/mark-legacy`: the model is on its way out.

use roster_core::command::Command;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    write::change(app, &request, &body, Command::MarkLegacy(body.keys()), "marked as legacy").await
}
