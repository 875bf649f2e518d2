//! The table and the bundle side by side: what they show differently, found on a sample of the requests.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::counter;
use roster_core::tier::Tier;
use roster_core::view::View;
use roster_store::reader::Snapshot;
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::catalogue::{Reading, source_name};
use crate::page::Page;

/// A log line names no more models than this.
const NAMED: usize = 5;

/// What the comparisons of this instance came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowCounts {
    /// Requests for which both sources were read.
    pub compared: u64,
    /// Those of them that show a difference.
    pub mismatched: u64,
    /// Models that differ in a field, by field; `absent_from_bundle` and `absent_from_table` are fields too.
    pub fields: BTreeMap<String, u64>,
}

/// The counts that an app keeps.
#[derive(Debug, Default)]
pub(crate) struct Shadow(Mutex<ShadowCounts>);

/// A model that the two sources show differently.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'v> {
    id: &'v str,
    fields: Vec<String>,
}

impl App {
    /// What the comparisons of this instance came to so far.
    #[must_use]
    pub fn shadow_counts(&self) -> ShadowCounts {
        self.shadow.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compares what the two sources show, where this request is one of those that do.
    ///
    /// Both are in memory: nothing is waited for. Whatever goes wrong in here is logged and goes no further.
    pub(crate) fn compare(&self, reading: &Reading, tier: Tier, shown: impl for<'s> Fn(&'s Snapshot) -> Page<'s>) {
        let Some(other) = &reading.other else { return };
        let compared = catch_unwind(AssertUnwindSafe(|| {
            let sides: [&Arc<Snapshot>; 2] = match reading.snapshot.bundle {
                None => [&reading.snapshot, other],
                Some(_) => [other, &reading.snapshot],
            };
            let [table, bundle] = sides.map(|side| shown(side));
            let differences = differences(&table, &bundle, tier);
            let counts = self.shadow.count(&differences);
            if !differences.is_empty() {
                counter!("Mismatches").increment(1);
                let fields: BTreeSet<&str> =
                    differences.iter().flat_map(|difference| &difference.fields).map(String::as_str).collect();
                let models: Vec<&str> = differences.iter().take(NAMED).map(|difference| difference.id).collect();
                tracing::warn!(
                    source = source_name(reading.source),
                    revision = sides[0].revision,
                    fields = fields.into_iter().collect::<Vec<_>>().join(" "),
                    models = models.join(" "),
                    differing = differences.len(),
                    compared = counts.compared,
                    mismatched = counts.mismatched,
                    "the table and the bundled catalogue differ"
                );
            }
        }));
        if compared.is_err() {
            tracing::error!("comparing the table with the bundled catalogue panicked");
        }
    }
}

impl Shadow {
    /// Adds a comparison, and answers all of them.
    fn count(&self, differences: &[Difference<'_>]) -> ShadowCounts {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.compared += 1;
        counts.mismatched += u64::from(!differences.is_empty());
        for field in differences.iter().flat_map(|difference| &difference.fields) {
            *counts.fields.entry(field.clone()).or_default() += 1;
        }
        counts.clone()
    }
}

/// The models that two pages show differently.
fn differences<'v>(table: &Page<'v>, bundle: &Page<'v>, tier: Tier) -> Vec<Difference<'v>> {
    // A model that one side lacks pushes another one off the end of its page: beyond the end of the
    // page that ends first, nothing is known.
    let end = [table, bundle].iter().filter_map(|page| page.last_before_next()).min();
    let before_end = |view: &&&'v View| end.is_none_or(|end| view.id.as_str() <= end);
    let mut ours = table.views.iter().take_while(before_end).copied().peekable();
    let mut theirs = bundle.views.iter().take_while(before_end).copied().peekable();
    let absent = |view: &'v View, from: &str| Difference { id: view.id.as_str(), fields: vec![from.to_owned()] };
    let mut found = Vec::new();
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.id.cmp(&other.id),
        };
        let one = if order.is_le() { ours.next() } else { None };
        let other = if order.is_ge() { theirs.next() } else { None };
        match (one, other) {
            (Some(one), Some(other)) => found.extend(difference(one, other, tier)),
            (Some(one), None) => found.push(absent(one, "absent_from_bundle")),
            (None, Some(other)) => found.push(absent(other, "absent_from_table")),
            (None, None) => return found,
        }
    }
}

/// What a caller of this tier sees differently of a model. Only what differs as bytes is read as JSON.
fn difference<'v>(one: &'v View, other: &View, tier: Tier) -> Option<Difference<'v>> {
    let [one_json, other_json] = [one, other].map(|view| {
        let mut json = Vec::with_capacity(view.max_len());
        view.write(tier, &mut json);
        json
    });
    if one_json == other_json {
        return None;
    }
    let [one_value, other_value] =
        [&one_json, &other_json].map(|json| serde_json::from_slice(json).unwrap_or(Value::Null));
    let mut fields = Vec::new();
    differing_fields("", &one_value, &other_value, &mut fields);
    Some(Difference { id: one.id.as_str(), fields })
}

/// The fields that differ, those inside an object by its name and theirs.
fn differing_fields(name: &str, one: &Value, other: &Value, fields: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let keys: BTreeSet<&String> = ones.keys().chain(others.keys()).collect();
            for key in keys {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let value = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
                differing_fields(&name, &value(ones), &value(others), fields);
            }
        }
        (one, other) if one == other => {}
        _ => fields.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{view, view_of};
    use serde_json::json;

    fn found(table: &[View], bundle: &[View], limit: usize) -> Vec<String> {
        let [table, bundle] = [table, bundle].map(|views| Page::cut(views.iter(), limit));
        let differences = differences(&table, &bundle, Tier::Free);
        differences.iter().map(|difference| format!("{}: {}", difference.id, difference.fields.join(" "))).collect()
    }

    #[test]
    fn every_field_is_told_and_no_other() {
        let table = [
            view("a"),
            view_of(json!({"id": "b", "meta": {"inputCostPerMillionTokens": 1300, "creditsPer1kTokens": 28}})),
            view_of(json!({"id": "c", "isLegacy": true, "meta": {"sunsetDate": "2099-01-01T00:00:00Z"}})),
            view_of(json!({"id": "d", "meta": {"capabilities": ["text", "code"]}})),
        ];
        let expected = [
            "b: input_cost_per_million_tokens",
            "c: is_legacy legacy_info.is_legacy legacy_info.sunset_date",
            "d: capabilities",
        ];
        assert_eq!(found(&table, &["a", "b", "c", "d"].map(view), 10), expected);
        assert_eq!(found(&table, &table, 10), [""; 0]);
    }

    #[test]
    fn models_that_one_side_lacks_are_told_and_shift_nothing() {
        let (table, bundle) = (["a", "c", "d", "e"].map(view), ["b", "c", "d", "f"].map(view));
        assert_eq!(found(&table, &bundle, 2), ["a: absent_from_bundle", "b: absent_from_table"]);
        let all = ["a: absent_from_bundle", "b: absent_from_table", "e: absent_from_bundle", "f: absent_from_table"];
        assert_eq!(found(&table, &bundle, 10), all);
        assert_eq!(found(&table, &[], 2), ["a: absent_from_bundle", "c: absent_from_bundle"]);
        assert_eq!(found(&["a", "b", "c", "d"].map(view), &["a", "b", "d"].map(view), 2), [""; 0]);
    }

    #[test]
    fn counts_add_up() {
        let shadow = Shadow::default();
        let of = |fields: &[&str]| Difference { id: "m", fields: fields.iter().map(ToString::to_string).collect() };
        shadow.count(&[]);
        shadow.count(&[of(&["x", "y"]), of(&["x"])]);
        let counts = shadow.count(&[of(&["y"])]);
        let fields = BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 2)]);
        assert_eq!(counts, ShadowCounts { compared: 3, mismatched: 2, fields });
    }
}
