//! `GET /v1/models`: the models that match, page by page out of one revision; or what changed of them.

use http::StatusCode;
use roster_http::{ETag, Problem, Reply, Request};

use crate::App;
use crate::catalogue::{etag, past_headers, source_headers, tier_of};
use crate::changes;
use crate::page::{self, Page};
use crate::selection::Listing;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let listing = Listing::read(&request)?;
    let reading = app.reading_for(&request, &listing).await?;
    let snapshot = &reading.snapshot;
    let tier = tier_of(&request.caller, snapshot);
    let headers = source_headers(reading.source);
    if let Some(since) = &listing.changed_since {
        let then = app.past("changed_since", since, request.now).await?;
        let body = changes::body(&then, snapshot, &listing, tier, request.now);
        let etag = ETag::of(["changes", &*String::from_utf8_lossy(&body)]);
        let reply = etag.not_modified(&request).unwrap_or_else(|| Reply::json(StatusCode::OK, body).with_etag(&etag));
        return Ok(reply.with_headers(headers));
    }
    let etag = etag(snapshot, &["list-models", tier.name(), &listing.key()]);
    let made = || app.bodies.reply(&etag, || page::body(snapshot, &listing, tier));
    let reply = etag.not_modified(&request).unwrap_or_else(made);
    if listing.is_by_id() {
        app.compare(&reading, tier, |snapshot| Page::of(snapshot, &listing));
    }
    Ok(reply.with_headers(headers).with_headers(past_headers(listing.as_of.as_ref())))
}
