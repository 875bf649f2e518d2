//! What a client of one document could no longer count on under another one.
//!
//! The small tools for this either read OpenAPI 3.0 only or fetch a program when they are installed; this reads what
//! our own document is made of. Where it cannot tell, it calls a change a breaking one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Whether a version may break what a released one promised: another major, or another minor before 1.0.
#[must_use]
pub fn may_break(released: &str, version: &str) -> bool {
    let part = |version: &str, at: usize| version.split('.').nth(at).and_then(|part| part.parse::<u64>().ok());
    let (old, new) = ([0, 1].map(|at| part(released, at)), [0, 1].map(|at| part(version, at)));
    new[0] > old[0] || old[0] == Some(0) && new > old
}

/// Every breaking change between a released document and a new one; none when clients need not care.
#[must_use]
pub fn breaks(released: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { released, new, found: Vec::new(), open: Vec::new() };
    for (path, item) in members(&released["paths"]) {
        for (method, old) in members(item) {
            let place = format!("{} {path}", method.to_uppercase());
            match new["paths"][path].get(method) {
                Some(operation) => comparison.operation(&place, old, operation),
                None => comparison.found.push(format!("{place}: the operation is gone")),
            }
        }
    }
    comparison.found
}

/// Whether a client writes a value or reads it: what may be written may grow, what may be read may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Written,
    Read,
}

struct Comparison<'d> {
    released: &'d Value,
    new: &'d Value,
    found: Vec<String>,
    /// The pairs of schemas that are being compared: a schema may hold itself.
    open: Vec<(*const Value, *const Value, Way)>,
}

impl<'d> Comparison<'d> {
    fn operation(&mut self, place: &str, old: &'d Value, new: &'d Value) {
        self.security(place, old, new);
        self.parameters(place, old, new);
        self.body(place, old, new);
        for (status, response) in members(&old["responses"]) {
            let place = format!("{place}: {status}");
            let Some(now) = new["responses"].get(status) else {
                self.found.push(format!("{place}: the response is gone"));
                continue;
            };
            let (response, now) = (resolve(self.released, response), resolve(self.new, now));
            self.content(&place, response, now, Way::Read);
            for (name, header) in members(&response["headers"]) {
                let Some(now) = now["headers"].get(name) else {
                    self.found.push(format!("{place}: the header {name} is gone"));
                    continue;
                };
                let (header, now) = (resolve(self.released, header), resolve(self.new, now));
                if header["required"] == true && now["required"] != true {
                    self.found.push(format!("{place}: the header {name} is no longer certain"));
                }
                self.schema(&format!("{place} {name}"), &header["schema"], &now["schema"], Way::Read);
            }
        }
    }

    fn security(&mut self, place: &str, old: &Value, new: &Value) {
        let accepted =
            |value: &Value| -> BTreeSet<String> { items(&value["security"]).map(Value::to_string).collect() };
        let (old_schemes, new_schemes) = (accepted(old), accepted(new));
        let is_open = new_schemes.is_empty() || new_schemes.contains("{}");
        let was_open = old_schemes.is_empty() || old_schemes.contains("{}");
        if !is_open && (was_open || !old_schemes.is_subset(&new_schemes)) {
            self.found.push(format!("{place}: the security asks for more"));
        }
        let roles = |value: &Value| -> BTreeSet<String> { items(&value["x-roles"]).map(Value::to_string).collect() };
        if !roles(new).is_empty() && !roles(old).is_subset(&roles(new)) {
            self.found.push(format!("{place}: a role may no longer call it"));
        }
    }

    fn parameters(&mut self, place: &str, old: &'d Value, new: &'d Value) {
        let find = |all: &'d Value, one: &Value| {
            items(&all["parameters"]).find(|other| other["in"] == one["in"] && other["name"] == one["name"])
        };
        for parameter in items(&old["parameters"]) {
            let place = format!("{place}: parameter {}", name(parameter));
            match find(new, parameter) {
                // What is not known is refused.
                None => self.found.push(format!("{place} is gone")),
                Some(now) => {
                    if now["required"] == true && parameter["required"] != true {
                        self.found.push(format!("{place} is required now"));
                    }
                    if ["style", "explode"].iter().any(|key| parameter[key] != now[key]) {
                        self.found.push(format!("{place} is written in another way"));
                    }
                    self.schema(&place, &parameter["schema"], &now["schema"], Way::Written);
                }
            }
        }
        for parameter in items(&new["parameters"]) {
            if parameter["required"] == true && find(old, parameter).is_none() {
                self.found.push(format!("{place}: parameter {} is new and required", name(parameter)));
            }
        }
    }

    fn body(&mut self, place: &str, old: &'d Value, new: &'d Value) {
        let place = format!("{place}: body");
        match (old.get("requestBody"), new.get("requestBody")) {
            (Some(_), None) => self.found.push(format!("{place} is no longer taken")),
            (old, Some(new)) if new["required"] == true && old.is_none_or(|old| old["required"] != true) => {
                self.found.push(format!("{place} is required now"));
            }
            (Some(old), Some(new)) => self.content(&place, old, new, Way::Written),
            (None, _) => {}
        }
    }

    fn content(&mut self, place: &str, old: &'d Value, new: &'d Value, way: Way) {
        for (media_type, content) in members(&old["content"]) {
            match new["content"].get(media_type) {
                Some(now) => self.schema(place, &content["schema"], &now["schema"], way),
                None => self.found.push(format!("{place}: {media_type} is gone")),
            }
        }
        if way == Way::Read {
            for (media_type, _) in members(&new["content"]).filter(|(name, _)| old["content"].get(name).is_none()) {
                self.found.push(format!("{place}: may be {media_type} now"));
            }
        }
    }

    /// Compares two schemas: the released one, and the one in its place.
    fn schema(&mut self, place: &str, old: &'d Value, new: &'d Value, way: Way) {
        let (old, new) = (resolve(self.released, old), resolve(self.new, new));
        let pair = (std::ptr::from_ref(old), std::ptr::from_ref(new), way);
        if old == new && !holds_references(old) || self.open.contains(&pair) {
            return;
        }
        self.open.push(pair);
        let (old_branches, new_branches) = (branches(old), branches(new));
        if old_branches.len() > 1 || new_branches.len() > 1 {
            self.alternatives(place, &old_branches, &new_branches, way);
        } else {
            self.values(place, old_branches[0], new_branches[0], way);
            self.object(place, old_branches[0], new_branches[0], way);
            // What is absent is null here, which asks for nothing either.
            self.schema(&format!("{place}[]"), &old_branches[0]["items"], &new_branches[0]["items"], way);
        }
        self.open.pop();
    }

    /// Each alternative that could be written must still be one; each that can be read now must have been one.
    fn alternatives(&mut self, place: &str, old: &[&'d Value], new: &[&'d Value], way: Way) {
        let fits = |comparison: &Self, old: &'d Value, new: &'d Value| {
            let (released, current, open) = (comparison.released, comparison.new, comparison.open.clone());
            let mut inner = Comparison { released, new: current, found: Vec::new(), open };
            inner.schema(place, old, new, way);
            inner.found.is_empty()
        };
        let is_whole = match way {
            Way::Written => old.iter().all(|old| new.iter().any(|new| fits(self, old, new))),
            Way::Read => new.iter().all(|new| old.iter().any(|old| fits(self, old, new))),
        };
        if !is_whole {
            let told = if way == Way::Written { "an alternative is gone" } else { "there is an alternative more" };
            self.found.push(format!("{place}: {told}"));
        }
    }

    /// The values that a schema takes by themselves: type, enum, bounds.
    fn values(&mut self, place: &str, old: &Value, new: &Value, way: Way) {
        let (wide, narrow) = if way == Way::Written { (new, old) } else { (old, new) };
        for key in ["type", "enum", "const"] {
            let set = |schema: &Value| schema.get(key).map(values_of);
            let is_within = match (set(wide), set(narrow)) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(wide), Some(narrow)) => narrow.is_subset(&wide),
            };
            if !is_within {
                let told = if way == Way::Written { "takes less" } else { "may be more" };
                self.found.push(format!("{place}: {key} {told}"));
            }
        }
        let number = |schema: &Value, key: &str| schema.get(key).and_then(Value::as_f64);
        for (key, sign) in BOUNDS {
            let is_within = match (number(wide, key), number(narrow, key)) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(wide), Some(narrow)) => (narrow - wide) * sign >= 0.0,
            };
            // What is read within wider bounds is what it was to every client that we know of.
            if way == Way::Written && !is_within {
                self.found.push(format!("{place}: {key} is narrower"));
            }
        }
        let rules = ["pattern", "format", "uniqueItems", "allOf", "if"];
        let has_new = |key: &str| new.get(key).is_some_and(|rule| old.get(key) != Some(rule));
        if way == Way::Written {
            self.found.extend(
                rules.into_iter().filter(|key| has_new(key)).map(|key| format!("{place}: {key} is another rule")),
            );
        }
    }

    fn object(&mut self, place: &str, old: &'d Value, new: &'d Value, way: Way) {
        let required = |schema: &Value| -> BTreeSet<String> {
            items(&schema["required"]).filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let (old_required, new_required) = (required(old), required(new));
        match way {
            Way::Written => self
                .found
                .extend(new_required.difference(&old_required).map(|name| format!("{place}/{name}: is required now"))),
            Way::Read => self.found.extend(
                old_required.difference(&new_required).map(|name| format!("{place}/{name}: is no longer certain")),
            ),
        }
        for (name, property) in members(&old["properties"]) {
            let place = format!("{place}/{name}");
            match new["properties"].get(name) {
                Some(now) => self.schema(&place, property, now, way),
                None => self.found.push(format!("{place}: is gone")),
            }
        }
        match (&old["additionalProperties"], &new["additionalProperties"]) {
            // Nobody wrote other keys, and who reads passes over those that are not known.
            (Value::Bool(false), _) => {}
            (_, Value::Bool(false)) if way == Way::Written => {
                self.found.push(format!("{place}: takes no other keys now"));
            }
            (_, Value::Bool(false)) => {}
            (old, new) => self.schema(&format!("{place}/*"), old, new, way),
        }
    }
}

/// The bounds, and whether a larger one is the narrower one.
const BOUNDS: [(&str, f64); 8] = [
    ("minimum", 1.0),
    ("exclusiveMinimum", 1.0),
    ("minLength", 1.0),
    ("minItems", 1.0),
    ("maximum", -1.0),
    ("exclusiveMaximum", -1.0),
    ("maxLength", -1.0),
    ("maxItems", -1.0),
];

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(parameter: &Value) -> &str {
    parameter["name"].as_str().unwrap_or_default()
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let mut value = value;
    // No chain of references of ours is longer.
    for _ in 0..8 {
        let Some(reference) = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) else { break };
        value = document.pointer(reference).unwrap_or(&Value::Null);
    }
    value
}

fn holds_references(value: &Value) -> bool {
    match value {
        Value::Object(keys) => keys.contains_key("$ref") || keys.values().any(holds_references),
        Value::Array(items) => items.iter().any(holds_references),
        _ => false,
    }
}

fn branches(schema: &Value) -> Vec<&Value> {
    let found = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
    found.map_or_else(|| vec![schema], |branches| branches.iter().collect())
}

fn values_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(values) => values.iter().map(Value::to_string).collect(),
        // Every integer is a number.
        value => BTreeSet::from([value.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn released() -> Value {
        json!({
            "paths": {"/m/{id}": {"post": {
                "security": [{}, {"bearer": []}],
                "x-roles": ["admin"],
                "parameters": [
                    {"in": "path", "name": "id", "required": true, "schema": {"type": "string"}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 10}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}},
                "responses": {
                    "200": {
                        "headers": {"ETag": {"required": true, "schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
                    },
                    "404": {"$ref": "#/components/responses/Problem404"},
                },
            }}},
            "components": {
                "schemas": {
                    "Body": {
                        "type": "object", "required": ["a"],
                        "properties": {
                            "a": {"enum": ["x", "y"]},
                            "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                            "c": {"type": "string", "maxLength": 9},
                        },
                    },
                    "Answer": {
                        "type": "object", "required": ["a", "next"],
                        "properties": {
                            "a": {"enum": ["x", "y"]},
                            "b": {"type": "array", "items": {"type": "integer"}},
                            "next": {"anyOf": [{"$ref": "#/components/schemas/Answer"}, {"type": "null"}]},
                        },
                    },
                },
                "responses": {"Problem404": {"content": {"application/problem+json": {"schema": {"type": "object"}}}}},
            },
        })
    }

    const CALL: &str = "/paths/~1m~1{id}/post";
    const BODY: &str = "/components/schemas/Body";
    const ANSWER: &str = "/components/schemas/Answer";

    /// What a change of the released document breaks; `null` takes the key away.
    fn after(place: &str, key: &str, value: Value) -> Vec<String> {
        let mut new = released();
        let keys = new.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => drop(keys.remove(key)),
            value => drop(keys.insert(key.to_owned(), value)),
        }
        breaks(&released(), &new)
    }

    #[test]
    fn each_class_of_breaking_change_is_found() {
        let string = || json!({"type": "string"});
        let in_query = |required: bool| {
            json!([
                {"in": "path", "name": "id", "required": true, "schema": {"type": "string"}},
                {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 10}},
                {"in": "query", "name": "new", "required": required, "schema": {"type": "string"}},
            ])
        };
        assert_eq!(after(CALL, "parameters", in_query(false)), [""; 0]);
        let nullable = json!({"anyOf": [{"type": "integer"}, {"type": "null"}]});
        let nested = |inner: Value| json!({"type": "array", "items": inner});
        let cases = [
            ("/paths", "/m/{id}", Value::Null, "POST /m/{id}: the operation is gone"),
            ("/paths/~1m~1{id}", "post", Value::Null, "POST /m/{id}: the operation is gone"),
            (CALL, "security", json!([{"bearer": []}]), "POST /m/{id}: the security asks for more"),
            (CALL, "x-roles", json!(["super_admin"]), "POST /m/{id}: a role may no longer call it"),
            (CALL, "parameters", in_query(true), "POST /m/{id}: parameter new is new and required"),
            (&format!("{CALL}/parameters/1"), "name", json!("most"), "POST /m/{id}: parameter limit is gone"),
            (&format!("{CALL}/parameters/1"), "required", json!(true), "POST /m/{id}: parameter limit is required now"),
            (
                &format!("{CALL}/parameters/1/schema"),
                "maximum",
                json!(9),
                "POST /m/{id}: parameter limit: maximum is narrower",
            ),
            (
                &format!("{CALL}/parameters/0/schema"),
                "pattern",
                json!("^a"),
                "POST /m/{id}: parameter id: pattern is another rule",
            ),
            (
                &format!("{CALL}/parameters/1"),
                "explode",
                json!(false),
                "POST /m/{id}: parameter limit is written in another way",
            ),
            (&format!("{CALL}/requestBody"), "required", json!(true), "POST /m/{id}: body is required now"),
            (CALL, "requestBody", Value::Null, "POST /m/{id}: body is no longer taken"),
            (BODY, "required", json!(["a", "c"]), "POST /m/{id}: body/c: is required now"),
            (BODY, "additionalProperties", json!(false), "POST /m/{id}: body: takes no other keys now"),
            (&format!("{BODY}/properties"), "c", Value::Null, "POST /m/{id}: body/c: is gone"),
            (&format!("{BODY}/properties/a"), "enum", json!(["x"]), "POST /m/{id}: body/a: enum takes less"),
            (&format!("{BODY}/properties/c"), "type", json!("integer"), "POST /m/{id}: body/c: type takes less"),
            (&format!("{BODY}/properties/c"), "maxLength", json!(8), "POST /m/{id}: body/c: maxLength is narrower"),
            (
                &format!("{BODY}/properties"),
                "b",
                json!({"type": "integer"}),
                "POST /m/{id}: body/b: an alternative is gone",
            ),
            (&format!("{CALL}/responses"), "404", Value::Null, "POST /m/{id}: 404: the response is gone"),
            (
                &format!("{CALL}/responses/200/content"),
                "application/json",
                Value::Null,
                "POST /m/{id}: 200: application/json is gone",
            ),
            (
                &format!("{CALL}/responses/200/content"),
                "text/csv",
                json!({"schema": string()}),
                "POST /m/{id}: 200: may be text/csv now",
            ),
            (
                &format!("{CALL}/responses/200/headers"),
                "ETag",
                Value::Null,
                "POST /m/{id}: 200: the header ETag is gone",
            ),
            (
                &format!("{CALL}/responses/200/headers/ETag"),
                "required",
                json!(false),
                "POST /m/{id}: 200: the header ETag is no longer certain",
            ),
            (ANSWER, "required", json!(["a"]), "POST /m/{id}: 200/next: is no longer certain"),
            (&format!("{ANSWER}/properties"), "b", Value::Null, "POST /m/{id}: 200/b: is gone"),
            (
                &format!("{ANSWER}/properties/a"),
                "enum",
                json!(["x", "y", "z"]),
                "POST /m/{id}: 200/a: enum may be more",
            ),
            (&format!("{ANSWER}/properties"), "b", nested(string()), "POST /m/{id}: 200/b[]: type may be more"),
            (
                &format!("{ANSWER}/properties/b"),
                "items",
                nullable,
                "POST /m/{id}: 200/b[]: there is an alternative more",
            ),
        ];
        for (place, key, value, told) in cases {
            assert!(after(place, key, value).iter().any(|found| found == told), "{told}");
        }
    }

    /// What a schema does not say it leaves open.
    #[test]
    fn what_one_side_alone_says_counts() {
        let between = |old: &Value, new: &Value| {
            [Way::Written, Way::Read].map(|way| {
                let mut comparison = Comparison { released: old, new, found: Vec::new(), open: Vec::new() };
                comparison.schema("s", old, new, way);
                comparison.found.join("\n")
            })
        };
        let text = json!({"type": "string"});
        let cases = [
            (json!({}), json!({"items": text}), ["s[]: type takes less", ""]),
            (json!({"items": text}), json!({}), ["", "s[]: type may be more"]),
            (json!({}), json!({"additionalProperties": text}), ["s/*: type takes less", ""]),
            (
                json!({"additionalProperties": true}),
                json!({"additionalProperties": text}),
                ["s/*: type takes less", ""],
            ),
            (json!({"additionalProperties": text}), json!({}), ["", "s/*: type may be more"]),
            (
                json!({"additionalProperties": text}),
                json!({"additionalProperties": true}),
                ["", "s/*: type may be more"],
            ),
            (json!({}), json!({"additionalProperties": false}), ["s: takes no other keys now", ""]),
            (json!({"additionalProperties": false}), json!({"additionalProperties": text}), ["", ""]),
            (json!({}), json!({"additionalProperties": true}), ["", ""]),
        ];
        for (old, new, told) in cases {
            assert_eq!(between(&old, &new), told, "{old} to {new}");
        }
    }

    #[test]
    fn what_harms_no_client_passes() {
        let schema = json!({"type": "string"});
        let call = json!({"responses": {}});
        for (place, key, value) in [
            ("/paths", "/other", json!({"get": call})),
            ("/paths/~1m~1{id}", "get", call),
            (CALL, "x-roles", json!(["admin", "super_admin"])),
            (&format!("{CALL}/parameters/1/schema"), "maximum", json!(100)),
            (&format!("{CALL}/responses"), "410", json!({"description": "gone"})),
            (&format!("{BODY}/properties"), "d", schema.clone()),
            (&format!("{BODY}/properties/a"), "enum", json!(["x", "y", "z"])),
            (BODY, "required", json!([])),
            (&format!("{ANSWER}/properties"), "d", schema),
            (&format!("{ANSWER}/properties/a"), "enum", json!(["x"])),
            (ANSWER, "required", json!(["a", "b", "next"])),
            (&format!("{ANSWER}/properties"), "next", json!({"type": "null"})),
        ] {
            assert_eq!(after(place, key, value), [""; 0], "{place} {key}");
        }
    }

    #[test]
    fn a_major_version_may_break_and_before_the_first_a_minor_one() {
        for (released, version, may) in [
            ("0.1.0", "0.1.1", false),
            ("0.1.0", "0.2.0", true),
            ("0.9.0", "1.0.0", true),
            ("1.0.0", "1.1.0", false),
            ("1.9.0", "2.0.0", true),
            ("2.0.0", "1.0.0", false),
            ("1.0.0", "nonsense", false),
        ] {
            assert_eq!(may_break(released, version), may, "{released} to {version}");
        }
    }
}
