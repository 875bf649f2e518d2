//! What clients may count on, function by function: the part of the OpenAPI document that neither routes nor
//! registries say.

use roster_contract::schemas::{commit, count, flag, list, nullable, object, one_of, text, time, with_optional};
use roster_contract::{Endpoint, Schemas};
use roster_core::ModelId;
use roster_core::inference::{self, Batch};
use roster_core::meta::Capability;
use roster_core::price::{Price, Prices};
use roster_core::quote::{Dollars, Line, MAX_TOKENS};
use roster_core::rollout::RolloutState;
use roster_core::tier::{AccessStatus, Tier};
use roster_core::version::VersionStatus;
use roster_core::view::{FIELDS, SortField, View};
use serde_json::{Value, json};

use crate::get_schema::SCHEMAS;
use crate::{anthropic_models, openrouter_models, page, price_history, quote_cost, resolve_model, selection};

/// The functions of this artifact by name.
#[must_use]
pub fn endpoints(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let mut all = vec![
        ("list-models", list_models(schemas)),
        ("get-model", get_model(schemas)),
        ("resolve-model", resolve_model(schemas)),
        ("quote-cost", quote_cost(schemas)),
        ("price-history", price_history(schemas)),
        ("health", health(schemas)),
    ];
    all.extend(openai_models(schemas).map(|endpoint| ("openai-models", endpoint)));
    all.extend(anthropic_models(schemas).map(|endpoint| ("anthropic-models", endpoint)));
    all.push(("openrouter-models", openrouter_models(schemas)));
    all = all.into_iter().map(|(name, endpoint)| (name, from_a_source(endpoint))).collect();
    all.push(("record-inferences", record_inferences(schemas)));
    all.extend(published());
    all
}

/// What every answer out of the catalogue may say of it.
fn from_a_source(endpoint: Endpoint) -> Endpoint {
    endpoint
        .answers_header(200, "X-Roster-Source", false, "Where the catalogue comes from, if it is not the newest.")
        .answers_header(200, "Warning", false, "That the answer may be stale.")
}

fn list_models(schemas: &mut Schemas) -> Endpoint {
    let (view, id) = (schemas.of::<View>(), schemas.of::<ModelId>());
    let fields = schemas.some_keys_of::<View>("ModelFields", "The fields of a model that were asked for.");
    let models = list(json!({"anyOf": [view, fields]}));
    let page = schemas.extended::<page::Tail<'_>>("ModelPage", [("models", models.clone())]);
    let gone = object([("id", id.clone()), ("replacement_model_id", nullable(id))]);
    let gone = with_optional(gone, ["removed", "archived", "unmatched"].map(|why| (why, json!({"const": true}))));
    let changes = object([
        ("models", models),
        ("gone", list(schemas.named("GoneModel", gone))),
        ("total", count()),
        ("user_tier", schemas.of::<Tier>()),
        ("revision", count()),
        ("commit", nullable(commit())),
        ("next_cursor", nullable(text())),
    ]);
    let changes = schemas.named("ModelChanges", changes);
    let orders: Vec<String> =
        SortField::ALL.iter().flat_map(|field| [field.name().to_owned(), format!("-{}", field.name())]).collect();
    let price = json!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$"});
    Endpoint::new("The models that match, page by page out of one revision; or what changed of them")
        .query("provider", json!({"type": "string", "minLength": 1}), "Who serves it.")
        .many("capability", schemas.of::<Capability>(), "What it can do, all of it.")
        .query("tier", schemas.of::<Tier>(), "Who may use it.")
        .query("available", flag(), "Whether it can be used now.")
        .query("legacy", flag(), "Whether it is marked legacy.")
        .query("q", json!({"type": "string", "minLength": 1}), "Words that its names or its description begin with.")
        .query("min_context", count(), "The least context length, in tokens.")
        .query("max_input_cost", price.clone(), "The most for input, in thousandths of a dollar per million tokens.")
        .query("max_output_cost", price, "The most for output, in the same unit.")
        .query("includeArchived", flag(), "Whether archived and removed models count too; for admins.")
        .query("sort", json!({"type": "string", "enum": orders}), "In which order; with a - the largest first.")
        .commas("fields", one_of(&FIELDS), "What is told of each model; all of it without this.")
        .commas("facets", one_of(&["provider", "capability", "tier"]), "What is counted, on all pages.")
        .pages(selection::MAX_LIMIT)
        .query("changed_since", past(), "What changed since then, and what is gone; not with q, sort, facets or as_of.")
        .query("as_of", past(), "The catalogue as it was then.")
        .conditional()
        .answers(200, "A page of models, or of changes with `changed_since`.", json!({"anyOf": [page, changes]}))
        .refuses(&[403, 404, 410])
}

fn get_model(schemas: &mut Schemas) -> Endpoint {
    let header = |endpoint: Endpoint, name: &str, description: &str| {
        let endpoint = endpoint.answers_header(200, name, false, description);
        endpoint.answers_header(304, name, false, description)
    };
    let mut endpoint = Endpoint::new("One model by its id or alias")
        .path("id", name(), "An id or an alias; a slash may stand as it is.")
        .query("as_of", past(), "The model as it was then.")
        .conditional()
        .answers(200, "The model.", schemas.of::<View>())
        .refuses(&[410]);
    for (name, description) in [
        ("Content-Location", "Where the model has its own id, if another name was asked for."),
        ("Deprecation", "Since when at the latest the model is legacy (RFC 9745)."),
        ("Sunset", "When it stops being served (RFC 8594)."),
        ("Link", "What takes its place, as `successor-version`."),
    ] {
        endpoint = header(endpoint, name, description);
    }
    endpoint
}

fn resolve_model(schemas: &mut Schemas) -> Endpoint {
    let id = schemas.of::<ModelId>();
    let percent = json!({"type": "integer", "minimum": 0, "maximum": 100});
    let rollout = object([
        ("version", text()),
        ("stable_version", text()),
        ("state", schemas.of::<RolloutState>()),
        ("weight_percent", nullable(percent.clone())),
        ("is_blocked", flag()),
        ("since", time()),
    ]);
    let resolved = object([
        ("requested", text()),
        ("model_id", id.clone()),
        ("name", text()),
        ("provider", text()),
        ("version", nullable(text())),
        ("version_status", nullable(schemas.of::<VersionStatus>())),
        ("weight_percent", nullable(percent.clone())),
        ("drawn_by", nullable(one_of(&["key", "subject", "request"]))),
        ("rollout", nullable(schemas.named("ResolvedRollout", rollout))),
        ("user_tier", schemas.of::<Tier>()),
        ("access_status", schemas.of::<AccessStatus>()),
        ("is_legacy", flag()),
        ("replacement_model_id", nullable(id)),
        ("sunset_date", nullable(time())),
        ("revision", count()),
    ]);
    schemas.read::<resolve_model::Body>("ResolveRequest");
    let key = json!({
        "type": ["string", "null"], "minLength": 1, "maxLength": resolve_model::MAX_KEY,
        "description": "Who shall get the same version again while two take the traffic; the token's subject without it.",
    });
    Endpoint::new("Which model and version this caller gets by a name now, or why none")
        .body(schemas.with_keys("ResolveRequest", [("key", key)]), true)
        .answers(200, "The model.", schemas.named("Resolved", resolved))
        .refuses(&[403, 404, 409, 410])
}

fn quote_cost(schemas: &mut Schemas) -> Endpoint {
    let id = schemas.of::<ModelId>();
    let quote = object([
        ("requested", text()),
        ("model_id", id.clone()),
        ("at", time()),
        ("batch", flag()),
        ("components", list(schemas.of::<Line>())),
        ("cost_usd", schemas.of::<Dollars>()),
        ("credits", count()),
        ("is_legacy", flag()),
        ("replacement_model_id", nullable(id)),
        ("sunset_date", nullable(time())),
        ("revision", count()),
    ]);
    schemas.read::<quote_cost::Body>("QuoteRequest");
    let tokens = ["inputTokens", "outputTokens", "cachedInputTokens", "reasoningTokens"];
    let tokens = tokens.map(|name| (name, json!({"type": "integer", "minimum": 0, "maximum": MAX_TOKENS})));
    Endpoint::new("The exact cost of a call, and its credits")
        .body(schemas.with_keys("QuoteRequest", tokens), true)
        .answers(200, "The cost.", schemas.named("Quote", quote))
        .refuses(&[404, 410])
}

fn price_history(schemas: &mut Schemas) -> Endpoint {
    let cost = nullable(schemas.of::<Price>());
    let mut prices = schemas.inlined::<Prices>();
    price_history::rename_schema(&mut prices);
    let prices = schemas.named("OtherPrices", prices);
    let interval = object([
        ("from", time()),
        ("to", nullable(time())),
        ("input_cost_per_million_tokens", cost.clone()),
        ("output_cost_per_million_tokens", cost),
        ("prices", nullable(prices)),
        ("is_archived", flag()),
        ("is_scheduled", flag()),
        ("commit", nullable(commit())),
        ("pull_request", nullable(count())),
    ]);
    let intervals = list(schemas.named("PriceInterval", interval));
    let page = object([
        ("model_id", schemas.of::<ModelId>()),
        ("intervals", intervals),
        ("revision", nullable(count())),
        ("next_cursor", nullable(time())),
    ]);
    Endpoint::new("Every price that a model had and is going to have, newest first")
        .path("id", name(), "An id or an alias.")
        .query("limit", page_size(price_history::MAX_LIMIT), "The most intervals of an answer.")
        .query("cursor", time(), "Where the next page begins, as the page before said.")
        .conditional()
        .answers(200, "A page.", schemas.named("PricePage", page))
        .refuses(&[410, 422])
}

fn record_inferences(schemas: &mut Schemas) -> Endpoint {
    let refused = object([("index", count()), ("code", schemas.of::<inference::Refusal>()), ("reason", text())]);
    let counted = object([
        ("id", text()),
        ("status", one_of(&["counted", "duplicate"])),
        ("counted", count()),
        ("refused", list(schemas.named("RefusedInference", refused))),
    ]);
    Endpoint::new("What calls of models came to: a batch of results, each counted once")
        .body(schemas.read::<Batch>("InferenceBatch"), true)
        .answers(202, "What became of each result.", schemas.named("CountedInferences", counted))
}

fn health(schemas: &mut Schemas) -> Endpoint {
    let health = object([
        ("status", one_of(&["ok", "degraded"])),
        ("source", one_of(&["live", "stale", "bundled"])),
        ("revision", count()),
        ("commit", nullable(commit())),
        ("models", count()),
        ("published_at", nullable(time())),
        ("age_seconds", nullable(count())),
    ]);
    let health = with_optional(health, [("shadow", json!({"type": "object"}))]);
    Endpoint::new("Which catalogue is served, and whether it is the newest").answers(
        200,
        "A catalogue is served.",
        schemas.named("Health", health),
    )
}

fn openai_models(schemas: &mut Schemas) -> [Endpoint; 2] {
    let model = object([
        ("id", schemas.of::<ModelId>()),
        ("object", json!({"const": "model"})),
        ("created", json!({"type": "integer"})),
        ("owned_by", text()),
        ("shutdown_date", nullable(date())),
    ]);
    let model = schemas.named("OpenAiModel", model);
    let models = object([("object", json!({"const": "list"})), ("data", list(model.clone()))]);
    let error =
        object([("message", text()), ("type", text()), ("param", nullable(text())), ("code", nullable(text()))]);
    let error = schemas.named("OpenAiError", object([("error", error)]));
    let all = Endpoint::new("The models that can be used now, as OpenAI's clients read them")
        .on("/openai/v1/models")
        .conditional()
        .answers(200, "All of them.", schemas.named("OpenAiModels", models));
    let one = Endpoint::new("One of the models that can be used now, as OpenAI's clients read it")
        .on("/openai/v1/models/{id+}")
        .path("id", name(), "An id or an alias.")
        .conditional()
        .answers(200, "The model.", model)
        .refuses(&[410]);
    [all, one].map(|endpoint| endpoint.tells_errors_as(error.clone()))
}

fn anthropic_models(schemas: &mut Schemas) -> [Endpoint; 2] {
    let id = schemas.of::<ModelId>();
    let stages = one_of(&["active", "deprecated", "retired"]);
    let model = object([
        ("type", json!({"const": "model"})),
        ("id", id.clone()),
        ("display_name", text()),
        ("created_at", time()),
        ("lifecycle", stages.clone()),
        ("deprecated_at", nullable(time())),
        ("retires_at", nullable(time())),
        ("line", json!({"type": "null"})),
        ("capabilities", json!({"type": "null"})),
        ("max_input_tokens", nullable(count())),
        ("max_tokens", nullable(count())),
    ]);
    let model = schemas.named("AnthropicModel", model);
    let page = object([
        ("data", list(model.clone())),
        ("has_more", flag()),
        ("first_id", nullable(id.clone())),
        ("last_id", nullable(id)),
    ]);
    let error = object([
        ("type", json!({"const": "error"})),
        ("error", object([("type", text()), ("message", text())])),
        ("request_id", text()),
    ]);
    let error = schemas.named("AnthropicError", error);
    let beta = |endpoint: Endpoint| endpoint.query("beta", flag(), "What the client calls a beta is the same here.");
    let place = json!({"type": "string", "minLength": 1});
    let all = Endpoint::new("The models that can be used now, newest first, as Anthropic's clients read them")
        .on("/anthropic/v1/models")
        .query("limit", page_size(anthropic_models::MAX_LIMIT), "The most models of an answer.")
        .query("after_id", place.clone(), "The last model of the page before; not with before_id.")
        .query("before_id", place, "The first model of the page after.")
        .many("lifecycle[]", stages, "Which stages; all of them without this.")
        .conditional()
        .answers(200, "A page.", schemas.named("AnthropicModels", page));
    let one = Endpoint::new("One of the models that can be used now, as Anthropic's clients read it")
        .on("/anthropic/v1/models/{id+}")
        .path("id", name(), "An id or an alias.")
        .conditional()
        .answers(200, "The model.", model)
        .refuses(&[410]);
    [all, one].map(|endpoint| beta(endpoint).secured_by(&["bearer", "apiKey"]).tells_errors_as(error.clone()))
}

fn openrouter_models(schemas: &mut Schemas) -> Endpoint {
    let null = || json!({"type": "null"});
    let amount = || json!({"type": "string", "pattern": "^(-1|[0-9]+(\\.[0-9]+)?)$"});
    let others =
        ["input_cache_read", "input_cache_write", "internal_reasoning", "audio", "audio_output", "image_output"];
    let pricing = object([("prompt", amount()), ("completion", amount())]);
    let pricing = with_optional(pricing, others.map(|name| (name, amount())));
    let architecture = object([
        ("modality", text()),
        ("input_modalities", list(text())),
        ("output_modalities", list(text())),
        ("tokenizer", text()),
        ("instruct_type", null()),
    ]);
    let provider = object([
        ("context_length", nullable(count())),
        ("max_completion_tokens", nullable(count())),
        ("is_moderated", flag()),
    ]);
    let model = object([
        ("id", schemas.of::<ModelId>()),
        ("canonical_slug", schemas.of::<ModelId>()),
        ("name", text()),
        ("created", json!({"type": "integer"})),
        ("description", text()),
        ("context_length", nullable(count())),
        ("architecture", architecture),
        ("pricing", pricing),
        ("top_provider", provider),
        ("per_request_limits", null()),
        ("supported_parameters", list(text())),
        ("default_parameters", null()),
        ("supported_voices", null()),
        ("expiration_date", nullable(date())),
        ("links", object([("details", text())])),
    ]);
    let page = object([
        ("data", list(schemas.named("OpenRouterModel", model))),
        ("total_count", count()),
        ("links", object([("next", nullable(text()))])),
    ]);
    let error = object([("error", object([("code", count()), ("message", text())]))]);
    Endpoint::new("The models that can be used now with prices in dollars a token, as OpenRouter's clients read them")
        .query("limit", page_size(openrouter_models::MAX_LIMIT), "The most models of an answer.")
        .query("offset", count(), "How many models come before the page.")
        .conditional()
        .answers(200, "A page.", schemas.named("OpenRouterModels", page))
        .tells_errors_as(schemas.named("OpenRouterError", error))
}

/// What is published beside the catalogue.
fn published() -> [(&'static str, Endpoint); 2] {
    let schema = Endpoint::new("The JSON Schema that files of the catalogue follow")
        .path("name", one_of(&SCHEMAS.map(|(name, _)| name)), "Which schema.")
        .conditional()
        .answers_as(200, "The schema.", "application/schema+json", json!({"type": "object"}));
    let document = Endpoint::new("This document");
    let document = document.conditional().answers(200, "The document.", json!({"type": "object"}));
    [("openapi", document), ("get-schema", schema)]
}

/// A model's name in the path.
fn name() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// A point in the past.
fn past() -> Value {
    json!({"anyOf": [count(), time(), commit()], "description": "A revision, a time, or a commit by its whole id."})
}

fn page_size(most: usize) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most})
}

fn date() -> Value {
    json!({"type": "string", "format": "date"})
}
