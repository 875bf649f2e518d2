//! Inference results: each counts once, whatever befalls its batch, and what they amount to is exact.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::inference::{Batch, ErrorKind, Inference, Part, Tally};
use roster_core::measure::Measured;
use roster_core::policy::RetentionPolicy;
use roster_core::window::{Subject, Windows};
use roster_http::Role;
use roster_store::{BatchKey, Counted, Store};
use roster_tests::faults::Faults;
use roster_tests::proxy::{Death, Dying, Proxy};
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

/// What every DynamoDB must do.
pub(crate) async fn suite(tables: &TestTables) {
    a_batch_counts_once(tables).await;
    sent_again_at_once(tables).await;
    cut_short(tables).await;
    many_writers(tables).await;
    through_faults(tables).await;
}

/// Far ahead, for the databases remove what has expired by their own clock.
fn start() -> Timestamp {
    "2100-01-01T10:30:00Z".parse().unwrap()
}

/// Results of so many minutes, one a second, with latencies that repeat; none of them fails but each tenth.
fn batch(id: &str, minutes: i64) -> Batch {
    let result = |second: i64| Inference {
        model: "acme/one".to_owned(),
        version: None,
        outcome: if second % 10 == 0 { Err(ErrorKind::Timeout) } else { Ok(()) },
        latency_ms: (second % 97 * 10) as f64,
        confidence: Some(0.5),
        input_tokens: Some(1_000),
        output_tokens: None,
        at: Some(start() + SignedDuration::from_secs(second)),
    };
    Batch { id: id.to_owned(), results: (0..minutes * 6).map(|tenth| result(tenth * 10 + tenth % 7)).collect() }
}

/// A batch with one result of so many.
fn every(step: usize, batch: Batch) -> Batch {
    Batch { results: batch.results.into_iter().step_by(step).collect(), ..batch }
}

fn subject(model: &str) -> Subject {
    Subject { model: ModelId::parse(model).unwrap(), version: "1.0.0".parse().ok() }
}

/// The parts of a batch as the function makes them, all results being of one model.
fn parts(batch: &Batch, model: &str) -> Vec<Part> {
    let part = |places: std::ops::Range<usize>| {
        let mut windows = Windows::default();
        for result in &batch.results[places.clone()] {
            windows.count(&subject(model), result.at.unwrap(), result, "0.00125".parse().ok());
        }
        Part { tally: Tally { counted: places.len() as u64, ..Tally::default() }, windows }
    };
    batch.parts().into_iter().map(part).collect()
}

fn key(id: &str, body: &str) -> BatchKey {
    BatchKey { id: id.to_owned(), body: body.to_owned() }
}

async fn count(store: &Store, key: &BatchKey, parts: &[Part]) -> Counted {
    store.count_batch(key, parts, &RetentionPolicy::default(), start()).await.unwrap()
}

/// What the results of batches amount to, counted one by one.
fn exact<'b>(batches: impl IntoIterator<Item = &'b Batch>) -> Measured {
    let mut measured = Measured::default();
    let results = batches.into_iter().flat_map(|batch| &batch.results);
    results.for_each(|result| measured.count(result, "0.00125".parse().ok()));
    measured
}

async fn measured(store: &Store, model: &str, minutes: i64) -> Measured {
    let Subject { model, version } = subject(model);
    let until = start() + SignedDuration::from_mins(minutes);
    store.measured(&model, &version.unwrap(), start(), until).await.unwrap()
}

async fn usage(store: &Store, days: &[&str], model: Option<&str>) -> BTreeMap<String, Measured> {
    let days: Vec<Date> = days.iter().map(|day| day.parse().unwrap()).collect();
    let model = model.map(|model| ModelId::parse(model).unwrap());
    let mut all = BTreeMap::<String, Measured>::new();
    let each = |day: Date, of: Subject, measured: Measured| {
        let version = of.version.map(|version| version.to_string()).unwrap_or_default();
        all.entry(format!("{day} {} {version}", of.model)).or_default().merge(&measured);
        true
    };
    store.usage(&days, model.as_ref(), each).await.unwrap();
    all
}

/// A batch of three hours, which is more than one transaction takes; by the minute, the hour and the day.
async fn a_batch_counts_once(tables: &TestTables) {
    let store = &tables.store;
    let (batch, key) = (every(3, batch("once", 180)), key("once", "body"));
    let parts = parts(&batch, "s/once");
    assert!(parts.len() > 1, "the batch is of one transaction");
    let whole = Tally { counted: batch.results.len() as u64, ..Tally::default() };
    assert_eq!(count(store, &key, &parts).await, Counted::Now(whole.clone()));
    for _ in 0..2 {
        assert_eq!(count(store, &key, &parts).await, Counted::Before(whole.clone()));
    }
    let other = BatchKey { body: "another".to_owned(), ..key.clone() };
    assert_eq!(count(store, &other, &parts).await, Counted::OtherBody);

    assert_eq!(measured(store, "s/once", 180).await, exact([&batch]));
    for minutes in [1, 29, 30, 31, 90, 179] {
        let until = start() + SignedDuration::from_mins(minutes);
        let results = batch.results.iter().filter(|result| result.at.unwrap() < until).cloned().collect();
        let first = Batch { results, ..batch.clone() };
        assert_eq!(measured(store, "s/once", minutes).await, exact([&first]), "{minutes} minutes");
    }
    assert_eq!(measured(store, "s/another", 180).await, Measured::default());
    let expected = BTreeMap::from([("2100-01-01 s/once 1.0.0".to_owned(), exact([&batch]))]);
    let days = ["2099-12-31", "2100-01-01", "2100-01-02"];
    assert_eq!(usage(store, &days, Some("s/once")).await, expected);
    assert!(usage(store, &days, Some("s/on")).await.is_empty(), "another model's name begins so");
    assert!(usage(store, &["2099-12-31"], None).await.is_empty());
}

/// The same batch to many instances at the same time.
async fn sent_again_at_once(tables: &TestTables) {
    let (batch, key) = (batch("doubled", 60), key("doubled", "body"));
    let parts = parts(&batch, "s/doubled");
    let counted = futures::future::join_all((0..8).map(|_| count(&tables.store, &key, &parts))).await;
    let told =
        |counted: &Counted| matches!(counted, Counted::Now(tally) | Counted::Before(tally) if tally.counted == 360);
    assert!(counted.iter().all(told), "{counted:?}");
    assert!(counted.iter().any(|counted| matches!(counted, Counted::Now(_))));
    assert_eq!(measured(&tables.store, "s/doubled", 60).await, exact([&batch]));
}

/// A sender dies at each write, before and after it took effect; the batch that is sent again counts what was missing.
async fn cut_short(tables: &TestTables) {
    let batch = every(4, batch("cut", 300));
    let mut rounds = 0;
    for death in [Death::BeforeEffect, Death::AfterEffect] {
        for writes in 0.. {
            let (model, key) = (format!("s/cut-{rounds}"), key(&format!("cut-{rounds}"), "body"));
            let parts = parts(&batch, &model);
            let proxy = Proxy::start(tables.endpoint(), Dying::after(writes, death)).await;
            let dying = tables.store_at(&proxy.url);
            let outcome = dying.count_batch(&key, &parts, &RetentionPolicy::default(), start()).await;
            let died = proxy.behaviour.died();
            assert!(outcome.is_ok() || died, "{outcome:?}");
            rounds += 1;
            let again = count(&tables.store, &key, &parts).await;
            let is_whole = writes + i64::from(death == Death::AfterEffect) >= parts.len() as i64;
            let (Counted::Now(tally) | Counted::Before(tally)) = &again else { panic!("{again:?}") };
            assert_eq!((tally.counted, matches!(again, Counted::Before(_))), (450, is_whole), "{death:?} {writes}");
            assert_eq!(measured(&tables.store, &model, 300).await, exact([&batch]), "{death:?} {writes}");
            if !died {
                break;
            }
        }
    }
    assert!(rounds > 6, "a batch of {rounds} writes was never half done");
}

/// Batches of many writers, all into the same windows.
async fn many_writers(tables: &TestTables) {
    let batches: Vec<Batch> = (0..40).map(|at| batch(&format!("many-{at}"), 10)).collect();
    let all = batches.iter().map(|batch| async move {
        let parts = parts(batch, "s/many");
        // What too many others are in the way of is sent again, as a service does.
        let key = key(&batch.id, "body");
        while tables.store.count_batch(&key, &parts, &RetentionPolicy::default(), start()).await.is_err() {}
    });
    futures::future::join_all(all).await;
    assert_eq!(measured(&tables.store, "s/many", 10).await, exact(&batches));
    let day = usage(&tables.store, &["2100-01-01"], Some("s/many")).await;
    assert_eq!(day["2100-01-01 s/many 1.0.0"], exact(&batches));
}

/// Calls fail in every way that DynamoDB can; a batch is sent until it is answered.
async fn through_faults(tables: &TestTables) {
    let proxy = Proxy::start(tables.endpoint(), Faults::random(6, 400)).await;
    let store = tables.store_at(&proxy.url);
    let batches: Vec<Batch> = (0..40).map(|at| batch(&format!("faulty-{at}"), 10)).collect();
    for batch in &batches {
        let (key, parts) = (key(&batch.id, "body"), parts(batch, "s/faulty"));
        while store.count_batch(&key, &parts, &RetentionPolicy::default(), start()).await.is_err() {}
    }
    let injected = proxy.behaviour.injected();
    assert!(injected.len() >= 4, "{injected:?}");
    assert_eq!(measured(&tables.store, "s/faulty", 10).await, exact(&batches), "{injected:?}");
}

/// A stack with a model that has versions, and one that has none.
async fn stack() -> TestStack {
    let stack = TestStack::new().await;
    stack.repository.put(&model("acme/one", |value| {
        value["aliases"] = json!(["one-latest"]);
        value["versions"] = json!([
            {"version": "1.0.0", "status": "active"},
            {"version": "1.1.0", "status": "testing", "overrides": {"inputCostPerMillionTokens": 2000}},
            {"version": "2.0.0", "status": "testing"},
        ]);
    }));
    stack.repository.put(&model("acme/plain", |value| value["meta"]["outputCostPerMillionTokens"] = json!(null)));
    stack.repository.put(&model("other/tested", |value| {
        value["versions"] = json!([{"version": "0.1.0", "status": "testing"}]);
    }));
    stack.repository.commit("models");
    stack.sync().await;
    stack
}

async fn report(stack: &TestStack, body: &Value) -> Answer {
    let token = token("svc", &[Role::Service]);
    stack.send("POST /v1/inferences", &token, &[], Some(&body.to_string())).await
}

async fn told(stack: &TestStack, path: &str) -> Value {
    let answer = stack.admin(&format!("GET {path}"), &json!(null)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_counted_priced_and_told() {
    let stack = stack().await;
    let now = Timestamp::now();
    let ago = |hours: i64, minutes: i64| now - SignedDuration::from_mins(hours * 60 + minutes);
    let result = |changes: Value| {
        let mut result = json!({"model": "one-latest", "success": true, "latencyMs": 100});
        result.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        result
    };
    let body = json!({"id": "b-1", "results": [
        result(json!({"confidence": 0.9, "inputTokens": 1000, "outputTokens": 100})),
        result(json!({"version": "1.1.0", "inputTokens": 1000, "at": ago(1, 0)})),
        result(json!({"success": false, "error": "timeout", "latencyMs": 30_000, "at": ago(3, 0)})),
        result(json!({"model": "acme/plain", "inputTokens": 10, "outputTokens": 10})),
        result(json!({"at": ago(25, 0)})),
        result(json!({"at": ago(0, -10)})),
        result(json!({"model": "acme/none"})),
        result(json!({"version": "9.9.9"})),
        result(json!({"model": "other/tested"})),
    ]});
    let first = report(&stack, &body).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let first = first.json();
    let codes: Vec<Value> =
        first["refused"].as_array().unwrap().iter().map(|r| json!([r["index"], r["code"]])).collect();
    let expected =
        json!([[4, "late"], [5, "future"], [6, "unknown-model"], [7, "unknown-version"], [8, "no-active-version"],]);
    assert_eq!((&first["status"], &first["counted"], json!(codes)), (&json!("counted"), &json!(4), expected));
    let reason = first["refused"][3]["reason"].as_str().unwrap();
    assert_eq!(reason, "model one-latest has no version 9.9.9: register it first");

    // Sent again it is the same, and is not counted again; under the same id nothing else is.
    let again = report(&stack, &body).await.json();
    assert_eq!((&again["status"], &again["refused"]), (&json!("duplicate"), &first["refused"]));
    let other = report(&stack, &json!({"id": "b-1", "results": [result(json!({}))]})).await;
    assert_eq!((other.status, &other.json()["type"]), (422, &json!("urn:roster:problem:key-reused")));
    let elsewhere =
        stack.send("POST /v1/inferences", &token("eve", &[Role::Admin]), &[], Some(&body.to_string())).await;
    assert_eq!(elsewhere.json()["status"], "counted", "another caller's id is another id");

    let evaluation = "/admin/models/acme%2Fone/versions/1.0.0/evaluation";
    let data = told(&stack, evaluation).await;
    let measured = &data["measured"];
    let counts = ["samples", "successes", "failures", "unpricedSamples"].map(|key| measured[key].clone());
    assert_eq!(json!(counts), json!([4, 2, 2, 2]));
    assert_eq!((&measured["errorRate"], &measured["errors"]), (&json!(0.5), &json!({"timeout": 2})));
    assert_eq!((&measured["confidence"], &measured["confidenceSamples"]), (&json!(0.9), &json!(2)));
    // 1,000 tokens at $1.25 and 100 at $10 a million, twice.
    assert_eq!((&measured["costUsd"], &measured["meanCostUsd"]), (&json!("0.0045"), &json!("0.00225")));
    assert_eq!(measured["latencyMs"]["mean"], json!(15050));
    assert_eq!(data["report"]["verdict"], "insufficient_data");
    let recent = told(&stack, &format!("{evaluation}?since={}", ago(2, 0))).await;
    assert_eq!((&recent["measured"]["samples"], &recent["measured"]["errors"]), (&json!(2), &json!({})));
    let newer = told(&stack, "/admin/models/acme%2Fone/versions/1.1.0/evaluation").await;
    assert_eq!(newer["measured"]["costUsd"], "0.004", "by the version's own price");

    let days = format!("from={}", ago(24, 0).strftime("%Y-%m-%d"));
    let by_model = told(&stack, &format!("/admin/analytics?{days}")).await;
    let told_groups = |data: &Value, keys: [&str; 3]| -> Value {
        let groups = data["groups"].as_array().unwrap().iter();
        groups.map(|group| json!(keys.map(|key| group[key].clone()))).collect()
    };
    let models = told_groups(&by_model, ["model", "samples", "costUsd"]);
    assert_eq!(models, json!([["acme/one", 6, "0.0085"], ["acme/plain", 2, "0"]]));
    assert_eq!(by_model["groups"][1]["unpricedSamples"], 2, "what is not known is not free");
    assert_eq!((&by_model["total"]["samples"], &by_model["groupCount"]), (&json!(8), &json!(2)));
    let trend = by_model["groups"][0]["trend"].as_array().unwrap().iter().map(|day| day["samples"].as_u64().unwrap());
    assert_eq!(trend.sum::<u64>(), 6);
    let by_version = told(&stack, &format!("/admin/analytics?{days}&group_by=version&provider=acme")).await;
    let versions = told_groups(&by_version, ["model", "version", "samples"]);
    assert_eq!(versions, json!([["acme/one", "1.0.0", 4], ["acme/one", "1.1.0", 2], ["acme/plain", null, 2]]));
    let by_provider = told(&stack, &format!("/admin/analytics?{days}&group_by=provider&version=1.1.0")).await;
    assert_eq!(told_groups(&by_provider, ["provider", "samples", "model"]), json!([["acme", 2, null]]));
    let by_day = told(&stack, &format!("/admin/analytics?{days}&group_by=day&model=one-latest")).await;
    let samples = by_day["groups"].as_array().unwrap().iter().map(|day| day["samples"].as_u64().unwrap());
    assert_eq!(samples.sum::<u64>(), 6);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_in_is_refused_with_its_place() {
    let stack = stack().await;
    let good = json!({"id": "x", "results": [{"model": "acme/plain", "success": true, "latencyMs": 1}]}).to_string();
    let send = async |token: &str, body: &str| {
        let answer = stack.send("POST /v1/inferences", token, &[], Some(body)).await;
        (answer.status, answer.json())
    };
    assert_eq!(send("", &good).await.0, 401);
    assert_eq!(send(&token("eve", &[]), &good).await.0, 403);
    let service = token("svc", &[Role::Service]);
    assert_eq!(send(&service, &good).await.0, 202);
    assert_eq!(send(&service, "{").await.0, 400);
    assert_eq!(send(&service, &" ".repeat(600_000)).await.0, 413);
    let (status, problem) = send(&service, r#"{"results": [{"model": "a", "success": 1, "latencyMs": -1}]}"#).await;
    let pointers: Vec<&Value> = problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!((status, json!(pointers)), (422, json!(["/id", "/results/0/success", "/results/0/latencyMs"])));

    let admin = async |path: &str| {
        let answer = stack.admin(&format!("GET {path}"), &json!(null)).await;
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, detail) = admin("/admin/models/acme%2Fone/versions/3.0.0/evaluation").await;
    assert_eq!((status, detail.as_str()), (404, "model acme/one has no version \"3.0.0\": it has 1.0.0, 1.1.0, 2.0.0"));
    assert_eq!(admin("/admin/models/acme%2Fnone/versions/1.0.0/evaluation").await.0, 404);
    for query in ["since=2026-01-01&until=2026-01-01", "since=2020-01-01", "since=soon", "days=3"] {
        assert_eq!(
            admin(&format!("/admin/models/acme%2Fone/versions/1.0.0/evaluation?{query}")).await.0,
            400,
            "{query}"
        );
    }
    for query in ["from=2026-02-30", "from=2026-01-01&to=2026-06-01", "group_by=weather", "version=latest", "limit=0"] {
        assert_eq!(admin(&format!("/admin/analytics?{query}")).await.0, 400, "{query}");
    }
    stack.close().await;
}

/// Latencies as services have them: most around a second, with a long tail, some answered from a cache at once, and
/// some that run into a time limit.
fn latencies(count: usize) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(7);
    let normal =
        |rng: &mut fastrand::Rng| (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    let latency = |rng: &mut fastrand::Rng| match rng.u32(0..100) {
        0..8 => 12.0 + 0.5 * normal(rng).abs(),
        8..10 => 30_000.0,
        _ => (6.8 + 0.7 * normal(rng)).exp(),
    };
    (0..count).map(|_| latency(&mut rng)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_are_within_one_percent_with_many_writers() {
    let stack = stack().await;
    let mut all = latencies(8_000);
    let bodies = all.chunks(400).enumerate().map(|(at, latencies)| {
        let results: Vec<Value> = latencies
            .iter()
            .map(|ms| json!({"model": "acme/one", "version": "2.0.0", "success": *ms < 30_000.0, "latencyMs": ms}))
            .collect();
        json!({"id": format!("batch-{at}"), "results": results})
    });
    let bodies: Vec<Value> = bodies.collect();
    // Every batch comes twice, a few at once.
    let sent = futures::stream::iter(bodies.iter().chain(&bodies)).map(|body| report(&stack, body));
    let sent: Vec<Answer> = sent.buffer_unordered(4).collect().await;
    let amiss = sent.iter().find(|answer| answer.status != 202 || answer.json()["counted"] != 400);
    assert!(amiss.is_none(), "{amiss:?}");
    let data = told(&stack, "/admin/models/acme%2Fone/versions/2.0.0/evaluation").await;
    let failures = all.iter().filter(|ms| **ms >= 30_000.0).count();
    assert_eq!((&data["measured"]["samples"], &data["measured"]["failures"]), (&json!(8_000), &json!(failures)));
    all.sort_by(f64::total_cmp);
    for (percent, name) in [(50, "p50"), (95, "p95"), (99, "p99")] {
        let exact = all[all.len() * percent / 100 - 1];
        let told = data["measured"]["latencyMs"][name].as_f64().unwrap();
        assert!((told - exact).abs() <= exact * 0.010_001, "{name}: {told} for {exact}");
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let told = data["measured"]["latencyMs"]["mean"].as_f64().unwrap();
    assert!((told - mean).abs() < 0.001, "{told} for {mean}");
    stack.close().await;
}
