//! `POST /v1/inferences`: a batch of inference results, each counted once.

use http::StatusCode;
use roster_core::canonical::sha256_hex;
use roster_core::inference::{Batch, MAX_BYTES, Tally};
use roster_http::fingerprint::fingerprint;
use roster_http::{Problem, Query, Reply, Request};
use roster_store::{BatchKey, Counted};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::App;
use crate::counting::Counting;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    request.json_within::<IgnoredAny>(MAX_BYTES)?;
    let batch = Batch::read(&request.body).map_err(|mistakes| Problem::invalid(&mistakes))?;
    let key = BatchKey { id: fingerprint([request.actor()?, &batch.id]), body: sha256_hex(&request.body) };
    let snapshot = app.catalogue(request.now).await?.snapshot;
    let parts = Counting::new(&snapshot, request.now).parts(&batch);
    match app.store.count_batch(&key, &parts, &snapshot.policy.retention, request.now).await? {
        Counted::Now(tally) => Ok(reply(&batch, "counted", &tally)),
        Counted::Before(tally) => Ok(reply(&batch, "duplicate", &tally)),
        Counted::OtherBody => {
            let detail = format!("/id: \"{}\" was used for another batch: give each batch an id of its own", batch.id);
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "Key reused", detail))
        }
    }
}

fn reply(batch: &Batch, status: &str, tally: &Tally) -> Reply {
    let refused = tally.refusals().into_iter().filter_map(|(index, code)| {
        let reason = code.told(batch.results.get(index)?);
        Some(json!({"index": index, "code": code, "reason": reason}))
    });
    let refused: Vec<Value> = refused.collect();
    let body = json!({"id": batch.id, "status": status, "counted": tally.counted, "refused": refused});
    Reply::json(StatusCode::ACCEPTED, body.to_string())
}
