//! `POST /admin/models/{id}/versions`: a version of the model appears, inactive unless the body says otherwise.

use http::StatusCode;
use roster_core::command::Command;
use roster_edit::Target;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::Body;
use crate::write::{self, Asked};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    let (target, command) = (Target::Existing(write::model_id(&request)?), Command::RegisterVersion(body.keys()));
    let asked = Asked { target, command, body: &body, done: "given another version", status: StatusCode::CREATED };
    write::make(app, &request, asked).await
}
