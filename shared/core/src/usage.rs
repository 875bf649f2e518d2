//! What calls of many models amount to, by whatever people ask for.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::decimal::Exact;
use crate::measure::{Measured, PLACES, Summary, ratio};
use crate::model::ModelId;
use crate::quote::Dollars;
use crate::window::Subject;

/// What is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// All results of a model.
    Model,
    /// Those of a version of it.
    Version,
    /// Those of all models of a provider.
    Provider,
    /// Those of a day.
    Day,
}

impl GroupBy {
    /// Every grouping.
    pub const ALL: [Self; 4] = [Self::Model, Self::Version, Self::Provider, Self::Day];

    /// The grouping's name in a query.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Version => "version",
            Self::Provider => "provider",
            Self::Day => "day",
        }
    }
}

/// What a group has in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct GroupKey {
    /// The day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Date>,
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// The version; none of a model without versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<semver::Version>,
}

impl GroupKey {
    fn of(by: GroupBy, day: Date, subject: &Subject, provider: &str) -> Self {
        let Subject { model, version } = subject;
        match by {
            GroupBy::Day => Self { day: Some(day), ..Self::default() },
            GroupBy::Provider => Self { provider: Some(provider.to_owned()), ..Self::default() },
            GroupBy::Model => Self { model: Some(model.clone()), ..Self::default() },
            GroupBy::Version => Self { model: Some(model.clone()), version: version.clone(), ..Self::default() },
        }
    }
}

/// Results of many days, being put together. Only groups keep a sketch of their latencies, so that many days of many
/// models fit into memory.
#[derive(Clone, Debug)]
pub struct Usage {
    by: GroupBy,
    total: Group,
    groups: BTreeMap<GroupKey, Group>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    measured: Measured,
    days: BTreeMap<Date, Measured>,
}

impl Group {
    fn add(&mut self, day: Date, measured: &Measured) {
        self.measured.merge(measured);
        let sums = Measured { latency: Default::default(), ..measured.clone() };
        self.days.entry(day).or_default().merge(&sums);
    }
}

/// A group as it is told.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "contract", schemars(rename = "Usage"))]
pub struct Told {
    /// What its results have in common; nothing where it is all of them.
    #[serde(flatten)]
    pub key: GroupKey,
    /// What they amount to.
    #[serde(flatten)]
    pub summary: Summary,
    /// Day by day, the days with results; empty of a day itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trend: Vec<DayTold>,
}

/// A day of a group.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DayTold {
    /// The day.
    pub day: Date,
    /// How many results.
    pub samples: u64,
    /// The share of those that were no success.
    pub error_rate: Option<Exact>,
    /// Their mean latency.
    pub mean_latency_ms: Option<Exact>,
    /// What those cost whose price was known.
    pub cost_usd: Dollars,
}

impl Usage {
    /// Nothing yet.
    #[must_use]
    pub fn by(by: GroupBy) -> Self {
        Self { by, total: Group::default(), groups: BTreeMap::new() }
    }

    /// Adds what the results of a subject on a day amount to.
    pub fn add(&mut self, day: Date, subject: &Subject, provider: &str, measured: &Measured) {
        self.total.add(day, measured);
        self.groups.entry(GroupKey::of(self.by, day, subject, provider)).or_default().add(day, measured);
    }

    /// All results together.
    #[must_use]
    pub fn total(&self) -> Told {
        told(&GroupKey::default(), &self.total)
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The groups, at most `limit`: days in order, others by the number of their results, the most first.
    #[must_use]
    pub fn groups(&self, limit: usize) -> Vec<Told> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        if self.by != GroupBy::Day {
            // The sort is stable: groups of as many results stay in the order of their keys.
            groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.measured.samples));
        }
        groups.into_iter().take(limit).map(|(key, group)| told(key, group)).collect()
    }
}

fn told(key: &GroupKey, group: &Group) -> Told {
    let exact = |value: Option<Decimal>| value.map(|value| Exact::rounded(value, PLACES));
    let day = |(&day, measured): (&Date, &Measured)| DayTold {
        day,
        samples: measured.samples,
        error_rate: exact(ratio(measured.failures(), measured.samples)),
        mean_latency_ms: exact(measured.mean_latency_ms()),
        cost_usd: measured.cost_usd,
    };
    let trend = if key.day.is_some() { Vec::new() } else { group.days.iter().map(day).collect() };
    Told { key: key.clone(), summary: group.measured.summary(), trend }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usage(by: GroupBy) -> Usage {
        let mut usage = Usage::by(by);
        for (day, model, version, samples, successes) in [
            ("2026-11-25", "a/one", Some("1.0.0"), 10, 10),
            ("2026-11-26", "a/one", Some("1.0.0"), 10, 5),
            ("2026-11-26", "a/one", Some("1.1.0"), 30, 30),
            ("2026-11-26", "b", None, 5, 0),
        ] {
            let subject = Subject {
                model: ModelId::parse(model).unwrap(),
                version: version.map(|version| version.parse().unwrap()),
            };
            let measured = Measured { samples, successes, unpriced: samples, ..Measured::default() };
            usage.add(day.parse().unwrap(), &subject, model.split('/').next().unwrap(), &measured);
        }
        usage
    }

    fn keys(by: GroupBy) -> Vec<serde_json::Value> {
        usage(by).groups(9).iter().map(|group| json!([group.key, group.summary.samples])).collect()
    }

    #[test]
    fn results_are_put_together_as_asked() {
        assert_eq!(keys(GroupBy::Day), [json!([{"day": "2026-11-25"}, 10]), json!([{"day": "2026-11-26"}, 45])]);
        assert_eq!(keys(GroupBy::Provider), [json!([{"provider": "a"}, 50]), json!([{"provider": "b"}, 5])]);
        assert_eq!(keys(GroupBy::Model), [json!([{"model": "a/one"}, 50]), json!([{"model": "b"}, 5])]);
        let (old, new) = (json!({"model": "a/one", "version": "1.0.0"}), json!({"model": "a/one", "version": "1.1.0"}));
        assert_eq!(keys(GroupBy::Version), [json!([new, 30]), json!([old, 20]), json!([{"model": "b"}, 5])]);
    }

    #[test]
    fn a_group_has_its_days() {
        let usage = usage(GroupBy::Version);
        assert_eq!((usage.group_count(), usage.groups(1).len(), usage.total().summary.samples), (3, 1, 55));
        let trend = json!([
            {"day": "2026-11-25", "samples": 10, "errorRate": 0, "meanLatencyMs": 0, "costUsd": "0"},
            {"day": "2026-11-26", "samples": 10, "errorRate": 0.5, "meanLatencyMs": 0, "costUsd": "0"},
        ]);
        assert_eq!(serde_json::to_value(&usage.groups(9)[1].trend).unwrap(), trend);
    }
}
