//! Numbers of other catalogues, read and written by their digits: a unit only moves the point.

use roster_core::Price;
use serde_json::{Number, Value};

/// More significant digits than this are what a computed float looks like, not a price that somebody set.
const MAX_LIKELY_DIGITS: usize = 15;
/// The farthest that a point is moved: nothing with more zeros is a price.
const MAX_ZEROS: i64 = 64;

/// What a price of another catalogue is in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// US dollars a token.
    DollarsPerToken,
    /// US dollars for a million tokens.
    DollarsPerMillion,
}

impl Unit {
    /// How far the point moves to thousandths of a dollar for a million tokens.
    fn places(self) -> i64 {
        match self {
            Self::DollarsPerToken => 9,
            Self::DollarsPerMillion => 3,
        }
    }
}

/// What became of a price.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The number, and what is odd about it.
    Known(Number, Option<&'static str>),
    /// Nothing is said.
    Absent,
    /// Something is said that is no price, and why it is not.
    Unknown(String),
}

/// Reads a price that is a number or a text, digit for digit.
pub(crate) fn price(value: &Value, unit: Unit) -> Read {
    let text = match value {
        Value::Null => return Read::Absent,
        Value::Number(number) => number.as_str(),
        Value::String(text) => text.trim(),
        _ => return Read::Unknown("is no number: unknown".to_owned()),
    };
    if text.starts_with('-') {
        return Read::Unknown(format!("is {text}, which is no price: unknown"));
    }
    let Some(shifted) = moved(text, unit.places()) else {
        return Read::Unknown(format!("is no number ({}): unknown", shorten(text)));
    };
    match (shifted.parse::<Price>(), shifted.parse::<Number>()) {
        (Ok(_), Ok(number)) => {
            let digits = shifted.bytes().filter(u8::is_ascii_digit).count();
            let odd = shifted.contains('.') && digits > MAX_LIKELY_DIGITS;
            Read::Known(number, odd.then_some("looks like a computed float: kept digit for digit"))
        }
        _ => Read::Unknown(format!("has more digits than can be kept ({}): unknown", shorten(text))),
    }
}

/// A price of ours in another unit.
pub(crate) fn written(price: Price, unit: Unit) -> Value {
    let number = moved(&price.to_string(), -unit.places()).and_then(|text| text.parse::<Number>().ok());
    number.map_or(Value::Null, Value::Number)
}

/// A count above zero, whether it is written as a number or a text.
pub(crate) fn count(value: &Value) -> Result<Option<u64>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_str(),
        Value::String(text) => text.trim(),
        _ => return Err("is no number: unknown".to_owned()),
    };
    match moved(text, 0).and_then(|plain| plain.parse::<u64>().ok()) {
        Some(0) => Err("is 0: unknown".to_owned()),
        Some(count) => Ok(Some(count)),
        None => Err(format!("is no whole number ({}): unknown", shorten(text))),
    }
}

/// A number with its point moved to the right, written plainly and without zeros that say nothing.
fn moved(text: &str, places: i64) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let all = format!("{whole}{fraction}");
    if whole.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = all.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let length = |text: &str| i64::try_from(text.len()).ok();
    let zeros = length(digits)? - length(significant)?;
    let power = i64::from(exponent) - length(fraction)? + zeros + places;
    if power.abs() > MAX_ZEROS {
        return None;
    }
    let point = length(significant)? + power;
    Some(match (usize::try_from(power), usize::try_from(point)) {
        (Ok(power), _) => format!("{significant}{}", "0".repeat(power)),
        (_, Ok(point)) if point > 0 => format!("{}.{}", &significant[..point], &significant[point..]),
        _ => format!("0.{}{significant}", "0".repeat(usize::try_from(-point).ok()?)),
    })
}

/// What has no field here, kept: whole numbers as they are, every other number as text, digit for digit.
pub(crate) fn kept(value: Value, is_price: bool) -> Value {
    match value {
        Value::Number(number)
            if is_price || number.as_str().contains(['.', 'e', 'E']) || number.as_str().len() > 20 =>
        {
            Value::String(number.as_str().to_owned())
        }
        Value::Array(items) => items.into_iter().map(|item| kept(item, is_price)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, kept(value, is_price))).collect(),
        other => other,
    }
}

/// The beginning of a text, for messages.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str, unit: Unit) -> Option<String> {
        match price(&serde_json::from_str(text).unwrap(), unit) {
            Read::Known(number, _) => Some(number.to_string()),
            _ => None,
        }
    }

    #[test]
    fn the_point_moves_and_the_digits_stay() {
        for (text, thousandths) in [
            ("1.25e-06", "1250"),
            ("0.0000000046875", "4.6875"),
            ("1.4999999999999999e-06", "1499.9999999999999"),
            ("0.0", "0"),
            ("2e-07", "200"),
            ("1E+1", "10000000000"),
            ("\"0.00000125\"", "1250"),
        ] {
            assert_eq!(known(text, Unit::DollarsPerToken).as_deref(), Some(thousandths), "{text}");
        }
        for (text, thousandths) in [("14.0", "14000"), ("0.175", "175"), ("0.0375", "37.5"), ("5", "5000")] {
            assert_eq!(known(text, Unit::DollarsPerMillion).as_deref(), Some(thousandths), "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_unknown() {
        for text in ["-1", "\"-1\"", "\"free\"", "\"\"", "\"1.\"", "\".5\"", "true", "[]", "1e99", "\"NaN\"", "\"1e\""]
        {
            let read = price(&serde_json::from_str(text).unwrap(), Unit::DollarsPerToken);
            assert!(matches!(read, Read::Unknown(_)), "{text}: {read:?}");
        }
        assert_eq!(price(&Value::Null, Unit::DollarsPerToken), Read::Absent);
    }

    #[test]
    fn a_computed_float_is_noted() {
        let odd = |text: &str| match price(&serde_json::from_str(text).unwrap(), Unit::DollarsPerToken) {
            Read::Known(_, odd) => odd.is_some(),
            _ => false,
        };
        assert!(odd("1.4999999999999999e-06"));
        assert!(!odd("1.5e-06"));
    }
}
