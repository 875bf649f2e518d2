//! Whether a version measures up: what its results amount to, against thresholds.

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;
use serde::Serialize;

use crate::decimal::Exact;
use crate::measure::{Measured, ratio};
use crate::policy::EvaluationPolicy;
use crate::version::Thresholds;

/// Places that a measured value is told with.
const PLACES: u32 = 6;

/// What the results say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every threshold is kept.
    Passed,
    /// At least one is not.
    Failed,
    /// There are too few results to say.
    InsufficientData,
}

impl Verdict {
    /// The verdict's name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::InsufficientData => "insufficient_data",
        }
    }
}

/// One threshold and what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The threshold's key in policy.
    pub threshold: &'static str,
    /// Its value.
    pub limit: Exact,
    /// What was measured, to six places; none where no result tells.
    pub value: Option<Exact>,
    /// How many results tell it.
    pub samples: u64,
    /// Whether the threshold is kept; none where too few results tell.
    pub is_kept: Option<bool>,
}

/// What the results of a version say, threshold by threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "contract", schemars(rename = "Evaluation"))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What they say together.
    pub verdict: Verdict,
    /// How many results there are.
    pub samples: u64,
    /// How many there must be to say anything.
    pub min_samples: u64,
    /// The thresholds.
    pub checks: Vec<Check>,
}

impl Report {
    /// The verdict with what led to it, in a line for people.
    #[must_use]
    pub fn told(&self) -> String {
        let broken = self.checks.iter().filter(|check| check.is_kept == Some(false));
        let broken = broken.map(|check| {
            let value = check.value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
            format!("{} {value} of {} results breaks {}", measure_name(check.threshold), check.samples, check.limit)
        });
        match self.verdict {
            Verdict::Passed => format!("{} results keep every threshold", self.samples),
            Verdict::Failed => broken.collect::<Vec<_>>().join(", "),
            Verdict::InsufficientData => format!("{} of the {} results needed", self.samples, self.min_samples),
        }
    }
}

/// What a threshold is about.
fn measure_name(threshold: &str) -> &'static str {
    match threshold {
        "maxErrorRate" => "an error rate of",
        "minSuccessRate" => "a success rate of",
        "maxLatencyMs" => "a p95 latency in ms of",
        _ => "a mean confidence of",
    }
}

/// Policy's thresholds, with those that a model sets for itself.
#[must_use]
pub fn limits(policy: &EvaluationPolicy, own: Option<&Thresholds>) -> EvaluationPolicy {
    let Some(own) = own else { return policy.clone() };
    EvaluationPolicy {
        min_samples_for_evaluation: own.min_samples_for_evaluation.unwrap_or(policy.min_samples_for_evaluation),
        max_error_rate: own.max_error_rate.unwrap_or(policy.max_error_rate),
        min_success_rate: own.min_success_rate.unwrap_or(policy.min_success_rate),
        max_latency_ms: own.max_latency_ms.unwrap_or(policy.max_latency_ms),
        min_confidence: own.min_confidence.unwrap_or(policy.min_confidence),
        ..policy.clone()
    }
}

/// Holds results against thresholds. Fewer results than policy asks for say nothing, and so do fewer confidences.
#[must_use]
pub fn evaluate(measured: &Measured, limits: &EvaluationPolicy) -> Report {
    let samples = measured.samples;
    let latency = measured.latency.percentile(95).and_then(Decimal::from_f64);
    let check = |threshold, limit: Exact, value: Option<Decimal>, samples, keeps: fn(Decimal, Decimal) -> bool| {
        let is_kept = value.filter(|_| samples >= limits.min_samples_for_evaluation);
        let is_kept = is_kept.map(|value| keeps(value, limit.amount()));
        Check { threshold, limit, value: value.map(|value| Exact::rounded(value, PLACES)), samples, is_kept }
    };
    let at_most = |value: Decimal, limit: Decimal| value <= limit;
    let at_least = |value: Decimal, limit: Decimal| value >= limit;
    let error_rate = ratio(measured.failures(), samples);
    let success_rate = ratio(measured.successes, samples);
    let max_latency = Exact::whole(limits.max_latency_ms);
    let checks = vec![
        check("maxErrorRate", limits.max_error_rate, error_rate, samples, at_most),
        check("minSuccessRate", limits.min_success_rate, success_rate, samples, at_least),
        check("maxLatencyMs", max_latency, latency, samples, at_most),
        check("minConfidence", limits.min_confidence, measured.mean_confidence(), measured.confidences, at_least),
    ];
    let verdict = if samples < limits.min_samples_for_evaluation {
        Verdict::InsufficientData
    } else if checks.iter().any(|check| check.is_kept == Some(false)) {
        Verdict::Failed
    } else {
        Verdict::Passed
    };
    Report { verdict, samples, min_samples: limits.min_samples_for_evaluation, checks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{CONFIDENCE_PARTS, Sketch};

    fn measured(samples: u64, successes: u64, ms: f64, confidence: u64) -> Measured {
        let mut latency = Sketch::default();
        latency.add(Sketch::bucket(ms), samples);
        let confidence_parts = samples * confidence * CONFIDENCE_PARTS / 100;
        Measured { samples, successes, latency, confidences: samples, confidence_parts, ..Measured::default() }
    }

    fn verdict(measured: &Measured) -> (Verdict, String) {
        let report = evaluate(measured, &EvaluationPolicy::default());
        (report.verdict, report.told())
    }

    #[test]
    fn each_threshold_counts_at_its_very_edge() {
        assert_eq!(
            verdict(&measured(100, 95, 1000.0, 70)),
            (Verdict::Passed, "100 results keep every threshold".into())
        );
        let both =
            "an error rate of 0.06 of 100 results breaks 0.05, a success rate of 0.94 of 100 results breaks 0.95";
        assert_eq!(verdict(&measured(100, 94, 1000.0, 70)), (Verdict::Failed, both.into()));
        let slow = verdict(&measured(100, 100, 6000.0, 70));
        assert!(
            slow.0 == Verdict::Failed && slow.1 == "a p95 latency in ms of 5944.606885 of 100 results breaks 5000",
            "{slow:?}"
        );
        let unsure = "a mean confidence of 0.69 of 100 results breaks 0.7";
        assert_eq!(verdict(&measured(100, 100, 1000.0, 69)), (Verdict::Failed, unsure.into()));
    }

    #[test]
    fn too_few_results_say_nothing() {
        assert_eq!(
            verdict(&measured(49, 0, 9e5, 0)),
            (Verdict::InsufficientData, "49 of the 50 results needed".into())
        );
        assert_eq!(verdict(&Measured::default()).0, Verdict::InsufficientData);
        assert_eq!(verdict(&measured(50, 0, 9e5, 0)).0, Verdict::Failed);
        // Confidences are results of their own count.
        let rare = Measured { confidences: 49, confidence_parts: 0, ..measured(100, 100, 1000.0, 0) };
        assert_eq!(verdict(&rare).0, Verdict::Passed);
        let none = Measured { confidences: 0, ..rare };
        let report = evaluate(&none, &EvaluationPolicy::default());
        assert_eq!((report.verdict, report.checks[3].value, report.checks[3].is_kept), (Verdict::Passed, None, None));
    }

    #[test]
    fn a_model_may_set_its_own_thresholds() {
        let own: Thresholds = serde_json::from_str(r#"{"maxErrorRate":0.10,"minSamplesForEvaluation":5}"#).unwrap();
        let limits = limits(&EvaluationPolicy::default(), Some(&own));
        let report = evaluate(&measured(10, 9, 10.0, 100), &limits);
        let kept: Vec<_> = report.checks.iter().map(|check| check.is_kept).collect();
        assert_eq!((report.verdict, kept), (Verdict::Failed, [true, false, true, true].map(Some).to_vec()));
    }
}
