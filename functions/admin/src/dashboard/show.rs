//! How values are written for people.

use jiff::Timestamp;
use roster_core::Price;
use serde::Deserialize;
use serde_json::Value;

/// A price in dollars per million tokens, exact.
pub(crate) fn dollars(price: Price) -> String {
    let mut amount = price.amount();
    // A thousandth of what it is, which only moves the point.
    if amount.set_scale(amount.scale() + 3).is_err() {
        amount = price.amount() / rust_decimal::Decimal::ONE_THOUSAND;
    }
    let text = amount.normalize().to_string();
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    match places {
        0 => format!("${text}.00"),
        1 => format!("${text}0"),
        _ => format!("${text}"),
    }
}

/// A price that may be unknown.
pub(crate) fn price(price: Option<Price>) -> String {
    price.map_or_else(|| "unknown".to_owned(), dollars)
}

/// A number with its digits in groups.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something, with an s where there are several.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A moment, to the minute.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A moment that is written as text.
pub(crate) fn moment_of(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), moment)
}

/// How far away a day is.
pub(crate) fn days(days: i64) -> String {
    match days {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        2.. => format!("in {days} days"),
        -1 => "yesterday".to_owned(),
        _ => format!("{} days ago", days.unsigned_abs()),
    }
}

/// A value of a document: a text as it is, anything else as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// A model's state in one word.
pub(crate) fn state(is_archived: bool, is_legacy: bool, is_available: bool) -> &'static str {
    match (is_archived, is_legacy, is_available) {
        (true, ..) => "archived",
        (_, true, _) => "legacy",
        (.., false) => "unavailable",
        _ => "active",
    }
}

/// A commit's short name.
pub(crate) fn commit(id: &str) -> String {
    id.chars().take(12).collect()
}

/// The name in an author such as `Ada <ada@example.com>`.
pub(crate) fn author(actor: &str) -> &str {
    actor.split(" <").next().unwrap_or(actor)
}

/// A link to a commit or a pull request; empty where the repository is no page of a forge.
pub(crate) fn link(repository: &str, kind: &str, what: &str) -> String {
    let page = repository.trim_end_matches('/').trim_end_matches(".git");
    if page.starts_with("https://") && !what.is_empty() { format!("{page}/{kind}/{what}") } else { String::new() }
}

/// A change of a field, as a history shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FieldChange {
    path: String,
    #[serde(default)]
    old: Option<Value>,
    #[serde(default)]
    new: Option<Value>,
}

/// A line of a difference.
pub(crate) struct Line {
    /// `+`, `-` or a space.
    pub(crate) sign: char,
    pub(crate) text: String,
}

impl Line {
    /// What the sign means, as a class and for who hears it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.sign {
            '+' => "added",
            '-' => "removed",
            '@' => "place",
            _ => "same",
        }
    }
}

/// Changes of fields, line by line.
pub(crate) fn changes(changes: &[FieldChange]) -> Vec<Line> {
    let told = changes.iter().flat_map(|change| {
        let line = |sign, value: &Option<Value>| {
            let text = value.as_ref().map(self::value);
            text.map(|text| Line { sign, text: format!("{}: {text}", change.path) })
        };
        [line('-', &change.old), line('+', &change.new)]
    });
    told.flatten().collect()
}

/// A unified difference, line by line.
pub(crate) fn difference(diff: &str) -> Vec<Line> {
    let lines = diff.lines().filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "));
    lines
        .map(|line| {
            let mut characters = line.chars();
            match characters.next() {
                Some(sign @ ('+' | '-')) => Line { sign, text: characters.collect() },
                Some('@') => Line { sign: '@', text: line.to_owned() },
                _ => Line { sign: ' ', text: characters.collect() },
            }
        })
        .collect()
}

/// An operation of a plan in words: `set_canary 2.0.0`.
pub(crate) fn operation(operation: &Value) -> String {
    let name = operation["operation"].as_str().unwrap_or_default().replace('_', " ");
    let of = ["version", "alias", "from", "to"].iter().filter_map(|key| operation[key].as_str());
    std::iter::once(name.as_str()).chain(of).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_price_is_written_exactly() {
        let shown = |text: &str| dollars(text.parse().unwrap());
        for (thousandths, expected) in [
            ("1250", "$1.25"),
            ("0", "$0.00"),
            ("75", "$0.075"),
            ("10000", "$10.00"),
            ("0.15", "$0.00015"),
            ("100", "$0.10"),
        ] {
            assert_eq!(shown(thousandths), expected);
        }
        assert_eq!(price(None), "unknown");
    }

    #[test]
    fn numbers_and_days_are_read_easily() {
        assert_eq!([0, 999, 1000, 1_048_576].map(grouped), ["0", "999", "1,000", "1,048,576"]);
        assert_eq!([1, 1500].map(|count| counted(count, "model")), ["1 model", "1,500 models"]);
        assert_eq!([-2, -1, 0, 1, 2].map(days), ["2 days ago", "yesterday", "today", "tomorrow", "in 2 days"]);
    }

    #[test]
    fn only_a_forge_is_linked_to() {
        assert_eq!(link("https://github.com/a/b.git", "commit", "c0"), "https://github.com/a/b/commit/c0");
        for other in ["/tmp/repository", "javascript:alert(1)", "git@github.com:a/b.git"] {
            assert_eq!(link(other, "commit", "c0"), "");
        }
    }

    #[test]
    fn a_difference_is_told_line_by_line() {
        let lines = difference("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n c\n");
        let told: Vec<_> = lines.iter().map(|line| (line.kind(), line.text.as_str())).collect();
        assert_eq!(told, [("place", "@@ -1 +1 @@"), ("removed", "a"), ("added", "b"), ("same", "c")]);
        let changed: Vec<FieldChange> = serde_json::from_value(json!([{"path": "/a", "old": 1, "new": "x"}])).unwrap();
        let told: Vec<_> = changes(&changed).into_iter().map(|line| format!("{}{}", line.sign, line.text)).collect();
        assert_eq!(told, ["-/a: 1", "+/a: x"]);
    }
}
