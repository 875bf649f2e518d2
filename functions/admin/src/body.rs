//! Bodies of requests: strict JSON objects, with the reason that every change is asked for.

use http::StatusCode;
use roster_core::command::unknown_key;
use roster_core::document::{Document, MAX_BYTES};
use roster_http::{Problem, Request};
use serde_json::{Map, Value, json};

use crate::mode;

/// The most characters of a reason.
const MAX_REASON: usize = 1000;

/// A body, with the reason taken out of it.
#[derive(Debug)]
pub(crate) struct Body {
    /// The rest of the body.
    pub(crate) document: Document,
    /// Why, by the body's `reason` or else the header `X-Reason`; empty when neither is given.
    pub(crate) reason: String,
    /// The end of an override, where the body names it.
    pub(crate) until: Option<Value>,
}

impl Body {
    /// Reads a request's body; none at all counts as an object without keys.
    ///
    /// # Errors
    /// 413 when it is too large, 415 when it is something else than JSON, 400 when it is no JSON object, and 422 when
    /// the reason cannot be used.
    pub(crate) fn read(request: &Request) -> Result<Self, Problem> {
        if request.body.len() as u64 > MAX_BYTES {
            return Err(Problem::payload_too_large(usize::try_from(MAX_BYTES).unwrap_or(usize::MAX)));
        }
        let bytes: &[u8] = if request.body.is_empty() {
            b"{}"
        } else {
            request.check_content_type()?;
            &request.body
        };
        let mut document = Document::parse("", bytes).map_err(|problems| malformed(&problems))?;
        if !document.value().is_object() {
            return Err(malformed(&[document.problem("", "the body must be a JSON object")]));
        }
        let reason = match document.take("reason") {
            Some(Value::String(reason)) => reason,
            Some(Value::Null) | None => header_reason(request)?,
            Some(_) => return Err(invalid(&[document.problem("/reason", "a reason is a text")])),
        };
        if let Some(message) = reason_problem(&reason) {
            return Err(invalid(&[document.problem("/reason", message)]));
        }
        let until = if mode::is_override(request) { document.take("until") } else { None };
        Ok(Self { document, reason, until })
    }

    /// The keys of the body.
    pub(crate) fn keys(&self) -> Map<String, Value> {
        self.document.value().as_object().cloned().unwrap_or_default()
    }

    /// Nothing but the reason.
    ///
    /// # Errors
    /// 422 with every other key.
    pub(crate) fn without_keys(&self) -> Result<(), Problem> {
        let unknown: Vec<_> = self.keys().keys().map(|key| unknown_key(key, &["reason"])).collect();
        if unknown.is_empty() { Ok(()) } else { Err(invalid(&unknown)) }
    }
}

/// Why, by the header `X-Reason`; empty when it is not given.
pub(crate) fn header_reason(request: &Request) -> Result<String, Problem> {
    let Some(value) = request.headers.get("x-reason") else { return Ok(String::new()) };
    let text = std::str::from_utf8(value.as_bytes());
    text.map(str::to_owned).map_err(|_| Problem::bad_parameter("X-Reason", "the header is not UTF-8"))
}

/// What is wrong with a reason.
pub(crate) fn reason_problem(reason: &str) -> Option<String> {
    (reason.chars().count() > MAX_REASON).then(|| format!("a reason has at most {MAX_REASON} characters"))
}

fn malformed(problems: &[roster_core::Problem]) -> Problem {
    with_errors(StatusCode::BAD_REQUEST, "malformed-body", "Malformed body", problems)
}

/// 422 with every mistake and its place in the body.
pub(crate) fn invalid(problems: &[roster_core::Problem]) -> Problem {
    with_errors(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", problems)
}

fn with_errors(
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    problems: &[roster_core::Problem],
) -> Problem {
    let told = |problem: &roster_core::Problem| match problem.pointer.as_str() {
        "" => problem.message.clone(),
        pointer => format!("{pointer}: {}", problem.message),
    };
    let detail = problems.iter().map(told).collect::<Vec<_>>().join("; ");
    let errors: Vec<Value> = problems
        .iter()
        .map(|problem| match problem.line {
            0 => json!({"pointer": problem.pointer, "detail": problem.message}),
            line => json!({
                "pointer": problem.pointer, "detail": problem.message, "line": line, "column": problem.column,
            }),
        })
        .collect();
    Problem::new(status, kind, title, detail).with("errors", errors)
}
