//! `GET /openapi.json`: what this API answers, generated from the code (`roster openapi`) and kept in the repository.

use http::StatusCode;
use roster_http::{ETag, Problem, Query, Reply, Request};

const DOCUMENT: &str = include_str!("../../../openapi.json");

pub(crate) fn handle(request: &Request) -> Result<Reply, Problem> {
    Query::of(request).finish()?;
    let etag = ETag::of(["openapi", DOCUMENT]);
    Ok(etag.not_modified(request).unwrap_or_else(|| Reply::json(StatusCode::OK, DOCUMENT).with_etag(&etag)))
}
