//! `GET /anthropic/v1/models` and `/anthropic/v1/models/{id+}`: the models as Anthropic's clients expect them
//! (<https://docs.anthropic.com/en/api/models-list>), newest first.

use std::cmp::Reverse;

use http::StatusCode;
use roster_core::view::View;
use roster_http::{Dialect, Problem, Query, Reply, Request};
use roster_store::Appearances;
use roster_store::reader::Snapshot;
use serde_json::{Value, json};

use crate::App;
use crate::catalogue::source_headers;
use crate::foreign;

const DEFAULT_LIMIT: usize = 20;
pub(crate) const MAX_LIMIT: usize = 1000;

/// How Anthropic takes tokens from older clients, and tells errors.
pub(crate) static DIALECT: Dialect = Dialect { token_header: Some("x-api-key"), error };

/// A page of the list.
struct Listing<'q> {
    limit: usize,
    after: Option<&'q str>,
    before: Option<&'q str>,
    /// Which stages; all of them when none is named.
    lifecycle: Vec<&'static str>,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let name = request.path_parameter("id");
    let listing = Listing::read(&request)?;
    let reading = app.reading(&request, None).await?;
    let (snapshot, headers) = (&reading.snapshot, source_headers(reading.source));
    let appearances = app.appearances(snapshot).await?;
    let etag = foreign::tag(snapshot, &appearances, "anthropic", &request);
    let body = match name {
        "" => listing.page(snapshot, &appearances),
        name => foreign::find(snapshot, name).and_then(|view| shown(view, snapshot, &appearances)),
    };
    let body = body.map_err(|problem| problem.with_headers(headers.clone()))?;
    let reply = etag.not_modified(&request);
    let reply = reply.unwrap_or_else(|| Reply::json(StatusCode::OK, body.to_string()).with_etag(&etag));
    Ok(reply.with_headers(headers))
}

impl<'q> Listing<'q> {
    fn read(request: &'q Request) -> Result<Self, Problem> {
        let mut query = Query::of(request);
        // What the client calls a beta is the same here.
        query.flag("beta");
        if !request.path_parameter("id").is_empty() {
            query.finish()?;
            return Ok(Self { limit: 1, after: None, before: None, lifecycle: Vec::new() });
        }
        let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let (after, before) = (query.text("after_id"), query.text("before_id"));
        let lifecycle = query.many("lifecycle[]", |stage| match stage {
            "active" => Ok("active"),
            "deprecated" => Ok("deprecated"),
            "retired" => Ok("retired"),
            _ => Err(format!("\"{stage}\" is none of active, deprecated, retired")),
        });
        query.finish()?;
        if after.is_some() && before.is_some() {
            return Err(Problem::bad_parameter("before_id", "before_id and after_id exclude each other"));
        }
        Ok(Self { limit, after, before, lifecycle })
    }

    fn page(&self, snapshot: &Snapshot, appearances: &Appearances) -> Result<Value, Problem> {
        let takes = |view: &&View| self.lifecycle.is_empty() || self.lifecycle.contains(&stage(view));
        let mut views: Vec<&View> = foreign::usable(snapshot).filter(takes).collect();
        let place = |id: &str| (Reverse(appearances.of(id)), id.to_owned());
        views.sort_by_cached_key(|view| place(view.id.as_str()));
        // An id that is not listed any more still has its place.
        let until = |id: &str| views.partition_point(|view| place(view.id.as_str()) < place(id));
        let past = |id: &str| views.partition_point(|view| place(view.id.as_str()) <= place(id));
        let (page, has_more) = match (self.after, self.before) {
            (None, Some(before)) => {
                let end = until(before);
                let start = end.saturating_sub(self.limit);
                (&views[start..end], start > 0)
            }
            (after, _) => {
                let start = after.map_or(0, past);
                let end = views.len().min(start + self.limit);
                (&views[start..end], end < views.len())
            }
        };
        let data = page.iter().map(|view| shown(view, snapshot, appearances)).collect::<Result<Vec<_>, _>>()?;
        let id = |view: Option<&&View>| view.map(|view| view.id.clone());
        Ok(json!({"data": data, "has_more": has_more, "first_id": id(page.first()), "last_id": id(page.last())}))
    }
}

/// A model's stage in Anthropic's words. What is retired is archived, which nobody sees.
fn stage(view: &View) -> &'static str {
    if view.is_legacy { "deprecated" } else { "active" }
}

fn shown(view: &View, snapshot: &Snapshot, appearances: &Appearances) -> Result<Value, Problem> {
    let meta = snapshot.spec(view).ok_or_else(Problem::internal)?.meta;
    Ok(json!({
        "type": "model",
        "id": view.id,
        "display_name": meta.display_name,
        "created_at": appearances.of(view.id.as_str()),
        "lifecycle": stage(view),
        "deprecated_at": null,
        "retires_at": view.sunset.filter(|_| view.is_legacy),
        "line": null,
        "capabilities": null,
        "max_input_tokens": meta.context_length,
        "max_tokens": meta.max_output_tokens,
    }))
}

fn error(status: StatusCode, problem: &Value) -> Value {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND | StatusCode::GONE => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    let (message, request_id) = (foreign::detail(problem), &problem["request_id"]);
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id})
}
