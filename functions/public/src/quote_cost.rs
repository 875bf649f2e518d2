//! `POST /v1/quote`: what a call of a model costs, to the last digit.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use roster_core::lifecycle::{self, Stage};
use roster_core::quote::{self, MAX_TOKENS, QuoteError, Usage};
use roster_http::{Caller, Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use serde::Deserialize;
use serde_json::json;

use crate::App;
use crate::catalogue::source_headers;
use crate::lookup;

#[derive(Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    model: String,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cached_input_tokens: u64,
    #[serde(default)]
    reasoning_tokens: u64,
    #[serde(default)]
    batch: bool,
    #[serde(default)]
    at: Option<Timestamp>,
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let body: Body = request.json()?;
    let reading = app.reading(&request, None).await?;
    let headers = source_headers(reading.source);
    match answer(&body, &reading.snapshot, request.now) {
        Ok(reply) => Ok(reply.with_headers(headers)),
        Err(problem) => Err(problem.with_headers(headers)),
    }
}

fn answer(body: &Body, snapshot: &Snapshot, now: Timestamp) -> Result<Reply, Problem> {
    let at = body.at.unwrap_or(now);
    let usage = body.usage(since(snapshot, now))?;
    // Nobody is billed for an archived model, admins included.
    let view = lookup::find(snapshot, &body.model, &Caller::default())?;
    let spec = snapshot.spec(view).ok_or_else(Problem::internal)?;
    if lifecycle::stage(&spec, at) == Stage::Archived {
        let gone = format!("model {} will be past its sunset at {at}", view.id);
        return Err(Problem::invalid(&[("/at", gone)]).with("model_id", view.id.as_str()));
    }
    let unknown = |error: QuoteError| unknown(&error, view.id.as_str());
    let quote = quote::quote(&usage, &lifecycle::prices_at(&spec.meta, at)).map_err(unknown)?;
    let per_1k = spec.meta.credits_per_1k_tokens;
    let credits = quote::credits(&usage, &quote, per_1k, &snapshot.policy.credits).map_err(unknown)?;
    let body = json!({
        "requested": body.model,
        "model_id": view.id,
        "at": at,
        "batch": body.batch,
        "components": quote.components,
        "cost_usd": quote.cost_usd,
        "credits": credits,
        "is_legacy": view.is_legacy,
        "replacement_model_id": view.replacement,
        "sunset_date": view.sunset,
        "revision": snapshot.revision,
    });
    let reply = Reply::json(StatusCode::OK, body.to_string());
    Ok(reply.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// Since when the catalogue is what this snapshot shows, as far as the snapshot knows.
fn since(snapshot: &Snapshot, now: Timestamp) -> Timestamp {
    if snapshot.bundle.is_some() { now } else { snapshot.published_at.min(now) }
}

impl Body {
    /// What is to be billed; `since` is the earliest time that can be asked for.
    fn usage(&self, since: Timestamp) -> Result<Usage, Problem> {
        let mut mistakes = Vec::new();
        let counts = [
            ("/inputTokens", self.input_tokens),
            ("/outputTokens", self.output_tokens),
            ("/cachedInputTokens", self.cached_input_tokens),
            ("/reasoningTokens", self.reasoning_tokens),
        ];
        for (pointer, tokens) in counts.into_iter().filter(|(_, tokens)| *tokens > MAX_TOKENS) {
            mistakes.push((pointer, format!("{tokens} is more than {MAX_TOKENS}, the most that is quoted")));
        }
        let parts = [
            ("/cachedInputTokens", self.cached_input_tokens, "inputTokens", self.input_tokens),
            ("/reasoningTokens", self.reasoning_tokens, "outputTokens", self.output_tokens),
        ];
        for (pointer, part, of, whole) in parts.into_iter().filter(|(_, part, _, whole)| part > whole) {
            mistakes.push((pointer, format!("{part} is more than {of}, {whole}, which they are part of")));
        }
        if let Some(at) = self.at.filter(|at| *at < since) {
            let detail = format!("{at} is before {since}: what was paid then, GET /v1/prices/{{id}} says");
            mistakes.push(("/at", detail));
        }
        if !mistakes.is_empty() {
            return Err(Problem::invalid(&mistakes));
        }
        Ok(Usage {
            input: self.input_tokens,
            cached_input: self.cached_input_tokens,
            output: self.output_tokens,
            reasoning: self.reasoning_tokens,
            is_batch: self.batch,
        })
    }
}

/// 422: there is no exact cost. A price that is unknown is named by its place in the model's document.
fn unknown(error: &QuoteError, model_id: &str) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = match error {
        QuoteError::UnknownPrice { pointer, .. } => {
            let detail = format!("model {model_id}: {error}");
            Problem::new(status, "unknown-price", "Unknown price", detail).with("price_pointer", pointer.as_str())
        }
        QuoteError::TooManyDigits => Problem::new(status, "too-many-digits", "Too many digits", error.to_string()),
    };
    problem.with("model_id", model_id)
}
