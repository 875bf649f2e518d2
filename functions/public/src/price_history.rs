//! `GET /v1/prices/{id+}`: every price that a model ever had and is going to have, with its time.

use http::StatusCode;
use jiff::Timestamp;
use roster_core::price::Prices;
use roster_core::price_history::{self, Interval};
use roster_http::{ETag, Problem, Query, Reply, Request};
use roster_store::history::{self, MAX_REPLAYED};
use serde_json::{Value, json};

use crate::App;
use crate::catalogue::source_headers;
use crate::lookup;

const DEFAULT_LIMIT: usize = 100;
pub(crate) const MAX_LIMIT: usize = 1000;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let before: Option<Timestamp> =
        query.one("cursor", |text| text.parse().map_err(|_| format!("\"{text}\" is no cursor of this listing")));
    query.finish()?;
    let reading = app.reading(&request, None).await?;
    let headers = source_headers(reading.source);
    let found = lookup::find(&reading.snapshot, request.path_parameter("id"), &request.caller);
    let id = &found.map_err(|problem| problem.with_headers(headers.clone()))?.id;
    let changes = app.store.whole_history(id).await?.ok_or_else(|| too_much(id.as_str()))?;
    let seq = changes.len().to_string();
    let etag = ETag::of([
        "prices",
        id.as_str(),
        &seq,
        &limit.to_string(),
        &before.map_or_else(String::new, |at| at.to_string()),
    ]);
    if let Some(reply) = etag.not_modified(&request) {
        return Ok(reply.with_headers(headers));
    }
    let intervals = history::prices_of(id, &changes)?;
    let (shown, next) = price_history::page(intervals, before, limit);
    let body = json!({
        "model_id": id,
        "intervals": shown.iter().map(public).collect::<Vec<_>>(),
        "revision": changes.last().map(|last| last.change.revision),
        "next_cursor": next,
    });
    Ok(Reply::json(StatusCode::OK, body.to_string()).with_etag(&etag).with_headers(headers))
}

/// What everyone may know of an interval: not who made the change, nor why.
fn public(interval: &Interval<'_>) -> Value {
    json!({
        "from": interval.from,
        "to": interval.to,
        "input_cost_per_million_tokens": interval.input,
        "output_cost_per_million_tokens": interval.output,
        "prices": interval.prices.as_ref().map(snake_case),
        "is_archived": interval.is_archived,
        "is_scheduled": interval.is_scheduled,
        "commit": interval.change.commit,
        "pull_request": interval.change.pull_request,
    })
}

/// The other prices under names as the public API has them.
fn snake_case(prices: &Prices) -> Value {
    fn renamed(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| (renamed_key(&key), renamed(value))).collect()
            }
            Value::Array(items) => items.into_iter().map(renamed).collect(),
            other => other,
        }
    }
    renamed(json!(prices))
}

/// The same for what describes them.
#[cfg(feature = "contract")]
pub(crate) fn rename_schema(schema: &mut Value) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let renamed = std::mem::take(properties).into_iter().map(|(key, mut inner)| {
            rename_schema(&mut inner);
            (renamed_key(&key), inner)
        });
        *properties = renamed.collect();
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        for name in required {
            *name = name.as_str().map(renamed_key).into();
        }
    }
    if let Some(items) = schema.get_mut("items") {
        rename_schema(items);
    }
}

fn renamed_key(key: &str) -> String {
    let mut renamed = String::with_capacity(key.len() + 2);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            renamed.push('_');
        }
        renamed.push(letter.to_ascii_lowercase());
    }
    renamed
}

fn too_much(id: &str) -> Problem {
    let detail =
        format!("model {id} changed more than {MAX_REPLAYED} times: its prices cannot be replayed in one answer");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-much", "Too much", detail).with("model_id", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_public_names_and_every_digit() {
        let text = r#"{"cacheRead":0.10,"tiers":[{"aboveTokens":200000,"input":2500}]}"#;
        let prices: Prices = serde_json::from_str(text).unwrap();
        let expected = r#"{"cache_read":0.10,"tiers":[{"above_tokens":200000,"input":2500}]}"#;
        assert_eq!(snake_case(&prices).to_string(), expected);
    }
}
