//! How long a request takes inside its handler, from memory: `cargo bench -p roster-tests --bench handlers`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up shall fail")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use roster_http::function::{Host, Hosted};
use roster_http::{Cors, Env, Reply, Request, answer};
use roster_public::{App, FUNCTIONS};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

const MODELS: u32 = 5_000;
const CALLS: u32 = 5_000;

fn request(id: Option<&str>, query: &[(&str, &str)], headers: HeaderMap) -> Request {
    Request {
        method: Method::GET,
        path: "/v1/models".to_owned(),
        path_parameters: id.map(|id| ("id".to_owned(), id.to_owned())).into_iter().collect::<BTreeMap<_, _>>(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        headers,
        body: bytes::Bytes::new(),
        source_ip: None,
        api_url: None,
        caller: roster_http::Caller::default(),
        request_id: "bench".to_owned(),
        now: Timestamp::now(),
    }
}

/// The median time of a call, and the size of its body.
async fn measure(host: &dyn Host, name: &str, make: impl Fn() -> Request) -> (Duration, Reply) {
    let mut times = Vec::new();
    let mut last = answer(host, name, make(), &Cors::default()).await;
    for _ in 0..CALLS {
        let request = make();
        let started = Instant::now();
        last = answer(host, name, request, &Cors::default()).await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    (times[times.len() / 2], last)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let repository = TestRepository::new();
        for n in 0..MODELS {
            repository.put(&model(&format!("p{}/m{n:05}", n % 10), |value| {
                value["meta"]["description"] =
                    json!(format!("A model with a description of ordinary length, number {n}."));
            }));
        }
        repository.commit("start");
        let tables = TestTables::embedded().await;
        tables.sync(&repository).await;
        let env = Env::from_iter([("MAX_STALENESS_MS".to_owned(), "3600000".to_owned())]);
        let host = Hosted::new(App::new(&env, tables.store.clone()).unwrap(), FUNCTIONS);
        println!("| {MODELS} models, median of {CALLS} calls | microseconds | bytes |\n| --- | --- | --- |");
        let page = |query: &'static [(&str, &str)], headers: HeaderMap| move || request(None, query, headers.clone());
        let (time, first) = measure(&host, "list-models", page(&[("limit", "50")], HeaderMap::new())).await;
        let row = |what: &str, time: Duration, reply: &Reply| {
            println!("| {what} | {:.1} | {} |", time.as_secs_f64() * 1e6, reply.body.len());
        };
        row("page of 50", time, &first);
        let etag: HeaderValue = first.headers[http::header::ETAG].clone();
        let known = HeaderMap::from_iter([(http::header::IF_NONE_MATCH, etag)]);
        let (time, reply) = measure(&host, "list-models", page(&[("limit", "50")], known)).await;
        row("the same, If-None-Match", time, &reply);
        let filtered = page(&[("limit", "50"), ("provider", "p7"), ("tier", "free")], HeaderMap::new());
        let (time, reply) = measure(&host, "list-models", filtered).await;
        row("page of 50, filtered", time, &reply);
        let (time, reply) = measure(&host, "get-model", || request(Some("p7/m00007"), &[], HeaderMap::new())).await;
        row("one model", time, &reply);
        drop(host);
        tables.close().await;
    });
}
