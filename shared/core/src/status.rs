//! What time and rollouts make of a model: when it is due, and the record that says it happened.
//!
//! A sunset, a scheduled price or a version's end of life is in force from its moment on, for whoever reads ([`crate::lifecycle`]). Here it
//! becomes a step of the model's history. The spec stays what was asked for, for a file or a client said it and time
//! did not; so neither the digest nor drift knows of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diff;
use crate::effective;
use crate::lifecycle;
use crate::model::Model;
use crate::plan::Operation;
use crate::policy::Policy;
use crate::record::{Archival, ChangeNote, HistoryEntry, Record};
use crate::rollout::RolloutStatus;

/// Who is named for what time does, and which way it comes.
const CLOCK: &str = "clock";

/// What time and a rollout have made of a model so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The sunset that it has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset_reached: Option<Timestamp>,
    /// The moments of the scheduled prices that have begun, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prices_applied: Vec<Timestamp>,
    /// The versions that time has retired, each with the end of life that it has reached.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub versions_retired: BTreeMap<semver::Version, Timestamp>,
    /// How far the version that comes is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

impl Status {
    /// Whether neither has made anything of the model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What still holds of it for another spec: a sunset or a schedule that was moved has not been reached, and a
    /// version that is said anew is tried anew.
    #[must_use]
    pub fn kept(&self, spec: &Model) -> Self {
        let is_scheduled = |at: &Timestamp| spec.meta.price_schedule.iter().any(|scheduled| scheduled.from == *at);
        let rollout = self.rollout.clone().filter(|status| status.is_of(spec));
        // Which versions retire when is no matter of policy; only whether they do by themselves is.
        let ends = |version: &semver::Version, at: Timestamp| {
            let versions = effective::versions(spec, rollout.as_ref(), &Policy::default(), at);
            versions.iter().any(|other| other.version == *version && other.retires_at == Some(at))
        };
        let retired = self.versions_retired.iter().filter(|(version, at)| ends(version, **at));
        Self {
            sunset_reached: self.sunset_reached.filter(|&sunset| spec.meta.sunset_date == Some(sunset)),
            prices_applied: self.prices_applied.iter().copied().filter(is_scheduled).collect(),
            versions_retired: retired.map(|(version, at)| (version.clone(), *at)).collect(),
            rollout,
        }
    }

    /// The status that a history, oldest entry first, ends in.
    #[must_use]
    pub fn replayed<'e>(entries: impl IntoIterator<Item = &'e HistoryEntry>) -> Self {
        let mut state = serde_json::json!({});
        for change in entries.into_iter().flat_map(|entry| &entry.changes) {
            if change.path == "/status" || change.path.starts_with("/status/") {
                // What does not fit is for `audit verify` to tell.
                let _ = diff::apply(&mut state, change);
            }
        }
        serde_json::from_value(state["status"].take()).unwrap_or_default()
    }
}

/// Something that time does to a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The scheduled price of this moment begins.
    Price(Timestamp),
    /// A version reaches its end of life at this moment.
    Retire(Timestamp, semver::Version),
    /// The sunset of this moment is reached.
    Sunset(Timestamp),
}

impl Effect {
    /// Its moment.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Price(at) | Self::Retire(at, _) | Self::Sunset(at) => *at,
        }
    }
}

/// The earliest effect that is due at `now` and not part of the record yet; none on a model that is archived anyway.
#[must_use]
pub fn due(record: &Record, policy: &Policy, now: Timestamp) -> Option<Effect> {
    let Record { spec, status, .. } = record;
    let versions = effective::versions(spec, status.rollout.as_ref(), policy, now).into_iter();
    let ends = versions.filter_map(|version| Some(Effect::Retire(version.retires_at?, version.version)));
    let retirements = ends.filter(|effect| match effect {
        Effect::Retire(at, version) => status.versions_retired.get(version) != Some(at),
        Effect::Price(_) | Effect::Sunset(_) => true,
    });
    let sunset = spec.meta.sunset_date.filter(|&sunset| status.sunset_reached != Some(sunset)).map(Effect::Sunset);
    let starts = spec.meta.price_schedule.iter().map(|scheduled| scheduled.from);
    let prices = starts.filter(|from| !status.prices_applied.contains(from)).map(Effect::Price);
    let effects = prices.chain(sunset).chain(retirements).filter(|effect| effect.at() <= now);
    effects.min_by_key(|effect| (effect.at(), effect.clone())).filter(|_| !record.is_archived())
}

/// The record once an effect is part of it; `revision` is the one that is live.
#[must_use]
pub fn after(record: &Record, effect: &Effect, revision: u64, now: Timestamp) -> Record {
    let mut status = record.status.clone();
    let (operation, reason) = match effect {
        Effect::Sunset(at) => {
            status.sunset_reached = Some(*at);
            (Operation::Archive, format!("its sunset was on {at}"))
        }
        Effect::Price(at) => {
            status.prices_applied.push(*at);
            status.prices_applied.sort_unstable();
            (Operation::ApplyPrice, format!("the price scheduled for {at} began{}", moved(record, &status)))
        }
        Effect::Retire(at, version) => {
            status.versions_retired.insert(version.clone(), *at);
            (Operation::Retire(version.clone()), format!("version {version} reached its end of life on {at}"))
        }
    };
    let change = ChangeNote {
        operations: vec![operation],
        actor: CLOCK.to_owned(),
        reason: reason.clone(),
        source: CLOCK.to_owned(),
        at: effect.at(),
        applied_at: now,
        commit: None,
        pull_request: None,
        revision,
        correlation_id: format!("clock-{}", now.as_millisecond()),
    };
    let archived = match effect {
        Effect::Sunset(at) => Some(Archival { actor: CLOCK.to_owned(), reason, at: *at }),
        Effect::Price(_) | Effect::Retire(..) => record.archived.clone(),
    };
    Record { status, seq: record.seq + 1, change, archived, ..record.clone() }
}

/// The prices that differ, in words.
fn moved(record: &Record, status: &Status) -> String {
    let meta = &record.spec.meta;
    let moves = lifecycle::price_changes(
        &lifecycle::settled_prices(meta, &record.status),
        &lifecycle::settled_prices(meta, status),
    );
    let told = |value: Option<&serde_json::Value>| value.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let words: BTreeMap<&str, String> = moves
        .iter()
        .map(|change| (change.path.trim_start_matches('/'), change))
        .map(|(path, change)| (path, format!("{path} {} -> {}", told(change.old.as_ref()), told(change.new.as_ref()))))
        .collect();
    // A reason has at most 1000 characters; tiers and the like may be long.
    let words = words.into_values().collect::<Vec<_>>().join(", ");
    let words: String = words.chars().take(800).collect();
    if words.is_empty() { words } else { format!(": {words}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audit;
    use crate::model::tests::model;
    use crate::plan::{self, Asker, Desired};
    use crate::record::Origin;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn note(operations: Vec<Operation>) -> ChangeNote {
        ChangeNote {
            operations,
            actor: "ada".to_owned(),
            reason: "asked".to_owned(),
            source: "api".to_owned(),
            at: at("2026-01-01T00:00:00Z"),
            applied_at: at("2026-01-01T00:00:00Z"),
            commit: None,
            pull_request: None,
            revision: 1,
            correlation_id: String::new(),
        }
    }

    /// The record that a spec leads to.
    pub(crate) fn stepped(old: Option<&Record>, spec: Model) -> Record {
        let id = spec.id.clone();
        let step = plan::step(&id, old, &Desired::Present(Box::new(spec)), Asker::Api).unwrap();
        Record::after(old, &step, Origin::Api("ada".to_owned()), note(step.operations.clone()))
    }

    fn timed() -> Model {
        let mut model = model("m");
        model.meta.sunset_date = Some(at("2026-12-15T00:00:00Z"));
        model.meta.price_schedule = serde_json::from_str(
            r#"[{"from":"2026-12-01T00:00:00Z","inputCostPerMillionTokens":1000.50},
                {"from":"2026-12-10T00:00:00Z","prices":{"cacheRead":5}}]"#,
        )
        .unwrap();
        model
    }

    #[test]
    fn effects_come_one_by_one_and_once() {
        let mut records = vec![stepped(None, timed())];
        assert_eq!(due(&records[0], &Policy::default(), at("2026-11-30T23:59:59Z")), None);
        let now = at("2027-01-01T00:00:00Z");
        while let Some(effect) = due(records.last().unwrap(), &Policy::default(), now) {
            records.push(after(records.last().unwrap(), &effect, 7, now));
        }
        let reasons: Vec<&str> = records[1..].iter().map(|record| record.change.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "the price scheduled for 2026-12-01T00:00:00Z began: inputCostPerMillionTokens 1250 -> 1000.50",
                "the price scheduled for 2026-12-10T00:00:00Z began: prices unknown -> {\"cacheRead\":5}",
                "its sunset was on 2026-12-15T00:00:00Z",
            ]
        );
        let last = records.last().unwrap();
        assert_eq!((last.seq, last.is_archived(), &last.spec), (4, true, &timed()));
        assert_eq!(last.archived.as_ref().unwrap().at, at("2026-12-15T00:00:00Z"));
        let pairs = std::iter::once((None, &records[0])).chain(records.windows(2).map(|two| (Some(&two[0]), &two[1])));
        let entries: Vec<HistoryEntry> = pairs.map(|(old, new)| HistoryEntry::between(old, new).unwrap()).collect();
        assert_eq!(audit::verify(last, &entries), []);
        assert_eq!(Status::replayed(&entries), last.status);
        let forged = Record { status: Status::default(), ..last.clone() };
        assert!(!audit::verify(&forged, &entries).is_empty());
    }

    #[test]
    fn a_sunset_that_moves_brings_the_model_back() {
        let now = at("2026-12-20T00:00:00Z");
        let mut record = stepped(None, timed());
        while let Some(effect) = due(&record, &Policy::default(), now) {
            record = after(&record, &effect, 1, now);
        }
        let mut later = timed();
        later.meta.sunset_date = Some(at("2027-06-01T00:00:00Z"));
        later.meta.price_schedule.remove(0);
        let moved = stepped(Some(&record), later);
        assert_eq!(moved.change.operations, [Operation::Unarchive, Operation::UpdateMeta]);
        assert_eq!((moved.is_archived(), &moved.archived), (false, &None));
        assert_eq!(moved.status.prices_applied, [at("2026-12-10T00:00:00Z")]);
        assert_eq!(due(&moved, &Policy::default(), now), None);
        assert_eq!(
            due(&moved, &Policy::default(), at("2027-06-01T00:00:00Z")),
            Some(Effect::Sunset(at("2027-06-01T00:00:00Z")))
        );
        let described = Model { name: "other".to_owned(), ..timed() };
        let described = stepped(Some(&record), described);
        assert_eq!((&described.status, &described.archived), (&record.status, &record.archived), "nothing was moved");
        assert_eq!(described.change.operations, [Operation::UpdateMeta]);
    }

    #[test]
    fn what_is_archived_has_no_sunset_to_reach() {
        let archived = stepped(None, Model { is_archived: true, is_available: false, ..timed() });
        assert_eq!(due(&archived, &Policy::default(), at("2027-01-01T00:00:00Z")), None);
    }
}
