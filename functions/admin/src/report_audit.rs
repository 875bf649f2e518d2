//! `GET /admin/audit/report`: what was done in a stretch of time, in numbers.

use http::StatusCode;
use roster_core::audit::ReportBuilder;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::audit::Order;
use serde_json::json;

use crate::App;
use crate::timeline::{Timeline, too_much};

/// Entries that one report counts.
const MAX_ENTRIES: usize = 50_000;
/// Entries of one call to the table, and the days that it looks at.
const CALL: (usize, usize) = (1_000, 100);

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let timeline = Timeline::read(Query::of(&request), &request, Order::OldestFirst, false)?;
    let mut report = ReportBuilder::default();
    let (mut position, mut counted) = (None, 0);
    loop {
        let page = app.store.audit_page(&timeline.range, position.as_ref(), CALL.0, CALL.1).await;
        let page = page?;
        page.entries.iter().filter(|entry| timeline.filter.takes(entry)).for_each(|entry| report.add(entry));
        counted += page.entries.len();
        position = page.next;
        if position.is_none() {
            break;
        }
        if counted >= MAX_ENTRIES {
            let detail = format!("there are more than {MAX_ENTRIES} entries: ask for a shorter stretch");
            return Err(too_much(detail));
        }
    }
    let candidates = report.candidates();
    // Entries that a filter leaves out are not missing.
    let existing = match timeline.shows_whole_histories() {
        true => app.store.history_exists(candidates).await?,
        false => candidates.into_iter().collect(),
    };
    let data = json!({
        "from": timeline.range.from,
        "to": timeline.range.to,
        "report": report.finish(&existing),
    });
    Ok(Reply::success(StatusCode::OK, "what was done, in numbers", data))
}
