//! Sending what is in the outbox: at once, then after pauses that double, and after three days no more.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use roster_core::audit::{AuditEvent, EventKind};
use roster_notice::{Message, Undelivered};
use roster_store::{Pending, StoreError};

use crate::App;

/// The pause after the first try.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// How long a notice is tried.
const PATIENCE: SignedDuration = SignedDuration::from_hours(72);
/// Notices sent at the same time.
const TOGETHER: usize = 20;

/// Tries each notice that nobody else is trying; answers how many everybody has now.
pub(crate) async fn all(app: &App, pending: Vec<Pending>) -> usize {
    let tries = futures::stream::iter(pending).map(|pending| async move {
        one(app, &pending).await.unwrap_or_else(|error| {
            tracing::error!(%error, notice = pending.id, "a notice could not be tried");
            false
        })
    });
    tries.buffer_unordered(TOGETHER).filter(|is_done| std::future::ready(*is_done)).count().await
}

async fn one(app: &App, pending: &Pending) -> Result<bool, StoreError> {
    let now = (app.clock)();
    let next = now.saturating_add(pause(pending.attempts)).unwrap_or(Timestamp::MAX);
    if now < pending.due_at || !app.store.claim_notice(pending, next).await? {
        return Ok(false);
    }
    let message = Message { id: &pending.id, kind: &pending.kind, body: &pending.body };
    let open = app.targets.iter().filter(|target| !pending.settled.contains(target.name()));
    let tries = open.map(|target| async move { (target.name(), target.send(message, now).await) });
    let is_last = pending.posted_at.saturating_add(PATIENCE).is_ok_and(|end| end < next);
    let mut settled: BTreeSet<String> = pending.settled.clone();
    let mut is_open = false;
    for (target, outcome) in futures::future::join_all(tries).await {
        match outcome {
            Ok(()) => {}
            Err(Undelivered::Failed(error)) if !is_last => {
                let (notice, kind, attempt) = (&pending.id, &pending.kind, pending.attempts + 1);
                tracing::warn!(target_name = target, notice, kind, attempt, error, "a notice did not arrive");
                is_open = true;
                continue;
            }
            Err(error) => give_up(app, pending, target, &error, now).await?,
        }
        settled.insert(target.to_owned());
    }
    if !is_open {
        app.store.remove_notice(&pending.id).await?;
    } else if settled != pending.settled {
        app.store.settle_notice(&pending.id, &settled).await?;
    }
    Ok(!is_open)
}

/// Lays a notice aside: what is logged here raises the alarm.
async fn give_up(
    app: &App,
    pending: &Pending,
    target: &str,
    error: &Undelivered,
    now: Timestamp,
) -> Result<(), StoreError> {
    let attempts = pending.attempts + 1;
    tracing::error!(target_name = target, notice = pending.id, attempts, %error, "a notice was given up");
    let message = format!("{} did not reach {target} in {attempts} tries: {error}", pending.kind);
    let event = AuditEvent {
        correlation_id: pending.id.clone(),
        ..AuditEvent::new(EventKind::NoticeUndelivered, now, "notify", "clock", message)
    };
    app.store.give_up_notice(pending, target, &event, now).await
}

/// The pause after so many tries before this one.
fn pause(attempts: u64) -> SignedDuration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(16);
    FIRST_PAUSE.saturating_mul(2_i32.saturating_pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let minutes: Vec<i64> = (0..12).map(|attempts| pause(attempts).as_secs() / 30).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]);
        assert_eq!(pause(u64::MAX), LONGEST_PAUSE);
    }
}
