//! `POST /admin/models/{id}/unarchive`: the model is back, available, and as legacy as it was.

use roster_core::command::Command;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    body.without_keys()?;
    write::change(app, &request, &body, Command::Unarchive, "out of the archive").await
}
