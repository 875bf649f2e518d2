//! From routes, registries and descriptions to one OpenAPI 3.1 document.

use std::collections::BTreeMap;

use roster_http::Access;
use serde_json::{Map, Value, json};

use crate::endpoint::Endpoint;
use crate::problems::PROBLEMS;
use crate::schemas::{Schemas, object, reference, text};

/// What the types of problems begin with.
const PREFIX: &str = "urn:roster:problem:";

/// A route of the template with whom its function is for.
#[derive(Debug)]
pub struct Operation {
    /// The method.
    pub method: String,
    /// The path, with the template's parameters.
    pub path: String,
    /// The function that serves it.
    pub function: String,
    /// Whom it is for.
    pub access: Access,
}

/// The document.
///
/// # Errors
/// Which route has no description, or which description no route.
pub fn document(
    version: &str,
    operations: &[Operation],
    endpoints: &[(&'static str, Endpoint)],
    mut schemas: Schemas,
) -> Result<Value, String> {
    schemas.named("Problem", problem());
    let serves = |(name, endpoint): &(&str, Endpoint), operation: &Operation| {
        operation.function == *name && endpoint.on.is_none_or(|path| operation.path == path)
    };
    if let Some((name, _)) = endpoints.iter().find(|one| operations.iter().all(|operation| !serves(one, operation))) {
        return Err(format!("{name} is described and has no route in template.yaml"));
    }
    let mut paths = Map::new();
    for operation in operations {
        let endpoint = endpoints.iter().find(|one| serves(one, operation)).map(|(_, endpoint)| endpoint);
        let endpoint = endpoint.ok_or_else(|| {
            let Operation { method, path, function, .. } = operation;
            format!("{method} {path} has no description: add {function} to its artifact's contract.rs")
        })?;
        let path = operation.path.replace("+}", "}");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        let described = described(operation, endpoint);
        item[operation.method.to_lowercase()] =
            if operation.method == "HEAD" { without_bodies(described) } else { described };
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Roster",
            "version": version,
            "summary": "A catalogue of AI models that a Git repository runs.",
            "description": "Errors are problem details (RFC 9457) with a stable type. A parameter or a key that is not known is an error.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "clients", "description": "What clients of the catalogue call."},
            {"name": "admins", "description": "What admins call."},
            {"name": "hooks", "description": "What forges call."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": responses(),
            "headers": headers(),
            "securitySchemes": security_schemes(),
        },
    }))
}

fn described(operation: &Operation, endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = path_parameters(&operation.path)
        .filter(|name| !endpoint.has_path(name))
        .map(|name| {
            let schema = json!({"type": "string", "minLength": 1});
            json!({"in": "path", "name": name, "required": true, "schema": schema})
        })
        .collect();
    parameters.extend(endpoint.parameters.iter().cloned());
    let roles: &[_] = if let Access::Roles(roles) = operation.access { roles } else { &[] };
    let mut refusals = vec![400, 500, 503, 504];
    refusals.extend_from_slice(&endpoint.problems);
    if !parameters.is_empty() && operation.path.contains('{') {
        refusals.push(404);
    }
    if operation.access != Access::Open {
        refusals.extend([401, 429]);
    }
    if !roles.is_empty() {
        refusals.push(403);
    }
    if endpoint.body.is_some() {
        refusals.extend([413, 415, 422]);
    }
    if operation.method == "GET" || operation.method == "HEAD" {
        refusals.push(406);
    }
    let mut answers: Map<String, Value> =
        refusals.into_iter().map(|status| (status.to_string(), refusal(status, endpoint))).collect();
    answers.extend(endpoint.answers.iter().map(|(status, answer)| {
        let mut answer = answer.clone();
        if operation.access != Access::Open {
            answer["headers"]["RateLimit"] = json!({"$ref": "#/components/headers/RateLimit"});
            answer["headers"]["RateLimit-Policy"] = json!({"$ref": "#/components/headers/RateLimit-Policy"});
        }
        (status.to_string(), answer)
    }));
    let tag = match operation.path.split('/').nth(1) {
        Some("admin") => "admins",
        Some("hooks") => "hooks",
        _ => "clients",
    };
    let security = match (operation.access, &endpoint.security) {
        (Access::Everyone, Some(security)) => {
            std::iter::once(json!({})).chain(security.as_array().into_iter().flatten().cloned()).collect()
        }
        (_, Some(security)) => security.clone(),
        (Access::Open, None) => json!([]),
        (Access::Everyone, None) => json!([{}, {"bearer": []}]),
        (Access::Roles(_), None) => json!([{"bearer": []}]),
    };
    let mut described = json!({
        "operationId": operation_id(operation, endpoint), "summary": endpoint.summary, "tags": [tag],
        "security": security, "responses": answers,
    });
    if !roles.is_empty() {
        described["x-roles"] = roles.iter().map(|role| Value::from(role.name())).collect();
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &endpoint.body {
        described["requestBody"] = body.clone();
    }
    described
}

/// Unique for each route: a function may serve several.
fn operation_id(operation: &Operation, endpoint: &Endpoint) -> String {
    let one = if endpoint.on.is_some() && operation.path.contains('{') { "-one" } else { "" };
    let head = if operation.method == "HEAD" { "head-" } else { "" };
    format!("{head}{}{one}", operation.function)
}

/// A problem, or what it is told as; that a function does not answer in time, the gateway tells.
fn refusal(status: u16, endpoint: &Endpoint) -> Value {
    match &endpoint.foreign_error {
        Some(schema) if status != 504 => json!({
            "description": "An error as this API's clients read it.",
            "content": {"application/json": {"schema": schema}},
        }),
        _ => json!({"$ref": format!("#/components/responses/Problem{status}")}),
    }
}

/// An operation that answers as another one does, as far as headers go.
fn without_bodies(mut operation: Value) -> Value {
    for answer in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let headers = answer.get("headers").cloned();
        *answer = json!({"description": "What GET answers, without its body."});
        if let Some(headers) = headers {
            answer["headers"] = headers;
        }
    }
    operation
}

/// The names of a path's parameters.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| Some(segment.strip_prefix('{')?.trim_end_matches(['+', '}'])))
}

fn problem() -> Value {
    let mut schema = object([
        ("type", json!({"type": "string", "pattern": format!("^{PREFIX}[a-z-]+$")})),
        ("title", text()),
        ("status", json!({"type": "integer", "minimum": 400, "maximum": 599})),
        ("detail", json!({"type": "string", "description": "What was wrong, where, and what to do."})),
        ("request_id", json!({"type": "string", "description": "What the log knows this request by."})),
    ]);
    schema["description"] = "Problem details (RFC 9457). Some types have more members.".into();
    schema["additionalProperties"] = true.into();
    schema
}

/// The types of problems by their status.
fn kinds() -> BTreeMap<u16, Vec<&'static str>> {
    let mut kinds: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    PROBLEMS.iter().for_each(|(kind, status)| kinds.entry(*status).or_default().push(kind));
    kinds
}

/// One response a status, with the types of problems that it may be.
fn responses() -> Value {
    let response = |(status, kinds): (u16, Vec<&str>)| {
        let types: Vec<String> = kinds.iter().map(|kind| format!("`{PREFIX}{kind}`")).collect();
        let mut response = json!({
            "description": format!("One of {}.", types.join(", ")),
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        });
        if matches!(status, 429 | 503) {
            let seconds = json!({"type": "integer", "minimum": 0});
            response["headers"]["Retry-After"] = json!({"description": "Seconds to wait.", "schema": seconds});
        }
        (format!("Problem{status}"), response)
    };
    kinds().into_iter().map(response).collect::<Map<_, _>>().into()
}

fn headers() -> Value {
    json!({
        "RateLimit": {
            "description": "What is left of the limit of the caller's tier, where it has one.", "schema": text(),
        },
        "RateLimit-Policy": {"description": "The limit of the caller's tier, where it has one.", "schema": text()},
    })
}

fn security_schemes() -> Value {
    let header = |name: &str, description: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": description});
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "Its claims name subject, roles (admin, super_admin, service) and tier.",
        },
        "apiKey": header("x-api-key", "The same token, as Anthropic's older clients send it."),
        "githubSignature": header("X-Hub-Signature-256", "`sha256=` and the HMAC of the body."),
        "giteaSignature": header("X-Gitea-Signature", "The HMAC of the body."),
        "gitlabToken": header("X-Gitlab-Token", "The secret itself."),
    })
}

/// The document with every described object and every list of problems closed, so that a test finds what an answer has
/// and the document has not. Clients get it open: a key or a type of problem more is no breaking change.
#[must_use]
pub fn closed(mut document: Value) -> Value {
    close(&mut document);
    for (status, kinds) in kinds() {
        let types: Vec<String> = kinds.iter().map(|kind| format!("{PREFIX}{kind}")).collect();
        let content = &mut document["components"]["responses"][format!("Problem{status}")]["content"];
        content["application/problem+json"]["schema"] =
            json!({"allOf": [reference("Problem"), {"properties": {"type": {"enum": types}}}]});
    }
    document
}

fn close(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            let is_described = keys.get("type").is_some_and(|kind| kind == "object") && keys.contains_key("properties");
            if is_described && !keys.contains_key("additionalProperties") {
                keys.insert("additionalProperties".to_owned(), false.into());
            }
            keys.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(routes: &[(&str, &str, &str)], endpoints: &[(&'static str, Endpoint)]) -> Result<Value, String> {
        let operation = |(method, path, function): &(&str, &str, &str)| Operation {
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            function: (*function).to_owned(),
            access: Access::Everyone,
        };
        let operations: Vec<Operation> = routes.iter().map(operation).collect();
        document("0.1.0", &operations, endpoints, Schemas::default())
    }

    fn tells(summary: &'static str) -> Endpoint {
        Endpoint::new(summary).answers(200, "It.", text())
    }

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let routes = [("GET", "/a", "one"), ("GET", "/a/{id+}", "one"), ("GET", "/b", "two")];
        let both = [("one", tells("1")), ("two", tells("2"))];
        assert!(made(&routes, &both).is_ok());
        let told = made(&routes, &both[..1]).unwrap_err();
        assert_eq!(told, "GET /b has no description: add two to its artifact's contract.rs");
        let told = made(&routes[..2], &both).unwrap_err();
        assert_eq!(told, "two is described and has no route in template.yaml");
        let told = made(&routes[..2], &[("one", tells("1").on("/a"))]).unwrap_err();
        assert!(told.starts_with("GET /a/{id+} has no description"), "{told}");
        let told = made(&routes[..1], &[("one", tells("1").on("/a")), ("one", tells("1").on("/c"))]).unwrap_err();
        assert!(told.starts_with("one is described"), "{told}");
    }

    #[test]
    fn head_answers_what_get_answers_without_its_body() {
        let endpoint = tells("It").conditional();
        let document = made(&[("GET", "/a", "one"), ("HEAD", "/a", "one")], &[("one", endpoint)]).unwrap();
        let (get, head) = (&document["paths"]["/a"]["get"], &document["paths"]["/a"]["head"]);
        assert_eq!(get["parameters"], head["parameters"]);
        assert_eq!(head["operationId"], "head-one");
        assert_eq!(get["responses"]["200"]["headers"], head["responses"]["200"]["headers"]);
        assert!(!head.to_string().contains("content") && !head.to_string().contains("$ref\":\"#/components/responses"));
    }

    #[test]
    fn what_a_test_compares_with_is_closed_and_what_clients_get_is_open() {
        let body = object([("a", text())]);
        let endpoint = Endpoint::new("It").answers(200, "It.", body);
        let open = made(&[("GET", "/a", "one")], &[("one", endpoint)]).unwrap();
        let at = "/paths/~1a/get/responses/200/content/application~1json/schema/additionalProperties";
        assert_eq!(open.pointer(at), None);
        let closed = closed(open);
        assert_eq!(closed.pointer(at), Some(&false.into()));
        let kinds =
            "/components/responses/Problem410/content/application~1problem+json/schema/allOf/1/properties/type/enum";
        assert_eq!(closed.pointer(kinds).unwrap()[0], "urn:roster:problem:archived");
    }
}
