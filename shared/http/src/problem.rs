//! Errors as clients read them: RFC 9457 problem details.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use roster_store::StoreError;
use serde_json::{Map, Value, json};

use crate::reply::Reply;

/// An error for a client. It names what was wrong with the request and what to do, never a stack,
/// a table or an SDK's message: those go to the log.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

/// An error as another API tells it, made of the problem's own members.
pub type ErrorBody = fn(StatusCode, &Value) -> Value;

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    extensions: Map<String, Value>,
    headers: HeaderMap,
    told_as: Option<ErrorBody>,
}

impl Problem {
    /// A problem of a stable kind, a word of lower-case letters and dashes.
    #[must_use]
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let (extensions, headers) = (Map::new(), HeaderMap::new());
        Self(Box::new(Parts { status, kind, title, detail: detail.into(), extensions, headers, told_as: None }))
    }

    /// 400: a parameter of the request cannot be used.
    #[must_use]
    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Bad parameter", detail).with("parameter", name)
    }

    /// 401: the token is not good now.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
            .with_header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    /// 403: the caller lacks a role.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 413: the request is larger than what is read.
    #[must_use]
    pub fn payload_too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body is larger than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "Payload too large", detail)
    }

    /// 422 with every mistake: its place in the body (RFC 6901), and what is wrong.
    #[must_use]
    pub fn invalid<P: AsRef<str>>(mistakes: &[(P, String)]) -> Self {
        let mistakes = mistakes.iter().map(|(pointer, detail)| (pointer.as_ref(), detail));
        let told: Vec<String> = mistakes.clone().map(|(pointer, detail)| format!("{pointer}: {detail}")).collect();
        let errors: Vec<Value> =
            mistakes.map(|(pointer, detail)| json!({"pointer": pointer, "detail": detail})).collect();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid", "Invalid request", told.join("; ")).with("errors", errors)
    }

    /// 500: something failed that the client cannot mend. The detail is the same for every cause.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the request failed inside the service; it is logged under this request id",
        )
    }

    /// 503: something that the service needs is out of reach.
    #[must_use]
    pub fn unavailable() -> Self {
        let detail = "the service is out of reach of its data: try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
            .with_header(http::header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// The problem with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The problem with a header on its reply.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The problem with these headers on its reply.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The problem for clients of another API.
    #[must_use]
    pub fn told_as(mut self, body: ErrorBody) -> Self {
        self.0.told_as = Some(body);
        self
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The problem as `application/problem+json`, or as another API tells it.
    #[must_use]
    pub fn into_reply(self, request_id: &str) -> Reply {
        let Parts { status, kind, title, detail, extensions, headers, told_as } = *self.0;
        let mut body = json!({
            "type": format!("urn:roster:problem:{}", kind),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut body {
            members.extend(extensions);
        }
        let (body, content_type) = match told_as {
            None => (body, "application/problem+json"),
            Some(told_as) => (told_as(status, &body), "application/json"),
        };
        let mut reply = Reply::json(status, Bytes::from(body.to_string()));
        reply.headers = headers;
        reply
            .with_header(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))
            // A cache may keep a 404 or a 410 on its own guess.
            .with_header(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

/// What a client is told when the tables do not answer; the log is told why.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the tables are out of reach");
        Self::unavailable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_on_the_wire() {
        let reply = Problem::unavailable().with("since", 7).into_reply("request-1");
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers[http::header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(reply.headers[http::header::CACHE_CONTROL], "no-store");
        assert_eq!(reply.headers[http::header::RETRY_AFTER], "5");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let expected = json!({
            "type": "urn:roster:problem:unavailable",
            "title": "Unavailable",
            "status": 503,
            "detail": "the service is out of reach of its data: try again",
            "request_id": "request-1",
            "since": 7,
        });
        assert_eq!(body, expected);
    }
}
