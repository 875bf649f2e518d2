//! `GET /v1/models/{id+}`: one model by its id or alias.

use http::header::CONTENT_LOCATION;
use http::{HeaderValue, StatusCode};
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::catalogue::{etag, from_source, tier_of};
use crate::lookup;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let caller = app.authenticator.authenticate(&request).await?;
    Query::of(&request).finish()?;
    let served = app.catalogue(request.now).await?;
    let name = request.path_parameter("id");
    let view = lookup::find(&served.snapshot, name, &caller)?;
    let tier = tier_of(&caller, &served.snapshot);
    let etag = etag(&served.snapshot, &["get-model", view.id.as_str(), tier.name()]);
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
    Ok(from_source(served.source, reply))
}
