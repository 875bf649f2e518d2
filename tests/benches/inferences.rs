//! What it takes to count inference results, through the local gateway and one instance: `scripts/bench inferences`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up shall fail")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use futures::StreamExt as _;
use roster_http::Role;
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// Unless BATCHES says otherwise.
const BATCHES: usize = 200;
const RESULTS: usize = 500;
/// Batches under way at once.
const CONCURRENCY: usize = 4;

/// A batch of a service that calls a few models, as it reports them every few seconds.
fn batch(at: usize, models: usize, rng: &mut fastrand::Rng) -> String {
    let result = |rng: &mut fastrand::Rng| {
        let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        let success = rng.u32(0..100) > 1;
        json!({
            "model": format!("acme/m{}", rng.usize(0..models)), "version": "1.0.0", "success": success,
            "latencyMs": ((6.8 + 0.6 * normal).exp() * 1000.0).round() / 1000.0, "confidence": 0.9,
            "inputTokens": rng.u32(100..5_000), "outputTokens": rng.u32(10..1_000),
            "error": (!success).then_some("timeout"),
        })
    };
    let results: Vec<Value> = (0..RESULTS).map(|_| result(rng)).collect();
    json!({"id": format!("{models}-{at}"), "results": results}).to_string()
}

async fn measure() {
    let stack = TestStack::with(&[("MAX_STALENESS_MS", "1000")]).await;
    for n in 0..20 {
        stack.repository.put(&model(&format!("acme/m{n}"), |value| {
            value["versions"] = json!([{"version": "1.0.0", "status": "active"}]);
        }));
    }
    stack.repository.commit("models");
    stack.sync().await;
    let batches = std::env::var("BATCHES").map_or(BATCHES, |count| count.parse().unwrap());
    let token = token("svc", &[Role::Service]);
    println!("| batches of {RESULTS}, {CONCURRENCY} at once | results a second | write units per 1,000 results |");
    println!("| --- | --- | --- |");
    for models in [1, 5, 20] {
        let mut rng = fastrand::Rng::with_seed(1);
        let bodies: Vec<String> = (0..batches).map(|at| batch(at, models, &mut rng)).collect();
        let (before, started) = (stack.store.consumed(), Instant::now());
        let sent =
            futures::stream::iter(&bodies).map(|body| stack.send("POST /v1/inferences", &token, &[], Some(body)));
        let statuses: Vec<u16> = sent.buffer_unordered(CONCURRENCY).map(|answer| answer.status).collect().await;
        let seconds = started.elapsed().as_secs_f64();
        assert!(statuses.iter().all(|status| *status == 202), "{statuses:?}");
        let results = (batches * RESULTS) as f64;
        let units = (stack.store.consumed() - before).write;
        println!("| {models} models | {:.0} | {:.1} |", results / seconds, units / results * 1000.0);
    }
    stack.close().await;
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}
