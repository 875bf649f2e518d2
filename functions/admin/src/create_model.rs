//! `POST /admin/models`: a new model, which the API owns.

use http::StatusCode;
use roster_core::command::Command;
use roster_edit::Target;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write::{self, Asked};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let Body { document, reason } = Body::read(&request)?;
    let (target, command) = (Target::New, Command::Create(document));
    let asked = Asked { target, command, reason: &reason, done: "created", status: StatusCode::CREATED };
    write::make(app, &request, asked).await
}
