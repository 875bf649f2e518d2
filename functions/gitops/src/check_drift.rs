//! `check-drift`: puts right what something else than Roster changed in the models table.

use jiff::tz::TimeZone;
use metrics::counter;
use roster_core::canonical;
use roster_core::notice::{Kind, Notice};
use roster_http::function::EventError;
use roster_sync::drift::{DriftKind, DriftReport};
use roster_sync::{Options, SyncError};
use serde_json::{Value, json};

use crate::App;

/// Compares the whole table with the repository. While a sync is at work it leaves that to the next time.
pub(crate) async fn handle(app: &App, _event: Value) -> Result<Value, EventError> {
    let reconciler = app.reconciler().await.map_err(EventError::of)?;
    match reconciler.heal(&Options::follow(&app.branch)).await {
        Ok(report) => {
            for drift in &report.drift {
                tracing::warn!(model = %drift.id, kind = ?drift.kind, fields = drift.changes.len(), "drift");
            }
            let edited = report.drift.iter().filter(|drift| drift.kind != DriftKind::Pending).count();
            counter!("Drift").increment(u64::try_from(edited).unwrap_or(u64::MAX));
            if let Some(notice) = notice(&report) {
                app.store.notify(&notice, report.checked_at).await;
            }
            Ok(json!(report))
        }
        Err(SyncError::Busy) => Ok(json!({"state": "busy"})),
        Err(error) => Err(EventError::of(error)),
    }
}

/// Models that a notice names.
const NAMED: usize = 50;

/// What is told of drift that nobody asked for; the same drift is told once a day.
fn notice(report: &DriftReport) -> Option<Notice> {
    let edited = report.drift.iter().filter(|drift| drift.kind != DriftKind::Pending);
    let models: Vec<Value> = edited
        .map(|drift| {
            let fields: Vec<&str> = drift.changes.iter().map(|change| change.path.as_str()).collect();
            json!({"modelId": drift.id, "kind": drift.kind, "path": drift.path, "fields": fields})
        })
        .collect();
    if models.is_empty() {
        return None;
    }
    let day = TimeZone::UTC.to_datetime(report.checked_at).date().to_string();
    let drift = canonical::sha256_hex(json!(models).to_string().as_bytes());
    let data = json!({
        "commit": report.live,
        "total": models.len(),
        "healed": report.healed,
        "models": models.iter().take(NAMED).collect::<Vec<_>>(),
    });
    Some(Notice::new(Kind::DriftFound, &[&day, &drift], report.checked_at, data))
}
