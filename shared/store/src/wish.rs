//! Wishes: what asks for a look at the branch, and which of them were granted.
//!
//! A delivery carries nothing but "look". One item counts: `wished` is the newest wish, `started` the wish that the
//! newest run took with it *before* it resolved the branch, `done` the newest wish whose run succeeded. So a wish
//! that nobody took yet covers whatever is delivered now, because the branch will be resolved later than now; and
//! a wish up to `done` is granted, because the branch was resolved after it was made. All three only ever grow, so
//! whoever reads an old one does too much, never too little.
//!
//! `look` says whether the newest wish waits to be taken ("wanted") or was ("taken"). It is in the item because the
//! stream's filter cannot compare two attributes: that a wish was taken or granted calls nobody.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};

/// A key of its own, so that what takes deliveries may write wishes and not the lease.
const PK: &str = "wish";
const WANTED: &str = "wanted";
const TAKEN: &str = "taken";
/// For how long a delivery is remembered, in seconds.
const DELIVERY_SECONDS: i64 = 7 * 24 * 60 * 60;
/// The most doublings of the pause between two runs.
const MAX_DOUBLINGS: u32 = 2;
/// How many runs may start early after a quiet time: merges rarely come alone, and none of a few shall wait.
const EARLY: u32 = 2;

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wished {
    /// The branch was looked at since the delivery came for the first time: nothing is left to do.
    Known,
    /// This wish will be taken, or is.
    Pending(u64),
}

/// The wishes so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The newest wish.
    pub wished: u64,
    /// The wish that the newest run took before it resolved the branch.
    pub started: u64,
    /// The newest wish whose run succeeded.
    pub done: u64,
    /// Whether the newest wish waits to be taken.
    pub is_wanted: bool,
    /// When the newest run is reckoned to have taken its wish, in milliseconds since 1970; 0 before the first. After a
    /// quiet time that is before it did, so that others may follow at once.
    pub started_at: u64,
    /// Where the branch was at the last success.
    pub tip: String,
    /// Successes since the branch was found to have moved.
    pub vain: u32,
}

impl Wishes {
    /// Whether a wish is not granted yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.wished > self.done
    }

    /// How long the next run has to wait so that runs start `pace` apart, but for a few after a quiet time. Looks in
    /// vain make it longer, up to four times as long: what keeps asking although nothing moves is not worth a run a
    /// second.
    #[must_use]
    pub fn pause(&self, pace: Duration, now: Timestamp) -> Duration {
        let pause = self.apart(pace);
        let since = i128::from(now.as_millisecond()) - i128::from(self.started_at);
        match u64::try_from(since) {
            Ok(since) => pause.saturating_sub(Duration::from_millis(since)),
            // A start in the future is another machine's clock: near by, it was just now; far off, it says nothing.
            Err(_) if since.unsigned_abs() < pause.as_millis() => pause,
            Err(_) => Duration::ZERO,
        }
    }

    /// When a run that starts now is reckoned to have started: on time after the one before it, if that is not too
    /// long ago.
    fn reckoned_start(&self, pace: Duration, now: Timestamp) -> u64 {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let on_time = self.started_at.saturating_add(millis(self.apart(pace)));
        on_time.clamp(now.saturating_sub(millis(pace.saturating_mul(EARLY))), now)
    }

    fn apart(&self, pace: Duration) -> Duration {
        pace.saturating_mul(1 << self.vain.min(MAX_DOUBLINGS))
    }
}

/// A wish that a run took with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenWish {
    /// Which.
    pub wish: u64,
    tip: String,
    vain: u32,
}

impl Store {
    /// Wishes for a look at the branch: the wish that waits to be taken, or a new one.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer; the wish may be made all the same.
    pub async fn wish(&self) -> Result<u64, StoreError> {
        let update = "SET wished = if_not_exists(wished, :zero) + :one, look = :wanted, \
                      started = if_not_exists(started, :zero), done = if_not_exists(done, :zero), \
                      startedAt = if_not_exists(startedAt, :zero), vain = if_not_exists(vain, :zero), \
                      tip = if_not_exists(tip, :nowhere)";
        let values =
            Builder::default().number(":zero", 0).number(":one", 1).text(":wanted", WANTED).text(":nowhere", "");
        // One condition decides between "covered" and "new", so of any number of deliveries at once one makes a wish.
        let outcome = self.update_wish(update, "attribute_not_exists(look) OR look <> :wanted", values).await?;
        match outcome {
            Ok(item) | Err(Some(item)) => Ok(read(&item)?.wished),
            Err(None) => Err(StoreError::Conflict("wish".to_owned())),
        }
    }

    /// Wishes for a look at the branch because of a delivery, which its digest names.
    ///
    /// A delivery that comes again is not looked for again once its wish is granted. A digest may be of another push
    /// with the very same body (a branch that was moved there and back, at a forge whose bodies carry no time); that
    /// one is found by the next poll.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer; the wish may be made all the same.
    pub async fn deliver(&self, digest: &str, now: Timestamp) -> Result<Wished, StoreError> {
        let (mut wishes, mut covered) = (Wishes::default(), None);
        for item in self.get_items(&self.tables.runtime, vec![wish_key(), delivery_key(digest)], true).await? {
            let reader = ItemReader::new(&item);
            if reader.text("pk")? == PK {
                wishes = read(&item)?;
            } else if i64::try_from(reader.number("expiresAt")?).is_ok_and(|end| end > now.as_second()) {
                covered = Some(reader.number("wish")?);
            }
        }
        if covered.is_some_and(|wish| wish <= wishes.done) {
            return Ok(Wished::Known);
        }
        // If somebody takes it between the read and the answer, then the branch is resolved after the read, which is
        // after the delivery: it is covered all the same, and nothing has to be written for that.
        let wish = if wishes.is_wanted { wishes.wished } else { self.wish().await? };
        // A later wish grants the earlier ones too, so a delivery keeps the first one it was covered by. Two copies
        // that come at once may both get here: whichever is written last, its wish was made after the push.
        if covered.is_none() {
            self.put_delivery(digest, wish, now).await?;
        }
        Ok(Wished::Pending(wish))
    }

    /// The wishes so far, as they are now.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the item cannot be read.
    pub async fn wishes(&self) -> Result<Wishes, StoreError> {
        let items = self.get_items(&self.tables.runtime, vec![wish_key()], true).await?;
        items.first().map_or_else(|| Ok(Wishes::default()), read)
    }

    /// Takes the newest wish, whatever number it has by now, unless another run started since `seen` was read or all
    /// are granted: then `None`. The caller resolves the branch after this.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn take_wish(
        &self,
        seen: &Wishes,
        pace: Duration,
        now: Timestamp,
    ) -> Result<Option<TakenWish>, StoreError> {
        let values = Builder::default()
            .number(":seen", seen.started_at)
            .number(":start", seen.reckoned_start(pace, now))
            .text(":taken", TAKEN);
        let update = "SET started = wished, startedAt = :start, look = :taken";
        // Where nobody ever wished there is no item, and a comparison with what is not there is false.
        let output = self.update_wish(update, "startedAt = :seen AND wished > done", values).await?;
        output
            .ok()
            .map(|item| read(&item))
            .transpose()
            .map(|taken| taken.map(|wishes| TakenWish { wish: wishes.started, tip: wishes.tip, vain: wishes.vain }))
    }

    /// Remembers that the run which took a wish succeeded, with the branch at `tip`. One that was overtaken by a run
    /// with a newer wish changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn grant_wish(&self, taken: &TakenWish, tip: &str) -> Result<(), StoreError> {
        let vain = if taken.tip == tip { taken.vain.saturating_add(1) } else { 0 };
        let values = Builder::default().number(":wish", taken.wish).text(":tip", tip).number(":vain", vain);
        let _ = self.update_wish("SET done = :wish, tip = :tip, vain = :vain", "done < :wish", values).await?;
        Ok(())
    }

    /// The item after an update, or what was in its way.
    async fn update_wish(
        &self,
        update: &str,
        condition: &str,
        values: Builder,
    ) -> Result<Result<Item, Option<Item>>, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(wish_key()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values.build()))
            .return_values(ReturnValue::AllNew);
        Ok(self.update_item_if(update).await?.map(Option::unwrap_or_default))
    }

    async fn put_delivery(&self, digest: &str, wish: u64, now: Timestamp) -> Result<(), StoreError> {
        let item = Builder::keyed(delivery_pk(digest))
            .text("sk", "delivery")
            .number("wish", wish)
            .number("expiresAt", now.as_second().saturating_add(DELIVERY_SECONDS))
            .build();
        self.put_item(&self.tables.runtime, item).await
    }
}

fn wish_key() -> Item {
    key(PK, Some("wish"))
}

fn delivery_pk(digest: &str) -> String {
    format!("delivery#{digest}")
}

fn delivery_key(digest: &str) -> Item {
    key(delivery_pk(digest), Some("delivery"))
}

fn read(item: &Item) -> Result<Wishes, StoreError> {
    let reader = ItemReader::new(item);
    Ok(Wishes {
        wished: reader.number("wished")?,
        started: reader.number("started")?,
        done: reader.number("done")?,
        is_wanted: reader.text("look")? == WANTED,
        started_at: reader.number("startedAt")?,
        tip: reader.text("tip")?.to_owned(),
        vain: u32::try_from(reader.number("vain")?).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_secs(1);

    fn pause(started_at: u64, vain: u32, now: i64) -> u64 {
        let wishes = Wishes { started_at, vain, ..Wishes::default() };
        let pause = wishes.pause(PACE, Timestamp::from_millisecond(now).unwrap());
        u64::try_from(pause.as_millis()).unwrap()
    }

    #[test]
    fn runs_start_a_pace_apart() {
        assert_eq!(pause(0, 0, 1_000_000), 0, "the first");
        assert_eq!(pause(1_000_000, 0, 1_000_000), 1_000);
        assert_eq!(pause(1_000_000, 0, 1_000_400), 600);
        assert_eq!(pause(1_000_000, 0, 1_001_000), 0);
    }

    /// When runs start that are wished for all the time, after a quiet time.
    fn starts(vain: u32, runs: usize) -> Vec<i64> {
        let (begin, mut now, mut wishes) = (1_000_000, 1_000_000, Wishes { vain, ..Wishes::default() });
        let mut starts = Vec::new();
        while starts.len() < runs {
            let at = Timestamp::from_millisecond(now).unwrap();
            let pause = wishes.pause(PACE, at);
            if pause.is_zero() {
                starts.push(now - begin);
                wishes.started_at = wishes.reckoned_start(PACE, at);
            }
            now += i64::try_from(pause.as_millis()).unwrap();
        }
        starts
    }

    #[test]
    fn a_few_runs_may_follow_a_quiet_time_at_once() {
        assert_eq!(starts(0, 6), [0, 0, 0, 1_000, 2_000, 3_000]);
        assert_eq!(starts(2, 4), [0, 2_000, 6_000, 10_000], "looks in vain");
        assert_eq!(Wishes::default().reckoned_start(Duration::ZERO, Timestamp::from_millisecond(7).unwrap()), 7);
        let ahead = Wishes { started_at: u64::MAX, ..Wishes::default() };
        assert_eq!(ahead.reckoned_start(PACE, Timestamp::from_millisecond(7).unwrap()), 7, "another clock");
    }

    #[test]
    fn looks_in_vain_are_further_apart() {
        assert_eq!(
            [0, 1, 2, 3, 1_000].map(|vain| pause(1_000_000, vain, 1_000_000)),
            [1_000, 2_000, 4_000, 4_000, 4_000]
        );
    }

    #[test]
    fn another_clock_holds_nobody_up() {
        assert_eq!(pause(1_000_500, 0, 1_000_000), 1_000, "a little ahead");
        assert_eq!(pause(2_000_000, 0, 1_000_000), 0, "far ahead");
        assert_eq!(pause(u64::MAX, 0, 1_000_000), 0);
    }
}
