//! `sync`: brings the tables to the tip of the branch. What calls it only says "look".

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, histogram};
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::notice::{Kind, Notice};
use roster_http::function::EventError;
use roster_store::TakenWish;
use roster_sync::{Options, RunReport, State, SyncError};
use serde_json::{Value, json};

use crate::App;
use crate::statuses::Outcomes;

/// How far apart the runs start that wishes cause, but for a few after a quiet time, in milliseconds: what comes in
/// between shares the next one.
pub(crate) const PACE_MS: u64 = 1_000;
/// The most runs of one call, so that it ends within the function's time limit. A wish that is left over has its own
/// record in the stream, and the poll.
const ROUNDS: usize = 3;
/// How often the wishes are read again after a pause, or after another run was faster.
const TRIES: usize = 5;
/// The state of a run that came to no end.
const FAILED: &str = "failed";

/// Looks at the branch, and again while wishes come in.
///
/// The runtime table's stream calls it for a wish, and then a look is due only while one is open. Whatever else calls
/// it, a schedule or a person, has the branch looked at in any case, for a delivery may never have come. A run that
/// finds another one at work leaves it the work: that one looks for wishes after it has given the lease back, and so
/// sees every wish of whoever was turned away before.
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let done = looks(app, &event).await;
    // At last, for neither the lease nor a wish waits for GitHub.
    if let Some(statuses) = &app.statuses {
        statuses.set().await;
    }
    done
}

async fn looks(app: &App, event: &Value) -> Result<Value, EventError> {
    let is_wish = event["Records"].is_array();
    let mut answer = json!({"state": "idle"});
    for round in 0..ROUNDS {
        let is_asked = round == 0 && !is_wish;
        // The wish is taken before the repository is opened: a run that fails has taken it, so the next delivery,
        // also a repeated one, makes a new wish, and that calls this again.
        let taken = take(app, if is_asked { Duration::ZERO } else { app.pace }).await?;
        if taken.is_none() && !is_asked {
            break;
        }
        let Some(report) = look(app).await? else {
            if round == 0 {
                answer = json!({"state": "busy"});
            }
            break;
        };
        // Held and rejected are answers too: the look was done, and would find the same again.
        if let Some(taken) = taken {
            app.store.grant_wish(&taken, &report.commit).await.map_err(EventError::of)?;
        }
        if round == 0 || report.commits > 0 {
            answer = serde_json::to_value(report).map_err(EventError::of)?;
        }
    }
    Ok(answer)
}

/// Takes the newest wish with it, once the pace allows; `None` when all are granted, or others are at it.
async fn take(app: &App, pace: Duration) -> Result<Option<TakenWish>, EventError> {
    for _ in 0..TRIES {
        let wishes = app.store.wishes().await.map_err(EventError::of)?;
        if !wishes.is_open() {
            return Ok(None);
        }
        let pause = wishes.pause(pace, Timestamp::now());
        if !pause.is_zero() {
            // While this one waits another may start, so it reads again what there is to take.
            tokio::time::sleep(pause).await;
        } else if let Some(taken) =
            app.store.take_wish(&wishes, app.pace, Timestamp::now()).await.map_err(EventError::of)?
        {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// One run; `None` when another one is at work.
async fn look(app: &App) -> Result<Option<RunReport>, EventError> {
    let reconciler = match app.reconciler().await {
        Ok(reconciler) => reconciler,
        Err(error) => {
            count(FAILED);
            tell(app, None, &error.to_string()).await;
            return Err(EventError::of(error));
        }
    };
    let options = Options::follow(&app.branch);
    let mut outcomes = Outcomes::default();
    let run = reconciler.run(&options, |at, of, report| {
        outcomes.note(report);
        let (state, commit, revision) = (report.state.name(), report.commit.as_str(), report.revision);
        tracing::info!(state, commit, revision, at, of, "commit reconciled");
        if report.state == State::Applied {
            let lag = Timestamp::now().duration_since(report.committed_at);
            histogram!("SyncLag").record(lag.as_secs_f64().max(0.0));
        }
    });
    let done = match run.await {
        Ok(report) => {
            count(report.state.name());
            Ok(Some(report))
        }
        Err(SyncError::Busy) => Ok(None),
        Err(error) => {
            count(FAILED);
            let (commit, why) = (error.failed_commit().map(|commit| commit.to_string()), error.told());
            tell(app, commit.as_deref(), &why).await;
            if let Some(commit) = commit {
                outcomes.failed(commit, &why);
            }
            Err(EventError::of(error))
        }
    };
    if let Some(statuses) = &app.statuses {
        statuses.add(outcomes);
    }
    done
}

/// Counts a run by what it ended in.
fn count(state: &'static str) {
    counter!("SyncRuns", "State" => state).increment(1);
}

/// Keeps a failure for the audit and among the runs, and tells the world outside; the same one again within the hour is
/// no news.
async fn tell(app: &App, commit: Option<&str>, why: &str) {
    let now = Timestamp::now();
    let hour = now.as_second() - now.as_second().rem_euclid(3600);
    let at = Timestamp::from_second(hour).unwrap_or(now);
    app.store.tell(&AuditEvent::new(EventKind::SyncFailed, at, "sync", "git", why.to_owned())).await;
    let notice = Notice::new(Kind::SyncFailed, &[&at.to_string(), why], at, json!({"error": why, "commit": commit}));
    app.store.notify(&notice, now).await;
    let is_news = {
        let mut failures = app.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|(hour, _)| *hour == at);
        failures.insert((at, why.to_owned()))
    };
    if is_news {
        let run = json!({"state": FAILED, "commit": commit, "message": why});
        // The tables may be what fails, and then neither the policy can be read nor anything be kept.
        let kept = async {
            let days = app.policies.current(&app.store).await?.retention.run_days;
            let seconds = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400);
            app.store.put_run(now, commit.unwrap_or("failed"), &run, seconds).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "the record of a failed run could not be kept");
        }
    }
}
