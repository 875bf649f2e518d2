//! What a listing costs beside a handler that answers the very same bytes from a constant: `scripts/bench list`.
//!
//! Both stand behind the local gateway, with the same routes, and are asked in turn over one connection each, so that
//! whatever else this machine does befalls both.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up shall fail")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use roster_http::function::{HandlerFuture, Host, Hosted};
use roster_http::{Cors, Env, Problem, Reply, Request, answer};
use roster_local::{Gateway, Hosts, LocalValues, Template};
use roster_public::{App, FUNCTIONS};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const MODELS: u32 = 5_000;
const ROUNDS: usize = 1_000;
const FUNCTION: &str = "list-models";

/// Answers what it was taught, by the query and whether the client knows the answer.
struct Floor(HashMap<Key, Reply>);

type Key = (Vec<(String, String)>, bool);

impl Host for Floor {
    fn names(&self) -> Vec<&'static str> {
        vec![FUNCTION]
    }

    fn http(&self, _: &str, request: Request) -> Option<HandlerFuture<'_, Result<Reply, Problem>>> {
        let known = request.headers.contains_key(IF_NONE_MATCH);
        let reply = self.0.get(&(sorted(request.query), known)).cloned();
        Some(Box::pin(async move { reply.ok_or_else(Problem::internal) }))
    }

    fn event(&self, _: &str, _: Value) -> Option<HandlerFuture<'_, Result<Value, roster_http::function::EventError>>> {
        None
    }
}

fn sorted(mut query: Vec<(String, String)>) -> Vec<(String, String)> {
    query.sort();
    query
}

/// Some requests that are measured as one.
struct Case {
    name: &'static str,
    goal: Option<f64>,
    targets: Vec<(String, HeaderMap)>,
}

/// A request as the gateway makes it.
fn request(target: &str, headers: HeaderMap) -> Request {
    let (path, query) = target.split_once('?').unwrap();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Request {
        method: "GET".parse().unwrap(),
        path: path.to_owned(),
        path_parameters: Default::default(),
        query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        headers,
        body: Default::default(),
        source_ip: None,
        api_url: None,
        caller: roster_http::Caller::default(),
        request_id: "bench".to_owned(),
        now: Timestamp::now(),
    }
}

/// What a host answers, and what the floor answers by it.
async fn taught(host: &dyn Host, target: &str, headers: &HeaderMap) -> (Key, Reply) {
    let asked = request(target, headers.clone());
    let key = (sorted(asked.query.clone()), headers.contains_key(IF_NONE_MATCH));
    (key, answer(host, FUNCTION, asked, &Cors::default()).await)
}

/// The cases, and the floor's answers to them.
async fn cases(host: &dyn Host) -> (Vec<Case>, Floor) {
    let page = "/v1/models?limit=50".to_owned();
    let filtered = "/v1/models?capability=text&limit=50&provider=p7&sort=-input_cost_per_million_tokens".to_owned();
    let mut floor = HashMap::new();
    let (key, first) = taught(host, &page, &HeaderMap::new()).await;
    floor.insert(key, first.clone());
    let known = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers[ETAG].clone())]);
    let (key, reply) = taught(host, &page, &known).await;
    assert_eq!(reply.status, 304);
    floor.insert(key, reply);
    let (key, reply) = taught(host, &filtered, &HeaderMap::new()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    floor.insert(key, reply);
    let (mut all, mut next) = (Vec::new(), Some("/v1/models?limit=1000".to_owned()));
    while let Some(target) = next {
        let (key, reply) = taught(host, &target, &HeaderMap::new()).await;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        floor.insert(key, reply);
        all.push((target, HeaderMap::new()));
        next = body["next_cursor"].as_str().map(|cursor| format!("/v1/models?cursor={cursor}&limit=1000"));
    }
    assert_eq!(all.len(), 5);
    let one = |target: &String, headers: HeaderMap| vec![(target.clone(), headers)];
    let cases = vec![
        Case { name: "page of 50", goal: Some(1.3), targets: one(&page, HeaderMap::new()) },
        Case { name: "page of 50, filtered and sorted", goal: Some(2.0), targets: one(&filtered, HeaderMap::new()) },
        Case { name: "all 5,000, in 5 pages", goal: Some(1.5), targets: all },
        Case { name: "304 of a page of 50", goal: None, targets: one(&page, known) },
    ];
    (cases, Floor(floor))
}

/// How long one round of a case takes through a gateway, and how many bytes come.
async fn through(client: &Client, url: &str, case: &Case) -> (Duration, usize) {
    let (mut time, mut bytes) = (Duration::ZERO, 0);
    for (target, headers) in &case.targets {
        let started = Instant::now();
        let response = client.get(format!("{url}{target}")).headers(headers.clone()).send().await.unwrap();
        assert!(response.status() == 200 || response.status() == 304, "{target}: {}", response.status());
        bytes += response.bytes().await.unwrap().len();
        time += started.elapsed();
    }
    (time, bytes)
}

/// How long one round takes in the handler.
async fn within(host: &dyn Host, case: &Case) -> Duration {
    let mut time = Duration::ZERO;
    for (target, headers) in &case.targets {
        let request = request(target, headers.clone());
        let started = Instant::now();
        std::hint::black_box(answer(host, FUNCTION, request, &Cors::default()).await);
        time += started.elapsed();
    }
    time
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

async fn gateway(template: &Template, host: Arc<dyn Host>) -> Gateway {
    Gateway::start(template, &Hosts::Here(vec![host]), 0, None).await.unwrap()
}

async fn measure() {
    let repository = TestRepository::new();
    for n in 0..MODELS {
        repository.put(&model(&format!("p{}/m{n:05}", n % 10), |value| {
            value["meta"]["description"] = json!(format!("A model with a description of ordinary length, number {n}."));
            value["meta"]["inputCostPerMillionTokens"] = json!(n % 977);
        }));
    }
    repository.commit("start");
    let tables = TestTables::embedded().await;
    tables.sync(&repository).await;
    let env = Env::from_iter([("MAX_STALENESS_MS".to_owned(), "3600000".to_owned())]);
    let roster = Arc::new(Hosted::new(App::new(&env, tables.store.clone()).unwrap(), FUNCTIONS));
    let (cases, floor) = cases(&*roster).await;
    let floor = Arc::new(floor);
    let mut template = Template::load(&LocalValues::default()).unwrap();
    template.functions.retain(|function| function.name == FUNCTION);
    let gateways = [gateway(&template, roster.clone()).await, gateway(&template, floor.clone()).await];
    let urls = gateways.each_ref().map(Gateway::url);
    let clients = [Client::new(), Client::new()];
    println!(
        "| {MODELS} models, median of {ROUNDS} rounds | bytes | through the gateway | constant | ratio | goal | in the handler | constant |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in &cases {
        let (mut over_http, mut in_handler) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut bytes = [0, 0];
        let hosts: [&dyn Host; 2] = [&*roster, &*floor];
        for round in 0..ROUNDS {
            for side in [round % 2, 1 - round % 2] {
                let (time, length) = through(&clients[side], &urls[side], case).await;
                over_http[side].push(time);
                bytes[side] = length;
                in_handler[side].push(within(hosts[side], case).await);
            }
        }
        assert_eq!(bytes[0], bytes[1], "{}: the constant is another answer", case.name);
        let [ours, constant] = over_http.map(median);
        let [handler, nothing] = in_handler.map(median);
        let goal = case.goal.map_or_else(String::new, |goal| goal.to_string());
        println!(
            "| {} | {} | {ours:.0} us | {constant:.0} us | {:.2} | {goal} | {handler:.1} us | {nothing:.1} us |",
            case.name,
            bytes[0],
            ours / constant
        );
    }
    for gateway in gateways {
        gateway.shutdown().await;
    }
    drop(roster);
    tables.close().await;
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}
