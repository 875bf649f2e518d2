//! What clients may count on, function by function: the part of the OpenAPI document that neither routes nor
//! registries say.

use roster_contract::schemas::{count, flag, list, nullable, object, one_of, text, time, with_optional};
use roster_contract::{Endpoint, Schemas};
use roster_core::ModelId;
use roster_core::meta::Capability;
use roster_core::tier::{AccessStatus, Tier};
use roster_core::view::View;
use serde_json::json;

use crate::get_schema::SCHEMAS;
use crate::{page, resolve_model, selection};

/// The functions of this artifact by name.
#[must_use]
pub fn endpoints(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let (view, id) = (schemas.of::<View>(), schemas.of::<ModelId>());
    let (tier, capability) = (schemas.of::<Tier>(), schemas.of::<Capability>());
    let models = schemas.extended::<page::Tail<'_>>("ModelPage", [("models", list(view.clone()))]);
    let resolved = object([
        ("requested", text()),
        ("model_id", id.clone()),
        ("name", text()),
        ("provider", text()),
        ("version", nullable(text())),
        ("user_tier", tier.clone()),
        ("access_status", schemas.of::<AccessStatus>()),
        ("is_legacy", flag()),
        ("replacement_model_id", nullable(id.clone())),
        ("sunset_date", nullable(time())),
        ("revision", count()),
    ]);
    let health = object([
        ("status", one_of(&["ok", "degraded"])),
        ("source", one_of(&["live", "stale", "bundled"])),
        ("revision", count()),
        ("commit", nullable(text())),
        ("models", count()),
        ("published_at", nullable(time())),
        ("age_seconds", nullable(count())),
    ]);
    let health = with_optional(health, [("shadow", json!({"type": "object"}))]);
    let source = |endpoint: Endpoint| {
        endpoint
            .answers_header(200, "X-Roster-Source", false, "Where the catalogue comes from, if it is not the newest.")
            .answers_header(200, "Warning", false, "That the answer may be stale.")
    };
    let listing = Endpoint::new("The models that match, page by page out of one revision")
        .query("provider", json!({"type": "string", "minLength": 1}), "Who serves it.")
        .many("capability", capability, "What it can do, all of it.")
        .query("tier", tier, "Who may use it.")
        .query("available", flag(), "Whether it can be used now.")
        .query("legacy", flag(), "Whether it is marked legacy.")
        .query("includeArchived", flag(), "Whether archived and removed models count too; for admins.")
        .pages(selection::MAX_LIMIT);
    let listing = listing.conditional().answers(200, "A page.", models).refuses(&[403, 410]);
    let model = Endpoint::new("One model by its id or alias")
        .path("id", json!({"type": "string", "minLength": 1}), "An id or an alias; a slash may stand as it is.")
        .conditional()
        .answers(200, "The model.", view)
        .answers_header(
            200,
            "Content-Location",
            false,
            "Where the model has its own id, if another name was asked for.",
        )
        .refuses(&[410]);
    let names = SCHEMAS.map(|(name, _)| name);
    vec![
        ("list-models", source(listing)),
        ("get-model", source(model)),
        (
            "resolve-model",
            source(
                Endpoint::new("Which model this caller gets by a name now, or why none")
                    .body(schemas.read::<resolve_model::Body>("ResolveRequest"), true)
                    .answers(200, "The model.", schemas.named("Resolved", resolved))
                    .refuses(&[403, 404, 409, 410]),
            ),
        ),
        (
            "health",
            source(Endpoint::new("Which catalogue is served, and whether it is the newest").answers(
                200,
                "A catalogue is served.",
                schemas.named("Health", health),
            )),
        ),
        (
            "openapi",
            Endpoint::new("This document").conditional().answers(200, "The document.", json!({"type": "object"})),
        ),
        (
            "get-schema",
            Endpoint::new("The JSON Schema that files of the catalogue follow")
                .path("name", one_of(&names), "Which schema.")
                .conditional()
                .answers_as(200, "The schema.", "application/schema+json", json!({"type": "object"})),
        ),
    ]
}
