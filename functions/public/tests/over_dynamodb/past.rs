//! What was published is answered as it was then.

use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use roster_core::Model;
use serde_json::json;

use super::{Stack, archived, decoded, model};

const VIEWS: [&str; 4] = [
    "/v1/models",
    "/v1/models?sort=-input_cost_per_million_tokens&limit=2",
    "/v1/models?q=m&facets=provider&fields=id,is_legacy",
    "/v1/models/m1",
];

fn function(target: &str) -> &'static str {
    if target.ends_with("/m1") { "get-model" } else { "list-models" }
}

fn priced(id: &str, price: u64) -> Model {
    let mut model = model(id);
    model.meta.input_cost_per_million_tokens = price.to_string().parse().ok();
    // It begins between two publications.
    model.meta.price_schedule =
        serde_json::from_value(json!([{"from": "2026-11-21T02:30:00Z", "inputCostPerMillionTokens": price * 100}]))
            .unwrap();
    model
}

#[tokio::test]
async fn the_past_is_answered_byte_for_byte() {
    let mut stack = Stack::new().await;
    let mut then = Vec::new();
    for n in 1..=8u64 {
        let models: Vec<Model> = (0..5).map(|m| priced(&format!("m{m}"), n * 10 + m)).collect();
        stack.publish(&models, &[]).await;
        for target in VIEWS {
            then.push((n, stack.now, target, stack.send(function(target), target, HeaderMap::new()).await));
        }
        // What was live is as it was later on, too.
        stack.now += SignedDuration::from_mins(40);
        let target = VIEWS[0];
        then.push((0, stack.now, target, stack.send(function(target), target, HeaderMap::new()).await));
        stack.now += SignedDuration::from_mins(20);
    }
    let asked = async |target: &str, as_of: &str, known: HeaderMap| {
        let joint = if target.contains('?') { '&' } else { '?' };
        stack.send(function(target), &format!("{target}{joint}as_of={as_of}"), known).await
    };
    for (revision, time, target, reply) in &then {
        let mut points = vec![time.to_string()];
        if *revision > 0 {
            points.extend([revision.to_string(), format!("{revision:040}")]);
        }
        for point in points {
            let again = asked(target, &point, HeaderMap::new()).await;
            assert_eq!((again.status, &again.body), (StatusCode::OK, &reply.body), "{target} as of {point}");
            assert_eq!(again.headers[ETAG], reply.headers[ETAG]);
            let keeps = if point.len() < 3 { "private, max-age=86400, immutable" } else { "no-cache" };
            assert_eq!(again.headers[CACHE_CONTROL], keeps, "{point}");
            let known: HeaderMap = [(IF_NONE_MATCH, reply.headers[ETAG].clone())].into_iter().collect();
            assert_eq!(asked(target, &point, known).await.status, StatusCode::NOT_MODIFIED);
        }
    }
    // A page goes on in its revision and time, with the parameter or without it.
    let (_, first) = decoded(&then[1].3);
    let next = format!("{}&cursor={}", VIEWS[1], first["next_cursor"].as_str().unwrap());
    let (_, page) = decoded(&asked(&next, "1", HeaderMap::new()).await);
    assert_eq!((super::ids(&page), &page["revision"]), (vec!["m2", "m1"], &json!(1)));
    assert_eq!(stack.list(&next).await.1, page);
    assert_eq!(decoded(&asked(&next, "2", HeaderMap::new()).await).1["type"], "urn:roster:problem:bad-cursor");
}

#[tokio::test]
async fn what_is_not_in_the_past_is_told() {
    let mut stack = Stack::new().await;
    let (status, problem) = stack.list("/v1/models?as_of=2026-11-20T00:00:00Z").await;
    assert_eq!((status.as_u16(), &problem["type"]), (404, &json!("urn:roster:problem:nothing-published")));
    stack.publish(&[model("a")], &[]).await;
    stack.publish(&[archived("b", "a")], &[]).await;
    // A manifest that is no longer kept.
    stack.skip_revision(&[model("c")]).await;
    for (point, status, kind) in [
        ("4", 200, None),
        ("1", 200, None),
        ("3", 410, Some("revision-expired")),
        ("5", 400, Some("bad-parameter")),
        ("0", 404, Some("nothing-published")),
        ("2026-11-20T23:59:59Z", 404, Some("nothing-published")),
        ("2099-01-01T00:00:00Z", 400, Some("bad-parameter")),
        ("00000000000000000000000000000000000000ff", 404, Some("not-found")),
    ] {
        for target in ["/v1/models", "/v1/models/a"] {
            let function = if target.ends_with("/a") { "get-model" } else { "list-models" };
            let reply = stack.send(function, &format!("{target}?as_of={point}"), HeaderMap::new()).await;
            let (found, body) = decoded(&reply);
            let expected = kind.map(|kind| json!(format!("urn:roster:problem:{kind}"))).unwrap_or_default();
            assert_eq!((found.as_u16(), &body["type"]), (status, &expected), "{target} as of {point}");
        }
    }
    let (status, problem) = stack.list("/v1/models?changed_since=3").await;
    assert_eq!(status, StatusCode::GONE);
    assert!(problem["detail"].as_str().unwrap().ends_with("list all models anew, without changed_since"));
    assert_eq!(decoded(&stack.send("get-model", "/v1/models/b?as_of=2", HeaderMap::new()).await).0, StatusCode::GONE);
}

#[tokio::test]
async fn the_end_of_a_model_is_in_its_headers() {
    let mut stack = Stack::new().await;
    let mut going = model("a");
    going.is_legacy = true;
    going.meta.legacy_replacement_model_id = roster_core::ModelId::parse("b").ok();
    going.meta.sunset_date = "2026-12-01T00:00:00Z".parse().ok();
    let mut between = model("b");
    between.meta.legacy_replacement_model_id = roster_core::ModelId::parse("c").ok();
    stack.publish(&[going, between, model("c")], &[]).await;
    let reply = stack.get("a", HeaderMap::new()).await;
    let headers = ["deprecation", "sunset", "link"].map(|name| reply.headers[name].to_str().unwrap());
    let expected = ["@1795219200", "Tue, 01 Dec 2026 00:00:00 GMT", "</v1/models/c>; rel=\"successor-version\""];
    assert_eq!(headers, expected);
    let plain = stack.get("c", HeaderMap::new()).await;
    assert!(["deprecation", "sunset", "link"].iter().all(|name| !plain.headers.contains_key(*name)));
    stack.now = "2026-12-01T00:00:00Z".parse().unwrap();
    let gone = stack.get("a", HeaderMap::new()).await;
    let (status, problem) = decoded(&gone);
    assert_eq!((status, &problem["replacement_model_id"]), (StatusCode::GONE, &json!("c")));
    assert_eq!(gone.headers["link"], "</v1/models/c>; rel=\"successor-version\"");
}
