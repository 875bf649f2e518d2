//! `POST /admin/sync/approve`: lets exactly one held plan pass, on exactly the state that it was held on, and has it
//! applied.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::Approval;
use serde::Deserialize;
use serde_json::json;

use crate::{App, look_soon, reasoned};

/// Kept reports among which a held plan is looked for.
const LOOKED_AT: usize = 100;

#[derive(Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    plan_hash: String,
    reason: String,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let Body { plan_hash, reason } = request.json()?;
    let reason = reasoned(reason)?;
    let runs = app.store.runs(None, LOOKED_AT).await?;
    // The newest report of the plan says what became of it.
    let held = runs.iter().find(|run| run.report["plan_hash"] == plan_hash.as_str());
    let held = held.filter(|run| run.report["state"] == "held").ok_or_else(|| {
        let detail = "no plan that is held has this hash: GET /admin/sync/runs tells which are";
        Problem::not_found(detail).with("plan_hash", plan_hash.as_str())
    })?;
    let head = app.store.head(true).await?;
    let revision = head.map_or(0, |head| head.revision);
    if held.report["revision"] != revision {
        let detail = format!(
            "the plan was made on revision {}, and {revision} is live now: the next sync makes a new plan with a new hash",
            held.report["revision"]
        );
        return Err(Problem::new(StatusCode::CONFLICT, "stale-plan", "Stale plan", detail));
    }
    let approval = Approval { plan_hash, actor: request.actor()?.to_owned(), reason, at: request.now };
    app.store.put_approval(&approval).await?;
    look_soon(app).await;
    let message = "approved: the plan is applied within seconds, if nothing changes until then";
    Ok(Reply::success(StatusCode::ACCEPTED, message, json!(approval)))
}
