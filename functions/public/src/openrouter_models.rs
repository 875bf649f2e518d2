//! `GET /api/v1/models`: the models as OpenRouter's clients expect them
//! (<https://openrouter.ai/docs/api-reference/list-available-models>), with prices in dollars a token.
//!
//! An unknown price is left out. Input and output prices must be there: `-1` says that they are unknown, as OpenRouter
//! itself says of models without a price of their own.

use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use roster_core::Price;
use roster_core::lifecycle::{self, PricesAt};
use roster_core::meta::Capability;
use roster_core::price::Prices;
use roster_core::quote::Dollars;
use roster_core::view::View;
use roster_http::{Dialect, Problem, Query, Reply, Request};
use roster_store::Appearances;
use roster_store::reader::Snapshot;
use serde_json::{Map, Value, json};

use crate::App;
use crate::catalogue::source_headers;
use crate::foreign;

/// As many as the client takes for a whole page.
const DEFAULT_LIMIT: usize = 500;
pub(crate) const MAX_LIMIT: usize = 500;

/// How OpenRouter tells errors.
pub(crate) static DIALECT: Dialect = Dialect { token_header: None, error };

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let offset = query.number("offset", 0..=usize::MAX).unwrap_or(0);
    query.finish()?;
    let reading = app.reading(&request, None).await?;
    let (snapshot, headers) = (&reading.snapshot, source_headers(reading.source));
    let appearances = app.appearances(snapshot).await?;
    let etag = foreign::tag(snapshot, &appearances, "openrouter", &request);
    if let Some(reply) = etag.not_modified(&request) {
        return Ok(reply.with_headers(headers));
    }
    let total = foreign::usable(snapshot).count();
    let page = foreign::usable(snapshot).skip(offset).take(limit);
    let data = page.map(|view| shown(view, snapshot, &appearances, request.now)).collect::<Result<Vec<_>, _>>()?;
    let end = offset.saturating_add(data.len());
    let next = (end < total && !data.is_empty()).then(|| format!("/api/v1/models?limit={limit}&offset={end}"));
    let body = json!({"data": data, "total_count": total, "links": {"next": next}});
    Ok(Reply::json(StatusCode::OK, body.to_string()).with_etag(&etag).with_headers(headers))
}

fn shown(view: &View, snapshot: &Snapshot, appearances: &Appearances, now: Timestamp) -> Result<Value, Problem> {
    let meta = snapshot.spec(view).ok_or_else(Problem::internal)?.meta;
    let (inputs, outputs) = (names(&view.capabilities, INPUTS), names(&view.capabilities, OUTPUTS));
    Ok(json!({
        "id": view.id,
        "canonical_slug": view.id,
        "name": meta.display_name,
        "created": appearances.of(view.id.as_str()).as_second(),
        "description": meta.description,
        "context_length": meta.context_length,
        "architecture": {
            "modality": format!("{}->{}", inputs.join("+"), outputs.join("+")),
            "input_modalities": inputs,
            "output_modalities": outputs,
            "tokenizer": "Other",
            "instruct_type": null,
        },
        "pricing": pricing(&lifecycle::prices_at(&meta, now)),
        "top_provider": {
            "context_length": meta.context_length,
            "max_completion_tokens": meta.max_output_tokens,
            "is_moderated": false,
        },
        "per_request_limits": null,
        "supported_parameters": parameters(&view.capabilities),
        "default_parameters": null,
        "supported_voices": null,
        "expiration_date": view.sunset.map(|sunset| sunset.to_zoned(TimeZone::UTC).date()),
        "links": {"details": format!("/v1/models/{}", view.id)},
    }))
}

fn pricing(prices: &PricesAt<'_>) -> Value {
    let others = |of: fn(&Prices) -> Option<Price>| prices.prices.and_then(of);
    let per_token = |price: Price| json!(Dollars::per_token(price));
    let known = [
        ("input_cache_read", others(|prices| prices.cache_read)),
        ("input_cache_write", others(|prices| prices.cache_write)),
        ("internal_reasoning", others(|prices| prices.reasoning)),
        ("audio", others(|prices| prices.audio_input)),
        ("audio_output", others(|prices| prices.audio_output)),
        ("image_output", others(|prices| prices.image_output)),
    ];
    let mut pricing: Map<String, Value> =
        known.into_iter().filter_map(|(name, price)| Some((name.to_owned(), per_token(price?)))).collect();
    for (name, price) in [("prompt", prices.input), ("completion", prices.output)] {
        pricing.insert(name.to_owned(), price.map_or(json!("-1"), per_token));
    }
    Value::Object(pricing)
}

/// What goes into a model with a capability.
const INPUTS: &[(Capability, &str)] = &[
    (Capability::Vision, "image"),
    (Capability::Pdf, "file"),
    (Capability::AudioInput, "audio"),
    (Capability::SpeechToText, "audio"),
    (Capability::VideoInput, "video"),
];

/// What comes out of it.
const OUTPUTS: &[(Capability, &str)] = &[
    (Capability::ImageGeneration, "image"),
    (Capability::VideoGeneration, "video"),
    (Capability::AudioOutput, "audio"),
    (Capability::TextToSpeech, "speech"),
    (Capability::SpeechToText, "transcription"),
    (Capability::Embedding, "embeddings"),
    (Capability::Rerank, "rerank"),
];

/// The modalities that follow from capabilities; text for models that do text, and for those of which nothing else
/// is known.
fn names(capabilities: &[Capability], of: &[(Capability, &'static str)]) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in of.iter().filter(|(capability, _)| capabilities.contains(capability)) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    if capabilities.contains(&Capability::Text) || names.is_empty() {
        names.insert(0, "text");
    }
    names
}

/// The parameters that follow from capabilities. Others may be taken too: the catalogue does not say.
fn parameters(capabilities: &[Capability]) -> Vec<&'static str> {
    let known: [(Capability, &[&str]); 4] = [
        (Capability::Text, &["max_tokens"]),
        (Capability::FunctionCalling, &["tools", "tool_choice"]),
        (Capability::Reasoning, &["reasoning", "include_reasoning"]),
        (Capability::StructuredOutput, &["response_format", "structured_outputs"]),
    ];
    let supported = known.into_iter().filter(|(capability, _)| capabilities.contains(capability));
    supported.flat_map(|(_, names)| names.iter().copied()).collect()
}

fn error(status: StatusCode, problem: &Value) -> Value {
    json!({"error": {"code": status.as_u16(), "message": foreign::detail(problem)}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model_of;

    #[test]
    fn prices_are_exact_texts_and_what_is_unknown_is_never_free() {
        let priced =
            |meta: Value| pricing(&lifecycle::prices_at(&model_of(json!({"meta": meta})).meta, Timestamp::UNIX_EPOCH));
        let known = json!({
            "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 0,
            "prices": {"cacheRead": 125.5, "audioInput": 40000},
        });
        let expected = json!({
            "prompt": "0.00000125", "completion": "0", "input_cache_read": "0.0000001255", "audio": "0.00004",
        });
        assert_eq!(priced(known), expected);
        let unknown = json!({"inputCostPerMillionTokens": null, "outputCostPerMillionTokens": null});
        assert_eq!(priced(unknown), json!({"prompt": "-1", "completion": "-1"}));
    }

    #[test]
    fn modalities_follow_from_capabilities() {
        let modalities = |capabilities: &[Capability]| {
            format!("{}->{}", names(capabilities, INPUTS).join("+"), names(capabilities, OUTPUTS).join("+"))
        };
        assert_eq!(modalities(&[Capability::Text, Capability::Vision, Capability::Pdf]), "text+image+file->text");
        assert_eq!(modalities(&[Capability::SpeechToText]), "audio->transcription");
        assert_eq!(modalities(&[Capability::ImageGeneration]), "text->image");
        assert_eq!(modalities(&[Capability::Embedding]), "text->embeddings");
    }
}
