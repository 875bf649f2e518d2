//! What callers may count on, function by function: the part of the OpenAPI document that neither routes nor registries
//! say.

use roster_contract::schemas::{count, flag, list, nullable, object, one_of, text, time, with_optional};
use roster_contract::{Endpoint, Schemas};
use roster_core::ModelId;
use roster_core::guard::Hold;
use roster_core::plan::Step;
use roster_core::rollout::RolloutStatus;
use roster_store::{Approval, ManualHold};
use roster_sync::drift::DriftReport;
use serde_json::{Value, json};

use crate::{approve_plan, hold_sync, list_runs};

/// The functions of this artifact by name.
#[must_use]
pub fn endpoints(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let hold = schemas.of::<ManualHold>();
    let (approval, drift) = (schemas.of::<Approval>(), schemas.of::<DriftReport>());
    let steps = object([("steps", list(schemas.of::<Step>())), ("moreSteps", count())]);
    let plan = object([
        ("base", nullable(text())),
        ("head", text()),
        ("revision", count()),
        ("hash", nullable(text())),
        ("problems", list(json!({"type": "object"}))),
        ("holds", list(schemas.of::<Hold>())),
        ("plan", steps),
        ("operations", count()),
        ("markdown", text()),
    ]);
    let plan = schemas.named("ChangePlan", plan);
    let status = status(schemas);
    let runs = object([("runs", list(json!({"type": "object"}))), ("nextCursor", nullable(text()))]);
    let delivered = object([("status", one_of(&["accepted", "known", "ignored"]))]);
    let delivered = with_optional(delivered, [("wish", count()), ("reason", text())]);
    vec![
        (
            "git-webhook",
            Endpoint::new("A forge says that something was pushed")
                .header("X-GitHub-Event", "What happened; X-Gitea-Event, X-Forgejo-Event or X-Gitlab-Event say it too.")
                .secured_by(&["githubSignature", "giteaSignature", "gitlabToken"])
                .body(json!({"type": "object"}), true)
                .answers(200, "The webhook works.", object([("status", json!({"const": "pong"}))]))
                .answers(202, "What comes of it.", delivered)
                .refuses(&[401]),
        ),
        (
            "request-sync",
            Endpoint::new("Has the branch looked at now").answers(
                202,
                "It will be.",
                schemas.success(object([("wish", count())])),
            ),
        ),
        (
            "approve-plan",
            Endpoint::new("Lets exactly one held plan pass, and has it applied")
                .body(schemas.read::<approve_plan::Body>("Approve"), true)
                .answers(202, "It is applied within seconds.", schemas.success(approval))
                .refuses(&[404, 409]),
        ),
        (
            "hold-sync",
            Endpoint::new("No plan is applied until a time, unless it is approved")
                .body(schemas.read::<hold_sync::Body>("PlaceHold"), true)
                .answers(200, "It is held.", schemas.success(hold.clone())),
        ),
        (
            "release-sync",
            Endpoint::new("Ends a hold before its time").answers(
                200,
                "Nothing is held now.",
                schemas.success(nullable(hold)),
            ),
        ),
        (
            "list-runs",
            Endpoint::new("What became of each commit, newest first").pages(list_runs::MAX_LIMIT).answers(
                200,
                "A page.",
                schemas.success(runs),
            ),
        ),
        (
            "plan-commit",
            Endpoint::new("What merging a change would do to what is live")
                .required_query("ref", text(), "A branch, the whole id of a commit, or refs/pull/N/merge.")
                .query("format", one_of(&["json", "markdown"]), "JSON, or Markdown for a comment.")
                .answers(200, "The plan.", schemas.success(plan))
                .answers_as(200, "The plan.", "text/markdown", text())
                .refuses(&[404, 409]),
        ),
        (
            "list-drift",
            Endpoint::new("Where the models table does not say what the branch says, field by field").answers(
                200,
                "What differs.",
                schemas.success(drift),
            ),
        ),
        (
            "system-status",
            Endpoint::new("How the whole is, and in one list what is wrong with it").answers(
                200,
                "How it is.",
                schemas.success(status),
            ),
        ),
    ]
}

fn status(schemas: &mut Schemas) -> Value {
    let counts = json!({"type": "object", "additionalProperties": count()});
    let run = object([
        ("at", text()),
        ("state", nullable(text())),
        ("commit", nullable(text())),
        ("subject", nullable(text())),
        ("revision", nullable(count())),
    ]);
    let drift = object([("live", nullable(text())), ("tip", text()), ("models", count()), ("kinds", counts.clone())]);
    let id = schemas.of::<ModelId>();
    let rollout = schemas.extended::<RolloutStatus>("RolloutOfModel", [("modelId", id)]);
    let models = object([
        ("byStage", counts.clone()),
        ("unavailable", count()),
        ("withSunset", count()),
        ("removed", count()),
        ("versionsByStatus", counts),
    ]);
    let freeze = object([("from", time()), ("until", time()), ("reason", text())]);
    let status = object([
        ("isWell", flag()),
        ("wrong", list(object([("what", text()), ("message", text())]))),
        ("revision", count()),
        ("commit", nullable(text())),
        ("publishedAt", nullable(time())),
        ("lastRun", nullable(run)),
        ("hold", nullable(schemas.of::<ManualHold>())),
        ("freezes", list(freeze)),
        ("halfWay", list(text())),
        ("drift", nullable(drift)),
        ("rollouts", list(rollout)),
        ("models", models),
        ("notices", object([("waiting", count()), ("oldestSince", nullable(time()))])),
    ]);
    schemas.named("SystemStatus", status)
}
