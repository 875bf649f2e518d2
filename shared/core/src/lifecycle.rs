//! Where a model is in its life at a given time.

use jiff::Timestamp;

use serde::Serialize;

use crate::diff::{self, FieldChange};
use crate::meta::Meta;
use crate::model::Model;
use crate::price::{Price, Prices, ScheduledPrice};
use crate::status::Status;
use crate::version::Overrides;

/// A model's place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In use.
    Active,
    /// In use, on its way out.
    Legacy,
    /// Hidden from clients: archived, or past its sunset.
    Archived,
}

/// The stage at `now`. A sunset that has passed counts at once, whether or not it was made durable.
#[must_use]
pub fn stage(model: &Model, now: Timestamp) -> Stage {
    if model.is_archived || model.meta.sunset_date.is_some_and(|sunset| sunset <= now) {
        Stage::Archived
    } else if model.is_legacy {
        Stage::Legacy
    } else {
        Stage::Active
    }
}

/// The prices in force at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PricesAt<'m> {
    /// Input price.
    #[serde(rename = "inputCostPerMillionTokens")]
    pub input: Option<Price>,
    /// Output price.
    #[serde(rename = "outputCostPerMillionTokens")]
    pub output: Option<Price>,
    /// The others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<&'m Prices>,
}

impl<'m> PricesAt<'m> {
    /// These prices, with every scheduled change that has begun.
    #[must_use]
    pub fn with_schedule(
        mut self,
        schedule: &'m [ScheduledPrice],
        has_begun: impl Fn(&ScheduledPrice) -> bool,
    ) -> Self {
        for scheduled in schedule.iter().filter(|scheduled| has_begun(scheduled)) {
            self.input = scheduled.input_cost_per_million_tokens.or(self.input);
            self.output = scheduled.output_cost_per_million_tokens.or(self.output);
            self.prices = scheduled.prices.as_ref().or(self.prices);
        }
        self
    }
}

/// The prices at `now`: those of the file, with every scheduled change that has begun.
#[must_use]
pub fn prices_at(meta: &Meta, now: Timestamp) -> PricesAt<'_> {
    prices_after(meta, |scheduled| scheduled.from <= now)
}

/// The prices of a version at `now`: what it sets for itself counts, else what the model has then.
#[must_use]
pub fn version_prices_at<'m>(meta: &'m Meta, own: Option<&'m Overrides>, now: Timestamp) -> PricesAt<'m> {
    let of_model = prices_at(meta, now);
    let Some(own) = own else { return of_model };
    PricesAt {
        input: own.input_cost_per_million_tokens.or(of_model.input),
        output: own.output_cost_per_million_tokens.or(of_model.output),
        prices: own.prices.as_ref().or(of_model.prices),
    }
}

/// The prices that are part of the history: those of the file, with every scheduled change that is part of it.
#[must_use]
pub fn settled_prices<'m>(meta: &'m Meta, status: &Status) -> PricesAt<'m> {
    prices_after(meta, |scheduled| status.prices_applied.contains(&scheduled.from))
}

/// The prices that differ, each by its path below `meta`.
#[must_use]
pub fn price_changes(old: &PricesAt<'_>, new: &PricesAt<'_>) -> Vec<FieldChange> {
    let value = |prices: &PricesAt<'_>| serde_json::to_value(prices).unwrap_or_default();
    diff::fields(&value(old), &value(new))
}

fn prices_after(meta: &Meta, has_begun: impl Fn(&ScheduledPrice) -> bool) -> PricesAt<'_> {
    let written = PricesAt {
        input: meta.input_cost_per_million_tokens,
        output: meta.output_cost_per_million_tokens,
        prices: meta.prices.as_ref(),
    };
    written.with_schedule(&meta.price_schedule, has_begun)
}

/// The next instant after `now` at which time alone changes what clients see of a model.
#[must_use]
pub fn next_change(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let starts = model.meta.price_schedule.iter().map(|scheduled| scheduled.from);
    starts.chain(model.meta.sunset_date).filter(|&at| at > now).min()
}

/// The last instant up to `now` at which time alone changed what clients see of a model.
#[must_use]
pub fn last_change(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let starts = model.meta.price_schedule.iter().map(|scheduled| scheduled.from);
    starts.chain(model.meta.sunset_date).filter(|&at| at <= now).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_passed_sunset_archives() {
        let mut model = model("m");
        model.is_legacy = true;
        model.meta.sunset_date = Some(at("2026-12-01T00:00:00Z"));
        assert_eq!(stage(&model, at("2026-11-30T23:59:59Z")), Stage::Legacy);
        assert_eq!(stage(&model, at("2026-12-01T00:00:00Z")), Stage::Archived);
        model.meta.sunset_date = None;
        model.is_archived = true;
        assert_eq!(stage(&model, at("2026-12-01T00:00:00Z")), Stage::Archived);
    }

    #[test]
    fn scheduled_prices_begin_on_time() {
        let mut model = model("m");
        model.meta.price_schedule = serde_json::from_str(
            r#"[{"from":"2026-12-01T00:00:00Z","inputCostPerMillionTokens":1000},
                {"from":"2027-01-01T00:00:00Z","outputCostPerMillionTokens":9000.5}]"#,
        )
        .unwrap();
        let shown = |now: &str| {
            let prices = prices_at(&model.meta, at(now));
            format!("{} {}", prices.input.unwrap(), prices.output.unwrap())
        };
        assert_eq!(shown("2026-11-30T00:00:00Z"), "1250 10000");
        assert_eq!(shown("2026-12-01T00:00:00Z"), "1000 10000");
        assert_eq!(shown("2027-06-01T00:00:00Z"), "1000 9000.5");
        assert_eq!(next_change(&model, at("2026-12-01T00:00:00Z")), Some(at("2027-01-01T00:00:00Z")));
        assert_eq!(next_change(&model, at("2027-01-01T00:00:00Z")), None);
        let own: Overrides = serde_json::from_str(r#"{"inputCostPerMillionTokens":700.10}"#).unwrap();
        let prices = version_prices_at(&model.meta, Some(&own), at("2027-06-01T00:00:00Z"));
        assert_eq!(format!("{} {}", prices.input.unwrap(), prices.output.unwrap()), "700.10 9000.5");
    }

    #[test]
    fn a_version_has_its_own_prices_before_those_of_the_model() {
        let mut model = model("m");
        let scheduled =
            r#"[{"from":"2026-12-01T00:00:00Z","inputCostPerMillionTokens":1,"outputCostPerMillionTokens":2}]"#;
        model.meta.price_schedule = serde_json::from_str(scheduled).unwrap();
        let own: Overrides = serde_json::from_str(r#"{"inputCostPerMillionTokens":2000}"#).unwrap();
        let shown = |own: Option<&Overrides>, now: &str| {
            let prices = version_prices_at(&model.meta, own, at(now));
            format!("{} {}", prices.input.unwrap(), prices.output.unwrap())
        };
        assert_eq!(shown(Some(&own), "2026-11-30T00:00:00Z"), "2000 10000");
        assert_eq!(shown(Some(&own), "2026-12-01T00:00:00Z"), "2000 2");
        assert_eq!(shown(None, "2026-12-01T00:00:00Z"), "1 2");
    }
}
