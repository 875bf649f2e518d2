//! `notify`: tells the world outside what happened, as the tables' streams tell it.
//!
//! A change of a model and the outcome of a commit are posted in the outbox; what comes into the outbox is sent; and
//! the schedule sends again what did not arrive. A batch that comes twice posts nothing twice.

use jiff::Timestamp;
use roster_core::notice::{self, Kind, Notice};
use roster_http::function::EventError;
use roster_store::{KeptRun, models, runs};
use serde_json::{Value, json};

use crate::{App, deliver};

/// Notices sent in one scheduled call.
const AT_ONCE: usize = 200;
/// Mistakes and reasons that a notice names.
const NAMED: usize = 20;

pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let Some(records) = event["Records"].as_array() else {
        let due = app.store.due_notices((app.clock)(), AT_ONCE).await.map_err(EventError::of)?;
        return Ok(json!({"delivered": deliver::all(app, due).await}));
    };
    let mut ids = Vec::new();
    let mut unread = None;
    for record in records {
        let change = &record["dynamodb"];
        if change["Keys"]["pk"]["S"] == "outbox" {
            ids.extend(change["Keys"]["sk"]["S"].as_str());
        } else if let Err(error) = post(app, change).await {
            let sequence_number = change["SequenceNumber"].as_str().unwrap_or_default();
            tracing::error!(sequence_number, error, "a stream record's notices could not be posted");
            unread = Some(json!({"itemIdentifier": sequence_number}));
            break;
        }
    }
    // What cannot be read now is in the outbox all the same, and due.
    match app.store.pending_notices(&ids).await {
        Ok(pending) => drop(deliver::all(app, pending).await),
        Err(error) => tracing::error!(%error, "the outbox is left to the schedule"),
    }
    Ok(json!({"batchItemFailures": unread.into_iter().collect::<Vec<_>>()}))
}

/// Posts what a stream record is to tell.
async fn post(app: &App, change: &Value) -> Result<(), String> {
    if app.targets.is_empty() {
        return Ok(());
    }
    let now = (app.clock)();
    for notice in told(change)? {
        app.store.post(&notice, now).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn told(change: &Value) -> Result<Vec<Notice>, String> {
    if change["Keys"]["pk"]["S"] == "run" {
        return Ok(runs::from_image(&change["NewImage"]).and_then(|run| of_run(&run)).into_iter().collect());
    }
    let image = |name: &str| {
        let image = change.get(name).filter(|image| !image.is_null());
        image.map(|image| models::from_image(image).map_err(|error| error.to_string())).transpose()
    };
    let (old, new) = (image("OldImage")?, image("NewImage")?.ok_or("a model was deleted")?);
    // Without the next `seq` it is no step: somebody edited the table, which drift tells.
    let is_step = new.seq == old.as_ref().map_or(1, |old| old.seq + 1);
    Ok(if is_step { notice::of_step(old.as_ref(), &new) } else { Vec::new() })
}

/// What became of a commit.
fn of_run(KeptRun { key, report }: &KeptRun) -> Option<Notice> {
    let kind = match report["state"].as_str()? {
        "applied" => Kind::SyncApplied,
        "held" => Kind::SyncHeld,
        "rejected" => Kind::SyncRejected,
        _ => return None,
    };
    let at: Timestamp = key.split_once('#')?.0.parse().ok()?;
    let first = |name: &str| report[name].as_array().map(|all| all.iter().take(NAMED).collect::<Vec<_>>());
    let data = json!({
        "commit": report["commit"],
        "subject": report["subject"],
        "pullRequest": report["pull_request"],
        "revision": report["revision"],
        "operations": report["operations"],
        "planHash": report["plan_hash"],
        "approvedBy": report["approved_by"],
        "holds": first("holds").unwrap_or_default(),
        "problems": first("problems").unwrap_or_default(),
    });
    // Another instance may keep the same outcome again.
    let subject = [report["commit"].as_str()?, &report["revision"].to_string(), &report["plan_hash"].to_string()];
    Some(Notice::new(kind, &subject, at, data))
}
