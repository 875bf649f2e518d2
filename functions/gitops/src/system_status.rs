//! `GET /admin/status`: how the whole is, and in one list what is wrong with it.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use roster_core::lifecycle::Stage;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use roster_sync::Options;
use roster_sync::drift::{Breadth, DriftKind, DriftReport};
use serde_json::{Value, json};

use crate::App;

/// Notices that are looked at: a longer backlog is told as this many.
const MAX_NOTICES: usize = 200;
/// A notice that waits longer than this many seconds does not arrive by itself.
const LATE_NOTICE: i64 = 15 * 60;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let now = request.now;
    let served = app.reader.current(now).await?;
    let state = app.store.sync_state().await?;
    let last_run = app.store.runs(None, 1).await?.pop();
    let notices = app.store.waiting_notices(MAX_NOTICES).await?;
    let drift = drift(app).await;
    let hold = state.hold.filter(|hold| now < hold.until);
    let rollouts = rollouts(&served.snapshot);
    let oldest = notices.iter().map(|notice| notice.posted_at).min();

    let mut wrong = Vec::new();
    let mut tell = |what: &str, message: String| wrong.push(json!({"what": what, "message": message}));
    if served.snapshot.revision == 0 {
        tell("published", "nothing was published yet".to_owned());
    }
    if let Some(hold) = &hold {
        tell("hold", format!("{} holds the sync until {}: {}", hold.actor, hold.until, hold.reason));
    }
    if !state.intent.is_empty() {
        let commits: Vec<&str> = state.intent.iter().map(String::as_str).collect();
        tell("sync", format!("a run stopped half way through {}", commits.join(", ")));
    }
    let run_state = last_run.as_ref().and_then(|run| run.report["state"].as_str()).unwrap_or("none");
    if let ("held" | "rejected" | "failed", Some(run)) = (run_state, &last_run) {
        let commit = run.report["commit"].as_str().unwrap_or_default();
        tell("sync", format!("commit {commit} is {run_state}: GET /admin/sync/runs says why"));
    }
    match &drift {
        None => {
            tell("drift", "the repository or the tables are out of reach: nobody knows whether they agree".to_owned());
        }
        Some(report) => {
            for (kind, count) in kinds(report) {
                tell("drift", format!("{count} models are {kind}: GET /admin/drift says which"));
            }
        }
    }
    if oldest.is_some_and(|oldest| now.as_second() - oldest.as_second() > LATE_NOTICE) {
        tell("notices", format!("{} notices wait, the oldest since {}", notices.len(), oldest.unwrap_or(now)));
    }
    for rollout in rollouts.iter().filter(|rollout| rollout["state"] == "rolled_back" || rollout["state"] == "paused") {
        let told = |key: &str| rollout[key].as_str().unwrap_or_default().to_owned();
        let (model, version, state, reason) = (told("modelId"), told("version"), told("state"), told("reason"));
        tell("rollout", format!("version {version} of model {model} is {state}: {reason}"));
    }
    let data = json!({
        "isWell": wrong.is_empty(),
        "wrong": wrong,
        "revision": served.snapshot.revision,
        "commit": served.snapshot.commit,
        "publishedAt": served.snapshot.published_at,
        "lastRun": last_run.as_ref().map(|run| json!({
            "at": run.key.split('#').next(), "state": run.report["state"], "commit": run.report["commit"],
            "subject": run.report["subject"], "revision": run.report["revision"],
        })),
        "hold": hold,
        "halfWay": state.intent,
        "drift": drift.as_ref().map(|report| json!({
            "live": report.live, "tip": report.tip, "models": report.models, "kinds": kinds(report),
        })),
        "rollouts": rollouts,
        "models": counts(&served.snapshot, now),
        "notices": {"waiting": notices.len(), "oldestSince": oldest},
    });
    let message = if data["isWell"] == true { "all is well" } else { "something is wrong" };
    Ok(Reply::success(StatusCode::OK, message, data))
}

/// Where the table does not say what the branch says; none while that cannot be known.
async fn drift(app: &App) -> Option<DriftReport> {
    let compared = async {
        let reconciler = app.reconciler().await.map_err(|error| error.to_string())?;
        reconciler.drift(&Options::follow(&app.branch), Breadth::Files).await.map_err(|error| error.to_string())
    };
    compared.await.inspect_err(|error| tracing::warn!(error, "the drift cannot be told")).ok()
}

/// How many models differ in which way.
fn kinds(report: &DriftReport) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for drift in &report.drift {
        let name = match drift.kind {
            DriftKind::Pending => "pending",
            DriftKind::Overridden => "overridden",
            DriftKind::Edited => "edited",
            DriftKind::Missing => "missing",
            DriftKind::Unknown => "unknown",
        };
        *kinds.entry(name).or_default() += 1;
    }
    kinds
}

/// How far each rollout is.
fn rollouts(snapshot: &Snapshot) -> Vec<Value> {
    let views = snapshot.views().filter_map(|view| Some((&view.id, snapshot.rollout(&view.id)?)));
    let told = views.map(|(id, rollout)| {
        let mut told = json!(rollout);
        told["modelId"] = json!(id);
        told
    });
    told.collect()
}

/// How many models there are, and how many of them and of their versions are in which state.
fn counts(snapshot: &Snapshot, now: Timestamp) -> Value {
    let (mut stages, mut versions) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    let (mut unavailable, mut ending) = (0_u64, 0_u64);
    for view in snapshot.views() {
        let stage = match view.stage {
            Stage::Active => "active",
            Stage::Legacy => "legacy",
            Stage::Archived => "archived",
        };
        *stages.entry(stage).or_default() += 1;
        unavailable += u64::from(!view.is_available && view.stage != Stage::Archived);
        ending += u64::from(view.sunset.is_some_and(|sunset| sunset > now));
        for version in &view.versions {
            *versions.entry(version.status.name()).or_default() += 1;
        }
    }
    json!({
        "byStage": stages, "unavailable": unavailable, "withSunset": ending, "removed": snapshot.tombstones().count(),
        "versionsByStatus": versions,
    })
}
