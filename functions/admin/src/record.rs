//! A model's record as admins see it.

use jiff::Timestamp;
use roster_core::record::{Origin, Record};
use roster_core::view::View;
use roster_core::{Policy, catalogue, lifecycle, price};
use roster_http::{Caller, ETag};
use serde_json::{Value, json};

/// A record, with what follows from the policy filled in and named under `computed`.
pub(crate) fn shown(record: &Record, policy: &Policy, now: Timestamp) -> Value {
    let mut model = serde_json::to_value(&record.spec).unwrap_or_default();
    let mut computed = Vec::new();
    if record.spec.meta.credits_per_1k_tokens.is_none() {
        let prices = lifecycle::prices_at(&record.spec.meta, now);
        if let Some(credits) = price::credits_per_1k_tokens(prices.input, prices.output, &policy.credits) {
            model["meta"]["creditsPer1kTokens"] = credits.into();
            computed.push("/meta/creditsPer1kTokens");
        }
    }
    let mut shown = json!({
        "model": model,
        "computed": computed,
        "origin": origin(&record.origin),
        "seq": record.seq,
        "removed": record.tombstone,
        "archived": record.archived,
        "createdAt": record.created_at,
        "change": record.change,
    });
    if let Some(overridden) = &record.overridden {
        shown["override"] = json!(overridden.terms);
    }
    if !record.status.is_empty() {
        shown["status"] = json!(record.status);
    }
    shown
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Api(subject) => json!({"source": "api", "subject": subject}),
        Origin::Git(git) => {
            let mut value = serde_json::to_value(git).unwrap_or_default();
            value["source"] = "git".into();
            value
        }
    }
}

/// The tag of a record: another one with every change of it.
pub(crate) fn etag(record: &Record) -> ETag {
    ETag::of(["record", record.spec.id.as_str(), &record.seq.to_string()])
}

/// The tags that name a record as it is: its own, and the one that `GET /v1/models/{id}` gives this caller.
pub(crate) fn etags(record: &Record, policy: &Policy, caller: &Caller, now: Timestamp) -> Vec<ETag> {
    let published = catalogue::entry(&record.spec);
    let view =
        published.and_then(|entry| View::render(&record.spec, &entry, record.status.rollout.as_ref(), policy, now));
    let public = view.map(|view| ETag::of_model(&view, caller.tier.unwrap_or(policy.anonymous_tier)));
    std::iter::once(etag(record)).chain(public).collect()
}
