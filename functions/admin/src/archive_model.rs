//! `POST /admin/models/{id}/archive`: the model is hidden from clients and cannot be used.

use roster_core::command::{self, Command};
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::body::{Body, invalid};
use crate::write;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    body.without_keys()?;
    if body.reason.trim().is_empty() {
        return Err(invalid(&[command::problem("/reason", "archiving a model needs a reason")]));
    }
    write::change(app, &request, &body, Command::Archive, "archived").await
}
