//! What inference results amount to: counts, sums and a sketch of the latency. All of it adds up, so any number of
//! writers can share a window and windows can be merged in any order.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;
use serde::Serialize;

use crate::decimal::Exact;
use crate::inference::Inference;
use crate::quote::Dollars;

/// The relative error of a quantile.
pub const RELATIVE_ERROR: f64 = 0.01;
/// Latencies below this many milliseconds count as this many.
const MIN_MS: f64 = 0.001;
/// Places that shares and milliseconds are told with.
pub(crate) const PLACES: u32 = 6;
/// Places that the mean cost of a request is told with.
const USD_PLACES: u32 = 12;
/// The parts of a confidence of 1 that are added up.
pub const CONFIDENCE_PARTS: u64 = 1_000_000;

/// A histogram of latencies whose buckets grow by a constant factor, so every quantile is within
/// [`RELATIVE_ERROR`] of the exact one (DDSketch: Masson, Rim, Lee, VLDB 2019,
/// <https://www.vldb.org/pvldb/vol12/p2195-masson.pdf>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch(BTreeMap<i32, u64>);

impl Sketch {
    /// The bucket of a latency in milliseconds: `i` covers `(gamma^(i-1), gamma^i]`.
    #[must_use]
    pub fn bucket(ms: f64) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a double is small, and no number is 0")]
        let bucket = (ms.max(MIN_MS).ln() / gamma().ln()).ceil() as i32;
        bucket
    }

    /// Counts latencies in a bucket.
    pub fn add(&mut self, bucket: i32, count: u64) {
        *self.0.entry(bucket).or_default() += count;
    }

    /// The buckets that are not empty, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        self.0.iter().map(|(&bucket, &count)| (bucket, count))
    }

    /// The latency in milliseconds that `percent` of the results do not exceed (nearest rank); none without results.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let count: u64 = self.0.values().sum();
        let rank = u128::from(count) * u128::from(percent.min(100));
        let mut seen = 0;
        let bucket = self.0.iter().find(|(_, count)| {
            seen += u128::from(**count) * 100;
            seen >= rank
        });
        // The value whose relative distance to both ends of the bucket is the same.
        bucket.map(|(&bucket, _)| 2.0 * gamma().powi(bucket) / (gamma() + 1.0))
    }
}

fn gamma() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

/// What a number of results amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many results.
    pub samples: u64,
    /// How many of them were successes.
    pub successes: u64,
    /// Their latencies.
    pub latency: Sketch,
    /// The sum of their latencies, in microseconds.
    pub latency_us: u64,
    /// How many came with a confidence.
    pub confidences: u64,
    /// The sum of the confidences, in [`CONFIDENCE_PARTS`].
    pub confidence_parts: u64,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// What those cost whose price was known.
    pub cost_usd: Dollars,
    /// How many had no known price.
    pub unpriced: u64,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
}

impl Measured {
    /// Counts a result, at a cost where that is known.
    pub fn count(&mut self, result: &Inference, cost: Option<Dollars>) {
        self.samples += 1;
        match result.outcome {
            Ok(()) => self.successes += 1,
            Err(kind) => *self.errors.entry(kind.name().to_owned()).or_default() += 1,
        }
        self.latency.add(Sketch::bucket(result.latency_ms), 1);
        self.latency_us += parts(result.latency_ms, 1_000);
        if let Some(confidence) = result.confidence {
            self.confidences += 1;
            self.confidence_parts += parts(confidence, CONFIDENCE_PARTS);
        }
        self.input_tokens += result.input_tokens.unwrap_or_default();
        self.output_tokens += result.output_tokens.unwrap_or_default();
        match cost {
            Some(cost) => self.cost_usd = self.cost_usd.saturating_add(cost),
            None => self.unpriced += 1,
        }
    }

    /// Adds what others amount to.
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.successes += other.successes;
        other.latency.buckets().for_each(|(bucket, count)| self.latency.add(bucket, count));
        self.latency_us += other.latency_us;
        self.confidences += other.confidences;
        self.confidence_parts += other.confidence_parts;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd = self.cost_usd.saturating_add(other.cost_usd);
        self.unpriced += other.unpriced;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    /// How many were no success.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.samples.saturating_sub(self.successes)
    }

    /// The mean latency in milliseconds; none without results.
    #[must_use]
    pub fn mean_latency_ms(&self) -> Option<Decimal> {
        ratio(self.latency_us, self.samples).map(|us| us / Decimal::ONE_THOUSAND)
    }

    /// The mean cost in US dollars of the results whose price was known; none without such.
    #[must_use]
    pub fn mean_cost_usd(&self) -> Option<Decimal> {
        let priced = Decimal::from(self.samples.saturating_sub(self.unpriced));
        self.cost_usd.rounded(USD_PLACES).decimal()?.checked_div(priced)
    }

    /// The numbers that people ask for.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let told = |value: Option<Decimal>| value.map(|value| Exact::rounded(value, PLACES));
        let percentile = |percent| told(self.latency.percentile(percent).and_then(Decimal::from_f64));
        Summary {
            samples: self.samples,
            successes: self.successes,
            failures: self.failures(),
            success_rate: told(ratio(self.successes, self.samples)),
            error_rate: told(ratio(self.failures(), self.samples)),
            errors: self.errors.clone(),
            latency_ms: LatencySummary {
                mean: told(self.mean_latency_ms()),
                p50: percentile(50),
                p95: percentile(95),
                p99: percentile(99),
            },
            confidence: told(self.mean_confidence()),
            confidence_samples: self.confidences,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost_usd: self.cost_usd,
            mean_cost_usd: self.mean_cost_usd().map(|mean| mean.round_dp(USD_PLACES).normalize().to_string()),
            unpriced_samples: self.unpriced,
        }
    }

    /// The mean confidence, from 0 to 1; none where no result came with one.
    #[must_use]
    pub fn mean_confidence(&self) -> Option<Decimal> {
        ratio(self.confidence_parts, self.confidences).map(|parts| parts / Decimal::from(CONFIDENCE_PARTS))
    }
}

/// What results amount to, in numbers for people; what no result tells is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "contract", schemars(rename = "Measured"))]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many results.
    pub samples: u64,
    /// How many of them were successes.
    pub successes: u64,
    /// How many were none.
    pub failures: u64,
    /// The share of successes.
    pub success_rate: Option<Exact>,
    /// The share of the others.
    pub error_rate: Option<Exact>,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// The latencies.
    pub latency_ms: LatencySummary,
    /// The mean of the confidences that results came with.
    pub confidence: Option<Exact>,
    /// How many came with one.
    pub confidence_samples: u64,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// What the results cost whose price was known.
    pub cost_usd: Dollars,
    /// The mean of those costs.
    pub mean_cost_usd: Option<String>,
    /// How many had no known price: their cost is not in the sum.
    pub unpriced_samples: u64,
}

/// Latencies in milliseconds; each percentile is within one percent of the exact one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct LatencySummary {
    /// The mean, which is exact to the microsecond.
    pub mean: Option<Exact>,
    /// The median.
    pub p50: Option<Exact>,
    /// The 95th percentile.
    pub p95: Option<Exact>,
    /// The 99th percentile.
    pub p99: Option<Exact>,
}

/// A number in whole parts of one.
fn parts(number: f64, of_one: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "results are checked to be small")]
    let parts = (number * of_one as f64).round() as u64;
    parts
}

/// One count's share of another; none of nothing.
#[must_use]
pub fn ratio(part: u64, whole: u64) -> Option<Decimal> {
    Decimal::from(part).checked_div(Decimal::from(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(latencies: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        latencies.iter().for_each(|&ms| sketch.add(Sketch::bucket(ms), 1));
        sketch
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(Sketch::default().percentile(50), None);
        assert_eq!(Measured::default().mean_latency_ms(), None);
        assert_eq!(Measured::default().mean_confidence(), None);
    }

    proptest! {
        /// Latencies over nine orders of magnitude, with ties and tails.
        #[test]
        fn percentiles_are_within_one_percent_of_the_exact_ones(
            exponents in prop::collection::vec(-2.9_f64..7.9, 1..400),
            ties in 0_usize..50,
            split in 0_usize..400,
        ) {
            let mut latencies: Vec<f64> = exponents.iter().map(|exponent| 10_f64.powf(*exponent)).collect();
            latencies.extend(vec![latencies[0]; ties]);
            let (one, other) = latencies.split_at(split.min(latencies.len()));
            let mut measured = Measured { latency: sketch(one), ..Measured::default() };
            measured.merge(&Measured { latency: sketch(other), ..Measured::default() });
            prop_assert_eq!(&measured.latency, &sketch(&latencies), "who counted makes no difference");

            latencies.sort_by(f64::total_cmp);
            for percent in [1, 50, 95, 99, 100] {
                let rank = (latencies.len() * percent).div_ceil(100).max(1);
                let exact = latencies[rank - 1];
                let told = measured.latency.percentile(percent as u64).unwrap();
                prop_assert!((told - exact).abs() <= exact * (RELATIVE_ERROR + 1e-9), "p{percent}: {told} for {exact}");
            }
        }
    }
}
