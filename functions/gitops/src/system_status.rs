//! `GET /admin/status`: how the whole is, and in one list what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use roster_core::lifecycle::Stage;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use roster_store::{KeptRun, ManualHold, Pending};
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
    let whole = Whole::read(app, request.now).await?;
    let wrong = whole.wrong(request.now);
    let message = if wrong.is_empty() { "all is well" } else { "something is wrong" };
    let mut data = whole.shown(request.now);
    data["isWell"] = wrong.is_empty().into();
    data["wrong"] = wrong.into();
    Ok(Reply::success(StatusCode::OK, message, data))
}

/// What is known of the whole.
struct Whole {
    snapshot: Arc<Snapshot>,
    last_run: Option<KeptRun>,
    /// Who holds the sync now.
    hold: Option<ManualHold>,
    /// Commits that a run stopped half way through.
    half_way: Vec<String>,
    /// None while it cannot be known.
    drift: Option<DriftReport>,
    rollouts: Vec<Value>,
    notices: Vec<Pending>,
}

impl Whole {
    async fn read(app: &App, now: Timestamp) -> Result<Self, Problem> {
        let snapshot = app.reader.current(now).await?.snapshot;
        let state = app.store.sync_state().await?;
        Ok(Self {
            last_run: app.store.runs(None, 1).await?.pop(),
            hold: state.hold.filter(|hold| now < hold.until),
            half_way: state.intent.into_iter().collect(),
            drift: drift(app).await,
            rollouts: rollouts(&snapshot),
            notices: app.store.waiting_notices(MAX_NOTICES).await?,
            snapshot,
        })
    }

    /// Since when the oldest notice waits.
    fn waits_since(&self) -> Option<Timestamp> {
        self.notices.iter().map(|notice| notice.posted_at).min()
    }

    /// Everything that people have to look at, each with where.
    fn wrong(&self, now: Timestamp) -> Vec<Value> {
        let mut wrong = Vec::new();
        let mut tell = |what: &str, message: String| wrong.push(json!({"what": what, "message": message}));
        if self.snapshot.revision == 0 {
            tell("published", "nothing was published yet".to_owned());
        }
        if let Some(ManualHold { actor, until, reason, .. }) = &self.hold {
            tell("hold", format!("{actor} holds the sync until {until}: {reason}"));
        }
        if !self.half_way.is_empty() {
            tell("sync", format!("a run stopped half way through {}", self.half_way.join(", ")));
        }
        if let Some(report) = self.last_run.as_ref().map(|run| &run.report)
            && let (Some(commit), Some(state @ ("held" | "rejected" | "failed"))) =
                (report["commit"].as_str(), report["state"].as_str())
        {
            tell("sync", format!("commit {commit} is {state}: GET /admin/sync/runs says why"));
        }
        match &self.drift {
            None => tell("drift", "nobody knows, for the repository or the tables are out of reach".to_owned()),
            Some(report) => kinds(report).into_iter().for_each(|(kind, count)| {
                tell("drift", format!("{count} of {} models are {kind}: GET /admin/drift says which", report.models));
            }),
        }
        if let Some(since) = self.waits_since().filter(|since| now.as_second() - since.as_second() > LATE_NOTICE) {
            tell("notices", format!("{} notices wait, the oldest since {since}", self.notices.len()));
        }
        for rollout in &self.rollouts {
            let text = |key: &str| rollout[key].as_str().unwrap_or_default();
            if let state @ ("paused" | "rolled_back") = text("state") {
                let (version, model, reason) = (text("version"), text("modelId"), text("reason"));
                tell("rollout", format!("version {version} of model {model} is {state}: {reason}"));
            }
        }
        wrong
    }

    fn shown(&self, now: Timestamp) -> Value {
        let run = |KeptRun { key, report }: &KeptRun| {
            json!({
                "at": key.split('#').next(), "state": report["state"], "commit": report["commit"],
                "subject": report["subject"], "revision": report["revision"],
            })
        };
        let drift = |report: &DriftReport| json!({"live": report.live, "tip": report.tip, "models": report.models, "kinds": kinds(report)});
        let freezes = &self.snapshot.policy.guard.freezes;
        json!({
            "revision": self.snapshot.revision,
            "commit": self.snapshot.commit,
            "publishedAt": self.snapshot.published_at,
            "lastRun": self.last_run.as_ref().map(run),
            "hold": self.hold,
            "freezes": freezes.iter().filter(|freeze| now < freeze.until).collect::<Vec<_>>(),
            "halfWay": self.half_way,
            "drift": self.drift.as_ref().map(drift),
            "rollouts": self.rollouts,
            "models": counts(&self.snapshot, now),
            "notices": {"waiting": self.notices.len(), "oldestSince": self.waits_since()},
        })
    }
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
