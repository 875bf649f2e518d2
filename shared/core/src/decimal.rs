//! Exact decimals: what was written in a file is what is stored, compared and shown.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// A non-negative decimal that keeps its digits, trailing zeros included.
///
/// Two values are equal when they are written alike: `1.50` is not `1.5`, because a
/// catalogue that says one must not answer the other. Compare amounts with [`Exact::amount`].
#[derive(Clone, Copy, Debug)]
pub struct Exact(Decimal);

/// Why a text is not an [`Exact`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a JSON number.
    #[error("not a number: {0}")]
    NotANumber(String),
    /// The number is below zero.
    #[error("negative number: {0}")]
    Negative(String),
    /// The number does not fit 28 significant digits.
    #[error("more than 28 significant digits: {0}")]
    TooManyDigits(String),
}

impl Exact {
    /// The numeric value, for arithmetic and for comparing amounts.
    #[must_use]
    pub fn amount(self) -> Decimal {
        self.0
    }

    /// A small constant: `mantissa` divided by ten to the power `scale` (at most 28).
    #[must_use]
    pub(crate) fn from_parts(mantissa: u32, scale: u32) -> Self {
        Self(Decimal::from_parts(mantissa, 0, 0, false, scale.min(28)))
    }

    /// A count.
    #[must_use]
    pub fn whole(count: u64) -> Self {
        Self(count.into())
    }

    /// A measured value, to a number of places and without zeros that say nothing; below zero counts as zero.
    #[must_use]
    pub fn rounded(value: Decimal, places: u32) -> Self {
        Self(value.max(Decimal::ZERO).round_dp(places).normalize())
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.0.mantissa() == other.0.mantissa() && self.0.scale() == other.0.scale()
    }
}

impl Eq for Exact {}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Exact {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let not_a_number = || DecimalError::NotANumber(text.to_owned());
        let too_many = || DecimalError::TooManyDigits(text.to_owned());
        if text.starts_with('-') {
            return Err(DecimalError::Negative(text.to_owned()));
        }
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| not_a_number())?),
            None => (text, 0),
        };
        if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        {
            return Err(not_a_number());
        }
        let mut value = Decimal::from_str_exact(digits).map_err(|error| match error {
            rust_decimal::Error::Underflow
            | rust_decimal::Error::ExceedsMaximumPossibleValue
            | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) => too_many(),
            _ => not_a_number(),
        })?;
        // An exponent moves the point: first through the digits after it, then by adding zeros.
        let scale = i64::from(value.scale()) - i64::from(exponent);
        if exponent != 0 {
            let kept = u32::try_from(scale.max(0)).map_err(|_| too_many())?;
            value.set_scale(kept).map_err(|_| too_many())?;
            if !value.is_zero() {
                for _ in 0..(-scale).clamp(0, 40) {
                    value = value.checked_mul(Decimal::TEN).ok_or_else(too_many)?;
                }
            }
        }
        Ok(Self(value))
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = serde_json::Number::from_str(&self.0.to_string()).map_err(ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.as_str().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_digit() {
        for text in ["0", "0.0", "1.50", "570.0000000000001", "49.99999999999999", "1234567890123456789012345678"] {
            let exact: Exact = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&exact).unwrap(), text);
        }
    }

    #[test]
    fn exponents_move_the_point() {
        for (text, plain) in
            [("1e3", "1000"), ("1.25E+2", "125"), ("125e-2", "1.25"), ("1.50e1", "15.0"), ("0e30", "0")]
        {
            assert_eq!(text.parse::<Exact>().unwrap().to_string(), plain, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_keep() {
        assert!(matches!("-1".parse::<Exact>(), Err(DecimalError::Negative(_))));
        assert!(matches!("1e40".parse::<Exact>(), Err(DecimalError::TooManyDigits(_))));
        assert!(matches!("0.12345678901234567890123456789".parse::<Exact>(), Err(DecimalError::TooManyDigits(_))));
        for text in ["", "abc", "1_000", "+1", ".5", "NaN", "1e", "1e99999999999"] {
            assert!(matches!(text.parse::<Exact>(), Err(DecimalError::NotANumber(_))), "{text}");
        }
        assert!(serde_json::from_str::<Exact>("\"1\"").is_err());
    }

    #[test]
    fn equal_means_written_alike() {
        let (a, b): (Exact, Exact) = ("1.5".parse().unwrap(), "1.50".parse().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.amount(), b.amount());
    }
}
