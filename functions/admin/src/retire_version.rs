//! `POST /admin/models/{id}/versions/{v}/retire`: the version does not answer any more.

use roster_core::command::{self, Command};
use roster_http::{Problem, Reply, Request};

use crate::body::{Body, invalid};
use crate::{App, versions, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    body.without_keys()?;
    if body.reason.trim().is_empty() {
        return Err(invalid(&[command::problem("/reason", "retiring a version needs a reason")]));
    }
    let number = versions::number(&request)?;
    let done = format!("without version {number}");
    write::change(app, &request, &body, Command::RetireVersion(number), &done).await
}
