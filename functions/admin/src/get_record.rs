//! `GET /admin/models/{id}`: everything about one model, as it is now, with the tag that `If-Match` takes.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::{App, record, unavailable, write};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let id = write::model_id(&request)?;
    let policy = app.policies.current(&app.store).await.map_err(unavailable)?;
    let found = app.store.records([&id]).await.map_err(unavailable)?.remove(&id);
    let found = found
        .ok_or_else(|| Problem::not_found(format!("no model has the id \"{id}\"")).with("model_id", id.as_str()))?;
    let data = record::shown(&found, &policy, request.now);
    let body = json!({"status": "success", "message": format!("model {id}"), "data": data});
    Ok(Reply::json(StatusCode::OK, body.to_string()).with_etag(&record::etag(&found)))
}
