//! A request through the gateway, read once.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::auth::Caller;

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
            caller: Caller::default(),
            request_id: "request-1".to_owned(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }
}
