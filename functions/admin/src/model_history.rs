//! `GET /admin/models/{id}/history`: every change of a model, newest first.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::{App, write};

const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 200;
/// What the entries of an answer may take, in bytes: the last one may go over it.
const MAX_BYTES: usize = 1024 * 1024;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let cursor =
        query.one("cursor", |text| text.parse::<u64>().map_err(|_| format!("\"{text}\" is no cursor of this listing")));
    query.finish()?;
    let id = write::model_id(&request)?;
    let mut entries = app.store.history(&id, cursor, limit + 1).await?;
    if entries.is_empty() && cursor.is_none() && app.store.records([&id]).await?.is_empty() {
        return Err(write::absent(app, &id, request.now).await);
    }
    let mut bytes = 0;
    let fits = entries.iter().take(limit).take_while(|entry| {
        let fits = bytes < MAX_BYTES;
        bytes += json!(entry).to_string().len();
        fits
    });
    let shown = fits.count();
    let has_next = entries.len() > shown;
    entries.truncate(shown);
    let next = entries.last().filter(|_| has_next).map(|last| last.seq.to_string());
    let data = json!({"entries": entries, "nextCursor": next});
    let message = format!("history of model {id}, newest first");
    Ok(Reply::success(StatusCode::OK, &message, data))
}
