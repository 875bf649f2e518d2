//! `GET /admin/models/export`: all models in one file, or in pages that a `Link` joins where they are too many.
//!
//! Which models there are is one revision's, on all pages; each is what its record says when the page is made.

use std::collections::BTreeSet;

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use roster_core::view::View;
use roster_core::{Model, ModelId};
use roster_exchange::Format;
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::listing::{self, Listing};

/// The models of a page, and what they may take in it: Lambda answers 6 MB, and a foreign entry carries ours besides.
const MAX_MODELS: usize = 2_000;
const MAX_BYTES: usize = 1_500_000;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let to = query.one("to", |name| match Format::from_name(name) {
        Some(Format::OpenRouter) | None => Err(format!("\"{name}\" is no format: roster, models.dev, litellm, csv")),
        Some(format) => Ok(format),
    });
    let list = Listing::read(&mut query);
    let only: BTreeSet<ModelId> = query.many("id", ModelId::parse).into_iter().collect();
    query.finish()?;
    let format = to.unwrap_or(Format::Roster);
    let pinned = list.pin(app, &request, &format!("{} {only:?}", format.name())).await?;
    let is_asked = |view: &&View| list.takes(view) && (only.is_empty() || only.contains(&view.id));
    let asked = pinned.snapshot.views().filter(is_asked).map(|view| &view.id);
    let mut ids: Vec<&ModelId> = asked.filter(|id| id.as_str() > pinned.after.as_str()).collect();
    ids.sort_unstable();
    let records = app.store.records(ids.iter().take(MAX_MODELS).copied()).await?;
    let mut models: Vec<Model> = Vec::new();
    let (mut bytes, mut last) = (0, None);
    for id in ids.iter().take(MAX_MODELS) {
        let Some(record) = records.get(*id) else { continue };
        bytes += serde_json::to_vec(&record.spec).map_or(0, |text| text.len());
        if bytes > MAX_BYTES && !models.is_empty() {
            break;
        }
        last = Some(*id);
        models.push(record.spec.clone());
    }
    let next = last.filter(|last| ids.last() != Some(last)).map(|last| pinned.cursor(last.to_string()));
    let text = roster_exchange::write(format, &models).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text else {
        tracing::error!(format = format.name(), "models cannot be exported");
        return Err(Problem::internal());
    };
    let (media_type, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "models.csv"),
        _ => ("application/json", "models.json"),
    };
    let name = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let mut reply = Reply::json(StatusCode::OK, text)
        .with_header(CONTENT_TYPE, HeaderValue::from_static(media_type))
        .with_header(CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment")));
    reply.headers.insert("x-roster-revision", HeaderValue::from(pinned.snapshot.revision));
    if let Some(cursor) = next {
        listing::link(&mut reply, &request, &cursor);
    }
    Ok(reply)
}
