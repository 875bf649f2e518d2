//! What admins tune by pull request: `catalog/policy.json`. Every key has a default.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decimal::Exact;
use crate::tier::Tier;
use crate::version::RolloutStep;

/// The whole policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Policy {
    /// Every tier once, in ascending rank.
    pub tiers: Vec<Tier>,
    /// The tier of callers without a token.
    pub anonymous_tier: Tier,
    /// How credits follow from prices.
    pub credits: CreditsPolicy,
    /// What holds a plan for approval.
    pub guard: GuardPolicy,
    /// How the repository is followed.
    pub sync: SyncPolicy,
    /// Grace periods and warnings.
    pub lifecycle: LifecyclePolicy,
    /// What a version must measure up to.
    pub evaluation: EvaluationPolicy,
    /// The rollout of a version that brings none of its own.
    pub rollout: RolloutPolicy,
    /// How long things are kept.
    pub retention: RetentionPolicy,
    /// How often a caller of a tier may call; a tier without an entry has no limit.
    pub rate_limits: BTreeMap<Tier, RateLimit>,
    /// Where readers read from while a hard-coded catalogue is left behind.
    pub read_source: ReadSourcePolicy,
}

impl Policy {
    /// A tier's rank: higher may use more.
    #[must_use]
    pub fn rank(&self, tier: Tier) -> usize {
        self.tiers.iter().position(|&other| other == tier).unwrap_or(0)
    }

    /// What the schema cannot say: `(pointer, message)` for each broken rule.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut sorted = self.tiers.clone();
        sorted.sort_unstable();
        if sorted != Tier::ALL {
            problems.push(("/tiers".to_owned(), "every tier must stand in the list exactly once".to_owned()));
        }
        if self.credits.usd_per_credit.amount().is_zero() {
            problems.push(("/credits/usdPerCredit".to_owned(), "a credit must be worth more than nothing".to_owned()));
        }
        for (at, freeze) in self.guard.freezes.iter().enumerate() {
            if freeze.until <= freeze.from {
                let message = format!("a freeze must end after it begins, on {}", freeze.from);
                problems.push((format!("/guard/freezes/{at}/until"), message));
            }
        }
        problems
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tiers: Tier::ALL.to_vec(),
            anonymous_tier: Tier::Free,
            credits: CreditsPolicy::default(),
            guard: GuardPolicy::default(),
            sync: SyncPolicy::default(),
            lifecycle: LifecyclePolicy::default(),
            evaluation: EvaluationPolicy::default(),
            rollout: RolloutPolicy::default(),
            retention: RetentionPolicy::default(),
            rate_limits: BTreeMap::new(),
            read_source: ReadSourcePolicy::default(),
        }
    }
}

/// How credits follow from prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CreditsPolicy {
    /// What the mean price is multiplied by.
    pub margin: Exact,
    /// US dollars that one credit stands for.
    pub usd_per_credit: Exact,
}

impl Default for CreditsPolicy {
    fn default() -> Self {
        Self { margin: Exact::from_parts(25, 1), usd_per_credit: Exact::from_parts(5, 4) }
    }
}

/// What holds a plan for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GuardPolicy {
    /// More archived models than this in one plan are held.
    pub max_archived_models: u64,
    /// More than this percent of the live models are held.
    pub max_archived_percent: u64,
    /// The percent counts for plans that archive at least this many, so that a small catalogue can archive one.
    pub archived_percent_floor: u64,
    /// A price that moves by more than this factor, up or down, is held.
    pub max_price_factor: u64,
    /// Whether a plan that takes a model away from a tier is held.
    pub hold_on_tier_loss: bool,
    /// Whether a plan that leaves no model is held.
    pub hold_on_empty_tree: bool,
    /// Times in which every plan is held.
    pub freezes: Vec<Freeze>,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            max_archived_models: 50,
            max_archived_percent: 10,
            archived_percent_floor: 3,
            max_price_factor: 10,
            hold_on_tier_loss: true,
            hold_on_empty_tree: true,
            freezes: Vec::new(),
        }
    }
}

/// A time in which nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
    /// What people are told.
    pub reason: String,
}

/// How the repository is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SyncPolicy {
    /// More new commits than this are applied as one jump to the tip.
    pub max_commits_per_run: u64,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        Self { max_commits_per_run: 200 }
    }
}

/// Grace periods and warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LifecyclePolicy {
    /// Days from a deprecation to its sunset when none is named.
    pub grace_period_days: u64,
    /// Days before a sunset at which people are warned.
    pub warning_window_days: Vec<u64>,
}

impl Default for LifecyclePolicy {
    fn default() -> Self {
        Self { grace_period_days: 90, warning_window_days: vec![30, 7] }
    }
}

/// What a version must measure up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EvaluationPolicy {
    /// Fewer results than this say nothing.
    pub min_samples_for_evaluation: u64,
    /// A share from 0 to 1.
    pub max_error_rate: Exact,
    /// A share from 0 to 1.
    pub min_success_rate: Exact,
    /// The 95th percentile, in milliseconds.
    pub max_latency_ms: u64,
    /// From 0 to 1.
    pub min_confidence: Exact,
}

impl Default for EvaluationPolicy {
    fn default() -> Self {
        Self {
            min_samples_for_evaluation: 50,
            max_error_rate: Exact::from_parts(5, 2),
            min_success_rate: Exact::from_parts(95, 2),
            max_latency_ms: 5000,
            min_confidence: Exact::from_parts(7, 1),
        }
    }
}

/// The rollout of a version that brings none of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RolloutPolicy {
    /// The steps, in order.
    pub steps: Vec<RolloutStep>,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        let step = |weight_percent, hold_hours| RolloutStep { weight_percent, hold_hours };
        Self { steps: vec![step(5, 24), step(50, 24), step(100, 0)] }
    }
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RetentionPolicy {
    /// Days for which a revision can be listed as it was.
    pub revision_days: u64,
    /// Days for which the record of a sync run is kept.
    pub run_days: u64,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { revision_days: 400, run_days: 90 }
    }
}

/// How often one caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Requests in a window; also how many may come at once.
    pub requests: u64,
    /// The window, in seconds.
    pub window_seconds: u64,
}

/// Where readers read from while a hard-coded catalogue is left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReadSourcePolicy {
    /// The percentage of callers who read from the table; the others read the catalogue bundled at build.
    pub table_percent: u64,
    /// The percentage of requests for which both are read and compared.
    pub shadow_percent: u64,
}

impl Default for ReadSourcePolicy {
    fn default() -> Self {
        Self { table_percent: 100, shadow_percent: 0 }
    }
}
