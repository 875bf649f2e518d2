//! `GET /admin/models`: the records of the models that are named, or of all of them page by page.

use std::collections::BTreeSet;

use roster_core::ModelId;
use roster_http::{Problem, Query, Reply, Request};

use crate::listing::Listing;
use crate::{App, record};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let listing = Listing::read(&mut query);
    let only: BTreeSet<ModelId> = query.many("id", ModelId::parse).into_iter().collect();
    query.finish()?;
    let is_asked = |id: &ModelId| only.is_empty() || only.contains(id);
    let page = listing.page(app, &request, &format!("records {only:?}"), |view| is_asked(&view.id)).await?;
    let policy = app.policies.current(&app.store).await?;
    let records = app.store.records(&page.ids).await?;
    let shown =
        page.ids.iter().filter_map(|id| records.get(id)).map(|found| record::shown(found, &policy, request.now));
    Ok(page.reply("records of models", shown.collect()))
}
