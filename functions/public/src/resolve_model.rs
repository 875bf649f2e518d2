//! `POST /v1/resolve`: which model this caller gets by a name now, or why none.

use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use roster_core::tier::{AccessStatus, Tier};
use roster_http::{Caller, Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use serde::Deserialize;
use serde_json::json;

use crate::App;
use crate::catalogue::{source_headers, tier_of};
use crate::lookup;

#[derive(Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    model: String,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let Body { model: name } = request.json()?;
    let reading = app.reading(&request, None).await?;
    let headers = source_headers(reading.source);
    let reply = resolve(&name, &reading.snapshot, tier_of(&request.caller, &reading.snapshot));
    match reply {
        Ok(reply) => Ok(reply.with_headers(headers)),
        Err(problem) => Err(problem.with_headers(headers)),
    }
}

fn resolve(name: &str, snapshot: &Snapshot, tier: Tier) -> Result<Reply, Problem> {
    // An archived model is used by nobody, admins included.
    let view = lookup::find(snapshot, name, &Caller::default())?;
    let access = view.access(tier);
    if access != AccessStatus::Allowed {
        let detail = match access {
            AccessStatus::UpgradeRequired => format!("model {} is for higher tiers than {}", view.id, tier.name()),
            _ => format!("model {} is not for the tier {}", view.id, tier.name()),
        };
        return Err(Problem::new(StatusCode::FORBIDDEN, "tier-not-allowed", "Tier not allowed", detail)
            .with("model_id", view.id.as_str())
            .with("access_status", access.name()));
    }
    if !view.is_available {
        let detail = format!("model {} is not available now", view.id);
        return Err(Problem::new(StatusCode::CONFLICT, "unavailable-model", "Model unavailable", detail)
            .with("model_id", view.id.as_str()));
    }
    let body = json!({
        "requested": name,
        "model_id": view.id,
        "name": view.name,
        "provider": view.provider,
        "version": view.active_version.as_ref().map(ToString::to_string),
        "user_tier": tier,
        "access_status": access.name(),
        "is_legacy": view.is_legacy,
        "replacement_model_id": view.replacement,
        "sunset_date": view.sunset,
        "revision": snapshot.revision,
    });
    let reply = Reply::json(StatusCode::OK, body.to_string());
    Ok(reply.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}
