//! `GET /admin/models/legacy`: models on their way out, with what replaces them and the days that are left.

use roster_core::lifecycle::Stage;
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::listing::{Listing, entry};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let listing = Listing::read(&mut query);
    let within = query.number("sunset_within_days", 0..=36_500);
    let has_replacement = query.flag("has_replacement");
    query.finish()?;
    let now = request.now;
    let latest = within.map(|days| now.as_second().saturating_add(86_400 * i64::try_from(days).unwrap_or(0)));
    let key = format!("legacy {within:?} {has_replacement:?}");
    let page = listing.page(app, &request, &key, |view| {
        view.stage == Stage::Legacy
            && latest.is_none_or(|latest| view.sunset.is_some_and(|sunset| sunset.as_second() <= latest))
            && has_replacement.is_none_or(|has| view.replacement.is_some() == has)
    });
    let page = page.await?;
    let entries = page.ids.iter().filter_map(|id| page.view(id.as_str()));
    let entries = entries.map(|view| entry(&page.snapshot, view, now)).collect();
    Ok(page.reply("models on their way out", entries))
}
