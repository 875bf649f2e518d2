//! Rate limits as arithmetic: a token bucket that is kept as one number.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, annex A, as virtual scheduling). Instead of a count and
//! the time it was counted at, a bucket is kept as its *theoretical arrival time*, TAT: the time at which it will be
//! full again. Taking tokens moves the TAT on, time passing does nothing, and a TAT in the past is a full bucket.

use jiff::Timestamp;

use crate::policy::RateLimit;

/// A limit's bucket. Times are whole microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    capacity: u64,
    window: u64,
}

impl Bucket {
    /// The bucket of a limit: it holds `requests` tokens, and as many come in evenly over a window.
    #[must_use]
    pub fn of(limit: &RateLimit) -> Self {
        // The schema lets no zero through; one that came all the same must not divide anything.
        Self { capacity: limit.requests.max(1), window: limit.window_seconds.max(1).saturating_mul(1_000_000) }
    }

    /// How many tokens it holds when it is full.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// In how many microseconds an empty bucket is full.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// By how many microseconds these tokens move the TAT on. Rounded up, so that no way of taking tokens yields
    /// more of them.
    #[must_use]
    pub fn cost(&self, tokens: u64) -> u64 {
        scaled(tokens, self.window, self.capacity, u128::div_ceil)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn available(&self, tat: u64, now: u64) -> u64 {
        let room = now.saturating_add(self.window).saturating_sub(tat.max(now));
        scaled(room, self.capacity, self.window, std::ops::Div::div)
    }

    /// The latest TAT at which these tokens can still be taken; `None` when the bucket never holds that many.
    #[must_use]
    pub fn latest(&self, tokens: u64, now: u64) -> Option<u64> {
        Some(now.saturating_add(self.window.checked_sub(self.cost(tokens))?))
    }

    /// The TAT once these tokens are taken; `None` when there are not as many.
    #[must_use]
    pub fn take(&self, tat: u64, tokens: u64, now: u64) -> Option<u64> {
        let from = tat.max(now);
        (from <= self.latest(tokens, now)?).then(|| from.saturating_add(self.cost(tokens)))
    }

    /// Microseconds until these tokens are there; all the bucket holds when they are more than that.
    #[must_use]
    pub fn wait(&self, tat: u64, tokens: u64, now: u64) -> u64 {
        let cost = self.cost(tokens).min(self.window);
        tat.max(now).saturating_add(cost).saturating_sub(now.saturating_add(self.window))
    }
}

/// A time as buckets have it; nothing here is older than 1970.
#[must_use]
pub fn micros(time: Timestamp) -> u64 {
    u64::try_from(time.as_microsecond()).unwrap_or(0)
}

fn scaled(value: u64, by: u64, over: u64, divide: fn(u128, u128) -> u128) -> u64 {
    u64::try_from(divide(u128::from(value) * u128::from(by), u128::from(over))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000_000;

    fn bucket(requests: u64, window_seconds: u64) -> Bucket {
        Bucket::of(&RateLimit { requests, window_seconds })
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let bucket = bucket(600, 60);
        assert_eq!((bucket.available(0, NOW), bucket.wait(0, 600, NOW)), (600, 0));
        let tat = bucket.take(0, 600, NOW).unwrap();
        assert_eq!((tat, bucket.available(tat, NOW), bucket.wait(tat, 1, NOW)), (NOW + 60_000_000, 0, 100_000));
        assert_eq!(bucket.take(tat, 1, NOW + 99_999), None);
        assert_eq!(bucket.take(tat, 1, NOW + 100_000), Some(tat + 100_000));
        assert_eq!(bucket.available(tat, NOW + 30_000_000), 300);
        assert_eq!(bucket.wait(tat, 1_000_000, NOW), 60_000_000, "more than it holds is waited for as all it holds");
        assert_eq!(bucket.available(tat, tat + 1), 600, "a full bucket does not grow");
        assert_eq!(bucket.take(0, 601, NOW), None);
    }

    #[test]
    fn nothing_overflows_or_divides_by_zero() {
        for (requests, window_seconds) in [(0, 0), (1, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
            let bucket = bucket(requests, window_seconds);
            for tat in [0, NOW, u64::MAX] {
                let available = bucket.available(tat, NOW);
                assert!(available == 0 || bucket.take(tat, available, NOW).is_some());
                assert_eq!(bucket.wait(tat, u64::MAX, NOW), bucket.wait(tat, bucket.capacity(), NOW));
            }
        }
    }

    proptest! {
        /// Beside a bucket that counts exactly, in parts of a token: never more than it holds, and what is refused
        /// is not there but for the microsecond that each taking may have rounded.
        #[test]
        fn it_is_a_token_bucket(
            requests in 1u64..5_000,
            window_seconds in 1u64..100_000,
            calls in prop::collection::vec((0u64..2_000, 1u64..100), 1..200),
        ) {
            let bucket = bucket(requests, window_seconds);
            let (token, full) = (u128::from(bucket.window()), u128::from(requests) * u128::from(bucket.window()));
            let (mut tat, mut now, mut level, mut taken) = (0, NOW, full, 0u128);
            for (thousandths, tokens) in calls {
                let passed = thousandths * bucket.window() / 1000 / 10;
                now += passed;
                level = full.min(level + u128::from(passed) * u128::from(requests));
                let wanted = token * u128::from(tokens);
                let available = bucket.available(tat, now);
                prop_assert_eq!(available >= tokens, bucket.take(tat, tokens, now).is_some());
                prop_assert_eq!(available >= tokens, bucket.wait(tat, tokens, now) == 0 && tokens <= requests);
                match bucket.take(tat, tokens, now) {
                    Some(next) => {
                        prop_assert!(wanted <= level, "{tokens} taken out of {level}");
                        (tat, level, taken) = (next, level - wanted, taken + 1);
                        prop_assert!(tat <= now + bucket.window());
                    }
                    None => prop_assert!(level < wanted + taken * u128::from(requests), "{tokens} refused of {level}"),
                }
            }
        }

        /// Whoever waits as long as told is served, and not a microsecond sooner.
        #[test]
        fn a_wait_is_exact(requests in 1u64..5_000, window_seconds in 1u64..100_000, ahead in 0u64..1_000, tokens in 1u64..5_000) {
            let bucket = bucket(requests, window_seconds);
            let tokens = tokens.min(requests);
            let tat = NOW + ahead * bucket.window() / 1_000;
            let wait = bucket.wait(tat, tokens, NOW);
            prop_assert!(bucket.take(tat, tokens, NOW + wait).is_some());
            prop_assert!(wait == 0 || bucket.take(tat, tokens, NOW + wait - 1).is_none());
        }
    }
}
