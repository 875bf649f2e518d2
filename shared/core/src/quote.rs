//! What a call of a model costs: token counts in, exact US dollars out.
//!
//! Tokens are counted as the providers' own usage reports count them: cached input tokens are part of the input
//! tokens, and reasoning tokens are part of the output tokens
//! (<https://platform.openai.com/docs/api-reference/chat/object>). A price counts only for what its key says: where a
//! combination has no price of its own, such as cached tokens of a batch, it is unknown and never guessed.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, Serializer};

use crate::lifecycle::PricesAt;
use crate::policy::CreditsPolicy;
use crate::price::{Price, PriceTier, Prices};

/// The most tokens of one kind that are quoted: a thousand times what any context takes.
pub const MAX_TOKENS: u64 = 1_000_000_000_000;

/// Prices are thousandths of a dollar for a million tokens: a token's price in dollars is nine places smaller.
const PLACES: u32 = 9;

/// The tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones among them.
    pub input: u64,
    /// Those of them that are read from a prompt cache.
    pub cached_input: u64,
    /// Tokens of the answer, reasoning among them.
    pub output: u64,
    /// Those of them that are reasoning.
    pub reasoning: u64,
    /// Whether the call is part of a batch job.
    pub is_batch: bool,
}

/// What tokens are billed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Prompt tokens that are read anew.
    Input,
    /// Prompt tokens out of a cache.
    CachedInput,
    /// Answer tokens.
    Output,
    /// Reasoning tokens, where they have a price of their own.
    Reasoning,
}

/// One line of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct Line {
    /// What is billed.
    pub component: Component,
    /// How many tokens.
    pub tokens: u64,
    /// Their price, in thousandths of a dollar per million tokens.
    pub price_per_million_tokens: Price,
    /// The threshold whose price it is, where the prompt is longer than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_tokens: Option<u64>,
    /// Tokens times price.
    pub cost_usd: Dollars,
}

/// What a call costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// The lines with tokens in them.
    pub components: Vec<Line>,
    /// Their sum.
    pub cost_usd: Dollars,
}

/// Why a call has no exact price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The catalogue does not say what some of the tokens cost.
    #[error("the price of {what} is unknown: {pointer} does not say it")]
    UnknownPrice {
        /// What has no price, for people.
        what: String,
        /// Where the model's document would say it (RFC 6901).
        pointer: String,
    },
    /// The exact result has more digits than can be computed with.
    #[error("the exact cost has more digits than can be computed: ask for fewer tokens at once")]
    TooManyDigits,
}

/// An exact amount of US dollars, written without an exponent and without zeros that say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dollars {
    /// The amount times ten to the power `places`.
    units: u128,
    places: u32,
}

impl Dollars {
    /// What one token costs at a price.
    #[must_use]
    pub fn per_token(price: Price) -> Self {
        let amount = price.amount();
        Self { units: amount.mantissa().unsigned_abs(), places: amount.scale() + PLACES }.reduced()
    }

    /// `tokens` at a price; `None` when that does not fit.
    fn of(tokens: u64, price: Price) -> Option<Self> {
        let amount = price.amount();
        let units = amount.mantissa().unsigned_abs().checked_mul(u128::from(tokens))?;
        Some(Self { units, places: amount.scale() + PLACES }.reduced())
    }

    /// The sum; the largest amount that can be told where it is more.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or(Self { units: u128::MAX, places: self.places.max(other.places) })
    }

    /// The amount to at most this many places, so that a sum of such amounts keeps a bounded number of digits.
    #[must_use]
    pub fn rounded(self, places: u32) -> Self {
        let Some(excess) = self.places.checked_sub(places).filter(|excess| *excess > 0) else { return self };
        // What is below a whole power of ten that does not fit is below every digit that is kept.
        let unit = 10_u128.checked_pow(excess).unwrap_or(u128::MAX);
        let units = self.units / unit + u128::from(self.units % unit >= unit / 2);
        Self { units, places }.reduced()
    }

    fn checked_add(self, other: Self) -> Option<Self> {
        let places = self.places.max(other.places);
        let units = self.at(places)?.checked_add(other.at(places)?)?;
        Some(Self { units, places }.reduced())
    }

    /// The units at more places.
    fn at(self, places: u32) -> Option<u128> {
        self.units.checked_mul(10_u128.checked_pow(places - self.places)?)
    }

    fn reduced(mut self) -> Self {
        while self.places > 0 && self.units.is_multiple_of(10) {
            self.units /= 10;
            self.places -= 1;
        }
        self
    }

    /// The amount for arithmetic that rounds; `None` when it has more than 28 digits.
    pub(crate) fn decimal(self) -> Option<Decimal> {
        Decimal::try_from_i128_with_scale(i128::try_from(self.units).ok()?, self.places).ok()
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::try_from(self.places).unwrap_or_default();
        let digits = format!("{:0>1$}", self.units, places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        f.write_str(whole)?;
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction}") }
    }
}

/// A text that is no amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no amount of dollars")]
pub struct InvalidDollars(String);

impl FromStr for Dollars {
    type Err = InvalidDollars;

    /// Reads what [`fmt::Display`] writes, and what databases make of it: a power of ten may follow.
    fn from_str(text: &str) -> Result<Self, InvalidDollars> {
        let read = || {
            let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let exponent: i64 = exponent.parse().ok()?;
            let units: u128 = format!("{whole}{fraction}").parse().ok()?;
            let places = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
            let scale = 10_u128.checked_pow(u32::try_from(-places.min(0)).ok()?)?;
            let places = u32::try_from(places.max(0)).ok()?;
            Some(Self { units: units.checked_mul(scale)?, places }.reduced())
        };
        read().ok_or_else(|| InvalidDollars(text.to_owned()))
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a call costs at the prices of one moment. Tokens that are part of others must not be more than those.
///
/// A price tier counts for the whole call once its prompt is longer than the threshold, as providers with such tiers
/// bill: <https://ai.google.dev/gemini-api/docs/pricing> ("prompts > 200k tokens"). Cached tokens are part of the prompt.
///
/// # Errors
/// [`QuoteError`] when a price is unknown, or the result has too many digits.
pub fn quote(usage: &Usage, prices: &PricesAt<'_>) -> Result<Quote, QuoteError> {
    let rates = Rates::of(usage, prices);
    let reasoning_apart = rates.reasoning_is_apart();
    let reasoning = if reasoning_apart { usage.reasoning } else { 0 };
    let counts = [
        (Component::Input, usage.input.saturating_sub(usage.cached_input)),
        (Component::CachedInput, usage.cached_input),
        (Component::Output, usage.output.saturating_sub(reasoning)),
        (Component::Reasoning, reasoning),
    ];
    let mut components = Vec::new();
    let mut cost_usd = Dollars::default();
    for (component, tokens) in counts.into_iter().filter(|(_, tokens)| *tokens > 0) {
        let price = rates.price(component)?;
        let cost = Dollars::of(tokens, price).ok_or(QuoteError::TooManyDigits)?;
        cost_usd = cost_usd.checked_add(cost).ok_or(QuoteError::TooManyDigits)?;
        components.push(Line {
            component,
            tokens,
            price_per_million_tokens: price,
            above_tokens: rates.tier.map(|(_, tier)| tier.above_tokens),
            cost_usd: cost,
        });
    }
    Ok(Quote { components, cost_usd })
}

/// The credits of a call: those of the model for each thousand tokens where it names them, else the cost times policy's
/// margin. Rounded half up, and at least one where anything is billed.
///
/// # Errors
/// [`QuoteError::TooManyDigits`] when the result does not fit.
pub fn credits(
    usage: &Usage,
    quote: &Quote,
    per_1k_tokens: Option<u64>,
    policy: &CreditsPolicy,
) -> Result<u64, QuoteError> {
    let tokens = usage.input.saturating_add(usage.output);
    if tokens == 0 {
        return Ok(0);
    }
    let exact = match per_1k_tokens {
        Some(credits) => Decimal::from(credits)
            .checked_mul(Decimal::from(tokens))
            .and_then(|all| all.checked_div(Decimal::ONE_THOUSAND)),
        None => quote
            .cost_usd
            .decimal()
            .and_then(|cost| cost.checked_mul(policy.margin.amount()))
            .and_then(|cost| cost.checked_div(policy.usd_per_credit.amount())),
    };
    let rounded = exact.map(|credits| credits.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero));
    let credits = rounded.and_then(|credits| u64::try_from(credits).ok()).ok_or(QuoteError::TooManyDigits)?;
    Ok(credits.max(1))
}

/// The prices that count for one call.
struct Rates<'p> {
    input: Option<Price>,
    output: Option<Price>,
    others: Option<&'p Prices>,
    /// The price tier that the prompt reaches, and its place in the list.
    tier: Option<(usize, &'p PriceTier)>,
    is_batch: bool,
}

impl<'p> Rates<'p> {
    fn of(usage: &Usage, prices: &PricesAt<'p>) -> Self {
        let tiers = prices.prices.map_or(&[][..], |prices| &prices.tiers);
        let reached = tiers.iter().enumerate().filter(|(_, tier)| usage.input > tier.above_tokens);
        Self {
            input: prices.input,
            output: prices.output,
            others: prices.prices,
            tier: reached.max_by_key(|(_, tier)| tier.above_tokens),
            is_batch: usage.is_batch,
        }
    }

    fn reasoning_is_apart(&self) -> bool {
        self.others.is_some_and(|prices| prices.reasoning.is_some())
    }

    fn price(&self, component: Component) -> Result<Price, QuoteError> {
        let other = |of: fn(&Prices) -> Option<Price>| self.others.and_then(of);
        let (price, what, key) = match component {
            Component::Input if self.is_batch => (other(|prices| prices.batch_input), "input tokens", "batchInput"),
            Component::Output if self.is_batch => (other(|prices| prices.batch_output), "output tokens", "batchOutput"),
            // The format has no key for what is cached, or reasoning, within a batch.
            Component::CachedInput if self.is_batch => (None, "cached input tokens", ""),
            Component::Reasoning if self.is_batch => (None, "reasoning tokens", ""),
            Component::Input => (self.input, "input tokens", ""),
            Component::Output => (self.output, "output tokens", ""),
            Component::CachedInput => (other(|prices| prices.cache_read), "cached input tokens", "cacheRead"),
            Component::Reasoning => (other(|prices| prices.reasoning), "reasoning tokens", "reasoning"),
        };
        let in_batch = if self.is_batch { " in a batch" } else { "" };
        let Some((at, tier)) = self.tier else {
            let pointer = match (component, key) {
                (Component::Input, "") => "/meta/inputCostPerMillionTokens".to_owned(),
                (Component::Output, "") => "/meta/outputCostPerMillionTokens".to_owned(),
                (_, "") => "/meta/prices".to_owned(),
                (_, key) => format!("/meta/prices/{key}"),
            };
            return price.ok_or_else(|| QuoteError::UnknownPrice { what: format!("{what}{in_batch}"), pointer });
        };
        // A tier names input and output only: what anything else costs above its threshold is not known.
        let (price, key) = match component {
            Component::Input if !self.is_batch => (tier.input, "/input"),
            Component::Output if !self.is_batch => (tier.output, "/output"),
            _ => (None, ""),
        };
        price.ok_or_else(|| QuoteError::UnknownPrice {
            what: format!("{what}{in_batch} of a prompt above {} tokens", tier.above_tokens),
            pointer: format!("/meta/prices/tiers/{at}{key}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prices(json: serde_json::Value) -> Prices {
        serde_json::from_value(json).unwrap()
    }

    fn gpt_5() -> Prices {
        prices(serde_json::json!({
            "cacheRead": 125, "batchInput": 625, "batchOutput": 5000,
            "tiers": [{"aboveTokens": 200_000, "input": 2500, "output": 15000}, {"aboveTokens": 1_000_000, "input": 5000}],
        }))
    }

    fn at(prices: &Prices) -> PricesAt<'_> {
        PricesAt { input: "1250".parse().ok(), output: "10000".parse().ok(), prices: Some(prices) }
    }

    fn cost(usage: Usage) -> Result<String, QuoteError> {
        quote(&usage, &at(&gpt_5())).map(|quote| quote.cost_usd.to_string())
    }

    fn pointer(usage: Usage) -> String {
        match cost(usage) {
            Err(QuoteError::UnknownPrice { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dollars_are_read_and_rounded() {
        let read = |text: &str| text.parse::<Dollars>().map(|dollars| dollars.to_string());
        for text in ["0", "0.005575", "12", "340282366920938463463374607431768211455"] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        for (text, plain) in [("1.25E-6", "0.00000125"), ("1e3", "1000"), ("2.50", "2.5"), ("0E-20", "0")] {
            assert_eq!(read(text).as_deref(), Ok(plain), "{text}");
        }
        for text in ["", ".", "-1", "1.2.3", "1e", "1e99", "340282366920938463463374607431768211456"] {
            assert!(read(text).is_err(), "{text}");
        }
        let rounded = |text: &str, places| text.parse::<Dollars>().unwrap().rounded(places).to_string();
        assert_eq!(rounded("0.00000125", 7), "0.0000013");
        assert_eq!(rounded("0.00000124", 7), "0.0000012");
        assert_eq!(
            (rounded("0.9996", 3), rounded("0.5", 3), rounded("1e-45", 18)),
            ("1".into(), "0.5".into(), "0".into())
        );
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let usage = |input, cached_input, output| Usage { input, cached_input, output, ..Usage::default() };
        assert_eq!(cost(usage(0, 0, 0)).unwrap(), "0");
        assert_eq!(cost(usage(1, 0, 0)).unwrap(), "0.00000125");
        assert_eq!(cost(usage(1_000_000, 0, 0)).unwrap(), "2.5", "above 200,000");
        assert_eq!(cost(usage(1000, 600, 500)).unwrap(), "0.005575");
        assert_eq!(cost(Usage { is_batch: true, ..usage(1000, 0, 500) }).unwrap(), "0.003125");
        assert_eq!(cost(Usage { reasoning: 400, ..usage(1000, 0, 500) }).unwrap(), "0.00625", "reasoning is output");
    }

    #[test]
    fn reasoning_with_a_price_of_its_own_is_a_line_of_its_own() {
        let prices = prices(serde_json::json!({"reasoning": 20000}));
        let usage = Usage { output: 500, reasoning: 400, ..Usage::default() };
        let quote = quote(&usage, &at(&prices)).unwrap();
        let lines: Vec<_> = quote.components.iter().map(|line| (line.component, line.tokens)).collect();
        assert_eq!(lines, [(Component::Output, 100), (Component::Reasoning, 400)]);
        assert_eq!(quote.cost_usd.to_string(), "0.009");
    }

    #[test]
    fn a_tier_counts_for_the_whole_call_above_its_threshold() {
        let usage = |input| Usage { input, output: 1000, ..Usage::default() };
        assert_eq!(cost(usage(200_000)).unwrap(), "0.26");
        assert_eq!(cost(usage(200_001)).unwrap(), "0.5150025");
        assert_eq!(pointer(usage(1_000_001)), "/meta/prices/tiers/1/output");
    }

    #[test]
    fn what_has_no_price_is_unknown_and_never_nothing() {
        let usage = |input, cached_input| Usage { input, cached_input, output: 1, ..Usage::default() };
        assert_eq!(pointer(usage(200_001, 1)), "/meta/prices/tiers/0");
        assert_eq!(pointer(Usage { is_batch: true, ..usage(2, 1) }), "/meta/prices", "no key says it");
        assert_eq!(pointer(Usage { is_batch: true, ..usage(200_001, 0) }), "/meta/prices/tiers/0");
        let none = PricesAt { input: None, output: None, prices: None };
        let unknown = |usage| match quote(&usage, &none) {
            Err(error) => error.to_string(),
            Ok(quote) => panic!("{quote:?}"),
        };
        assert_eq!(
            unknown(Usage { output: 1, ..Usage::default() }),
            "the price of output tokens is unknown: /meta/outputCostPerMillionTokens does not say it"
        );
        assert_eq!(
            unknown(usage(2, 2)),
            "the price of cached input tokens is unknown: /meta/prices/cacheRead does not say it"
        );
        assert_eq!(quote(&Usage::default(), &none).unwrap().cost_usd.to_string(), "0");
    }

    #[test]
    fn credits_follow_policy_or_the_model() {
        let usage = Usage { input: 500, output: 500, ..Usage::default() };
        let quote = quote(&usage, &at(&gpt_5())).unwrap();
        let credits = |usage, of| credits(&usage, &quote, of, &CreditsPolicy::default()).unwrap();
        assert_eq!(credits(usage, None), 28, "as many as creditsPer1kTokens says of half and half");
        assert_eq!(credits(usage, Some(7)), 7);
        assert_eq!(credits(Usage { input: 1, ..Usage::default() }, Some(7)), 1);
        assert_eq!(credits(Usage::default(), None), 0);
    }

    #[test]
    fn what_cannot_be_exact_is_refused() {
        let prices = PricesAt { input: "0.1234567890123456789012345678".parse().ok(), output: None, prices: None };
        let usage = Usage { input: MAX_TOKENS, ..Usage::default() };
        assert_eq!(quote(&usage, &prices), Err(QuoteError::TooManyDigits));
    }

    proptest! {
        /// Against whole numbers of the smallest unit that the prices have.
        #[test]
        fn every_digit_is_right(
            prices in proptest::array::uniform3(0..10_u64.pow(9)),
            places in 0..6_u32,
            input in 0..10_u64.pow(9),
            cached in 0..10_u64.pow(9),
            output in 0..10_u64.pow(9),
        ) {
            let price = |units: u64| Decimal::from_i128_with_scale(i128::from(units), places).to_string().parse::<Price>().ok();
            let others = Prices { cache_read: price(prices[1]), ..Prices::default() };
            let at = PricesAt { input: price(prices[0]), output: price(prices[2]), prices: Some(&others) };
            let usage = Usage { input: input + cached, cached_input: cached, output, ..Usage::default() };
            let quote = quote(&usage, &at).unwrap();
            let tokens = [input, cached, output];
            let units: u128 = prices.iter().zip(tokens).map(|(price, tokens)| u128::from(*price) * u128::from(tokens)).sum();
            let text = quote.cost_usd.to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = format!("{whole}{fraction:0<width$}", width = (PLACES + places) as usize);
            prop_assert_eq!(digits.parse::<u128>().unwrap(), units, "{}", text);
            prop_assert!(!fraction.ends_with('0') && (whole == "0" || !whole.starts_with('0')));
        }
    }
}
