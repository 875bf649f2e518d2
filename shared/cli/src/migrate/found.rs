//! The way back: whether a value of the old table stands in a document.
//!
//! It shares no code with the way there, so that a mistake of one is not the other's, too. It reads no types:
//! it compares texts of the table with what the document says.

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;

use super::{PriceUnit, Rules};

/// Whether the document says what the row said in a column.
pub(crate) fn is_in(document: &Value, column: &str, value: &Value, rules: &Rules) -> bool {
    let meta = &document["meta"];
    match column {
        _ if column == rules.id_column => is_text(&document["id"], value, true),
        "name" => is_text(&document["name"], value, false),
        "provider" => is_text(&document["provider"], value, true),
        "aliases" => is_list(&document["aliases"], value, |name| name),
        "is_available" => is_truth(&document["isAvailable"], value),
        "is_archived" => is_truth(&document["isArchived"], value),
        "is_legacy" | "is_deprecated" => is_truth(&document["isLegacy"], value),
        "display_name" => is_text(&meta["displayName"], value, false),
        "description" => is_text(&meta["description"], value, false),
        "version" => is_text(&meta["version"], value, false),
        "capabilities" => {
            is_list(&meta["capabilities"], value, |name| rules.capabilities.get(name).map_or(name, String::as_str))
        }
        "context_length" => is_amount(&meta["contextLength"], value, 0),
        "max_output_tokens" => is_amount(&meta["maxOutputTokens"], value, 0),
        "input_cost_per_million_tokens" => is_amount(&meta["inputCostPerMillionTokens"], value, power(rules)),
        "output_cost_per_million_tokens" => is_amount(&meta["outputCostPerMillionTokens"], value, power(rules)),
        "credits_per_1k_tokens" => is_amount(&meta["creditsPer1kTokens"], value, 0),
        "required_tier" => is_text(&meta["requiredTier"], value, true),
        "tier_restriction_mode" => is_text(&meta["tierRestrictionMode"], value, true),
        "allowed_tiers" => is_list(&meta["allowedTiers"], value, |name| name),
        "replacement_model_id" | "legacy_replacement_model_id" => {
            is_text(&meta["legacyReplacementModelId"], value, true)
        }
        "deprecation_notice" => is_text(&meta["deprecationNotice"], value, false),
        "sunset_date" => is_instant(&meta["sunsetDate"], value),
        _ => meta["providerMetadata"].get(column) == Some(value),
    }
}

/// By how many powers of ten the document's prices are larger numbers than the table's.
fn power(rules: &Rules) -> i64 {
    match rules.price_unit {
        PriceUnit::Thousandths => 0,
        PriceUnit::Dollars => 3,
    }
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_text(there: &Value, value: &Value, trimmed: bool) -> bool {
    let source = written(value);
    there.as_str() == Some(if trimmed { source.trim() } else { &source })
}

fn is_truth(there: &Value, value: &Value) -> bool {
    let words = match there.as_bool() {
        Some(true) => ["1", "t", "true", "yes"],
        Some(false) => ["0", "f", "false", "no"],
        None => return false,
    };
    words.contains(&written(value).trim().to_lowercase().as_str())
}

/// Every name of the list stands there, in its order, and no other.
fn is_list<'a>(there: &Value, value: &'a Value, mapped: impl Fn(&'a str) -> &'a str) -> bool {
    let between = |c: char| c.is_whitespace() || "[]{},;|\"".contains(c);
    let names: Vec<&str> = match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap_or("?")).collect(),
        other => vec![other.as_str().unwrap_or("?")],
    };
    let mut expected: Vec<&str> = Vec::new();
    for name in names.into_iter().flat_map(|text| text.split(between)).filter(|name| !name.is_empty()) {
        if !expected.contains(&mapped(name)) {
            expected.push(mapped(name));
        }
    }
    let there = there.as_array().map_or(&[][..], Vec::as_slice);
    there.iter().map(Value::as_str).eq(expected.into_iter().map(Some))
}

/// The document's number is the table's, times ten to a power.
fn is_amount(there: &Value, value: &Value, power: i64) -> bool {
    let (Value::Number(there), Some((digits, exponent))) = (there, digits(written(value).trim())) else {
        return false;
    };
    let expected = if digits.is_empty() { 0 } else { exponent + power };
    self::digits(there.as_str()) == Some((digits, expected))
}

/// A decimal as its digits without zeros at either end, and the power of ten of the last one.
fn digits(text: &str) -> Option<(String, i64)> {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_end_matches('0');
    let zeros = i64::try_from(all.len() - significant.len()).ok()?;
    let exponent = i64::from(exponent.parse::<i32>().ok()?) - i64::try_from(fraction.len()).ok()? + zeros;
    let significant = significant.trim_start_matches('0');
    Some((significant.to_owned(), if significant.is_empty() { 0 } else { exponent }))
}

/// The document's instant is what a clock at the table's offset showed.
fn is_instant(there: &Value, value: &Value) -> bool {
    let source = written(value).trim().to_uppercase().replacen(' ', "T", 1);
    let (date, clock) = source.split_once('T').unwrap_or((&source, ""));
    let (clock, zone) = clock.split_at(clock.find(['Z', '+', '-', ' ']).unwrap_or(clock.len()));
    let zone = zone.trim();
    let part = |range: std::ops::Range<usize>| match zone.get(1..).unwrap_or_default().replace(':', "").get(range) {
        None | Some("") => Some(0),
        Some(two) => two.parse::<i32>().ok(),
    };
    let (Some(hours), Some(minutes)) = (part(0..2), part(2..4)) else { return false };
    let east = if zone.starts_with('-') { -1 } else { 1 };
    let offset = Offset::from_seconds(east * (hours * 3600 + minutes * 60));
    let instant = there.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let (Ok(offset), Some(instant)) = (offset, instant) else { return false };
    let bare = |text: &str| text.replace(['-', ':'], "");
    let clock = match bare(clock) {
        clock if clock.is_empty() => "000000".to_owned(),
        clock if clock.len() == 4 => format!("{clock}00"),
        clock if clock.contains('.') => clock.trim_end_matches('0').trim_end_matches('.').to_owned(),
        clock => clock,
    };
    bare(&offset.to_datetime(instant).to_string()) == format!("{}T{clock}", bare(date))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn amounts_are_compared_by_their_digits() {
        for (there, source, power) in
            [("1250", "1.25", 3), ("1250", "1.250e0", 3), ("0", "0.00", 3), ("87.5", "0.0875", 3), ("5e3", "5000", 0)]
        {
            assert!(is_amount(&number(there), &json!(source), power), "{there} {source}");
        }
        for (there, source, power) in
            [("1250", "1.25", 0), ("1250", "1.2500000000000001", 3), ("0", "null", 0), ("0", "", 0), ("1", "-1", 0)]
        {
            assert!(!is_amount(&number(there), &json!(source), power), "{there} {source}");
        }
        assert!(!is_amount(&Value::Null, &json!("0"), 0), "unknown is not free");
    }

    #[test]
    fn instants_are_compared_by_what_a_clock_showed() {
        let there = json!("2026-12-10T22:30:00Z");
        for source in
            ["2026-12-11 00:30:00+02", "2026-12-10T22:30Z", "2026-12-10t17:00:00.000-05:30", "2026-12-10 22:30"]
        {
            assert!(is_instant(&there, &json!(source)), "{source}");
        }
        for source in ["2026-12-10", "2026-12-10T22:30:00.5Z", "2026-12-10T22:30:00+02", "", "T", "ä+ä"] {
            assert!(!is_instant(&there, &json!(source)), "{source}");
        }
        assert!(is_instant(&json!("2026-12-11T00:00:00Z"), &json!("2026-12-11")));
    }

    #[test]
    fn lists_are_compared_whole() {
        let there = json!(["text", "vision"]);
        for source in ["{text,vision}", "[\"text\", \"vision\"]", "text | vision", "text,vision;text"] {
            assert!(is_list(&there, &json!(source), |name| name), "{source}");
        }
        for source in ["text", "text,vision,code", "vision,text", "{text,\"vis\\\\ion\"}"] {
            assert!(!is_list(&there, &json!(source), |name| name), "{source}");
        }
        assert!(!is_list(&there, &json!(["text", 7]), |name| name));
        assert!(is_list(&there, &json!(["sight", "words"]), |name| if name == "sight" { "text" } else { "vision" }));
    }
}
