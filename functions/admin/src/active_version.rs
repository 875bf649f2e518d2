//! `GET /admin/models/{id}/versions/active`: the version that takes the traffic.

use http::StatusCode;
use roster_core::version::VersionStatus;
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::versions::{Versions, shown};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let versions = Versions::read(app, &request).await?;
    let id = &versions.model().id;
    let active = versions.effective.iter().find(|version| version.status == VersionStatus::Active);
    let active = active.ok_or_else(|| Problem::not_found(format!("no version of model {id} is active")))?;
    let (version, effective) = versions.get(&active.version)?;
    let message = format!("the active version of model {id}");
    Ok(Reply::success(StatusCode::OK, &message, shown(version, effective, request.now)))
}
