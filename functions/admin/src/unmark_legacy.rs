//! `POST /admin/models/{id}/unmark-legacy`: the model is no longer on its way out; replacement, notice and sunset go.

use roster_core::command::Command;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    body.without_keys()?;
    write::change(app, &request, &body, Command::UnmarkLegacy, "no longer legacy").await
}
