//! `GET /v1/models`: the models that match, page by page out of one revision.

use http::StatusCode;
use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::catalogue::{etag, from_source, tier_of};
use crate::page;
use crate::selection::Listing;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let caller = app.authenticator.authenticate(&request).await?;
    let listing = Listing::read(&request, &caller)?;
    let served = app.catalogue_of(listing.cursor.as_ref(), request.now).await?;
    let tier = tier_of(&caller, &served.snapshot);
    let etag = etag(&served.snapshot, &["list-models", tier.name(), &listing.key()]);
    let reply = etag
        .not_modified(&request)
        .unwrap_or_else(|| Reply::json(StatusCode::OK, page::body(&served.snapshot, &listing, tier)).with_etag(&etag));
    Ok(from_source(served.source, reply))
}
