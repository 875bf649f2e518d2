//! Field-level differences between two values.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{escape, unescape};

/// One field that differs; a side on which it is absent is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct FieldChange {
    /// The field (RFC 6901).
    pub path: String,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub old: Option<Value>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub new: Option<Value>,
}

/// Keeps a `null` apart from an absent field.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The fields in which two values differ, by path. Objects are compared key by key, lists as wholes.
#[must_use]
pub fn fields(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    collect(Some(old), Some(new), &mut String::new(), &mut changes);
    changes
}

fn collect(old: Option<&Value>, new: Option<&Value>, path: &mut String, changes: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (old, new) {
        let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let length = path.len();
            path.push('/');
            path.push_str(&escape(key));
            collect(before.get(key), after.get(key), path, changes);
            path.truncate(length);
        }
        return;
    }
    changes.push(FieldChange { path: path.clone(), old: old.cloned(), new: new.cloned() });
}

/// What a value has where a change says it had something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What is there; `None` where there is nothing, not even a place for it.
    pub found: Option<Value>,
}

/// Makes one change to a value, the reverse of [`fields`]: a value and its changes, in any order, give the other value.
///
/// # Errors
/// [`Mismatch`] when the value does not have the change's `old` at its path; the value is left as it is.
pub fn apply(value: &mut Value, change: &FieldChange) -> Result<(), Mismatch> {
    let (Some((parent, key)), true) = (change.path.rsplit_once('/'), change.path.starts_with('/')) else {
        // Without a path it is the value itself that changes.
        return match (&change.old, &change.new) {
            (Some(old), Some(new)) if change.path.is_empty() && value == old => {
                *value = new.clone();
                Ok(())
            }
            _ => Err(Mismatch { found: change.path.is_empty().then(|| value.clone()) }),
        };
    };
    let Some(Value::Object(parent)) = value.pointer_mut(parent) else { return Err(Mismatch { found: None }) };
    let key = unescape(key);
    if parent.get(&key) != change.old.as_ref() {
        return Err(Mismatch { found: parent.get(&key).cloned() });
    }
    match &change.new {
        Some(new) => parent.insert(key, new.clone()),
        None => parent.remove(&key),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn differences_by_path() {
        let old = json!({"a": {"b": 1, "c": [1, 2], "gone": true}, "same": {}, "x/y": null});
        let new = json!({"a": {"b": 2, "c": [1, 3], "came": null}, "same": {}, "x/y": 0});
        let changes = fields(&old, &new);
        assert_eq!(
            serde_json::to_value(&changes).unwrap(),
            json!([
                {"path": "/a/b", "old": 1, "new": 2},
                {"path": "/a/c", "old": [1, 2], "new": [1, 3]},
                {"path": "/a/came", "new": null},
                {"path": "/a/gone", "old": true},
                {"path": "/x~1y", "old": null, "new": 0},
            ])
        );
        let back: Vec<FieldChange> = serde_json::from_value(serde_json::to_value(&changes).unwrap()).unwrap();
        assert_eq!(back, changes);
        assert_eq!(fields(&old, &old), []);
    }

    #[test]
    fn a_change_applies_only_where_its_old_value_is() {
        let change =
            |path: &str, old: Option<Value>, new: Option<Value>| FieldChange { path: path.to_owned(), old, new };
        let refused = |change: FieldChange| {
            let mut value = json!({"a": {"b": 1}, "list": [1]});
            let before = value.clone();
            let mismatch = apply(&mut value, &change).unwrap_err();
            assert_eq!(value, before);
            mismatch.found
        };
        assert_eq!(refused(change("/a/b", Some(json!(2)), Some(json!(3)))), Some(json!(1)));
        assert_eq!(refused(change("/a/b", None, Some(json!(3)))), Some(json!(1)));
        assert_eq!(refused(change("/a/c", Some(Value::Null), None)), None);
        assert_eq!(refused(change("/x/c", None, Some(json!(3)))), None);
        assert_eq!(refused(change("/list/0", Some(json!(1)), Some(json!(3)))), None);
        assert_eq!(refused(change("a", None, Some(json!(3)))), None);
        let mut exact: Value = serde_json::from_str(r#"{"price": 1.00}"#).unwrap();
        let one: Value = serde_json::from_str("1.0").unwrap();
        assert!(apply(&mut exact, &change("/price", Some(one), None)).is_err(), "1.0 is not 1.00");
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0u8..3).prop_map(Value::from)];
        scalar.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab/~]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn changes_lead_from_one_value_to_the_other(old in values(), new in values()) {
            let mut value = old.clone();
            for change in fields(&old, &new) {
                prop_assert_eq!(apply(&mut value, &change), Ok(()));
            }
            prop_assert_eq!(value, new);
        }
    }
}
