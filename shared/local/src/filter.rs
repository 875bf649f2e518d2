//! Event filters, as `FilterCriteria` writes them.

use serde_json::{Map, Value};

/// A pattern that a record matches or does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Tests);

type Tests = Vec<(String, Test)>;

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Within(Tests),
    AnyOf(Vec<Rule>),
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Equals(Value),
    Prefix(String),
    Exists(bool),
    AnythingBut(Vec<Value>),
}

impl Filter {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is not a pattern, or uses a rule that is not known here.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let pattern: Value = serde_json::from_str(pattern).map_err(|error| error.to_string())?;
        match pattern {
            Value::Object(members) => tests(members).map(Self),
            _ => Err("the pattern is not an object".to_owned()),
        }
    }

    /// Whether a record passes.
    #[must_use]
    pub fn matches(&self, record: &Value) -> bool {
        passes(&self.0, Some(record))
    }
}

fn tests(members: Map<String, Value>) -> Result<Tests, String> {
    let test = |(name, test): (String, Value)| {
        let test = match test {
            Value::Object(members) => Test::Within(tests(members)?),
            Value::Array(rules) => Test::AnyOf(rules.into_iter().map(rule).collect::<Result<_, _>>()?),
            other => return Err(format!("{name}: {other} is neither an object nor a list")),
        };
        Ok((name, test))
    };
    members.into_iter().map(test).collect()
}

fn rule(rule: Value) -> Result<Rule, String> {
    let Value::Object(members) = &rule else { return Ok(Rule::Equals(rule)) };
    let only = members.iter().next().filter(|_| members.len() == 1);
    match only.map(|(name, argument)| (name.as_str(), argument)) {
        Some(("prefix", Value::String(prefix))) => Ok(Rule::Prefix(prefix.clone())),
        Some(("exists", Value::Bool(exists))) => Ok(Rule::Exists(*exists)),
        Some(("anything-but", Value::Array(values))) => Ok(Rule::AnythingBut(values.clone())),
        _ => Err(format!("rule {rule} is not understood by the local stack")),
    }
}

fn passes(tests: &Tests, value: Option<&Value>) -> bool {
    tests.iter().all(|(name, test)| {
        let member = value.and_then(|value| value.get(name));
        match test {
            Test::Within(tests) => passes(tests, member),
            Test::AnyOf(rules) => rules.iter().any(|rule| rule.allows(member)),
        }
    })
}

impl Rule {
    fn allows(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Equals(expected) => value == Some(expected),
            Self::Prefix(prefix) => value.and_then(Value::as_str).is_some_and(|text| text.starts_with(prefix.as_str())),
            Self::Exists(expected) => value.is_some() == *expected,
            Self::AnythingBut(others) => value.is_some_and(|value| !others.contains(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_must_all_match_and_rules_any() {
        let record = json!({"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": "model#a"}}}});
        for (pattern, passes) in [
            (json!({}), true),
            (json!({"eventName": ["INSERT", "MODIFY"]}), true),
            (json!({"eventName": ["REMOVE"]}), false),
            (json!({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "model#"}]}}}}), true),
            (json!({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "run#"}]}}}}), false),
            (json!({"eventName": ["MODIFY"], "dynamodb": {"NewImage": {"x": [{"exists": true}]}}}), false),
            (json!({"dynamodb": {"NewImage": {"x": [{"exists": false}]}}}), true),
            (json!({"eventName": [{"anything-but": ["REMOVE"]}]}), true),
            (json!({"eventName": [{"anything-but": ["MODIFY"]}]}), false),
        ] {
            assert_eq!(Filter::parse(&pattern.to_string()).unwrap().matches(&record), passes, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in ["", "[]", r#"{"a": 1}"#, r#"{"a": [{"numeric": [">", 1]}]}"#, r#"{"a": [{"prefix": 1}]}"#] {
            assert!(Filter::parse(pattern).is_err(), "{pattern}");
        }
    }
}
