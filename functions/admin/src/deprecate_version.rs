//! `POST /admin/models/{id}/versions/{v}/deprecate`: the version still answers, until its end of life.

use roster_core::command::{self, Command};
use roster_http::{Problem, Reply, Request};

use crate::body::{Body, invalid};
use crate::{App, versions, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    if body.reason.trim().is_empty() {
        return Err(invalid(&[command::problem(
            "/reason",
            "deprecating a version needs a reason: its users are told it",
        )]));
    }
    let number = versions::number(&request)?;
    let done = format!("letting version {number} go");
    let command = Command::DeprecateVersion(number, body.reason.clone(), body.keys());
    write::change(app, &request, &body, command, &done).await
}
