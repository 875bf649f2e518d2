//! Invariant 2: every response shows exactly one revision, under any concurrent sync.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use roster_http::function::{Host, Hosted};
use roster_http::{Cors, Env, Reply, Request, answer};
use roster_public::{App, FUNCTIONS};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const MODELS: u64 = 1_000;
const RESPONSES: u64 = 10_000;

async fn get(host: &dyn Host, function: &str, id: Option<&str>, query: &[(&str, &str)]) -> Reply {
    let request = Request {
        method: Method::GET,
        path: "/v1/models".to_owned(),
        path_parameters: id.map(|id| ("id".to_owned(), id.to_owned())).into_iter().collect::<BTreeMap<_, _>>(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        source_ip: None,
        api_url: None,
        caller: roster_http::Caller::default(),
        request_id: "test".to_owned(),
        now: Timestamp::now(),
    };
    answer(host, function, request, &Cors::default()).await
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

/// Checks that every model of a page has the price of the page's commit.
fn check_page(page: &Value, prices: &BTreeMap<String, u64>) {
    let commit = page["commit"].as_str().unwrap();
    let expected = json!(prices[commit]);
    assert_eq!(page["total"], MODELS);
    for model in page["models"].as_array().unwrap() {
        assert_eq!(model["input_cost_per_million_tokens"], expected, "{} at {commit}", model["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_revision_a_response_while_a_thousand_models_change() {
    let repository = TestRepository::new();
    let mut prices = BTreeMap::new();
    for price in 1..=4u64 {
        for n in 0..MODELS {
            let priced = |value: &mut Value| value["meta"]["inputCostPerMillionTokens"] = json!(price);
            repository.put(&model(&format!("p/m{n:04}"), priced));
        }
        prices.insert(repository.commit("reprice all"), price);
    }
    let tables = TestTables::embedded().await;
    let to = |revision: &'static str| {
        let repository = &repository;
        let tables = &tables;
        async move {
            let options = |options: &mut roster_sync::Options| {
                options.guard = false;
                options.to = Some(revision.to_owned());
            };
            tables.sync_with(repository, options).await.unwrap().0
        }
    };
    to("HEAD~3").await;
    let env = Env::from_iter([("MAX_STALENESS_MS".to_owned(), "0".to_owned())]);
    let host: Arc<dyn Host> = Arc::new(Hosted::new(App::new(&env, tables.store.clone()).unwrap(), FUNCTIONS));
    let prices = Arc::new(prices);
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut workers = Vec::new();
    for worker in 0..16u64 {
        let (host, prices) = (host.clone(), prices.clone());
        let (done, answered) = (done.clone(), answered.clone());
        workers.push(tokio::spawn(async move {
            let mut seen = std::collections::BTreeSet::new();
            let mut turn = worker;
            while answered.load(Ordering::Relaxed) < RESPONSES || !done.load(Ordering::Relaxed) {
                turn += 1;
                if turn % 4 == 0 {
                    let id = format!("p/m{:04}", turn * 37 % MODELS);
                    let one = body(&get(&*host, "get-model", Some(&id), &[]).await);
                    let price = one["input_cost_per_million_tokens"].as_u64().unwrap();
                    assert!(prices.values().any(|known| *known == price));
                    answered.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let first = body(&get(&*host, "list-models", None, &[("limit", "40")]).await);
                check_page(&first, &prices);
                seen.insert(first["revision"].as_u64().unwrap());
                let cursor = first["next_cursor"].as_str().unwrap();
                let next = body(&get(&*host, "list-models", None, &[("limit", "40"), ("cursor", cursor)]).await);
                check_page(&next, &prices);
                assert_eq!(next["commit"], first["commit"], "a page belongs to its cursor's revision");
                answered.fetch_add(2, Ordering::Relaxed);
            }
            seen
        }));
    }
    for revision in ["HEAD~2", "HEAD~1", "HEAD"] {
        let until = answered.load(Ordering::Relaxed) + RESPONSES / 5;
        let run = to(revision).await;
        assert_eq!(run.operations as u64, MODELS);
        while answered.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    let mut seen = std::collections::BTreeSet::new();
    for worker in workers {
        seen.extend(worker.await.unwrap());
    }
    assert!(answered.load(Ordering::Relaxed) >= RESPONSES);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4], "every revision was seen");
    drop(host);
    tables.close().await;
}

/// Pages of older revisions push the newest one out of no memory: when time changes it, it is still whole.
#[tokio::test(flavor = "multi_thread")]
async fn pinned_pages_leave_the_newest_revision_whole() {
    let repository = TestRepository::new();
    let tables = TestTables::embedded().await;
    for revision in 0..7 {
        for n in 0..40 {
            repository.put(&model(&format!("p/m{n:02}"), |value| {
                value["meta"]["inputCostPerMillionTokens"] = json!(revision);
                if n == 0 {
                    value["meta"]["sunsetDate"] = json!("2099-01-01T00:00:00Z");
                }
            }));
        }
        repository.commit("reprice all");
        tables.sync(&repository).await;
    }
    let reader = roster_store::reader::Reader::new(tables.store.clone(), std::time::Duration::ZERO);
    let before: Timestamp = "2098-12-31T00:00:00Z".parse().unwrap();
    let after: Timestamp = "2099-01-02T00:00:00Z".parse().unwrap();
    assert_eq!(reader.current(before).await.unwrap().snapshot.visible_count(), 40);
    for revision in 1..=6 {
        assert_eq!(reader.at_revision(revision, before).await.unwrap().unwrap().visible_count(), 40);
    }
    let newest = reader.current(after).await.unwrap().snapshot;
    assert_eq!((newest.revision, newest.views().count(), newest.visible_count()), (7, 40, 39));
    drop(newest);
    tables.close().await;
}
