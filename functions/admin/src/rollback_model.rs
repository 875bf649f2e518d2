//! `POST /admin/models/{id}/rollback`: a version that had the traffic has it again, the last stable one or `version`.
//! A rollout that leads back to it is taken back, and its version blocked; else the spec changes.

use roster_core::command::{self, Command, unknown_key};
use roster_core::version;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::Value;

use crate::body::{Body, invalid};
use crate::mode::{Mode, Wanted};
use crate::rollouts::Step;
use crate::{App, rollouts, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let body = Body::read(&request)?;
    let mut problems = Vec::new();
    let mut number = None;
    for (key, value) in body.keys() {
        match (key.as_str(), &value) {
            ("version", Value::Null) => {}
            ("version", Value::String(text)) => match version::parse(text) {
                Ok(parsed) => number = Some(parsed),
                Err(why) => problems.push(command::problem("/version", why)),
            },
            ("version", _) => problems.push(command::problem("/version", "a version's number is a text")),
            _ => problems.push(unknown_key(&key, &["version", "reason"])),
        }
    }
    if body.reason.trim().is_empty() {
        problems.push(command::problem("/reason", "a rollback needs a reason"));
    }
    if !problems.is_empty() {
        return Err(invalid(&problems));
    }
    let mut query = Query::of(&request);
    query.flag("approve");
    let wanted = Wanted::of(&mut query);
    query.finish()?;
    // A rollout is taken back at once, whosever the model is; a proposal or an override is of the spec.
    if wanted.mode(&request, &body)? == Mode::Apply
        && let Some(reply) =
            rollouts::make(app, &request, &write::model_id(&request)?, Step::TakeBack(number.as_ref()), &body.reason)
                .await?
    {
        return Ok(reply);
    }
    write::change(app, &request, &body, Command::RollbackVersion(number), "back at a version that was stable").await
}
