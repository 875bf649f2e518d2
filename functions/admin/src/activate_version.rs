//! `POST /admin/models/{id}/versions/{v}/activate`: the version takes the traffic, if policy and measurements allow it.

use roster_core::command::Command;
use roster_http::{Problem, Reply, Request};

use crate::body::Body;
use crate::{App, versions, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    body.without_keys()?;
    let number = versions::number(&request)?;
    let done = format!("at version {number}");
    write::change(app, &request, &body, Command::ActivateVersion(number), &done).await
}
