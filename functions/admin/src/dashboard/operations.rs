//! How the whole is, what waits for a decision, and what was done lately.

use askama::Template;
use http::StatusCode;
use roster_http::Reply;
use serde::Deserialize;
use serde_json::Value;

use super::Signed;
use super::model::Rollout;
use super::page::{self, Failure, Page};
use super::show::{self, FieldChange, Line};

/// Models of a plan that are shown; `GET /admin/sync/runs` has more.
const MAX_STEPS: usize = 20;

#[derive(Template)]
#[template(path = "operations.html")]
struct View {
    page: Page,
    is_well: bool,
    wrong: Vec<(String, String)>,
    facts: Vec<(&'static str, String)>,
    is_held: bool,
    held: Vec<Run>,
    runs: Vec<Run>,
    older: String,
    rollouts: Vec<Rollout>,
    drift: Vec<Drift>,
    warnings: Vec<Warning>,
    more_warnings: u64,
    alerts: Vec<Alert>,
}

struct Run {
    at: String,
    state: String,
    subject: String,
    author: String,
    commit: String,
    revision: String,
    operations: String,
    problems: Vec<String>,
    holds: Vec<String>,
    plan_hash: String,
    steps: Vec<Step>,
    more_steps: u64,
}

struct Step {
    id: String,
    operations: String,
    lines: Vec<Line>,
}

struct Drift {
    id: String,
    kind: String,
    lines: Vec<Line>,
}

struct Warning {
    id: String,
    name: String,
    subject: String,
    severity: String,
    ends: String,
    replacement: String,
}

struct Alert {
    at: String,
    severity: String,
    message: String,
    model: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runs {
    runs: Vec<Value>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct DriftReport {
    drift: Vec<Value>,
}

#[derive(Deserialize)]
struct Warnings {
    warnings: Vec<Value>,
    total: u64,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Value>,
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let (visit, api) = (&signed.visit, &signed.api);
    let cursor = visit.query("cursor");
    let mut of_runs = vec![("limit", "10")];
    of_runs.extend(Some(("cursor", cursor)).filter(|(_, cursor)| !cursor.is_empty()));
    let (status, runs, drift, warnings, alerts) = tokio::join!(
        api.get::<Value>("/admin/status", &[]),
        api.get::<Runs>("/admin/sync/runs", &of_runs),
        api.get::<DriftReport>("/admin/drift", &[]),
        api.get::<Warnings>("/admin/warnings", &[("limit", "20")]),
        api.get::<Alerts>("/admin/alerts", &[("limit", "20")]),
    );
    // Where the repository is out of reach, status says so, and the page still has the rest.
    let drift = drift.map(|report| report.drift).unwrap_or_default();
    let (status, runs, warnings, alerts) = (status?, runs?, warnings?, alerts?);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let told: Vec<Run> = runs.runs.iter().map(Run::of).collect();
    let (held, runs_shown) = waiting(told, &runs.runs, status["revision"].as_u64());
    let view = View {
        is_well: status["isWell"] == true,
        wrong: list(&status["wrong"]).iter().map(|one| (text(&one["what"]), text(&one["message"]))).collect(),
        facts: facts(&status),
        is_held: !status["hold"].is_null(),
        held,
        runs: runs_shown,
        older: runs.next_cursor.map(|cursor| older(signed, &cursor)).unwrap_or_default(),
        rollouts: list(&status["rollouts"]).iter().map(|one| Rollout::of(&text(&one["modelId"]), one)).collect(),
        drift: drift.iter().map(Drift::of).collect(),
        more_warnings: warnings.total.saturating_sub(warnings.warnings.len() as u64),
        warnings: warnings.warnings.iter().map(Warning::of).collect(),
        alerts: alerts.alerts.iter().map(Alert::of).collect(),
        page: signed.page("Operations", "operations"),
    };
    Ok(page::html(visit, StatusCode::OK, &view))
}

fn older(signed: &Signed<'_>, cursor: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("cursor", cursor).finish();
    format!("{}/operations?{query}", signed.visit.root)
}

/// The newest run where it is held on what is live: that is what can be approved. All runs, for the list.
fn waiting(mut runs: Vec<Run>, reports: &[Value], revision: Option<u64>) -> (Vec<Run>, Vec<Run>) {
    let is_waiting =
        reports.first().is_some_and(|report| report["state"] == "held" && report["revision"].as_u64() == revision);
    if is_waiting && !runs.is_empty() {
        let first = runs.remove(0);
        return (vec![first], runs);
    }
    (Vec::new(), runs)
}

fn facts(status: &Value) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stages = status["models"]["byStage"].as_object().into_iter().flatten();
    let stages: Vec<String> = stages.map(|(stage, count)| format!("{count} {stage}")).collect();
    let hold = &status["hold"];
    let held = match hold.is_null() {
        true => String::new(),
        false => format!(
            "by {} until {}: {}",
            text(&hold["actor"]),
            show::moment_of(&text(&hold["until"])),
            text(&hold["reason"])
        ),
    };
    let freezes = status["freezes"].as_array().into_iter().flatten().map(|freeze| {
        let [from, until] = ["from", "until"].map(|key| show::moment_of(&text(&freeze[key])));
        format!("{from} to {until}: {}", text(&freeze["reason"]))
    });
    let freezes = freezes.collect::<Vec<_>>().join("; ");
    let facts = [
        ("Live revision", show::value(&status["revision"])),
        ("Commit", show::commit(&text(&status["commit"]))),
        ("Published", status["publishedAt"].as_str().map(show::moment_of).unwrap_or_default()),
        ("Models", stages.join(", ")),
        ("Held", held),
        ("Frozen by policy", freezes),
        ("Notices that wait", show::value(&status["notices"]["waiting"])),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn lines(value: &Value) -> Vec<Line> {
    let changes: Vec<FieldChange> = serde_json::from_value(value.clone()).unwrap_or_default();
    show::changes(&changes)
}

impl Run {
    fn of(report: &Value) -> Self {
        let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| report[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let problem = |problem: &Value| {
            let told = |key: &str| problem[key].as_str().unwrap_or_default();
            let line =
                problem["line"].as_u64().filter(|line| *line > 0).map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line} {} {}", told("file"), told("pointer"), told("message"))
        };
        let steps = report["plan"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let more = report["plan"]["moreSteps"].as_u64().unwrap_or_default();
        Self {
            at: show::moment_of(&text("at")),
            state: text("state"),
            subject: text("subject"),
            author: show::author(&text("author")).to_owned(),
            commit: show::commit(&text("commit")),
            revision: report["revision"].as_u64().map(|revision| revision.to_string()).unwrap_or_default(),
            operations: report["operations"]
                .as_u64()
                .map(|count| show::counted(count, "operation"))
                .unwrap_or_default(),
            problems: list("problems").iter().map(problem).collect(),
            holds: list("holds").iter().map(|hold| show::value(&hold["message"])).collect(),
            plan_hash: text("plan_hash"),
            more_steps: more + steps.len().saturating_sub(MAX_STEPS) as u64,
            steps: steps.iter().take(MAX_STEPS).map(Step::of).collect(),
        }
    }
}

impl Step {
    fn of(step: &Value) -> Self {
        let operations = step["operations"].as_array().into_iter().flatten().map(show::operation);
        Self {
            id: step["id"].as_str().unwrap_or_default().to_owned(),
            operations: operations.collect::<Vec<_>>().join(", "),
            lines: lines(&step["changes"]),
        }
    }
}

impl Drift {
    fn of(drift: &Value) -> Self {
        let text = |key: &str| drift[key].as_str().unwrap_or_default().to_owned();
        Self { id: text("id"), kind: text("kind"), lines: lines(&drift["changes"]) }
    }
}

impl Warning {
    fn of(warning: &Value) -> Self {
        let text = |key: &str| warning[key].as_str().unwrap_or_default().to_owned();
        let left = warning["daysLeft"].as_i64().map(show::days).unwrap_or_default();
        let version = text("version");
        Self {
            id: text("id"),
            name: text("displayName"),
            subject: if version.is_empty() { "model".to_owned() } else { format!("version {version}") },
            severity: text("severity"),
            ends: format!("{}, {left}", show::moment_of(&text("endsAt"))),
            replacement: match (warning["replacementInUse"].as_str(), warning["replacementVersion"].as_str()) {
                (_, Some(version)) => version.to_owned(),
                (Some(model), None) => model.to_owned(),
                (None, None) => "none".to_owned(),
            },
        }
    }
}

impl Alert {
    fn of(alert: &Value) -> Self {
        let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        Self {
            at: show::moment_of(&text("at")),
            severity: text("severity"),
            message: text("message"),
            model: text("modelId"),
        }
    }
}
