//! What becomes of a model's prices: every kind of them, now and from each scheduled time on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::guard;
use crate::lifecycle;
use crate::meta::Meta;
use crate::policy::Policy;
use crate::price::{self, Price, Prices, ScheduledPrice};

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    BatchInput,
    BatchOutput,
    Reasoning,
    AudioInput,
    AudioOutput,
    ImageOutput,
    /// Input of prompts above a number of tokens.
    InputAbove(u64),
    /// Output for prompts above a number of tokens.
    OutputAbove(u64),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache read",
            Self::CacheWrite => "cache write",
            Self::BatchInput => "batch input",
            Self::BatchOutput => "batch output",
            Self::Reasoning => "reasoning",
            Self::AudioInput => "audio input",
            Self::AudioOutput => "audio output",
            Self::ImageOutput => "image output",
            Self::InputAbove(tokens) => return write!(f, "input above {tokens} tokens"),
            Self::OutputAbove(tokens) => return write!(f, "output above {tokens} tokens"),
        })
    }
}

/// A price that changes; `None` is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) kind: Kind,
    /// When it changes, unless at once.
    pub(super) from: Option<Timestamp>,
    pub(super) old: Option<Price>,
    pub(super) new: Option<Price>,
}

impl Move {
    /// What moves and when, in words.
    pub(super) fn label(&self) -> String {
        match self.from {
            Some(from) => format!("{} from {}", self.kind, date(from)),
            None => self.kind.to_string(),
        }
    }

    /// By how much, in words.
    pub(super) fn change(&self) -> String {
        match (self.old, self.new) {
            (Some(old), Some(new)) if old.amount() == new.amount() => "same amount".to_owned(),
            (Some(old), Some(_)) if old.amount().is_zero() => "from zero".to_owned(),
            (Some(old), Some(new)) => percent(old.amount(), new.amount()).unwrap_or_else(|| "enormous".to_owned()),
            (None, _) => "new".to_owned(),
            (_, None) => "removed".to_owned(),
        }
    }

    /// Whether it becomes more than twice as dear.
    pub(super) fn more_than_doubles(&self) -> bool {
        matches!((self.old, self.new), (Some(old), Some(new))
            if new.amount() > old.amount() && guard::moves_too_far(old, new, 2))
    }

    /// The factor between both prices, 1 or more; from or to nothing is further than any.
    pub(super) fn factor(&self) -> Decimal {
        let (Some(old), Some(new)) = (self.old, self.new) else { return Decimal::ONE };
        let (low, high) = (old.amount().min(new.amount()), old.amount().max(new.amount()));
        if low == high { Decimal::ONE } else { high.checked_div(low).unwrap_or(Decimal::MAX) }
    }
}

/// Every price that changes: those of the file, then those of each scheduled time.
pub(super) fn moves(before: Option<&Meta>, after: &Meta) -> Vec<Move> {
    let listed = |meta: &Meta| {
        by_kind(meta.input_cost_per_million_tokens, meta.output_cost_per_million_tokens, meta.prices.as_ref())
    };
    let mut moves = differences(&before.map(listed).unwrap_or_default(), &listed(after), None);
    let schedule = |meta: &Meta| -> BTreeMap<Timestamp, ScheduledPrice> {
        meta.price_schedule.iter().map(|scheduled| (scheduled.from, scheduled.clone())).collect()
    };
    let (old, new) = (before.map(schedule).unwrap_or_default(), schedule(after));
    let times: BTreeSet<Timestamp> = old.keys().chain(new.keys()).copied().collect();
    for time in times.into_iter().filter(|time| old.get(time) != new.get(time)) {
        let names = |kind: Kind| {
            [old.get(&time), new.get(&time)].into_iter().flatten().any(|scheduled| match kind {
                Kind::Input => scheduled.input_cost_per_million_tokens.is_some(),
                Kind::Output => scheduled.output_cost_per_million_tokens.is_some(),
                _ => scheduled.prices.is_some(),
            })
        };
        let in_force = |meta: &Meta| {
            let at = lifecycle::prices_at(meta, time);
            by_kind(at.input, at.output, at.prices)
        };
        let then = differences(&before.map(in_force).unwrap_or_default(), &in_force(after), Some(time));
        // What a time does not name changes with the file, which is told already.
        moves.extend(then.into_iter().filter(|change| names(change.kind)));
    }
    moves
}

fn differences(old: &BTreeMap<Kind, Price>, new: &BTreeMap<Kind, Price>, from: Option<Timestamp>) -> Vec<Move> {
    let kinds: BTreeSet<Kind> = old.keys().chain(new.keys()).copied().collect();
    let moves =
        kinds.into_iter().map(|kind| Move { kind, from, old: old.get(&kind).copied(), new: new.get(&kind).copied() });
    moves.filter(|change| change.old != change.new).collect()
}

/// The prices that are known, by kind.
fn by_kind(input: Option<Price>, output: Option<Price>, prices: Option<&Prices>) -> BTreeMap<Kind, Price> {
    let mut all = vec![(Kind::Input, input), (Kind::Output, output)];
    if let Some(prices) = prices {
        all.extend([
            (Kind::CacheRead, prices.cache_read),
            (Kind::CacheWrite, prices.cache_write),
            (Kind::BatchInput, prices.batch_input),
            (Kind::BatchOutput, prices.batch_output),
            (Kind::Reasoning, prices.reasoning),
            (Kind::AudioInput, prices.audio_input),
            (Kind::AudioOutput, prices.audio_output),
            (Kind::ImageOutput, prices.image_output),
        ]);
        for tier in &prices.tiers {
            all.push((Kind::InputAbove(tier.above_tokens), tier.input));
            all.push((Kind::OutputAbove(tier.above_tokens), tier.output));
        }
    }
    all.into_iter().filter_map(|(kind, price)| Some((kind, price?))).collect()
}

/// Credits for a thousand tokens, as clients see them at `now`.
pub(super) fn credits(meta: &Meta, policy: &Policy, now: Timestamp) -> Option<u64> {
    let prices = lifecycle::prices_at(meta, now);
    let computed = || price::credits_per_1k_tokens(prices.input, prices.output, &policy.credits);
    meta.credits_per_1k_tokens.or_else(computed)
}

/// A price in dollars, and in the catalogue's thousandths.
pub(super) fn shown(price: Option<Price>) -> String {
    price.map_or_else(|| "unknown".to_owned(), |price| format!("{} ({price})", dollars(price)))
}

/// A price in dollars, exact: the point moves through the digits, so that nothing is rounded.
fn dollars(price: Price) -> String {
    let amount = price.amount();
    let places = amount.scale() as usize + 3;
    let digits = format!("{:0>width$}", amount.mantissa(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    format!("${whole}.{fraction:0<2}")
}

/// The change from one amount to another, rounded half up to a tenth of a percent; `None` when it does not fit.
pub(super) fn percent(old: Decimal, new: Decimal) -> Option<String> {
    let moved = new.checked_sub(old)?.checked_mul(Decimal::from(1000))?.checked_div(old)?;
    // A fall is rounded as the rise of the same size.
    let mut percent = moved.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    percent.set_scale(1).ok()?;
    let sign = if percent.is_sign_negative() || percent.is_zero() { "" } else { "+" };
    Some(format!("{sign}{percent}%"))
}

/// A time; a midnight as its day.
pub(super) fn date(time: Timestamp) -> String {
    let text = time.to_string();
    text.strip_suffix("T00:00:00Z").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn dollars_are_exact() {
        for (thousandths, dollars) in [
            ("1250", "$1.25"),
            ("10000", "$10.00"),
            ("0", "$0.00"),
            ("0.000", "$0.00"),
            ("75", "$0.075"),
            ("1", "$0.001"),
            ("570.0000000000001", "$0.5700000000000001"),
            ("9999999999999999999999999999", "$9999999999999999999999999.999"),
            ("0.0000000000000000000000000001", "$0.0000000000000000000000000000001"),
        ] {
            assert_eq!(super::dollars(price(thousandths)), dollars, "{thousandths}");
        }
    }

    #[test]
    fn percents_are_rounded_half_up() {
        let change = |old: &str, new: &str| {
            let (old, new) = (old.parse().ok(), new.parse().ok());
            Move { kind: Kind::Input, from: None, old, new }.change()
        };
        assert_eq!(change("1000", "1200"), "+20.0%");
        assert_eq!(change("1000", "1000.5"), "+0.1%");
        assert_eq!(change("1000", "1000.49"), "0.0%");
        assert_eq!(change("1000", "999.5"), "-0.1%");
        assert_eq!(change("3", "1"), "-66.7%");
        assert_eq!(change("3", "0"), "-100.0%");
        assert_eq!(change("0", "3"), "from zero");
        assert_eq!(change("1.5", "1.50"), "same amount");
        assert_eq!(change("unknown", "3"), "new");
        assert_eq!(change("3", "unknown"), "removed");
        assert_eq!(change("0.1", "9999999999999999999999999999"), "enormous");
    }

    #[test]
    fn a_scheduled_time_tells_what_clients_will_pay_then() {
        let before = model("m").meta;
        let mut after = before.clone();
        after.input_cost_per_million_tokens = Some(price("2000"));
        after.prices =
            serde_json::from_str(r#"{"cacheRead": 125, "tiers": [{"aboveTokens": 9, "output": 5}]}"#).unwrap();
        after.price_schedule =
            serde_json::from_str(r#"[{"from": "2027-01-01T00:00:00Z", "outputCostPerMillionTokens": 8000}]"#).unwrap();
        let told = |moves: Vec<Move>| -> Vec<String> {
            let told = |change: &Move| format!("{}: {} {}", change.label(), shown(change.old), shown(change.new));
            moves.iter().map(told).collect()
        };
        assert_eq!(
            told(moves(Some(&before), &after)),
            [
                "input: $1.25 (1250) $2.00 (2000)",
                "cache read: unknown $0.125 (125)",
                "output above 9 tokens: unknown $0.005 (5)",
                "output from 2027-01-01: $10.00 (10000) $8.00 (8000)",
            ]
        );
        let taken_back = moves(Some(&after), &Meta { price_schedule: Vec::new(), ..after.clone() });
        assert_eq!(told(taken_back), ["output from 2027-01-01: $8.00 (8000) $10.00 (10000)"]);
    }
}
