//! Values that CloudFormation computes, for the local stack.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a template's parameters and tables are called here.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Parameters, pseudo parameters and tables, by what `Ref` calls them.
    pub(super) references: BTreeMap<String, String>,
    /// Which of the template's conditions hold.
    pub(super) conditions: BTreeMap<String, bool>,
}

impl Scope {
    /// A text, with its intrinsic functions applied. An error says which one cannot be.
    pub(super) fn text(&self, expression: &Value) -> Result<String, String> {
        match expression {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Object(call) if call.len() == 1 => {
                let unknown = || format!("{expression} is not understood by the local stack");
                let (function, argument) = call.iter().next().ok_or_else(unknown)?;
                if let ("Fn::If", Some([Value::String(condition), then, otherwise])) =
                    (function.as_str(), argument.as_array().map(Vec::as_slice))
                {
                    let holds =
                        self.conditions.get(condition).ok_or_else(|| format!("there is no condition {condition}"))?;
                    return self.text(if *holds { then } else { otherwise });
                }
                match (function.as_str(), argument.as_str()) {
                    ("Ref", Some(name)) => self.reference(name),
                    ("Fn::Sub", Some(text)) => self.substitute(text),
                    _ => Err(unknown()),
                }
            }
            _ => Err(format!("{expression} is not a text")),
        }
    }

    /// Whether a condition holds, of those that compare two texts.
    pub(super) fn holds(&self, condition: &Value) -> Result<bool, String> {
        let unknown = || format!("{condition} is not understood by the local stack");
        let (function, arguments) = condition.as_object().and_then(|call| call.iter().next()).ok_or_else(unknown)?;
        match (function.as_str(), arguments.as_array().map(Vec::as_slice)) {
            ("Fn::Not", Some([condition])) => Ok(!self.holds(condition)?),
            ("Fn::Equals", Some([one, other])) => Ok(self.text(one)? == self.text(other)?),
            _ => Err(unknown()),
        }
    }

    fn reference(&self, name: &str) -> Result<String, String> {
        self.references.get(name).cloned().ok_or_else(|| format!("{name} has no value in the local stack"))
    }

    fn substitute(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').ok_or_else(|| format!("\"{text}\" lacks a }}"))?;
            // `${!name}` stands for itself.
            match name.strip_prefix('!') {
                Some(literal) => result.extend(["${", literal, "}"]),
                None => result.push_str(&self.reference(name)?),
            }
            result.push_str(rest);
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_and_substitutions() {
        let references = BTreeMap::from([("Stage".to_owned(), "local".to_owned())]);
        let scope =
            Scope { references, conditions: BTreeMap::from([("Is".to_owned(), true), ("Not".to_owned(), false)]) };
        assert_eq!(scope.text(&json!({"Fn::If": ["Is", {"Ref": "Stage"}, ""]})).unwrap(), "local");
        assert_eq!(scope.text(&json!({"Fn::If": ["Not", {"Ref": "Absent"}, ""]})).unwrap(), "");
        let is_local = json!({"Fn::Equals": [{"Ref": "Stage"}, "local"]});
        assert_eq!(scope.holds(&is_local), Ok(true));
        assert_eq!(scope.holds(&json!({"Fn::Not": [is_local]})), Ok(false));
        assert!(scope.holds(&json!({"Fn::Or": []})).is_err());
        assert_eq!(scope.text(&json!({"Ref": "Stage"})).unwrap(), "local");
        assert_eq!(scope.text(&json!({"Fn::Sub": "a-${Stage}-${!Stage}-b"})).unwrap(), "a-local-${Stage}-b");
        assert_eq!(scope.text(&json!(5)).unwrap(), "5");
        for refused in [
            json!({"Ref": "Absent"}),
            json!({"Fn::Sub": "${Absent}"}),
            json!({"Fn::Sub": "${Stage"}),
            json!({"Fn::ImportValue": "x"}),
            json!({"Fn::If": ["Absent", "x", "y"]}),
            json!({"Fn::If": ["Is", "x"]}),
            json!(["x"]),
            json!(null),
        ] {
            assert!(scope.text(&refused).is_err(), "{refused}");
        }
    }
}
