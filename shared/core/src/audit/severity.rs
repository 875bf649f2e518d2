//! How grave a change or an event is.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::EventKind;
use crate::diff::FieldChange;
use crate::guard;
use crate::plan::Operation;
use crate::price::Price;
use crate::record::HistoryEntry;
use crate::tier::Tier;

/// A price that moves by more than this factor is a mistake more often than a price.
const PRICE_FACTOR: u64 = 10;

/// How grave something is, by ascending weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Everyday work.
    Info,
    /// Clients may have to act, or somebody was stopped.
    Warning,
    /// Clients lost something, or something is broken.
    Critical,
}

/// A text that names no severity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no severity: expected one of info, warning, critical")]
pub struct UnknownSeverity(String);

impl Severity {
    /// Every severity, by ascending weight.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The severity's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of a change: that of the gravest thing it did.
    ///
    /// | what was done | severity |
    /// | --- | --- |
    /// | `archive`, be the model protected or not; `place_override`, which nobody reviewed | critical |
    /// | `requiredTier` raised, a tier taken from `allowedTiers`, another `tierRestrictionMode` (except from exact to minimum) | critical |
    /// | a price or `creditsPer1kTokens` moved by more than a factor of 10, or from or to nothing | critical |
    /// | `sunsetDate` set to a time that had passed; a version that is rolled back | critical |
    /// | `mark_legacy`, `deprecate`, `retire`, `adopt`, `end_override` | warning |
    /// | `isAvailable` switched off | warning |
    /// | a price or `creditsPer1kTokens` raised; any other `prices.tiers` or `priceSchedule` | warning |
    /// | `sunsetDate` set or moved; `protected` taken off | warning |
    /// | anything else: a new model, lower prices, what was unknown, descriptions, aliases | info |
    ///
    /// Tiers ascend as in [`Tier::ALL`], whatever the policy's ranks. An entry holds only the fields that changed, so
    /// a rule of access counts even when the model's mode does not use it.
    #[must_use]
    pub fn of_change(entry: &HistoryEntry) -> Self {
        let operations = entry.change.operations.iter().map(of_operation);
        let changes = entry.changes.iter().map(|change| of_field(change, entry.change.applied_at));
        operations.chain(changes).max().unwrap_or(Self::Info)
    }

    /// The severity of an event.
    ///
    /// | kind | severity |
    /// | --- | --- |
    /// | `sync_failed`, `table_edited`, `notice_undelivered` | critical |
    /// | `write_refused`, `plan_held`, `approved`, `commit_rejected`, `hold_placed`, `hold_ended`, `version_refused` | warning |
    #[must_use]
    pub fn of_event(kind: EventKind) -> Self {
        match kind {
            EventKind::SyncFailed | EventKind::TableEdited | EventKind::NoticeUndelivered => Self::Critical,
            EventKind::WriteRefused
            | EventKind::PlanHeld
            | EventKind::Approved
            | EventKind::CommitRejected
            | EventKind::HoldPlaced
            | EventKind::HoldEnded
            | EventKind::VersionRefused => Self::Warning,
        }
    }
}

fn of_operation(operation: &Operation) -> Severity {
    match operation {
        Operation::Archive | Operation::PlaceOverride => Severity::Critical,
        Operation::MarkLegacy
        | Operation::Deprecate(_)
        | Operation::Retire(_)
        | Operation::Adopt
        | Operation::EndOverride => Severity::Warning,
        Operation::Create
        | Operation::Unarchive
        | Operation::UnmarkLegacy
        | Operation::UpdateMeta
        | Operation::ApplyPrice
        | Operation::RenameAlias
        | Operation::RegisterVersion(_)
        | Operation::SetCanary(_)
        | Operation::Activate(_)
        | Operation::SetAvailability => Severity::Info,
    }
}

fn of_field(change: &FieldChange, at: Timestamp) -> Severity {
    let (old, new) = (change.old.as_ref(), change.new.as_ref());
    let is = |bad: bool, severity: Severity| if bad { severity } else { Severity::Info };
    match change.path.as_str() {
        "/status/rollout/state" => is(text(new) == Some("rolled_back"), Severity::Critical),
        "/isAvailable" => is(was(old, true) && was(new, false), Severity::Warning),
        "/protected" => is(was(old, true), Severity::Warning),
        "/meta/requiredTier" => is(tier(old).is_some() && tier(old) < tier(new), Severity::Critical),
        "/meta/allowedTiers" => {
            let left = tiers(new);
            is(tiers(old).iter().any(|tier| !left.contains(tier)), Severity::Critical)
        }
        "/meta/tierRestrictionMode" => {
            let widens = text(old) == Some("exact") && text(new) == Some("minimum");
            is(!widens, Severity::Critical)
        }
        "/meta/sunsetDate" => match text(new).and_then(|text| text.parse::<Timestamp>().ok()) {
            Some(sunset) if sunset <= at => Severity::Critical,
            sunset => is(sunset.is_some(), Severity::Warning),
        },
        "/meta/prices/tiers" | "/meta/priceSchedule" => Severity::Warning,
        "/meta/inputCostPerMillionTokens" | "/meta/outputCostPerMillionTokens" | "/meta/creditsPer1kTokens" => {
            of_price(old, new)
        }
        path if path.starts_with("/meta/prices/") => of_price(old, new),
        _ => Severity::Info,
    }
}

fn of_price(old: Option<&Value>, new: Option<&Value>) -> Severity {
    let price = |value: Option<&Value>| value?.as_number()?.as_str().parse::<Price>().ok();
    match (price(old), price(new)) {
        (Some(old), Some(new)) if guard::moves_too_far(old, new, PRICE_FACTOR) => Severity::Critical,
        (Some(old), Some(new)) if new.amount() > old.amount() => Severity::Warning,
        _ => Severity::Info,
    }
}

fn was(value: Option<&Value>, wanted: bool) -> bool {
    value.and_then(Value::as_bool) == Some(wanted)
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

fn tier(value: Option<&Value>) -> Option<Tier> {
    text(value)?.parse().ok()
}

fn tiers(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        Self::ALL.into_iter().find(|severity| severity.name() == text).ok_or_else(|| UnknownSeverity(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::entry;
    use serde_json::json;

    fn of(operations: &[&str], changes: &[(&str, &str, &str)]) -> Severity {
        let operations: Vec<Value> = operations
            .iter()
            .map(|name| match *name {
                "deprecate" | "retire" | "activate" | "set_canary" | "register_version" => {
                    json!({"operation": name, "version": "1.0.0"})
                }
                _ => json!({"operation": name}),
            })
            .collect();
        let side = |text: &str| (!text.is_empty()).then(|| serde_json::from_str::<Value>(text).unwrap());
        let mut entry = entry(2, json!(operations), json!([]));
        let change = |&(path, old, new): &(&str, &str, &str)| FieldChange {
            path: path.to_owned(),
            old: side(old),
            new: side(new),
        };
        entry.changes = changes.iter().map(change).collect();
        Severity::of_change(&entry)
    }

    #[test]
    fn operations_have_their_severity() {
        for (severity, names) in [
            (Severity::Critical, &["archive", "place_override"][..]),
            (Severity::Warning, &["mark_legacy", "deprecate", "retire", "adopt", "end_override"]),
            (
                Severity::Info,
                &[
                    "create",
                    "unarchive",
                    "unmark_legacy",
                    "update_meta",
                    "rename_alias",
                    "register_version",
                    "set_canary",
                    "activate",
                    "set_availability",
                ],
            ),
        ] {
            for name in names {
                assert_eq!(of(&[name], &[]), severity, "{name}");
            }
        }
        assert_eq!(of(&["update_meta", "mark_legacy"], &[]), Severity::Warning, "the gravest counts");
        assert_eq!(of(&["create"], &[("/meta", "", r#"{"requiredTier":"pro"}"#)]), Severity::Info);
    }

    #[test]
    fn fields_have_their_severity() {
        use Severity::{Critical, Info, Warning};
        let input = "/meta/inputCostPerMillionTokens";
        for (severity, path, old, new) in [
            (Info, input, "1250", "1000"),
            (Info, input, "1.0", "1.00"),
            (Info, input, "null", "1250"),
            (Info, input, "1250", "null"),
            (Warning, input, "1250", "1250.01"),
            (Warning, input, "100", "1000"),
            (Critical, input, "100", "1000.1"),
            (Critical, input, "1000", "99"),
            (Critical, input, "0", "1"),
            (Warning, "/meta/outputCostPerMillionTokens", "1", "2"),
            (Warning, "/meta/creditsPer1kTokens", "1", "2"),
            (Warning, "/meta/prices/cacheRead", "1", "2"),
            (Critical, "/meta/prices/cacheRead", "2", "0"),
            (Info, "/meta/prices/cacheRead", "", "2"),
            (Warning, "/meta/prices/tiers", "", r#"[{"aboveTokens":5}]"#),
            (Warning, "/meta/priceSchedule", "[]", ""),
            (Critical, "/meta/requiredTier", r#""free""#, r#""pro""#),
            (Info, "/meta/requiredTier", r#""pro""#, r#""free""#),
            (Critical, "/meta/allowedTiers", r#"["free","pro"]"#, r#"["pro"]"#),
            (Info, "/meta/allowedTiers", r#"["pro"]"#, r#"["pro","free"]"#),
            (Critical, "/meta/tierRestrictionMode", r#""minimum""#, r#""exact""#),
            (Info, "/meta/tierRestrictionMode", r#""exact""#, r#""minimum""#),
            (Warning, "/isAvailable", "true", "false"),
            (Info, "/isAvailable", "false", "true"),
            (Warning, "/protected", "true", ""),
            (Info, "/protected", "", "true"),
            (Warning, "/meta/sunsetDate", "", r#""2027-01-01T00:00:00Z""#),
            (Critical, "/meta/sunsetDate", "", r#""2026-11-21T10:00:00Z""#),
            (Info, "/meta/sunsetDate", r#""2027-01-01T00:00:00Z""#, ""),
            (Info, "/meta/description", r#""a""#, r#""b""#),
        ] {
            assert_eq!(of(&["update_meta"], &[(path, old, new)]), severity, "{path} {old} -> {new}");
        }
    }

    #[test]
    fn names() {
        for severity in Severity::ALL {
            assert_eq!(severity.name().parse(), Ok(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        let unknown = "fatal".parse::<Severity>().unwrap_err();
        assert_eq!(unknown.to_string(), "\"fatal\" is no severity: expected one of info, warning, critical");
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
    }
}
