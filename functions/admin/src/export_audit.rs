//! `GET /admin/audit/export`: the audit as JSON Lines or CSV, oldest first, in pages that a `Link` joins.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use roster_core::audit::AuditEntry;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::audit::Order;

use crate::timeline::Timeline;
use crate::{App, listing};

const DEFAULT_LIMIT: usize = 1_000;
pub(crate) const MAX_LIMIT: usize = 5_000;
/// What a page may take; one entry has less than half of what can be answered.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy)]
enum Format {
    JsonLines,
    Csv,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let format = query.one("format", |name| match name {
        "jsonl" => Ok(Format::JsonLines),
        "csv" => Ok(Format::Csv),
        _ => Err(format!("\"{name}\" is no format: there are jsonl and csv")),
    });
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let format = format.unwrap_or(Format::JsonLines);
    let is_first = request.query.iter().all(|(name, _)| name != "cursor");
    let timeline = Timeline::read(query, &request, Order::OldestFirst, true)?;
    let (mut text, media_type, name) = match format {
        Format::JsonLines => (String::new(), "application/jsonl", "audit.jsonl"),
        // Pages after the first are meant to be put behind it.
        Format::Csv if is_first => (AuditEntry::CSV_HEADER.to_owned(), "text/csv; charset=utf-8", "audit.csv"),
        Format::Csv => (String::new(), "text/csv; charset=utf-8", "audit.csv"),
    };
    let mut failed = None;
    let next_cursor = timeline.visit(app, limit, |entry| {
        let line = match format {
            Format::JsonLines => serde_json::to_string(entry).map(|line| line + "\n"),
            Format::Csv => entry.csv_row(),
        };
        match line {
            Ok(line) => text.push_str(&line),
            Err(error) => failed = Some(error),
        }
        text.len() < MAX_BYTES && failed.is_none()
    });
    let next_cursor = next_cursor.await?;
    if let Some(error) = failed {
        tracing::error!(%error, "an entry of the audit cannot be written");
        return Err(Problem::internal());
    }
    let mut reply =
        Reply::json(StatusCode::OK, text).with_header(CONTENT_TYPE, HeaderValue::from_static(media_type)).with_header(
            CONTENT_DISPOSITION,
            HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
                .unwrap_or(HeaderValue::from_static("attachment")),
        );
    if let Some(cursor) = next_cursor {
        listing::link(&mut reply, &request, &cursor);
    }
    Ok(reply)
}
