//! `GET /admin/models/{id}/versions/{v}/decision`: whether the version may take the traffic now, and what to use instead.

use http::StatusCode;
use roster_core::decision;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::App;
use crate::versions::{self, Versions};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let number = versions::number(&request)?;
    let versions = Versions::read(app, &request).await?;
    versions.get(&number)?;
    let (model, policy, now) = (versions.model(), &versions.policy, request.now);
    let measured = app.store.evidence(&model.id, &number, now).await?;
    let report = decision::report(model, &number, &measured, policy);
    let decision = decision::decide(&versions.effective, &number, &report, &measured, policy, now);
    let message = match decision.approved {
        true => format!("version {number} of model {} may take the traffic", model.id),
        false => format!("version {number} of model {} may not take the traffic", model.id),
    };
    let mut data = json!(decision);
    data["evaluation"] = json!(report);
    Ok(Reply::success(StatusCode::OK, &message, data))
}
