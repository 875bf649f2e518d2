//! `GET /admin/models/{id}/versions/compare?a=&b=`: what two versions are and what was measured of them, side by side.

use http::StatusCode;
use roster_core::{decision, diff, version};
use roster_http::{Problem, Query, Reply, Request};
use serde_json::{Value, json};

use crate::App;
use crate::versions::{Versions, shown};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let (a, b) = (query.one("a", version::parse), query.one("b", version::parse));
    query.finish()?;
    let named = |name: &str| Problem::bad_parameter(name, format!("name the version to compare with {name}="));
    let (a, b) = (a.ok_or_else(|| named("a"))?, b.ok_or_else(|| named("b"))?);
    let versions = Versions::read(app, &request).await?;
    let one = side(app, &versions, &a, &request).await?;
    let other = side(app, &versions, &b, &request).await?;
    let differences = diff::fields(&one["meta"], &other["meta"]);
    let message = format!("versions {a} and {b} of model {}", versions.model().id);
    let data = json!({"a": one, "b": other, "differences": differences});
    Ok(Reply::success(StatusCode::OK, &message, data))
}

/// One version: how it is written, what it comes to with the model's own fields, and what was measured.
async fn side(app: &App, versions: &Versions, number: &semver::Version, request: &Request) -> Result<Value, Problem> {
    let (version, effective) = versions.get(number)?;
    let model = versions.model();
    let measured = app.store.evidence(&model.id, number, request.now).await?;
    let mut side = shown(version, effective, request.now);
    side["meta"] = json!(version::meta_of(&model.meta, version.overrides.as_ref()));
    side["evaluation"] = json!(decision::report(model, number, &measured, &versions.policy));
    side["measured"] = json!(measured.summary());
    Ok(side)
}
