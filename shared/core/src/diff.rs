//! Field-level differences between two values.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::escape;

/// One field that differs; a side on which it is absent is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;
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
}
