//! Notices: what people and programs outside are told, as it happens.
//!
//! A notice follows from what it tells of, its id too, so that telling it twice is telling it once.

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Number, Value, json};

use crate::canonical;
use crate::decimal::Exact;
use crate::diff::FieldChange;
use crate::lifecycle;
use crate::model::ModelId;
use crate::record::Record;
use crate::view::View;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names on the wire say it all")]
pub enum Kind {
    ModelCreated,
    ModelLegacy,
    ModelUnmarkedLegacy,
    ModelArchived,
    ModelUnarchived,
    ModelSunsetApproaching,
    ModelSunsetReached,
    PriceChanged,
    SyncApplied,
    SyncHeld,
    SyncRejected,
    SyncFailed,
    DriftFound,
    RolloutPromoted,
    RolloutPaused,
    RolloutRolledBack,
    VersionFailing,
    VersionRecovered,
}

impl Kind {
    /// The `type` on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ModelCreated => "model.created",
            Self::ModelLegacy => "model.legacy",
            Self::ModelUnmarkedLegacy => "model.unmarked_legacy",
            Self::ModelArchived => "model.archived",
            Self::ModelUnarchived => "model.unarchived",
            Self::ModelSunsetApproaching => "model.sunset_approaching",
            Self::ModelSunsetReached => "model.sunset_reached",
            Self::PriceChanged => "price.changed",
            Self::SyncApplied => "sync.applied",
            Self::SyncHeld => "sync.held",
            Self::SyncRejected => "sync.rejected",
            Self::SyncFailed => "sync.failed",
            Self::DriftFound => "drift.found",
            Self::RolloutPromoted => "rollout.promoted",
            Self::RolloutPaused => "rollout.paused",
            Self::RolloutRolledBack => "rollout.rolled_back",
            Self::VersionFailing => "version.failing",
            Self::VersionRecovered => "version.recovered",
        }
    }
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A fingerprint of what it tells of; whoever gets it twice knows it by this.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// When that happened.
    pub at: Timestamp,
    /// The rest of it.
    pub data: Value,
}

impl Notice {
    /// A notice of what `subject` names among all that its kind tells of.
    #[must_use]
    pub fn new(kind: Kind, subject: &[&str], at: Timestamp, data: Value) -> Self {
        let mut id = canonical::sha256_hex(json!([kind.name(), subject]).to_string().as_bytes());
        id.truncate(32);
        // The specification of webhooks wants no full stop in an id.
        Self { id: format!("msg_{id}"), kind, at, data }
    }

    /// What is sent: `type`, `timestamp` and `data`, as <https://www.standardwebhooks.com> names them.
    #[must_use]
    pub fn body(&self) -> String {
        json!({"type": self.kind.name(), "timestamp": self.at, "data": self.data}).to_string()
    }
}

/// What a record's step from `old` to `new` is to tell: how the model's life and its prices went on.
#[must_use]
pub fn of_step(old: Option<&Record>, new: &Record) -> Vec<Notice> {
    let was = |is: fn(&Record) -> bool| old.is_some_and(is);
    let legacy = |record: &Record| record.spec.is_legacy;
    let reached = new.status.sunset_reached;
    let is_reached = reached.is_some() && reached != old.and_then(|old| old.status.sunset_reached);
    let archived = (was(Record::is_archived), new.is_archived());
    let kinds = [
        (old.is_none(), Kind::ModelCreated),
        (!was(legacy) && legacy(new), Kind::ModelLegacy),
        (was(legacy) && !legacy(new), Kind::ModelUnmarkedLegacy),
        (archived == (false, true) && !is_reached, Kind::ModelArchived),
        (archived == (true, false), Kind::ModelUnarchived),
        (is_reached, Kind::ModelSunsetReached),
    ];
    let notice =
        |kind, data| Notice::new(kind, &[new.spec.id.as_str(), &new.seq.to_string()], new.change.applied_at, data);
    let mut notices: Vec<Notice> =
        kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| notice(kind, about(new))).collect();
    let prices = old.map(|old| price_moves(old, new)).unwrap_or_default();
    if !prices.is_empty() {
        let mut data = about(new);
        data["changes"] = prices.into();
        notices.push(notice(Kind::PriceChanged, data));
    }
    notices
}

/// A model's sunset is `window` days away, or fewer.
#[must_use]
pub fn of_sunset(view: &View, replacements: &[&ModelId], sunset: Timestamp, window: u64, now: Timestamp) -> Notice {
    let subject = [view.id.as_str(), &sunset.to_string(), &window.to_string()];
    let data = json!({
        "modelId": view.id,
        "provider": view.provider,
        "sunsetDate": sunset,
        "windowDays": window,
        "daysLeft": crate::end_of_life::days_left(sunset, now),
        "replacementModelId": view.replacement,
        "replacementChain": replacements,
    });
    Notice::new(Kind::ModelSunsetApproaching, &subject, now, data)
}

/// What is told of a model; its internal notes are not.
fn about(record: &Record) -> Value {
    let (spec, change) = (&record.spec, &record.change);
    json!({
        "modelId": spec.id,
        "provider": spec.provider,
        "seq": record.seq,
        "isLegacy": spec.is_legacy,
        "isArchived": record.is_archived(),
        "replacementModelId": spec.meta.legacy_replacement_model_id,
        "deprecationNotice": spec.meta.deprecation_notice,
        "sunsetDate": spec.meta.sunset_date,
        "actor": change.actor,
        "reason": change.reason,
        "source": change.source,
        "commit": change.commit,
        "pullRequest": change.pull_request,
        "revision": change.revision,
    })
}

/// Every price that differs: from what to what, and by how many percent where both are known.
fn price_moves(old: &Record, new: &Record) -> Vec<Value> {
    let before = lifecycle::settled_prices(&old.spec.meta, &old.status);
    let after = lifecycle::settled_prices(&new.spec.meta, &new.status);
    let moves = lifecycle::price_changes(&before, &after).into_iter();
    moves
        .map(|FieldChange { path, old, new }| {
            let percent = percent(old.as_ref(), new.as_ref());
            json!({"price": path.trim_start_matches('/'), "old": old, "new": new, "percent": percent})
        })
        .collect()
}

/// By how many percent a price moved, to two places; none from or to what is unknown, and from what was free.
fn percent(old: Option<&Value>, new: Option<&Value>) -> Option<Number> {
    let number = |value: Option<&Value>| value?.as_number()?.as_str().parse::<Exact>().ok().map(Exact::amount);
    let (old, new) = (number(old)?, number(new)?);
    let share = new.checked_sub(old)?.checked_mul(Decimal::ONE_HUNDRED)?.checked_div(old)?;
    let rounded = share.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero).normalize();
    rounded.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::model::tests::model;
    use crate::policy::Policy;
    use crate::status::{self, tests::stepped};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn kinds(old: Option<&Record>, new: &Record) -> Vec<&'static str> {
        of_step(old, new).iter().map(|notice| notice.kind.name()).collect()
    }

    #[test]
    fn steps_of_a_life_are_told() {
        let mut spec = model("m");
        spec.meta.internal_notes = "margin is thin".to_owned();
        let created = stepped(None, spec.clone());
        assert_eq!(kinds(None, &created), ["model.created"]);
        spec.is_legacy = true;
        spec.meta.sunset_date = Some(at("2026-12-01T00:00:00Z"));
        let legacy = stepped(Some(&created), spec.clone());
        assert_eq!(kinds(Some(&created), &legacy), ["model.legacy"]);
        let now = at("2026-12-01T00:00:30Z");
        let gone = status::after(&legacy, &status::due(&legacy, &Policy::default(), now).unwrap(), 2, now);
        assert_eq!(kinds(Some(&legacy), &gone), ["model.sunset_reached"]);
        spec.is_legacy = false;
        spec.meta.sunset_date = None;
        let back = stepped(Some(&gone), spec.clone());
        assert_eq!(kinds(Some(&gone), &back), ["model.unmarked_legacy", "model.unarchived"]);
        let hidden = stepped(Some(&back), Model { is_archived: true, is_available: false, ..spec });
        assert_eq!(kinds(Some(&back), &hidden), ["model.archived"]);
        let bodies: String = of_step(None, &created).iter().map(Notice::body).collect();
        assert!(!bodies.contains("thin"), "{bodies}");
        assert_eq!(of_step(None, &created)[0].id, of_step(None, &created)[0].id);
        assert_ne!(of_step(Some(&back), &hidden)[0].id, of_step(Some(&created), &legacy)[0].id);
    }

    #[test]
    fn prices_move_by_exact_decimals() {
        let mut spec = model("m");
        spec.meta.price_schedule = serde_json::from_str(
            r#"[{"from":"2026-12-01T00:00:00Z","inputCostPerMillionTokens":1000.50,"prices":{"cacheRead":0}}]"#,
        )
        .unwrap();
        let created = stepped(None, spec.clone());
        let now = at("2026-12-01T00:00:00Z");
        let begun = status::after(&created, &status::due(&created, &Policy::default(), now).unwrap(), 1, now);
        let told = of_step(Some(&created), &begun);
        assert_eq!(
            told[0].data["changes"].to_string(),
            r#"[{"new":1000.50,"old":1250,"percent":-19.96,"price":"inputCostPerMillionTokens"},{"new":{"cacheRead":0},"old":null,"percent":null,"price":"prices"}]"#
        );
        // The file says at last what has been so since December.
        spec.meta.input_cost_per_million_tokens = "1000.50".parse().ok();
        spec.meta.prices = spec.meta.price_schedule.remove(0).prices;
        assert_eq!(kinds(Some(&begun), &stepped(Some(&begun), spec.clone())), [""; 0]);
        spec.meta.output_cost_per_million_tokens = "20000".parse().ok();
        let dearer = of_step(Some(&begun), &stepped(Some(&begun), spec));
        assert_eq!(dearer[0].data["changes"][0]["percent"].to_string(), "100");
    }
}
