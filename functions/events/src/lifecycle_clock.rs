//! `lifecycle-clock`: makes durable what time has done to models, and says whose sunset is near.
//!
//! It knows from the published catalogue, which it has in memory, when the next thing is due; until then it reads the
//! head and nothing else. Being early, late, twice or killed does no harm: each effect is a step of its record's `seq`,
//! and each notice has its mark.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::Timestamp;
use roster_core::record::Record;
use roster_core::view::{self, View};
use roster_core::{ModelId, end_of_life, lifecycle::Stage, notice, status};
use roster_http::function::EventError;
use roster_store::StoreError;
use roster_store::models::RecordWrite;
use roster_store::reader::Snapshot;
use serde_json::{Value, json};

use crate::App;

/// Records read in one call.
const BATCH: usize = 100;

/// What an instance knows to be done.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The revision of which everything is done, until the time at which something is due again.
    done: Option<(u64, Option<Timestamp>)>,
    /// The nearest window of each sunset of which people have been told.
    told: HashMap<(ModelId, Timestamp), u64>,
}

pub(crate) async fn handle(app: &App) -> Result<Value, EventError> {
    let now = (app.clock)();
    let snapshot = app.published(now).await?;
    if let Some((revision, next)) = app.memory.lock().unwrap_or_else(PoisonError::into_inner).done
        && revision == snapshot.revision
        && next.is_none_or(|next| now < next)
    {
        return Ok(json!({"state": "idle", "next": next}));
    }
    let (effects, is_settled) = settle(app, &snapshot, now).await.map_err(EventError::of)?;
    let notices = warn(app, &snapshot, now).await.map_err(EventError::of)?;
    let next = next_due(&snapshot, now);
    let state = if is_settled { "done" } else { "busy" };
    if is_settled {
        app.memory.lock().unwrap_or_else(PoisonError::into_inner).done = Some((snapshot.revision, next));
    }
    Ok(json!({"state": state, "effects": effects, "notices": notices, "next": next}))
}

/// Makes every effect that is due a part of its record, the earliest of a model first; answers how many, and whether
/// none is left: while a sync is at work, the rest is for the next time.
async fn settle(app: &App, snapshot: &Snapshot, now: Timestamp) -> Result<(u64, bool), StoreError> {
    let has_due = |view: &&View| moments(view).any(|at| at <= now);
    let policy = &snapshot.policy;
    let ids: Vec<&ModelId> = snapshot.views().filter(has_due).map(|view| &view.id).collect();
    let mut effects = 0;
    for batch in ids.chunks(BATCH) {
        let records = app.store.records(batch.iter().copied()).await?;
        let due: Vec<Record> =
            records.into_values().filter(|record| status::due(record, policy, now).is_some()).collect();
        // Records of a commit that is half applied are not what anybody has seen.
        if !due.is_empty() && !app.store.sync_state().await?.intent.is_empty() {
            return Ok((effects, false));
        }
        for mut record in due {
            while let Some(effect) = status::due(&record, policy, now) {
                let after = status::after(&record, &effect, snapshot.revision, now);
                let write = RecordWrite { read_seq: Some(record.seq), record: after };
                match app.store.put_effect(&write, now).await {
                    Ok(()) => effects += 1,
                    Err(StoreError::Conflict(what)) => {
                        tracing::info!(model = %record.spec.id, what, "left for the next time");
                        return Ok((effects, false));
                    }
                    Err(error) => return Err(error),
                }
                tracing::info!(model = %record.spec.id, seq = write.record.seq, ?effect, "made durable");
                record = write.record;
            }
        }
    }
    Ok((effects, true))
}

/// Posts the notices of sunsets that are near; answers how many were new.
async fn warn(app: &App, snapshot: &Snapshot, now: Timestamp) -> Result<u64, StoreError> {
    let windows = &snapshot.policy.lifecycle.warning_window_days;
    let mut posted = 0;
    for view in snapshot.views().filter(|view| view.stage != Stage::Archived) {
        let Some(sunset) = view.sunset else { continue };
        let Some(window) = end_of_life::window(windows, sunset, now) else { continue };
        let key = (view.id.clone(), sunset);
        let told = app.memory.lock().unwrap_or_else(PoisonError::into_inner).told.get(&key).copied();
        if told.is_some_and(|told| told <= window) {
            continue;
        }
        let chain = view::replacements(view, |id| snapshot.get(id));
        let chain: Vec<&ModelId> = chain.iter().map(|view| &view.id).collect();
        let notice = notice::of_sunset(view, &chain, sunset, window, now);
        posted += u64::from(app.store.post_sunset(&notice, (&view.id, sunset, window), now).await?);
        app.memory.lock().unwrap_or_else(PoisonError::into_inner).told.insert(key, window);
    }
    // What is over is told no more.
    app.memory.lock().unwrap_or_else(PoisonError::into_inner).told.retain(|(_, sunset), _| *sunset > now);
    Ok(posted)
}

/// The next moment at which something is due.
fn next_due(snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let windows = &snapshot.policy.lifecycle.warning_window_days;
    let next = |view: &View| {
        let effects = moments(view).filter(|&at| at > now).min();
        let window = view.sunset.and_then(|sunset| end_of_life::next_window(windows, sunset, now));
        effects.into_iter().chain(window).min()
    };
    snapshot.views().filter_map(next).min()
}

/// When time does something to a model, or did.
fn moments(view: &View) -> impl Iterator<Item = Timestamp> {
    view.price_starts.iter().copied().chain(view.sunset).chain(view.retirements())
}
