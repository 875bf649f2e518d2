//! The versions in use, held against the same thresholds as those that come. Nobody is there to take over by itself
//! where one breaks, so people are told, once a breach, and once more when it is over.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use roster_core::evaluate::Verdict;
use roster_core::lifecycle::Stage;
use roster_core::version::VersionStatus;
use roster_core::view::View;
use roster_core::{ModelId, alert, decision};
use roster_http::telemetry;
use roster_store::reader::Snapshot;
use roster_store::{Breach, StoreError};

use crate::App;

/// Each version is looked at once in so many minutes: the windows of an hour are read for it.
const TURN_MINUTES: u64 = 5;
/// Versions that are looked at at once.
const CONCURRENCY: usize = 8;

/// What is known to break, by model and version.
type Known = BTreeMap<(ModelId, semver::Version), Breach>;

/// Looks at the versions whose turn it is, and forgets the breaches of those that are in use no more; answers what is
/// told, and the trouble with the others.
pub(crate) async fn look(
    app: &App,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(Vec<String>, Option<StoreError>), StoreError> {
    let known = app.store.breaches().await?.into_iter();
    let mut known: Known = known.map(|breach| ((breach.model.clone(), breach.version.clone()), breach)).collect();
    let mut watched = Vec::new();
    for view in snapshot.views() {
        let Some(version) = in_use(view) else { continue };
        let breach = known.remove(&(view.id.clone(), version.clone()));
        if turn(&view.id) == minute(now) {
            watched.push(Watched { view, version, breach });
        }
    }
    let days = snapshot.policy.retention.run_days;
    for breach in known.values() {
        app.store.end_breach(breach, None, days, now).await?;
    }
    let looks: Vec<_> = watched.into_iter().map(|watched| look_at(app, snapshot, watched, now)).collect();
    let looked: Vec<_> = stream::iter(looks).buffer_unordered(CONCURRENCY).collect().await;
    let (mut told, mut broken) = (Vec::new(), None);
    for outcome in looked {
        match outcome {
            Ok(message) => told.extend(message),
            // One model's trouble is not the others'.
            Err(error) => broken = Some(error),
        }
    }
    told.sort_unstable();
    Ok((told, broken))
}

/// A version in use, and what is known of it.
struct Watched<'s> {
    view: &'s View,
    version: &'s semver::Version,
    breach: Option<Breach>,
}

/// Looks at a version; answers what is told.
async fn look_at(
    app: &App,
    snapshot: &Snapshot,
    watched: Watched<'_>,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let Watched { view, version, .. } = watched;
    let told = tell(app, snapshot, watched, now).await;
    if let Err(error) = &told {
        tracing::error!(model = %view.id, %version, %error, "the version in use could not be evaluated");
    }
    told
}

/// Tells what has changed of a version, if anything has.
async fn tell(
    app: &App,
    snapshot: &Snapshot,
    Watched { view, version, breach }: Watched<'_>,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let policy = &snapshot.policy;
    let Some(spec) = snapshot.spec(view) else { return Ok(None) };
    let from = policy.evaluation.window_start(now);
    let measured = app.store.measured(&view.id, version, from, now).await?;
    let report = decision::report(&spec, version, &measured, policy);
    let told = |since| alert::of_breach(&view.id, version, since, &report, now);
    let days = policy.retention.run_days;
    let (alert, is_new) = match (report.verdict, breach) {
        (Verdict::Failed, None) => {
            let (alert, notice) = told(now);
            let breach = Breach { model: view.id.clone(), version: version.clone(), since: now };
            let is_new = app.store.begin_breach(&breach, (&alert, &notice), days, now).await?;
            (alert, is_new)
        }
        (Verdict::Passed, Some(breach)) => {
            let (alert, notice) = told(breach.since);
            let is_new = app.store.end_breach(&breach, Some((&alert, &notice)), days, now).await?;
            (alert, is_new)
        }
        // Too few results end no breach.
        _ => return Ok(None),
    };
    if !is_new {
        return Ok(None);
    }
    telemetry::count_alert(&alert);
    tracing::info!(model = %view.id, %version, message = alert.message, "a version in use was evaluated");
    Ok(Some(alert.message))
}

/// The version of a model that takes the traffic.
fn in_use(view: &View) -> Option<&semver::Version> {
    let active = view.versions.iter().find(|version| version.status == VersionStatus::Active)?;
    (view.stage != Stage::Archived).then_some(&active.version)
}

/// The minute of a turn in which a model is looked at: they are spread over it.
fn turn(id: &ModelId) -> u64 {
    id.as_str().bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % TURN_MINUTES
}

fn minute(now: Timestamp) -> u64 {
    now.as_second().div_euclid(60).unsigned_abs() % TURN_MINUTES
}
