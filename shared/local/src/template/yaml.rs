//! CloudFormation's YAML as JSON: the short form of an intrinsic function becomes its long form.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use serde_saphyr::Tagged;

/// Reads a document. An error says its line and column.
pub(super) fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    serde_saphyr::from_str::<Node>(text).map(|node| node.0)
}

struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged(Plain(value), tag) = Tagged::deserialize(deserializer)?;
        match tag.as_deref() {
            None => Ok(Self(value)),
            Some(tag) if tag.starts_with("tag:yaml.org,2002:") => Ok(Self(value)),
            Some("!Ref") => Ok(Self(json!({ "Ref": value }))),
            Some("!Condition") => Ok(Self(json!({ "Condition": value }))),
            Some("!GetAtt") => Ok(Self(json!({ "Fn::GetAtt": attribute_path(value) }))),
            Some(tag) if tag.starts_with('!') => Ok(Self(json!({ format!("Fn::{}", &tag[1..]): value }))),
            Some(tag) => Err(D::Error::custom(format_args!("tag {tag} is not one of CloudFormation's"))),
        }
    }
}

/// `Table.Arn` is short for `[Table, Arn]`.
fn attribute_path(value: Value) -> Value {
    match value.as_str().and_then(|path| path.split_once('.')) {
        Some((resource, attribute)) => json!([resource, attribute]),
        None => value,
    }
}

struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Node(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Node(value))) = members.next_entry::<String, _>()? {
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_become_long_forms() {
        let value =
            parse("a: !Ref X\nb: [!GetAtt T.Arn, !Sub \"${X}-y\"]\nc: !If [C, !Ref A, 1]\nd: !!str 2\n").unwrap();
        let long = json!({
            "a": {"Ref": "X"},
            "b": [{"Fn::GetAtt": ["T", "Arn"]}, {"Fn::Sub": "${X}-y"}],
            "c": {"Fn::If": ["C", {"Ref": "A"}, 1]},
            "d": "2",
        });
        assert_eq!(value, long);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line) in [("a: 1\na: 2\n", "line 2"), ("a: 1\nb: [\n", "line"), ("a: 1\nb: !<tag:x> 2\n", "line 2")]
        {
            let message = parse(text).err().unwrap().to_string();
            assert!(message.contains(line), "{message}");
        }
    }
}
