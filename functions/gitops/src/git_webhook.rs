//! `POST /hooks/github`: a forge says that something was pushed. It only ever makes the reconciler look.

use http::StatusCode;
use roster_http::{Problem, Reply, Request};
use roster_store::Wished;
use serde_json::{Value, json};

use crate::push::Push;
use crate::{App, signature};

/// GitHub's limit of a delivery. Deployed, one that is larger than API Gateway (10 MB) and Lambda (6 MB) take ends
/// there, with a 413 as well: the push is found by the next poll.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// What forges call an event, first who it is for most.
const EVENT: [&str; 4] = ["x-github-event", "x-gitea-event", "x-forgejo-event", "x-gitlab-event"];

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let secret = app.webhook_secret.as_deref().ok_or_else(not_configured)?;
    if request.body.len() > MAX_BODY_BYTES {
        return Err(Problem::payload_too_large(MAX_BODY_BYTES));
    }
    // The header with the delivery's id is not signed, so it cannot tell a repetition from a forgery.
    let digest = signature::check(secret, &request.headers, &request.body)?;
    // GitHub's other content type is a form. The ping after the webhook is made tells whoever chose it.
    request.check_content_type()?;
    match EVENT.iter().find_map(|name| request.header(name)) {
        Some("push" | "Push Hook") => {}
        Some("ping") => return Ok(reply(StatusCode::OK, json!({"status": "pong"}))),
        Some(other) => return Ok(ignored(&format!("the event {other} is no push"))),
        None => return Ok(ignored("the delivery names no event")),
    }
    if let Some(reason) = read(&request)?.other_than(&app.repository, &app.branch) {
        return Ok(ignored(&reason));
    }
    let wished = app.store.deliver(&digest, request.now).await?;
    Ok(reply(
        StatusCode::ACCEPTED,
        match wished {
            Wished::Known => json!({"status": "known"}),
            Wished::Pending(wish) => json!({"status": "accepted", "wish": wish}),
        },
    ))
}

fn read(request: &Request) -> Result<Push<'_>, Problem> {
    serde_json::from_slice(&request.body).map_err(|error| match error.is_data() {
        true => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", error.to_string()),
        false => Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "Malformed body", error.to_string()),
    })
}

fn ignored(reason: &str) -> Reply {
    reply(StatusCode::ACCEPTED, json!({"status": "ignored", "reason": reason}))
}

fn reply(status: StatusCode, body: Value) -> Reply {
    Reply::json(status, body.to_string())
}

fn not_configured() -> Problem {
    let detail = "no webhook secret is configured: deploy with the parameter WebhookSecretArn, or set WEBHOOK_SECRET \
                  for roster dev";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "webhook-not-configured", "Webhook not configured", detail)
}
