//! `GET /admin/models/{id}`: everything about one model, as it is now, with the tag that `If-Match` takes.

use std::collections::BTreeMap;

use http::StatusCode;
use roster_core::tier::{self, Tier};
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::{App, record, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let id = write::model_id(&request)?;
    let policy = app.policies.current(&app.store).await?;
    let found = app.store.records([&id]).await?.remove(&id);
    let found = found
        .ok_or_else(|| Problem::not_found(format!("no model has the id \"{id}\"")).with("model_id", id.as_str()))?;
    let mut data = record::shown(&found, &policy, request.now);
    let access = Tier::ALL.map(|tier| (tier.name(), tier::access_status(&found.spec.meta, tier, &policy)));
    data["access"] = json!(BTreeMap::from(access));
    Ok(Reply::success(StatusCode::OK, &format!("model {id}"), data).with_etag(&record::etag(&found)))
}
