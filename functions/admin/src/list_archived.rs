//! `GET /admin/models/archived`: models that are hidden, with who hid them, when and why.

use roster_core::lifecycle::Stage;
use roster_http::{Problem, Query, Reply, Request};
use serde_json::{Value, json};

use crate::App;
use crate::listing::{Listing, entry};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let listing = Listing::read(&mut query);
    let legacy = query.flag("legacy");
    query.finish()?;
    let key = format!("archived {legacy:?}");
    let page = listing.page(app, &request, &key, |view| {
        view.stage == Stage::Archived && legacy.is_none_or(|legacy| view.is_legacy == legacy)
    });
    let page = page.await?;
    let records = app.store.records(&page.ids).await?;
    let entries = page.ids.iter().filter_map(|id| {
        let mut entry = entry(&page.snapshot, page.view(id.as_str())?, request.now);
        // A sunset hides a model at once and is in its record a moment later; who is back since has none any more.
        let archived = records.get(id).and_then(|record| record.archived.as_ref());
        entry["archived"] = archived.map_or(Value::Null, |archived| json!(archived));
        entry["isRemoved"] = page.snapshot.tombstone(id.as_str()).is_some().into();
        Some(entry)
    });
    Ok(page.reply("models that are archived", entries.collect()))
}
