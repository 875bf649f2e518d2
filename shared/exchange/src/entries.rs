//! The entries of a file one by one: order and repeated keys stay, and a broken one spoils no other.

use std::fmt;
use std::marker::PhantomData;

use roster_core::document::Document;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// An object's keys in order, repeated ones included.
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Ordered<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Ordered(PhantomData))
    }
}

/// An entry's object, read as strictly as a file of the catalogue.
///
/// # Errors
/// Why it is none, in one line.
pub(crate) fn object(key: &str, raw: &RawValue) -> Result<Map<String, Value>, String> {
    let document = Document::parse(key, raw.get().as_bytes()).map_err(|problems| {
        let told = problems.iter().map(|problem| match problem.pointer.as_str() {
            "" => problem.message.clone(),
            pointer => format!("{pointer}: {}", problem.message),
        });
        told.collect::<Vec<_>>().join("; ")
    })?;
    match document.value() {
        Value::Object(map) => Ok(map.clone()),
        _ => Err("is no object".to_owned()),
    }
}
