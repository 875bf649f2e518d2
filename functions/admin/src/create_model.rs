//! `POST /admin/models`: a new model, which the API owns.

use http::StatusCode;
use roster_core::command::Command;
use roster_edit::Target;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write::{self, Asked};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    let (target, command) = (Target::New, Command::Create(body.document.clone()));
    let asked = Asked { target, command, body: &body, done: "created", status: StatusCode::CREATED };
    write::make(app, &request, asked).await
}
