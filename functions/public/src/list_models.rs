//! `GET /v1/models`: the models that match, page by page out of one revision.

use http::StatusCode;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::catalogue::{etag, source_headers, tier_of};
use crate::page::{self, Page};
use crate::selection::Listing;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let listing = Listing::read(&request)?;
    let reading = app.reading(&request, listing.cursor.as_ref()).await?;
    let snapshot = &reading.snapshot;
    let tier = tier_of(&request.caller, snapshot);
    let etag = etag(snapshot, &["list-models", tier.name(), &listing.key()]);
    let reply = etag
        .not_modified(&request)
        .unwrap_or_else(|| Reply::json(StatusCode::OK, page::body(snapshot, &listing, tier)).with_etag(&etag));
    app.compare(&reading, tier, |snapshot| Page::of(snapshot, &listing));
    Ok(reply.with_headers(source_headers(reading.source)))
}
