//! Requests and views for tests.

use http::{HeaderMap, Method};
use jiff::Timestamp;
use roster_core::view::View;
use roster_core::{Model, Policy};
use roster_http::Request;
use serde_json::{Value, json};

/// A GET of a path with an unencoded query.
pub(crate) fn get(target: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Request {
        method: Method::GET,
        path: path.to_owned(),
        path_parameters: [("id".to_owned(), path.trim_start_matches("/v1/models/").to_owned())].into(),
        query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        headers: HeaderMap::new(),
        body: Vec::new().into(),
        source_ip: None,
        api_url: None,
        caller: roster_http::Caller::default(),
        request_id: "request-1".to_owned(),
        now: Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

/// A small legal model with some keys set otherwise, those of `meta` one by one.
pub(crate) fn model_of(keys: Value) -> Model {
    let mut document = json!({
        "id": "m", "name": "m", "provider": "p", "isAvailable": true, "isLegacy": false, "isArchived": false,
        "meta": {
            "displayName": "m", "capabilities": ["text"], "contextLength": 1000,
            "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
            "requiredTier": "free", "tierRestrictionMode": "minimum", "allowedTiers": [],
        },
    });
    for (key, value) in keys.as_object().unwrap() {
        match value {
            Value::Object(meta) if key == "meta" => {
                document["meta"].as_object_mut().unwrap().extend(meta.clone());
            }
            value => document[key] = value.clone(),
        }
    }
    serde_json::from_value(document).unwrap()
}

/// The view of such a model.
pub(crate) fn view_of(keys: Value) -> View {
    View::render(&model_of(keys), &"".into(), None, &Policy::default(), get("/").now).unwrap()
}

/// The view of a small model.
pub(crate) fn view(id: &str) -> View {
    view_of(json!({"id": id}))
}
