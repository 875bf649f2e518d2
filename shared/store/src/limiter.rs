//! How often a caller may call: one bucket a caller in the runtime table, out of which every instance takes tokens
//! in leases, so that most requests are answered from memory.
//!
//! Over any time, all instances together let through at most what the bucket held and what came in meanwhile: every
//! token was taken out of it. In a part of that time an instance may use what it leased before it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;
use roster_core::canonical::sha256_hex;
use roster_core::policy::RateLimit;
use roster_core::rate::{Bucket, micros};

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};

/// How long a request waits for its bucket before it is let through: a limit must not slow down whom it protects.
pub const PATIENCE_MS: u64 = 200;

/// Callers that are remembered in each of the two generations.
const GENERATION: usize = 5_000;
/// The largest lease is this part of the limit: what an instance can strand, and the price of a request in leases.
const LEASES_IN_A_LIMIT: u64 = 50;
/// Tries for one lease. Two do, unless other instances take tokens between them.
const ROUNDS: u32 = 4;
/// The most doublings of the pause between two refusals.
const MAX_DOUBLINGS: u32 = 3;
/// How long nobody asks after the table did not answer.
const REST: u64 = SECOND;
/// How often it is logged that the table does not answer.
const LOG_EVERY: u64 = 60 * SECOND;
/// A second, in microseconds.
const SECOND: u64 = 1_000_000;

/// What a caller may do now, and what it is told of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whether this request may go on.
    pub allowed: bool,
    /// The limit it was measured by.
    pub limit: RateLimit,
    /// Requests that may follow at once, as far as this instance knows; 0 once refused.
    pub remaining: u64,
    /// Seconds over which `remaining` should be spread. Whoever does so keeps the limit's pace for good; at least 1.
    pub window_seconds: u64,
    /// Seconds until it is worth a try again, at least 1; 0 when allowed.
    pub retry_after_seconds: u64,
}

/// Counts callers' requests; one a process.
#[derive(Debug)]
pub struct Limiter {
    store: Store,
    patience: Duration,
    callers: Mutex<Callers>,
    /// Until when nobody asks, for the table did not answer.
    resting_until: AtomicU64,
    log_again_at: AtomicU64,
}

impl Limiter {
    /// A limiter that keeps its buckets in the runtime table.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            patience: Duration::from_millis(PATIENCE_MS),
            callers: Mutex::default(),
            resting_until: AtomicU64::default(),
            log_again_at: AtomicU64::default(),
        }
    }

    /// The same limiter, waiting this long for the table instead of [`PATIENCE_MS`].
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Takes one request of a caller's limit. Any text names a caller; the table learns only its hash.
    ///
    /// Never fails: while the table does not answer, requests are let through.
    pub async fn take(&self, caller: &str, limit: &RateLimit, now: Timestamp) -> Quota {
        let now = micros(now);
        let share = self.share_of(caller, limit);
        // Whoever asks the table asks alone; the caller's other requests wait for what it brings.
        let mut share = share.lock().await;
        share.begin(limit, now);
        if share.leased == 0 && now >= share.ask_at {
            if now < self.resting_until.load(Ordering::Relaxed) {
                return share.allowed(now);
            }
            let lease = match tokio::time::timeout(self.patience, self.store.lease_tokens(caller, &share, now)).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(error)) => return self.let_through(&share, &error, now),
                Err(error) => return self.let_through(&share, &error, now),
            };
            share.receive(lease, now);
        }
        share.spend(now)
    }

    fn share_of(&self, caller: &str, limit: &RateLimit) -> Shared {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).share(caller, limit)
    }

    fn let_through(&self, share: &Share, error: &dyn std::error::Error, now: u64) -> Quota {
        self.resting_until.store(now.saturating_add(REST), Ordering::Relaxed);
        if now >= self.log_again_at.load(Ordering::Relaxed) {
            self.log_again_at.store(now.saturating_add(LOG_EVERY), Ordering::Relaxed);
            tracing::warn!(%error, "rate limits are not held: their table does not answer");
        }
        share.allowed(now)
    }
}

/// What an instance remembers of its callers: once the newer generation is full, the older one is forgotten.
#[derive(Debug, Default)]
struct Callers {
    newer: HashMap<String, Shared>,
    older: HashMap<String, Shared>,
}

type Shared = Arc<tokio::sync::Mutex<Share>>;

impl Callers {
    fn share(&mut self, caller: &str, limit: &RateLimit) -> Shared {
        if let Some(share) = self.newer.get(caller) {
            return share.clone();
        }
        let share = self.older.remove(caller).unwrap_or_else(|| Arc::new(Share::new(limit).into()));
        if self.newer.len() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(caller.to_owned(), share.clone());
        share
    }
}

/// An instance's share of a caller's bucket. Times are microseconds.
#[derive(Debug)]
struct Share {
    /// The limit that all of this is about.
    limit: RateLimit,
    /// Tokens out of the bucket that no request has used yet.
    leased: u64,
    leased_at: u64,
    /// Requests let through since a lease was given up: an instance leases more as it uses more.
    used: u64,
    /// The bucket's TAT when it was last heard of; others may have moved it on since.
    tat: Option<u64>,
    /// Nothing is asked of the table before.
    ask_at: u64,
    /// Refusals, less the leases that came after them.
    refusals: u32,
}

/// What came of asking for a lease.
#[derive(Debug)]
struct Answer {
    /// The tokens; 0 when the bucket has too few to be worth a lease.
    tokens: u64,
    tat: u64,
}

impl Share {
    fn new(limit: &RateLimit) -> Self {
        Self { limit: *limit, leased: 0, leased_at: 0, used: 0, tat: None, ask_at: 0, refusals: 0 }
    }

    /// Forgets what does not hold for this limit, or no longer at this time.
    fn begin(&mut self, limit: &RateLimit, now: u64) {
        if self.limit != *limit {
            *self = Self::new(limit);
        }
        // The bucket has filled up since: these tokens would come on top of a full one.
        if self.leased > 0 && now > self.leased_at.saturating_add(self.bucket().window()) {
            (self.leased, self.used) = (0, 0);
        }
    }

    fn bucket(&self) -> Bucket {
        Bucket::of(&self.limit)
    }

    /// How many tokens to lease. A caller whose requests spread over many instances would be refused for what these
    /// hold and never use: each leases half of what it has used, and the first time a single token.
    fn wanted(&self) -> u64 {
        let largest = self.bucket().capacity() / LEASES_IN_A_LIMIT;
        (self.used / 2).clamp(1, largest.max(1))
    }

    /// The smallest lease that is worth its write: what comes in within a second, which is the least that a refused
    /// caller is told to wait.
    fn least(&self) -> u64 {
        (self.limit.requests / self.limit.window_seconds.max(1)).clamp(1, self.wanted())
    }

    fn receive(&mut self, Answer { tokens, tat }: Answer, now: u64) {
        let wait = self.bucket().wait(tat, self.least(), now);
        self.tat = Some(tat);
        if tokens > 0 {
            (self.leased, self.leased_at) = (tokens, now);
            self.refusals = self.refusals.saturating_sub(1);
            // Where there is more, a request that came in before this one and waited for it may ask at once, too.
            self.ask_at = if wait == 0 { 0 } else { now.saturating_add(wait) };
        } else {
            // Others were faster. With many instances at one empty bucket, most would ask in vain every time.
            let longest = (self.bucket().window() / 8).max(SECOND);
            let pause = (SECOND << self.refusals.min(MAX_DOUBLINGS)).min(longest);
            self.refusals = self.refusals.saturating_add(1);
            self.ask_at = now.saturating_add(wait.max(pause));
        }
    }

    fn spend(&mut self, now: u64) -> Quota {
        if self.leased > 0 {
            self.leased -= 1;
            self.used = self.used.saturating_add(1);
            return self.allowed(now);
        }
        let seconds = self.ask_at.saturating_sub(now).div_ceil(SECOND).max(1);
        Quota { allowed: false, limit: self.limit, remaining: 0, window_seconds: seconds, retry_after_seconds: seconds }
    }

    fn allowed(&self, now: u64) -> Quota {
        let bucket = self.bucket();
        let remaining = self.leased.saturating_add(bucket.available(self.tat.unwrap_or(0), now)).min(bucket.capacity());
        let window_seconds = bucket.cost(remaining).div_ceil(SECOND).max(1);
        Quota { allowed: true, limit: self.limit, remaining, window_seconds, retry_after_seconds: 0 }
    }
}

impl Store {
    /// Takes as many tokens out of a caller's bucket as its share wants, or as there are.
    async fn lease_tokens(&self, caller: &str, share: &Share, now: u64) -> Result<Answer, StoreError> {
        let bucket = share.bucket();
        // A TAT is about one window: a limit with another has a bucket of its own.
        let id = sha256_hex(format!("{} {caller}", bucket.window()).as_bytes());
        let mut tat = share.tat;
        for _ in 0..ROUNDS {
            let tokens = share.wanted().min(bucket.available(tat.unwrap_or(0), now));
            if tokens < share.least() {
                break;
            }
            match self.take_tokens(&id, &bucket, tokens, tat, now).await? {
                Ok(tat) => return Ok(Answer { tokens, tat }),
                Err(seen) => tat = Some(seen),
            }
        }
        Ok(Answer { tokens: 0, tat: tat.unwrap_or(now) })
    }

    /// Moves a bucket's TAT on, and answers the new one; or the one that was in the way.
    async fn take_tokens(
        &self,
        id: &str,
        bucket: &Bucket,
        tokens: u64,
        known: Option<u64>,
        now: u64,
    ) -> Result<Result<u64, u64>, StoreError> {
        let cost = bucket.cost(tokens);
        // An expression has no maximum of two numbers, so a full bucket is begun anew and any other is moved on.
        // The wrong guess is told the TAT, and its next try is right.
        let is_full = known.is_some_and(|tat| tat < now);
        let (update, condition) = match is_full {
            true => ("SET tat = :next, expiresAt = :expires", "attribute_not_exists(tat) OR tat < :now"),
            false => (
                "SET tat = if_not_exists(tat, :now) + :cost, expiresAt = :expires",
                "attribute_not_exists(tat) OR tat BETWEEN :now AND :latest",
            ),
        };
        let values = Builder::default().number(":now", now).number(":expires", expiry(bucket, now));
        let values = match is_full {
            true => values.number(":next", now.saturating_add(cost)),
            false => values.number(":cost", cost).number(":latest", bucket.latest(tokens, now).unwrap_or(now)),
        };
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(key(format!("bucket#{id}"), Some("bucket"))))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values.build()))
            .return_values(ReturnValue::UpdatedNew);
        match self.update_item_if(update).await? {
            Ok(moved) => tat_of(moved.as_ref()).map(Ok),
            Err(seen) => tat_of(seen.as_ref()).map(Err),
        }
    }
}

/// When DynamoDB may forget a bucket, in seconds since 1970: a minute after it is full, for clocks differ.
fn expiry(bucket: &Bucket, now: u64) -> u64 {
    (now.saturating_add(bucket.window()) / SECOND).saturating_add(60)
}

fn tat_of(item: Option<&Item>) -> Result<u64, StoreError> {
    ItemReader::new(item.unwrap_or(&Item::new())).number("tat")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(requests: u64, window_seconds: u64, used: u64) -> Share {
        Share { used, ..Share::new(&RateLimit { requests, window_seconds }) }
    }

    #[test]
    fn a_request_that_waited_for_a_later_ones_lease_may_ask_too() {
        let mut share = share(600, 60, 0);
        let (earlier, later) = (1_000 * SECOND, 1_000 * SECOND + 1);
        share.begin(&share.limit.clone(), later);
        let tat = later + share.bucket().cost(1);
        share.receive(Answer { tokens: 1, tat }, later);
        assert!(share.spend(later).allowed);
        assert!(share.leased == 0 && earlier >= share.ask_at, "{share:?}");
        // An empty bucket is left alone for as long as it takes.
        share.receive(Answer { tokens: 1, tat: later + share.bucket().window() }, later);
        assert!(share.ask_at > later, "{share:?}");
    }

    #[test]
    fn leases_grow_with_use_and_stay_small() {
        let sizes = |requests, window_seconds, used| {
            let share = share(requests, window_seconds, used);
            (share.wanted(), share.least())
        };
        assert_eq!(sizes(600, 60, 0), (1, 1), "the first time");
        assert_eq!(sizes(600, 60, 8), (4, 4));
        assert_eq!(sizes(600, 60, 1_000), (12, 10));
        assert_eq!(sizes(10, 60, 1_000), (1, 1), "a small limit");
        assert_eq!(sizes(1_000, 86_400, 1_000), (20, 1), "a slow one");
        assert_eq!(sizes(0, 0, 1_000), (1, 1), "one that no policy can have");
    }

    #[test]
    fn what_a_window_left_over_is_given_up() {
        let mut share = share(600, 60, 100);
        let limit = share.limit;
        (share.leased, share.leased_at) = (7, 1_000);
        share.begin(&limit, 1_000 + 60 * SECOND);
        assert_eq!((share.leased, share.used), (7, 100));
        share.begin(&limit, 1_001 + 60 * SECOND);
        assert_eq!((share.leased, share.used), (0, 0));
    }

    #[test]
    fn another_limit_begins_anew() {
        let mut share = share(600, 60, 100);
        (share.leased, share.ask_at) = (7, u64::MAX);
        share.begin(&RateLimit { requests: 601, window_seconds: 60 }, 0);
        assert_eq!((share.leased, share.ask_at, share.used), (0, 0, 0));
    }

    #[test]
    fn refusals_in_a_row_are_further_and_further_apart() {
        let now = 1_000 * SECOND;
        let pauses = |requests, window_seconds| {
            let mut share = share(requests, window_seconds, 1_000);
            [0; 5].map(|_| {
                share.receive(Answer { tokens: 0, tat: now + share.bucket().window() }, now);
                share.spend(now).retry_after_seconds
            })
        };
        assert_eq!(pauses(600, 60), [1, 2, 4, 8, 8]);
        assert_eq!(pauses(10, 1), [1, 1, 1, 1, 1], "not longer than the bucket takes to fill");
        assert_eq!(pauses(1_000, 86_400), [87, 87, 87, 87, 87], "not shorter than a token takes to come");
    }

    #[test]
    fn a_bucket_may_be_forgotten_once_it_is_full() {
        let bucket = Bucket::of(&RateLimit { requests: 600, window_seconds: 60 });
        let now = 1_000 * SECOND;
        let tat = bucket.take(0, 600, now).unwrap();
        assert!(expiry(&bucket, now) > tat / SECOND);
        assert_eq!(expiry(&bucket, now), 1_120);
    }

    #[test]
    fn the_callers_in_memory_are_bounded() {
        let (mut callers, limit) = (Callers::default(), RateLimit { requests: 1, window_seconds: 1 });
        let first = callers.share("first", &limit);
        for n in 0..GENERATION {
            callers.share(&n.to_string(), &limit);
        }
        assert!(Arc::ptr_eq(&first, &callers.share("first", &limit)), "in the older generation");
        for n in 0..3 * GENERATION {
            callers.share(&n.to_string(), &limit);
            assert!(callers.newer.len() + callers.older.len() <= 2 * GENERATION);
        }
        assert!(!Arc::ptr_eq(&first, &callers.share("first", &limit)));
    }
}
