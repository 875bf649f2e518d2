//! `GET /admin/audit`: what was done to which model by whom, when and why, newest first.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::audit::Order;
use serde_json::json;

use crate::App;
use crate::timeline::Timeline;

const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 200;
/// What the entries of a page may take; one entry has less than half of what can be answered.
const MAX_BYTES: usize = 1024 * 1024;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let timeline = Timeline::read(query, &request, Order::NewestFirst, true)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let next_cursor = timeline.visit(app, limit, |entry| {
        let entry = json!(entry);
        bytes += entry.to_string().len();
        entries.push(entry);
        bytes < MAX_BYTES
    });
    let next_cursor = next_cursor.await?;
    let data = json!({
        "entries": entries,
        "from": timeline.range.from,
        "to": timeline.range.to,
        "nextCursor": next_cursor,
    });
    Ok(Reply::success(StatusCode::OK, "what was done, newest first", data))
}
