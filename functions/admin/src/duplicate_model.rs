//! `POST /admin/models/{id}/duplicate`: a new model from another one, with some keys set otherwise.

use http::StatusCode;
use roster_core::command::Command;
use roster_edit::Target;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write::{self, Asked};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    let (target, command) = (Target::CopyOf(write::model_id(&request)?), Command::Duplicate(body.keys()));
    let asked = Asked { target, command, body: &body, done: "created", status: StatusCode::CREATED };
    write::make(app, &request, asked).await
}
