//! What admins tune by pull request: `catalog/policy.json`. Every key has a default.

use std::collections::BTreeMap;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
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
    /// When a version may take the traffic, and what becomes of the one before it.
    pub versions: VersionPolicy,
    /// How long things are kept.
    pub retention: RetentionPolicy,
    /// How often a caller of a tier may call; a tier without an entry has no limit.
    pub rate_limits: BTreeMap<Tier, RateLimit>,
    /// Where readers read from while a hard-coded catalogue is left behind.
    pub read_source: ReadSourcePolicy,
    /// Which commits are applied.
    pub signatures: SignaturePolicy,
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
        problems.extend(self.signatures.problems());
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
            versions: VersionPolicy::default(),
            retention: RetentionPolicy::default(),
            rate_limits: BTreeMap::new(),
            read_source: ReadSourcePolicy::default(),
            signatures: SignaturePolicy::default(),
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
        Self { grace_period_days: 90, warning_window_days: vec![90, 60, 30, 7] }
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
    /// The smallest mean of the confidences that results come with, from 0 to 1.
    pub min_confidence: Exact,
    /// Minutes of which the results by themselves can stop a rollout, so that a version that turns bad late is not
    /// carried by its past.
    pub window_minutes: u64,
}

impl Default for EvaluationPolicy {
    fn default() -> Self {
        Self {
            min_samples_for_evaluation: 50,
            max_error_rate: Exact::from_parts(5, 2),
            min_success_rate: Exact::from_parts(95, 2),
            max_latency_ms: 5000,
            min_confidence: Exact::from_parts(7, 1),
            window_minutes: 60,
        }
    }
}

impl EvaluationPolicy {
    /// How long the time is of which the results count by themselves.
    #[must_use]
    pub fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::try_from(self.window_minutes).unwrap_or(i64::MAX).min(i64::from(i32::MAX)))
    }

    /// When that time began which ends now.
    #[must_use]
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.window()).unwrap_or(Timestamp::MIN)
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

/// When a version may take the traffic, and what becomes of the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VersionPolicy {
    /// Whether a version that does not measure up may not take the place of another.
    pub enforce_performance_thresholds: bool,
    /// Whether the version before it is deprecated then, else it is inactive.
    pub deprecate_old_versions_on_new_deployment: bool,
    /// Whether a deprecated version is retired at its end of life.
    pub enable_automatic_retirement: bool,
    /// Days from a version's deprecation to its end of life when none is named.
    pub default_grace_period_days: u64,
    /// Days before an end of life from which on people are warned.
    pub eol_warning_threshold_days: u64,
    /// A version whose requests cost more US dollars than this on average may not take the place of another; `None` is
    /// no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_per_request: Option<Exact>,
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self {
            enforce_performance_thresholds: true,
            deprecate_old_versions_on_new_deployment: true,
            enable_automatic_retirement: true,
            default_grace_period_days: 90,
            eol_warning_threshold_days: 30,
            max_cost_per_request: None,
        }
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
    /// Days for which inference results can be evaluated by the minute and the hour.
    pub inference_days: u64,
    /// Days for which usage can be analysed by the day.
    pub usage_days: u64,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { revision_days: 400, run_days: 90, inference_days: 35, usage_days: 400 }
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

/// Which commits are applied: all, or those that an allowed key signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SignaturePolicy {
    /// Whether a commit without a signature by one of the keys is rejected.
    pub required: bool,
    /// SSH keys, each as a line of a `.pub` file.
    pub ssh_keys: Vec<String>,
    /// OpenPGP keys, each as `gpg --armor --export` writes it.
    pub gpg_keys: Vec<String>,
}

/// The kinds of SSH keys that signatures are verified with.
const SSH_KINDS: [&str; 3] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"];
const PGP_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const PGP_END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

impl SignaturePolicy {
    /// Whether the keys have the form of keys. What is in them is read by those who verify with them.
    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.required && self.ssh_keys.is_empty() && self.gpg_keys.is_empty() {
            let message = "signatures are required, but no key is allowed: nothing could be applied any more";
            problems.push(("/signatures/required".to_owned(), message.to_owned()));
        }
        let mut check = |list: &str, keys: &[String], problem: fn(&str) -> Option<String>| {
            for (at, key) in keys.iter().enumerate() {
                problems.extend(problem(key).map(|message| (format!("/signatures/{list}/{at}"), message)));
            }
        };
        check("sshKeys", &self.ssh_keys, ssh_key_problem);
        check("gpgKeys", &self.gpg_keys, gpg_key_problem);
        problems
    }
}

/// A public key is `<kind> <base64> [comment]`, and its base64 begins with the length and the name of the kind
/// (RFC 4253, section 6.6).
fn ssh_key_problem(key: &str) -> Option<String> {
    if key.contains("PRIVATE KEY") {
        return Some(
            "is a private key: consider it lost, and write the public key, the line in the .pub file".to_owned(),
        );
    }
    let mut words = key.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    if !SSH_KINDS.contains(&kind) {
        return Some(format!("begins with \"{kind}\", not with one of {}", SSH_KINDS.join(", ")));
    }
    let encoded = words.next().unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    let named = [&[0, 0, 0, u8::try_from(kind.len()).unwrap_or(0)], kind.as_bytes()].concat();
    if key.lines().count() > 1 || !decoded.starts_with(&named) {
        return Some(format!("is not an SSH public key: write one line, {kind} AAAA… name"));
    }
    None
}

/// A key is one block (RFC 9580, section 6.2).
fn gpg_key_problem(key: &str) -> Option<String> {
    if key.contains("PRIVATE KEY") {
        return Some("is a private key: consider it lost, and write what gpg --armor --export says".to_owned());
    }
    let text = key.trim();
    let is_block = text.starts_with(PGP_BEGIN) && text.ends_with(PGP_END);
    if !is_block || text.matches("-----BEGIN").count() != 1 || text.matches("-----END").count() != 1 {
        return Some(format!("is not one block from {PGP_BEGIN} to {PGP_END}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(required: bool, ssh: &[&str], gpg: &[&str]) -> Vec<String> {
        let owned = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
        let signatures = SignaturePolicy { required, ssh_keys: owned(ssh), gpg_keys: owned(gpg) };
        let policy = Policy { signatures, ..Policy::default() };
        policy.problems().into_iter().map(|(pointer, message)| format!("{pointer}: {message}")).collect()
    }

    #[test]
    fn keys_of_the_wrong_form_are_told() {
        let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqGq+YmuiGIg3drjGZaPWoWKYyBpLPVkRUQ2Jt6BTBW ada";
        let block = format!("{PGP_BEGIN}\n\nmDMEZ\n=abcd\n{PGP_END}\n");
        assert_eq!(said(false, &[], &[]), [""; 0]);
        assert_eq!(said(true, &[ed25519], &[]), [""; 0]);
        assert_eq!(said(true, &[], &[&block]), [""; 0]);
        let nothing = "signatures are required, but no key is allowed: nothing could be applied any more";
        assert_eq!(said(true, &[], &[]), [format!("/signatures/required: {nothing}")]);

        let ssh = |key: &str| said(false, &[ed25519, key], &[]).join("\n");
        let not_one = "is not an SSH public key: write one line, ssh-ed25519 AAAA… name";
        assert_eq!(ssh("ssh-ed25519"), format!("/signatures/sshKeys/1: {not_one}"));
        assert_eq!(ssh("ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAABgQ== x"), format!("/signatures/sshKeys/1: {not_one}"));
        assert_eq!(ssh(&format!("{ed25519}\n{ed25519}")), format!("/signatures/sshKeys/1: {not_one}"));
        let kinds = "not with one of ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa";
        assert_eq!(ssh(&format!("* {ed25519}")), format!("/signatures/sshKeys/1: begins with \"*\", {kinds}"));
        assert_eq!(ssh("ssh-dss AAAA"), format!("/signatures/sshKeys/1: begins with \"ssh-dss\", {kinds}"));
        assert!(ssh("-----BEGIN OPENSSH PRIVATE KEY-----").contains("is a private key: consider it lost"));

        let gpg = |key: &str| said(false, &[], &[key]).join("\n");
        let not_one = format!("/signatures/gpgKeys/0: is not one block from {PGP_BEGIN} to {PGP_END}");
        assert_eq!(gpg("0xB5690EEEBB952194"), not_one);
        assert_eq!(gpg(&format!("{block}{block}")), not_one);
        assert!(gpg(&block.replace("PUBLIC", "PRIVATE")).contains("is a private key: consider it lost"));
    }
}
