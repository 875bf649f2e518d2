//! `GET /admin/sync/plan`: what merging a change would do to what is live, with the hash that its run will have.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use roster_git::GitError;
use roster_http::{Problem, Query, Reply, Request};
use roster_sync::{Change, Options, PlanReport, SyncError};

use crate::{App, out_of_reach};

/// How long a plan may take: less than the function's time limit, so that who asks is told.
const PATIENCE: Duration = Duration::from_secs(22);

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let change = query.one("ref", str::parse::<Change>);
    let is_markdown = query.one("format", |format| match format {
        "json" => Ok(false),
        "markdown" => Ok(true),
        other => Err(format!("\"{other}\" is neither json nor markdown")),
    });
    query.finish()?;
    let missing = "ref is missing: a branch, the whole id of a commit, or refs/pull/N/merge for a pull request";
    let change = change.ok_or_else(|| Problem::bad_parameter("ref", missing))?;
    let plan = tokio::time::timeout(PATIENCE, plan(app, &change)).await.map_err(|_| too_slow())??;
    let wants_markdown = || request.header("accept").is_some_and(|accept| accept.starts_with("text/markdown"));
    if !is_markdown.unwrap_or_else(wants_markdown) {
        return Ok(Reply::success(StatusCode::OK, "what merging it would do to what is live", plan.told()));
    }
    let reply = Reply { body: plan.review().markdown().into(), ..Reply::empty(StatusCode::OK) };
    Ok(reply.with_header(CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8")))
}

async fn plan(app: &App, change: &Change) -> Result<PlanReport, Problem> {
    let reconciler = app.reconciler().await.map_err(|error| out_of_reach(&error))?;
    reconciler.plan(&Options::follow(&app.branch), change).await.map_err(|error| match error {
        SyncError::Git(error @ (GitError::UnknownRevision { .. } | GitError::WrongKind { .. })) => {
            Problem::not_found(format!("{error}: push it first; a pull request with conflicts has no merge to plan"))
        }
        error @ SyncError::LiveCommitGone(_) => {
            Problem::new(StatusCode::CONFLICT, "live-commit-gone", "Live commit gone", error.to_string())
        }
        error => out_of_reach(&error),
    })
}

fn too_slow() -> Problem {
    let detail = "the repository could not be read in time, as when it is fetched for the first time: try again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
        .with_header(http::header::RETRY_AFTER, HeaderValue::from_static("5"))
}
