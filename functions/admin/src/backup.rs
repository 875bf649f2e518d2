//! `POST /admin/backup`: models with their versions, history and policy as lines of JSON, in pages that a `Link` joins.
//! `roster restore` makes the same catalogue of them.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use roster_core::ModelId;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::backup::BackupError;

use crate::App;
use crate::listing::{self, Listing};

/// What a page may take: an entry of the history, which ends it, has at most a few hundred KB, and Lambda answers 6 MB.
const MAX_BYTES: usize = 3_000_000;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let listing = Listing::paged(&mut query);
    query.finish()?;
    let pinned = listing.pin(app, &request, "backup").await?;
    let head = app.store.revision(pinned.snapshot.revision).await?;
    let head = head.ok_or_else(|| Problem::not_found("nothing was published yet: there is nothing to back up"))?;
    let views = pinned.snapshot.views().chain(pinned.snapshot.tombstones());
    let mut ids: Vec<ModelId> = views.map(|view| view.id.clone()).collect();
    ids.sort_unstable();
    let mut text = String::new();
    if pinned.after.is_empty() {
        let header = app.store.backup_header(&head, ids.len(), request.now).await.map_err(problem)?;
        text = serde_json::to_string(&header).map_err(|error| problem(error.into()))? + "\n";
    }
    let (lines, next) = app.store.backup_lines(&head, &ids, &pinned.after, MAX_BYTES).await.map_err(problem)?;
    text.push_str(&lines);
    let mut reply = Reply::json(StatusCode::OK, text)
        .with_header(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))
        .with_header(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"roster-backup.jsonl\""));
    reply.headers.insert("x-roster-revision", HeaderValue::from(pinned.snapshot.revision));
    if let Some(next) = next {
        listing::link(&mut reply, &request, &pinned.cursor(next));
    }
    Ok(reply)
}

fn problem(error: BackupError) -> Problem {
    match error {
        BackupError::Store(error) => error.into(),
        error => {
            tracing::error!(%error, "a backup cannot be made");
            Problem::internal()
        }
    }
}
