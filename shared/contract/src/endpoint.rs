//! What is said of one function.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A function as callers see it, without what follows from its route and from whom it is for.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Value>,
    pub(crate) body: Option<Value>,
    pub(crate) answers: BTreeMap<u16, Value>,
    pub(crate) problems: Vec<u16>,
    pub(crate) security: Option<Value>,
    pub(crate) on: Option<&'static str>,
    pub(crate) foreign_error: Option<Value>,
}

impl Endpoint {
    /// A function that does this.
    #[must_use]
    pub fn new(summary: &'static str) -> Self {
        Self { summary, ..Self::default() }
    }

    /// Is this on one path only, for a function that serves several.
    #[must_use]
    pub fn on(mut self, path: &'static str) -> Self {
        self.on = Some(path);
        self
    }

    /// Tells errors as the clients of another API read them.
    #[must_use]
    pub fn tells_errors_as(mut self, schema: Value) -> Self {
        self.foreign_error = Some(schema);
        self
    }

    /// Takes a parameter in the query, at most once.
    #[must_use]
    pub fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(json!({"in": "query", "name": name, "schema": schema, "description": description}))
    }

    /// Takes a parameter in the query, once.
    #[must_use]
    pub fn required_query(self, name: &str, schema: Value, description: &str) -> Self {
        let parameter = json!({"in": "query", "name": name, "schema": schema, "description": description});
        self.parameter(with(parameter, "required", true.into()))
    }

    /// Takes a parameter in the query, any number of times.
    #[must_use]
    pub fn many(self, name: &str, items: Value, description: &str) -> Self {
        self.query(name, json!({"type": "array", "items": items}), description)
    }

    /// Takes a parameter in the query that is a list, parted by commas.
    #[must_use]
    pub fn commas(self, name: &str, items: Value, description: &str) -> Self {
        let schema = json!({"type": "array", "minItems": 1, "items": items});
        let parameter = json!({"in": "query", "name": name, "schema": schema, "description": description});
        self.parameter(with(with(parameter, "style", "form".into()), "explode", false.into()))
    }

    /// Takes `limit` up to a number, and `cursor`.
    #[must_use]
    pub fn pages(self, max_limit: usize) -> Self {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": max_limit});
        self.query("limit", limit, "The most entries of an answer.").query(
            "cursor",
            json!({"type": "string", "minLength": 1}),
            "Where the next page begins, as the page before said.",
        )
    }

    /// Takes a header.
    #[must_use]
    pub fn header(self, name: &str, description: &str) -> Self {
        let schema = json!({"type": "string"});
        self.parameter(json!({"in": "header", "name": name, "schema": schema, "description": description}))
    }

    /// Says what the path's parameter is; without this it is any text.
    #[must_use]
    pub fn path(self, name: &str, schema: Value, description: &str) -> Self {
        let parameter = json!({"in": "path", "name": name, "schema": schema, "description": description});
        self.parameter(with(parameter, "required", true.into()))
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes a JSON body.
    #[must_use]
    pub fn body(self, schema: Value, required: bool) -> Self {
        self.body_as("application/json", schema, required)
    }

    /// Takes a body of another media type, or of one more.
    #[must_use]
    pub fn body_as(mut self, media_type: &str, schema: Value, required: bool) -> Self {
        let body = self.body.get_or_insert_with(|| json!({"content": {}}));
        body["required"] = required.into();
        body["content"][media_type] = json!({"schema": schema});
        self
    }

    /// Answers this JSON.
    #[must_use]
    pub fn answers(self, status: u16, description: &str, schema: Value) -> Self {
        self.answers_as(status, description, "application/json", schema)
    }

    /// Answers this in another media type, or in one more.
    #[must_use]
    pub fn answers_as(mut self, status: u16, description: &str, media_type: &str, schema: Value) -> Self {
        let answer = self.answers.entry(status).or_insert_with(|| json!({"content": {}}));
        answer["description"] = description.into();
        answer["content"][media_type] = json!({"schema": schema});
        self
    }

    /// Its answers of a status have this header.
    #[must_use]
    pub fn answers_header(mut self, status: u16, name: &str, required: bool, description: &str) -> Self {
        let header = json!({"description": description, "required": required, "schema": {"type": "string"}});
        let answer = self.answers.entry(status).or_insert_with(|| json!({}));
        answer["headers"][name] = header;
        self
    }

    /// Answers a tag, and 304 to who knows it already.
    #[must_use]
    pub fn conditional(mut self) -> Self {
        self = self.header("If-None-Match", "The tags that the client has already.").answers_header(
            200,
            "ETag",
            true,
            "Names exactly this answer.",
        );
        self.answers.insert(304, json!({"description": "The client has this already."}));
        self.answers_header(304, "ETag", true, "Names exactly the answer that the client has.")
    }

    /// Refuses with problems of these statuses, besides those that its route, its body and its access bring.
    #[must_use]
    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        self.problems.extend_from_slice(statuses);
        self
    }

    /// Has another proof of who calls than a bearer token: one of these schemes.
    #[must_use]
    pub fn secured_by(mut self, schemes: &[&str]) -> Self {
        self.security = Some(schemes.iter().map(|scheme| json!({*scheme: []})).collect());
        self
    }

    /// The names of its parameters in the path.
    pub(crate) fn has_path(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == name)
    }
}

fn with(mut value: Value, key: &str, member: Value) -> Value {
    value.as_object_mut().unwrap_or(&mut Map::new()).insert(key.to_owned(), member);
    value
}
