//! Prices: thousandths of a US dollar per million tokens, exact.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::decimal::{DecimalError, Exact};
use crate::policy::CreditsPolicy;

/// Thousandths of a US dollar per million tokens: `1250` is $1.25.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(Exact);

impl Price {
    /// The numeric value in thousandths of a dollar per million tokens.
    #[must_use]
    pub fn amount(self) -> Decimal {
        self.0.amount()
    }
}

impl std::str::FromStr for Price {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Prices beyond plain input and output; absent is unknown, never free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// Input tokens read from a prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Price>,
    /// Input tokens written to a prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Price>,
    /// Input tokens of a batch job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_input: Option<Price>,
    /// Output tokens of a batch job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_output: Option<Price>,
    /// Reasoning tokens, where they are billed apart from output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Price>,
    /// Audio input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<Price>,
    /// Audio output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<Price>,
    /// Image output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_output: Option<Price>,
    /// Prices above a prompt length, by ascending length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<PriceTier>,
}

/// Other prices for requests whose prompt is longer than a number of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceTier {
    /// The tier applies above this many prompt tokens.
    pub above_tokens: u64,
    /// Input price in the tier; absent is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Price>,
    /// Output price in the tier; absent is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Price>,
}

/// Prices that take effect at a time; what is not named stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduledPrice {
    /// When the prices start.
    pub from: Timestamp,
    /// The new input price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cost_per_million_tokens: Option<Price>,
    /// The new output price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_cost_per_million_tokens: Option<Price>,
    /// The other new prices, replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

/// Credits for a thousand tokens, or `None` when a price is unknown or the result does not fit.
///
/// `max(1, round_half_up(mean(input, output) / 1000 / 1000 * margin / usd_per_credit))`, computed
/// with a single division so that nothing is rounded before the end.
#[must_use]
pub fn credits_per_1k_tokens(input: Option<Price>, output: Option<Price>, policy: &CreditsPolicy) -> Option<u64> {
    let doubled_mean = input?.amount().checked_add(output?.amount())?;
    let numerator = doubled_mean.checked_mul(policy.margin.amount())?;
    let denominator = Decimal::from(2_000_000).checked_mul(policy.usd_per_credit.amount())?;
    let credits = numerator
        .checked_div(denominator)?
        .round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    u64::try_from(credits).ok().map(|credits| credits.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(input: &str, output: &str) -> Option<u64> {
        credits_per_1k_tokens(input.parse().ok(), output.parse().ok(), &CreditsPolicy::default())
    }

    #[test]
    fn credits_follow_the_formula() {
        assert_eq!(credits("1250", "10000"), Some(28));
        assert_eq!(credits("0", "0"), Some(1), "never below one");
        assert_eq!(credits("300", "300"), Some(2), "1.5 rounds half up");
        assert_eq!(credits("299.9", "300"), Some(1));
        assert_eq!(credits("unknown", "10"), None);
        assert_eq!(credits("9999999999999999999999999999", "9999999999999999999999999999"), None);
    }
}
