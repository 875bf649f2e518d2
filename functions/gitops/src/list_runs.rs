//! `GET /admin/sync/runs`: what became of each commit, newest first, with plan, mistakes, units and seconds.

use http::StatusCode;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::{Value, json};

use crate::App;

const DEFAULT_LIMIT: usize = 20;
pub(crate) const MAX_LIMIT: usize = 50;
/// What the reports of an answer may take, in bytes: the last one may go over it.
const MAX_BYTES: usize = 1024 * 1024;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let before = query.text("cursor");
    query.finish()?;
    let found = app.store.runs(before, limit + 1).await?;
    let (mut runs, mut bytes, mut last) = (Vec::new(), 0, None);
    for run in &found {
        if runs.len() == limit || bytes > MAX_BYTES {
            break;
        }
        let at = run.key.split('#').next().unwrap_or_default();
        let mut report = run.report.clone();
        report["at"] = Value::from(at);
        bytes += report.to_string().len();
        runs.push(report);
        last = Some(run.key.as_str());
    }
    let next = last.filter(|_| runs.len() < found.len());
    let data = json!({"runs": runs, "nextCursor": next});
    Ok(Reply::success(StatusCode::OK, "what became of each commit, newest first", data))
}
