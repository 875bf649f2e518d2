//! `PATCH /admin/models/{id}`: some keys of the document change, by a JSON Merge Patch (RFC 7396).

use roster_core::command::Command;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    write::change(app, &request, &body, Command::Edit(body.keys()), "edited").await
}
