//! Places in a document (RFC 6901), made where they are missing.

use serde_json::{Map, Value};

/// Puts a value at a place, making the objects on the way.
pub(crate) fn set(document: &mut Value, pointer: &str, value: Value) {
    let mut at = document;
    for token in tokens(pointer) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(token).or_insert(Value::Null);
    }
    *at = value;
}

/// Takes a place out of a document.
pub(crate) fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(map)) = document.pointer_mut(parent) {
        map.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}
