//! `POST /v1/resolve`: which model and version this caller gets by a name now, or why none.

use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use roster_core::effective::EffectiveVersion;
use roster_core::rollout::{self, RolloutState};
use roster_core::tier::{AccessStatus, Tier};
use roster_core::view::View;
use roster_http::{Caller, Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::catalogue::{source_headers, tier_of};
use crate::lookup;

/// The most bytes of a key.
pub(crate) const MAX_KEY: usize = 512;

#[derive(Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    model: String,
    key: Option<String>,
}

/// What decides which version a caller gets while two take the traffic.
struct Draw<'d> {
    /// What it is, for the answer.
    by: &'static str,
    key: &'d str,
}

impl<'d> Draw<'d> {
    /// The key that the body names, else whom the token is about. Who has neither is dealt a version at each request,
    /// so that weights hold; the answer says so, for whoever keeps it.
    fn of(body: &'d Body, request: &'d Request) -> Result<Self, Problem> {
        let drawn = match (&body.key, &request.caller.subject) {
            (Some(key), _) => Self { by: "key", key },
            (None, Some(subject)) => Self { by: "subject", key: subject },
            (None, None) => Self { by: "request", key: &request.request_id },
        };
        if body.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            let message =
                format!("must have 1 to {MAX_KEY} bytes: a name for whoever shall get the same version again");
            return Err(Problem::invalid(&[("/key", message)]));
        }
        Ok(drawn)
    }
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let body: Body = request.json()?;
    let draw = Draw::of(&body, &request)?;
    let reading = app.reading(&request, None).await?;
    let headers = source_headers(reading.source);
    let reply = resolve(&body.model, &draw, &reading.snapshot, tier_of(&request.caller, &reading.snapshot));
    match reply {
        Ok(reply) => Ok(reply.with_headers(headers)),
        Err(problem) => Err(problem.with_headers(headers)),
    }
}

fn resolve(name: &str, draw: &Draw<'_>, snapshot: &Snapshot, tier: Tier) -> Result<Reply, Problem> {
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
            .with("access_status", access.name())
            .with("tiers", json!(tiers_of(view))));
    }
    if !view.is_available {
        let replacement = lookup::replacement_in_use(view, |name| snapshot.get(name));
        let hint = replacement.map(|id| format!(": {id} can be used instead")).unwrap_or_default();
        let detail = format!("model {} is not available now{hint}", view.id);
        return Err(Problem::new(StatusCode::CONFLICT, "unavailable-model", "Model unavailable", detail)
            .with("model_id", view.id.as_str())
            .with("replacement_model_id", json!(replacement)));
    }
    let version = rollout::version_for(&view.versions, &view.id, draw.key);
    if version.is_none() && !view.versions.is_empty() {
        return Err(no_active_version(view));
    }
    let body = json!({
        "requested": name,
        "model_id": view.id,
        "name": view.name,
        "provider": view.provider,
        "version": version.map(|version| &version.version),
        "version_status": version.map(|version| version.status),
        "weight_percent": version.map(|version| version.weight_percent),
        "drawn_by": version.map(|_| draw.by),
        "rollout": rollout_of(view, snapshot),
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

/// The tiers that may use a model.
fn tiers_of(view: &View) -> Vec<Tier> {
    Tier::ALL.into_iter().filter(|&tier| view.access(tier) == AccessStatus::Allowed).collect()
}

fn no_active_version(view: &View) -> Problem {
    let told = |version: &EffectiveVersion| format!("{} is {}", version.version, version.status.name());
    let versions: Vec<String> = view.versions.iter().map(told).collect();
    let detail = format!(
        "no version of model {} takes traffic: {}; one is to be activated, or name another model",
        view.id,
        versions.join(", ")
    );
    Problem::new(StatusCode::CONFLICT, "no-active-version", "No active version", detail)
        .with("model_id", view.id.as_str())
        .with("versions", view.versions.iter().map(shown).collect::<Value>())
}

/// A version as everybody may know it: why one is blocked is said in an admin's words, or tells what was measured.
fn shown(version: &EffectiveVersion) -> Value {
    json!({
        "version": version.version,
        "status": version.status,
        "weight_percent": version.weight_percent,
        "end_of_life": version.end_of_life,
        "replacement": version.replacement,
        "is_blocked": version.blocked.is_some(),
        "retires_at": version.retires_at,
    })
}

/// The version that comes, or was to come, and how far it is.
fn rollout_of(view: &View, snapshot: &Snapshot) -> Value {
    let Some(status) = snapshot.rollout(&view.id) else { return Value::Null };
    let version = view.versions.iter().find(|version| version.version == status.version);
    json!({
        "version": status.version,
        "stable_version": status.stable,
        "state": status.state,
        "weight_percent": version.map(|version| version.weight_percent),
        "is_blocked": status.state == RolloutState::RolledBack,
        "since": status.changed_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_why_a_version_is_blocked() {
        let blocked = EffectiveVersion {
            version: "2.0.0".parse().unwrap(),
            status: roster_core::version::VersionStatus::Inactive,
            weight_percent: 0,
            end_of_life: None,
            replacement: None,
            blocked: Some("a customer complained".into()),
            retires_at: None,
        };
        let shown = shown(&blocked);
        assert_eq!(shown["is_blocked"], true);
        assert!(!shown.to_string().contains("customer"), "{shown}");
    }
}
