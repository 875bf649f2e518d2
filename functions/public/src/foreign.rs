//! What clients of other APIs list: the models that can be used now, whatever the caller's tier. Whether a caller may
//! use one, `POST /v1/resolve` says.

use http::StatusCode;
use roster_core::lifecycle::Stage;
use roster_core::view::View;
use roster_http::{Caller, ETag, Problem, Request};
use roster_store::Appearances;
use roster_store::reader::Snapshot;
use serde_json::Value;

use crate::catalogue::etag;
use crate::lookup;

/// The models that can be used now, by id.
pub(crate) fn usable(snapshot: &Snapshot) -> impl Iterator<Item = &View> {
    snapshot.views().filter(|view| view.stage != Stage::Archived && view.is_available)
}

/// One of them, by its id or an alias.
///
/// # Errors
/// 404 when there is none, or it is not available now; 410 when it is archived, for admins too.
pub(crate) fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s View, Problem> {
    let view = lookup::find(snapshot, name, &Caller::default())?;
    if view.is_available {
        return Ok(view);
    }
    Err(Problem::not_found(format!("model {} is not available now", view.id)).with("model_id", view.id.as_str()))
}

/// The tag of an answer that also depends on when models appeared. An id in the path counts as written.
pub(crate) fn tag(snapshot: &Snapshot, appearances: &Appearances, shape: &str, request: &Request) -> ETag {
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (id, query) = (request.path_parameter("id"), query.join("&"));
    etag(snapshot, &[shape, &appearances.version(), id, &query])
}

/// What a problem says, for people.
pub(crate) fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap_or_default()
}

/// The kind of a problem in the words of other APIs.
pub(crate) fn code(status: StatusCode, problem: &Value) -> String {
    match status {
        StatusCode::NOT_FOUND => "model_not_found".to_owned(),
        StatusCode::UNAUTHORIZED => "invalid_api_key".to_owned(),
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded".to_owned(),
        _ => problem["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default().replace('-', "_"),
    }
}
