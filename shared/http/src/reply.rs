//! A reply, whichever gateway it goes through.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::encoding::Encodings;

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty for 204 and 304.
    pub body: Bytes,
    /// What the body was compressed to, where it is answered more than once.
    pub encodings: Encodings,
}

impl Reply {
    /// A JSON document.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let reply = Self { body: body.into(), ..Self::empty(status) };
        reply.with_header(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// What the admin API answers when it did what was asked: `{"status": "success", "message", "data"}`.
    #[must_use]
    pub fn success(status: StatusCode, message: &str, data: Value) -> Self {
        Self::json(status, json!({"status": "success", "message": message, "data": data}).to_string())
    }

    /// A reply without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), encodings: Encodings::default() }
    }

    /// The reply with these headers set.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The reply with a header set.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
