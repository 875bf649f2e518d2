//! `GET /admin/models/{id}/versions/{v}/estimate?input_tokens=&output_tokens=`: what a call of the version costs now.

use http::StatusCode;
use roster_core::lifecycle;
use roster_core::quote::{self, MAX_TOKENS, QuoteError, Usage};
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::App;
use crate::versions::{self, Versions};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let most = usize::try_from(MAX_TOKENS).unwrap_or(usize::MAX);
    let (input, output) = (query.number("input_tokens", 0..=most), query.number("output_tokens", 0..=most));
    query.finish()?;
    let number = versions::number(&request)?;
    let versions = Versions::read(app, &request).await?;
    let (version, _) = versions.get(&number)?;
    let (input, output) = (input.unwrap_or_default() as u64, output.unwrap_or_default() as u64);
    let usage = Usage { input, output, ..Usage::default() };
    let (meta, own) = (&versions.model().meta, version.overrides.as_ref());
    let quoted = quote::quote(&usage, &lifecycle::version_prices_at(meta, own, request.now));
    let quoted = quoted.map_err(|error| no_cost(&error))?;
    let per_1k = own.and_then(|own| own.credits_per_1k_tokens).or(meta.credits_per_1k_tokens);
    let credits = quote::credits(&usage, &quoted, per_1k, &versions.policy.credits).map_err(|error| no_cost(&error))?;
    let data =
        json!({"components": quoted.components, "costUsd": quoted.cost_usd, "credits": credits, "at": request.now});
    let message = format!("what a call of version {number} of model {} costs", versions.model().id);
    Ok(Reply::success(StatusCode::OK, &message, data))
}

/// 422, as a quote is refused: there is no exact cost.
fn no_cost(error: &QuoteError) -> Problem {
    let (kind, title) = match error {
        QuoteError::UnknownPrice { .. } => ("unknown-price", "Unknown price"),
        QuoteError::TooManyDigits => ("too-many-digits", "Too many digits"),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, error.to_string())
}
