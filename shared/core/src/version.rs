//! Versions of a model, and how a new one is rolled out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decimal::Exact;
use crate::meta::Capability;
use crate::price::{Price, Prices};

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    /// Registered, not in use.
    Inactive,
    /// Being tested, without traffic.
    Testing,
    /// Taking part of the traffic.
    Canary,
    /// Taking the traffic; at most one a model.
    Active,
    /// Still answering, on its way out.
    Deprecated,
    /// Gone.
    Retired,
}

/// One version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// A semantic version (semver.org 2.0.0).
    pub version: semver::Version,
    /// Where it is in its life.
    pub status: VersionStatus,
    /// When the provider released it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_date: Option<Timestamp>,
    /// What differs from the model's meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    /// Why and when it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Deprecation>,
}

/// Meta fields that a version sets for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Meta`")]
pub struct Overrides {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cost_per_million_tokens: Option<Price>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_cost_per_million_tokens: Option<Price>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_per_1k_tokens: Option<u64>,
}

/// Why a version goes, and what takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deprecation {
    /// What users are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement_version: Option<semver::Version>,
    /// When it stops answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<Timestamp>,
}

/// How a canary's share of the traffic grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The version being brought out.
    pub version: semver::Version,
    /// The steps, in order.
    pub steps: Vec<RolloutStep>,
    /// Thresholds that differ from policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
}

/// One step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutStep {
    /// The share of the traffic, 1 to 100 percent.
    pub weight_percent: u8,
    /// How long the step holds, in hours.
    pub hold_hours: u32,
}

/// What a version must measure up to; absent means policy's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thresholds {
    /// Fewer results than this say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_samples_for_evaluation: Option<u64>,
    /// A share from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<Exact>,
    /// A share from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_success_rate: Option<Exact>,
    /// The 95th percentile, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<u64>,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<Exact>,
}
