//! A request through the gateway, read once.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::auth::Caller;
use crate::problem::Problem;

/// The largest body that is read as one small type.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A request, whichever gateway it came through.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as the client sent it, without the stage, still percent-encoded.
    pub path: String,
    /// The route's parameters, percent-decoded.
    pub path_parameters: BTreeMap<String, String>,
    /// The query's parameters in order, percent-decoded; a key may repeat.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Where the request comes from, as the gateway sees it.
    pub source_ip: Option<String>,
    /// Where the API is that the request came through, as its gateway says: scheme and host, and the stage or the base
    /// path before its routes, without a slash at the end. Absent where no gateway says it.
    pub api_url: Option<String>,
    /// Who calls; anonymous until the gate has looked.
    pub caller: Caller,
    /// The gateway's id of this request, for logs and error reports.
    pub request_id: String,
    /// When the request came in.
    pub now: Timestamp,
}

impl Request {
    /// A header's value, where it is present once as visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Who asks for a change: the subject of the token.
    ///
    /// # Errors
    /// 403 when the token names none.
    pub fn actor(&self) -> Result<&str, Problem> {
        let subject = self.caller.subject.as_deref().filter(|subject| !subject.is_empty());
        subject.ok_or_else(|| Problem::forbidden("a change needs a token that names its subject"))
    }

    /// Checks that a body says it is JSON.
    ///
    /// # Errors
    /// 415 when it says something else, or nothing.
    pub fn check_content_type(&self) -> Result<(), Problem> {
        let content_type = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type == "application/json" || media_type.starts_with("application/") && media_type.ends_with("+json") {
            return Ok(());
        }
        let detail = match content_type {
            "" => "the body has no content type: send application/json".to_owned(),
            other => format!("the body is {other}: send application/json"),
        };
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Problem::new(status, "unsupported-media-type", "Unsupported media type", detail))
    }

    /// The body as a type.
    ///
    /// # Errors
    /// 413 when it is too large, 415 when it is something else than JSON, 400 when it is malformed, and 422 when it is
    /// not what the type takes.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.json_within(MAX_BODY_BYTES)
    }

    /// The body as a type, where it may be longer than those of most requests.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub fn json_within<T: DeserializeOwned>(&self, limit_bytes: usize) -> Result<T, Problem> {
        if self.body.len() > limit_bytes {
            return Err(Problem::payload_too_large(limit_bytes));
        }
        self.check_content_type()?;
        serde_json::from_slice(&self.body).map_err(|error| match error.classify() {
            Category::Data => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", error.to_string())
            }
            _ => Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "Malformed body", error.to_string()),
        })
    }

    /// A route parameter; empty when the route has none of that name.
    #[must_use]
    pub fn path_parameter(&self, name: &str) -> &str {
        self.path_parameters.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A GET of a path with an unencoded query.
    pub(crate) fn get(target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Request {
            method: Method::GET,
            path: path.to_owned(),
            path_parameters: BTreeMap::new(),
            query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            source_ip: None,
            api_url: None,
            caller: Caller::default(),
            request_id: "request-1".to_owned(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }
}
