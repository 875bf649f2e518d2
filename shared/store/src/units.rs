//! Capacity units: every call's consumption is summed, so that a sync can say what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;
use serde::{Deserialize, Serialize};

/// Capacity units consumed, as DynamoDB reports them: multiples of one half.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Units {
    /// Read units: 4 KB read strongly, or 8 KB eventually.
    pub read: f64,
    /// Write units: 1 KB written; a transaction counts twice.
    pub write: f64,
}

impl std::ops::Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { read: self.read + other.read, write: self.write + other.write }
    }
}

impl std::ops::Sub for Units {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { read: self.read - other.read, write: self.write - other.write }
    }
}

impl std::fmt::Display for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} read, {} write", self.read, self.write)
    }
}

/// Sums the units of every call made through it; clones share the sum.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    half_reads: AtomicU64,
    half_writes: AtomicU64,
}

impl Meter {
    /// What was consumed so far.
    #[must_use]
    pub fn total(&self) -> Units {
        let units = |halves: &AtomicU64| halves.load(Ordering::Relaxed) as f64 / 2.0;
        Units { read: units(&self.0.half_reads), write: units(&self.0.half_writes) }
    }

    pub(crate) fn read(&self, consumed: Option<&ConsumedCapacity>) {
        Self::add(&self.0.half_reads, consumed);
    }

    pub(crate) fn write(&self, consumed: Option<&ConsumedCapacity>) {
        Self::add(&self.0.half_writes, consumed);
    }

    /// A write of a small item whose condition did not hold: it costs a unit all the same, and its error does not say so
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html>).
    pub(crate) fn refused_write(&self) {
        self.0.half_writes.fetch_add(2, Ordering::Relaxed);
    }

    fn add(sum: &AtomicU64, consumed: Option<&ConsumedCapacity>) {
        let units = consumed.and_then(|consumed| consumed.capacity_units).unwrap_or_default();
        sum.fetch_add((units * 2.0).round() as u64, Ordering::Relaxed);
    }
}
