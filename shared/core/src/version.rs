//! Versions of a model, and how a new one is rolled out.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decimal::Exact;
use crate::meta::{Capability, Meta};
use crate::price::{Price, Prices};

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
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

impl VersionStatus {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Inactive, Self::Testing, Self::Canary, Self::Active, Self::Deprecated, Self::Retired];

    /// The status's name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Testing => "testing",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// What may follow it. The active version leaves only where another takes its place ([`moves`]); what becomes of it
    /// then is open, so that the revert of an activation is legal whatever its file said before.
    fn followers(self) -> &'static [Self] {
        match self {
            Self::Inactive => &[Self::Testing, Self::Canary, Self::Active, Self::Retired],
            Self::Testing => &[Self::Inactive, Self::Canary, Self::Active, Self::Retired],
            Self::Canary => &[Self::Inactive, Self::Testing, Self::Active, Self::Deprecated, Self::Retired],
            Self::Active => &[Self::Inactive, Self::Testing, Self::Canary, Self::Deprecated],
            Self::Deprecated => &[Self::Active, Self::Retired],
            Self::Retired => &[],
        }
    }
}

impl fmt::Display for VersionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A legal move of a version: there is no other way to have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    from: VersionStatus,
    to: VersionStatus,
}

impl Move {
    /// The move from one status to another.
    ///
    /// # Errors
    /// [`IllegalMove`] when nothing leads there; staying is no move either.
    pub fn new(from: VersionStatus, to: VersionStatus) -> Result<Self, IllegalMove> {
        if from.followers().contains(&to) { Ok(Self { from, to }) } else { Err(IllegalMove { from, to }) }
    }

    /// The status before.
    #[must_use]
    pub fn from(self) -> VersionStatus {
        self.from
    }

    /// The status afterwards.
    #[must_use]
    pub fn to(self) -> VersionStatus {
        self.to
    }
}

/// A move that no version makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalMove {
    from: VersionStatus,
    to: VersionStatus,
}

impl std::error::Error for IllegalMove {}

impl fmt::Display for IllegalMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "a version that is {from} cannot become {to}: ")?;
        match from.followers().iter().map(|status| status.name()).collect::<Vec<_>>().as_slice() {
            [] => f.write_str("nothing follows; register another version"),
            [one] => write!(f, "it can become {one}"),
            [others @ .., last] => write!(f, "it can become {} or {last}", others.join(", ")),
        }
    }
}

/// A version that stopped answering, which nothing brings back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {version} reached its end of life on {end}: it can only be retired")]
pub struct Ended {
    /// The version.
    pub version: semver::Version,
    /// When it stopped.
    pub end: Timestamp,
}

/// Everything illegal about the way from some versions to others; a version that is new may begin anywhere.
#[must_use]
pub fn illegal_moves(before: &[Version], after: &[Version]) -> Vec<String> {
    let mut told = Vec::new();
    for Version { version, status: from, .. } in before {
        match find(after, version).map(|version| version.status) {
            Some(to) if to == *from => {}
            Some(to) => told.extend(Move::new(*from, to).err().map(|illegal| format!("version {version}: {illegal}"))),
            None if matches!(from, VersionStatus::Active | VersionStatus::Deprecated) => {
                told.push(format!("version {version}: it is {from} and would be gone: what answers is retired first"));
            }
            None => {}
        }
    }
    if let (Some(old), None) = (active(before), active(after)) {
        told.push(format!("version {}: it is active, and no other version takes its place", old.version));
    }
    told
}

/// The version that takes the traffic.
#[must_use]
pub fn active(versions: &[Version]) -> Option<&Version> {
    versions.iter().find(|version| version.status == VersionStatus::Active)
}

/// The version with a number.
#[must_use]
pub fn find<'v>(versions: &'v [Version], number: &semver::Version) -> Option<&'v Version> {
    versions.iter().find(|version| version.version == *number)
}

/// A model's meta as a version has it.
#[must_use]
pub fn meta_of(meta: &Meta, own: Option<&Overrides>) -> Meta {
    let mut meta = meta.clone();
    let Some(own) = own.cloned() else { return meta };
    meta.display_name = own.display_name.unwrap_or(meta.display_name);
    meta.description = own.description.unwrap_or(meta.description);
    meta.capabilities = own.capabilities.unwrap_or(meta.capabilities);
    meta.context_length = own.context_length.or(meta.context_length);
    meta.max_output_tokens = own.max_output_tokens.or(meta.max_output_tokens);
    meta.input_cost_per_million_tokens = own.input_cost_per_million_tokens.or(meta.input_cost_per_million_tokens);
    meta.output_cost_per_million_tokens = own.output_cost_per_million_tokens.or(meta.output_cost_per_million_tokens);
    meta.prices = own.prices.or(meta.prices);
    meta.credits_per_1k_tokens = own.credits_per_1k_tokens.or(meta.credits_per_1k_tokens);
    meta
}

/// Reads a version's number.
///
/// # Errors
/// Why the text is none, and what one looks like.
pub fn parse(text: &str) -> Result<semver::Version, String> {
    text.parse().map_err(|error| number_problem(text, &error))
}

/// Why a text is no version's number: what moves or says something else is told apart from a slip of the pen.
fn number_problem(text: &str, error: &semver::Error) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split(['-', '.', '/', '_']).collect();
    let is_year = |part: &&str| part.len() >= 4 && digits(part) && (part.starts_with("19") || part.starts_with("20"));
    let unprefixed = text.strip_prefix(['v', 'V']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let why = match (unprefixed, parts.first().filter(|part| is_year(part))) {
        (Some(_), _) => "a version begins with its first number, without a v".to_owned(),
        (None, Some(_)) => "a date says when and not what changed; it belongs in releaseDate".to_owned(),
        (None, None) if text.bytes().any(|byte| byte.is_ascii_digit()) => error.to_string(),
        (None, None) => "a name stands for another version tomorrow".to_owned(),
    };
    let shown: String = text.chars().take(100).collect();
    format!(
        "\"{shown}\" is no version: {why}; write three numbers as semver.org has them, such as 2.0.0 or 2.1.0-beta.1"
    )
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

impl Version {
    /// When it stops answering, by what is written.
    #[must_use]
    pub fn end_of_life(&self) -> Option<Timestamp> {
        self.deprecation.as_ref().and_then(|deprecation| deprecation.end_of_life)
    }
}

impl Deprecation {
    /// Says that another version takes the place of this one, which ends then where nothing else is said.
    pub(crate) fn replaced_by(&mut self, other: &semver::Version, end: Timestamp) {
        self.reason.get_or_insert_with(|| format!("version {other} takes its place"));
        self.replacement_version.get_or_insert_with(|| other.clone());
        self.end_of_life.get_or_insert(end);
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Versions from `"1.0.0 active, 2.0.0 canary"`.
    pub(crate) fn versions(text: &str) -> Vec<Version> {
        let one = |part: &str| {
            let (version, status) = part.trim().split_once(' ').unwrap();
            serde_json::from_value(serde_json::json!({"version": version, "status": status})).unwrap()
        };
        text.split(',').filter(|part| !part.trim().is_empty()).map(one).collect()
    }

    #[test]
    fn only_legal_moves_can_be_had() {
        let legal = |from: VersionStatus| {
            let to = VersionStatus::ALL.into_iter().filter(|&to| Move::new(from, to).is_ok());
            to.map(VersionStatus::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            VersionStatus::ALL.map(legal),
            [
                "testing canary active retired",
                "inactive canary active retired",
                "inactive testing active deprecated retired",
                "inactive testing canary deprecated",
                "active retired",
                "",
            ]
        );
        let told = |from, to| Move::new(from, to).unwrap_err().to_string();
        assert_eq!(
            told(VersionStatus::Active, VersionStatus::Retired),
            "a version that is active cannot become retired: it can become inactive, testing, canary or deprecated"
        );
        assert_eq!(
            told(VersionStatus::Retired, VersionStatus::Active),
            "a version that is retired cannot become active: nothing follows; register another version"
        );
    }

    #[test]
    fn the_active_version_leaves_only_for_another() {
        let told = |before: &str, after: &str| illegal_moves(&versions(before), &versions(after)).join("\n");
        assert_eq!(told("1.0.0 active, 2.0.0 canary", "1.0.0 deprecated, 2.0.0 active"), "");
        assert_eq!(told("1.0.0 deprecated, 2.0.0 active", "1.0.0 active, 2.0.0 canary"), "", "its revert");
        assert_eq!(told("1.0.0 active, 2.0.0 testing", "1.0.0 active"), "", "the revert of a registration");
        assert_eq!(told("", "1.0.0 retired, 2.0.0 active"), "", "a past may be told at once");
        let nobody = "version 1.0.0: it is active, and no other version takes its place";
        assert_eq!(told("1.0.0 active, 2.0.0 canary", "1.0.0 deprecated, 2.0.0 testing"), nobody);
        let gone = "version 1.0.0: it is active and would be gone: what answers is retired first";
        assert_eq!(told("1.0.0 active", "2.0.0 active"), gone);
        assert_eq!(told("1.0.0 active", ""), format!("{gone}\n{nobody}"));
        assert!(told("1.0.0 retired", "1.0.0 active").starts_with("version 1.0.0: a version that is retired cannot"));
    }

    #[test]
    fn what_is_no_version_is_told_why() {
        let why = |text: &str| {
            let told = parse(text).unwrap_err();
            let told = told.strip_prefix(&format!("\"{text}\" is no version: ")).unwrap().to_owned();
            told.strip_suffix("; write three numbers as semver.org has them, such as 2.0.0 or 2.1.0-beta.1")
                .unwrap()
                .to_owned()
        };
        for name in ["latest", "stable", ""] {
            assert_eq!(why(name), "a name stands for another version tomorrow");
        }
        for prefixed in ["v1", "v1.2.3", "V2"] {
            assert_eq!(why(prefixed), "a version begins with its first number, without a v");
        }
        for date in ["2026-11-26", "2024.08.06", "20240806", "2024-11"] {
            assert_eq!(why(date), "a date says when and not what changed; it belongs in releaseDate");
        }
        assert_eq!(why("1.2"), "unexpected end of input while parsing minor version number");
        assert!(why("01.2.3").contains("leading zero"));
        assert!(parse("2.1.0-beta.1+build.7").is_ok());
    }
}
