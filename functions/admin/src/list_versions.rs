//! `GET /admin/models/{id}/versions`: every version of the model, as it is written and as it is.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::{Value, json};

use crate::App;
use crate::versions::{Versions, shown};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let versions = Versions::read(app, &request).await?;
    let model = versions.model();
    let both = model.versions.iter().zip(&versions.effective);
    let all: Vec<Value> = both.map(|(version, effective)| shown(version, effective, request.now)).collect();
    let data = json!({"versions": all, "rollout": model.rollout, "status": versions.record.status.rollout});
    Ok(Reply::success(StatusCode::OK, &format!("versions of model {}", model.id), data))
}
