//! `GET /v1/models/{id+}`: one model by its id or alias.

use http::header::CONTENT_LOCATION;
use http::{HeaderValue, StatusCode};
use roster_http::{ETag, Problem, Query, Reply, Request};

use crate::App;
use crate::catalogue::{Reading, past_headers, source_headers, tier_of};
use crate::lookup::{self, lifecycle_headers};
use crate::page::Page;
use crate::selection::moment;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let as_of = query.one("as_of", moment);
    query.finish()?;
    let reading = match &as_of {
        Some(as_of) => Reading::of_past(app.past("as_of", as_of, request.now).await?),
        None => app.reading(&request, None).await?,
    };
    let (snapshot, headers) = (&reading.snapshot, source_headers(reading.source));
    let name = request.path_parameter("id");
    let tier = tier_of(&request.caller, snapshot);
    app.compare(&reading, tier, |snapshot| Page::whole(lookup::find(snapshot, name, &request.caller).ok()));
    let view = match lookup::find(snapshot, name, &request.caller) {
        Ok(view) => view,
        Err(problem) => return Err(problem.with_headers(headers)),
    };
    let etag = ETag::of_model(view, tier);
    let mut reply = etag.not_modified(&request).unwrap_or_else(|| {
        let mut body = Vec::with_capacity(view.max_len());
        view.write(tier, &mut body);
        Reply::json(StatusCode::OK, body).with_etag(&etag)
    });
    if view.id.as_str() != name {
        // Every character of an id may stand in a path as it is.
        let location = HeaderValue::try_from(format!("/v1/models/{}", view.id));
        reply.headers.extend(location.ok().map(|location| (CONTENT_LOCATION, location)));
    }
    let reply = reply.with_headers(lifecycle_headers(snapshot, view));
    Ok(reply.with_headers(headers).with_headers(past_headers(as_of.as_ref())))
}
