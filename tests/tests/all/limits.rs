//! Rate limits: many instances, one table.
#![expect(clippy::print_stdout, reason = "what a request costs is worth reading")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use roster_core::policy::RateLimit;
use roster_core::tier::Tier;
use roster_http::{Caller, Cors, Env, Hosted, Reply, Request, answer, auth};
use roster_public::{App, FUNCTIONS};
use roster_store::{Limiter, Quota, Store};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const LIMIT: RateLimit = RateLimit { requests: 1_000, window_seconds: 60 };
/// A table is waited for as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every DynamoDB must do.
pub(crate) async fn suite(tables: &TestTables) {
    a_burst_on_several_instances(tables).await;
    several_windows_on_several_instances(tables).await;
    requests_spread_over_many_instances(tables).await;
    callers_are_apart(tables).await;
    a_changed_limit(tables).await;
    one_asks_for_all(tables).await;
}

/// Instances on one table, with one meter.
fn instances(count: usize, tables: &TestTables) -> (Vec<Limiter>, Store) {
    let store = tables.store.metered();
    (std::iter::repeat_with(|| limiter(&store)).take(count).collect(), store)
}

fn limiter(store: &Store) -> Limiter {
    Limiter::new(store.clone()).with_patience(PATIENCE)
}

/// Far ahead, for the databases remove what has expired by their own clock.
fn start() -> Timestamp {
    "2100-01-01T00:00:00Z".parse().unwrap()
}

fn after(millis: i64) -> Timestamp {
    start() + SignedDuration::from_millis(millis)
}

/// Calls until refused: how often that went well, and the refusal.
async fn exhaust(limiter: &Limiter, caller: &str, limit: &RateLimit, now: Timestamp) -> (u32, Quota) {
    let mut admitted = 0;
    loop {
        let quota = limiter.take(caller, limit, now).await;
        if !quota.allowed {
            return (admitted, quota);
        }
        admitted += 1;
    }
}

async fn a_burst_on_several_instances(tables: &TestTables) {
    let (limiters, store) = instances(4, tables);
    let calls = limiters.iter().map(|limiter| exhaust(limiter, "burst", &LIMIT, start()));
    let (admitted, refusals): (Vec<u32>, Vec<Quota>) = futures::future::join_all(calls).await.into_iter().unzip();
    let total: u32 = admitted.iter().sum();
    let units = store.consumed().write / f64::from(total);
    println!("a burst on 4 instances: {total} of 1,000 admitted {admitted:?}, {units:.3} write units each");
    assert!((950..=1_000).contains(&total), "{total}");
    assert!(units <= 0.1, "{units}");
    for refusal in refusals {
        assert_eq!((refusal.remaining, refusal.limit), (0, LIMIT));
        assert!((1..=2).contains(&refusal.retry_after_seconds), "{refusal:?}");
        assert!(refusal.window_seconds <= refusal.retry_after_seconds);
    }

    // A flood of what is refused costs nothing.
    let before = store.consumed();
    for limiter in &limiters {
        for _ in 0..1_000 {
            assert!(!limiter.take("burst", &LIMIT, start()).await.allowed);
        }
    }
    assert_eq!(store.consumed(), before);

    // Whoever comes back as told is served.
    let (admitted, _) = exhaust(&limiters[0], "burst", &LIMIT, after(2_000)).await;
    assert!((16..=33 + 16).contains(&admitted), "{admitted}");
    // A full window later the bucket is full, and no instance has saved anything up.
    let mut total = 0;
    for limiter in &limiters {
        total += exhaust(limiter, "burst", &LIMIT, after(200_000)).await.0;
    }
    assert!((950..=1_000).contains(&total), "{total}");
}

/// Five windows in which the caller asks for five times its limit.
async fn several_windows_on_several_instances(tables: &TestTables) {
    let (limiters, store) = instances(4, tables);
    for limiter in &limiters {
        exhaust(limiter, "windows", &LIMIT, start()).await;
    }
    let before = store.consumed();
    let (windows, step) = (5, 50);
    let mut total = 0_u32;
    for tick in 0..windows * 60_000 / step {
        for limiter in &limiters {
            total += u32::from(limiter.take("windows", &LIMIT, after(tick * step)).await.allowed);
        }
    }
    let units = (store.consumed() - before).write / f64::from(total);
    println!("5 windows on 4 instances: {total} of 5,000 admitted, {units:.3} write units each");
    assert!((4_750..=5_000 + 64).contains(&total), "{total}");
    assert!(units <= 0.1, "{units}");
}

/// A caller within its limit is not refused for what instances hold and do not use.
async fn requests_spread_over_many_instances(tables: &TestTables) {
    let (limiters, store) = instances(60, tables);
    for round in 0..12 {
        for limiter in &limiters {
            let quota = limiter.take("spread", &LIMIT, after(round * 10)).await;
            assert!(quota.allowed, "in round {round}: {quota:?}");
        }
    }
    let units = store.consumed().write / 720.0;
    println!("720 requests on 60 instances: {units:.3} write units each");
    assert!(units <= 1.2, "{units}");
}

async fn callers_are_apart(tables: &TestTables) {
    let (limiters, _) = instances(1, tables);
    let limit = RateLimit { requests: 3, window_seconds: 60 };
    let first = limiters[0].take("sub:apart", &limit, start()).await;
    let expected = Quota { allowed: true, limit, remaining: 2, window_seconds: 40, retry_after_seconds: 0 };
    assert_eq!(first, expected);
    let (more, refusal) = exhaust(&limiters[0], "sub:apart", &limit, start()).await;
    assert_eq!((more, refusal.retry_after_seconds, refusal.window_seconds), (2, 20, 20));
    assert!(limiters[0].take("ip:apart", &limit, start()).await.allowed);
    assert!(!limiters[0].take("sub:apart", &limit, after(19_999)).await.allowed);
    assert!(limiters[0].take("sub:apart", &limit, after(20_000)).await.allowed);
}

/// Another number of requests counts at once, on what was used of the window.
async fn a_changed_limit(tables: &TestTables) {
    let (limiters, _) = instances(2, tables);
    let limit = |requests| RateLimit { requests, window_seconds: 60 };
    assert_eq!(exhaust(&limiters[0], "changed", &limit(5), start()).await.0, 5);
    for limiter in &limiters {
        assert!(!limiter.take("changed", &limit(10), start()).await.allowed);
    }
    assert_eq!(exhaust(&limiters[1], "changed", &limit(10), after(30_000)).await.0, 5);
    let longer = RateLimit { requests: 2, window_seconds: 3_600 };
    assert_eq!(exhaust(&limiters[0], "changed", &longer, after(30_000)).await.0, 2, "another window begins anew");
}

/// Requests of one caller that come at once share a lease.
async fn one_asks_for_all(tables: &TestTables) {
    let (limiters, store) = instances(1, tables);
    for _ in 0..80 {
        limiters[0].take("at once", &LIMIT, start()).await;
    }
    let before = store.consumed();
    let quotas = futures::future::join_all((0..200).map(|_| limiters[0].take("at once", &LIMIT, start()))).await;
    assert!(quotas.iter().all(|quota| quota.allowed));
    let units = (store.consumed() - before).write;
    assert!(units <= 11.0, "{units} write units for 200 requests at once");
}

/// Nobody waits for a table that does not answer, and only one request a second finds out.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_refuses_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            held.push(connection);
        }
    });
    let names = roster_store::TableNames::from_lookup(Ok::<_, ()>).unwrap();
    for endpoint in [silent.as_str(), "http://127.0.0.1:1"] {
        let limiter = Limiter::new(Store::local(endpoint, names.clone())).with_patience(Duration::from_millis(50));
        let limit = RateLimit { requests: 2, window_seconds: 60 };
        for now in [0, 500, 999, 1_000, 30_000] {
            for _ in 0..10 {
                let quota = limiter.take("anyone", &limit, after(now)).await;
                assert_eq!((quota.allowed, quota.remaining, quota.retry_after_seconds), (true, 2, 0));
            }
        }
    }
    assert!(calls.load(Ordering::SeqCst) <= 3, "{calls:?} of 50 requests asked");
    server.abort();
}

/// The public functions over a catalogue whose policy limits anonymous callers to two requests a minute.
struct Stack {
    tables: TestTables,
    app: Arc<App>,
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

impl Stack {
    async fn new(policy: &Value) -> Self {
        let repository = TestRepository::new();
        repository.put(&model("p/a", |_| {}));
        repository.write("catalog/policy.json", policy.to_string());
        repository.commit("start");
        let tables = TestTables::embedded().await;
        tables.sync(&repository).await;
        let variables = [("DEV_JWT_SECRET", SECRET), ("RATE_LIMIT_TIMEOUT_MS", "60000")];
        let env: Env = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let app = App::new(&env, tables.store.metered()).unwrap();
        Self { tables, app }
    }

    async fn send(&self, id: &str, address: &str, token: Option<&str>, now: Timestamp) -> Reply {
        let authorization = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        let request = Request {
            method: Method::GET,
            path: format!("/v1/models/{id}"),
            path_parameters: BTreeMap::from([("id".to_owned(), id.to_owned())]),
            query: Vec::new(),
            headers: authorization.map(|value| (AUTHORIZATION, value)).into_iter().collect(),
            body: bytes::Bytes::new(),
            source_ip: Some(address.to_owned()),
            api_url: None,
            caller: Caller::default(),
            request_id: "request-1".to_owned(),
            now,
        };
        answer(&Hosted::new(self.app.clone(), FUNCTIONS), "get-model", request, &Cors::default()).await
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_say_the_limit() {
    let limits = json!({"free": {"requests": 2, "windowSeconds": 60}, "pro": {"requests": 600, "windowSeconds": 60}});
    let stack = Stack::new(&json!({ "rateLimits": limits })).await;
    let policy = Some("\"free\";q=2;w=60");
    let told = |reply: &Reply| {
        let header = |name| text(&reply.headers, name).map(str::to_owned);
        (reply.status, header("ratelimit"), header("retry-after"))
    };
    let left = |text: &str| Some(text.to_owned());

    let first = stack.send("p/a", "192.0.2.1", None, start()).await;
    assert_eq!(text(&first.headers, "ratelimit-policy"), policy);
    assert_eq!(told(&first), (StatusCode::OK, left("\"free\";r=1;t=30"), None));
    let absent = stack.send("p/b", "192.0.2.1", None, start()).await;
    assert_eq!(text(&absent.headers, "ratelimit-policy"), policy);
    assert_eq!(told(&absent), (StatusCode::NOT_FOUND, left("\"free\";r=0;t=1"), None));
    let refused = stack.send("p/a", "192.0.2.1", None, start()).await;
    assert_eq!(text(&refused.headers, "ratelimit-policy"), policy);
    assert_eq!(told(&refused), (StatusCode::TOO_MANY_REQUESTS, left("\"free\";r=0;t=30"), left("30")));
    assert_eq!(refused.headers[http::header::CONTENT_TYPE], "application/problem+json");
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    let expected = json!({
        "type": "urn:roster:problem:rate-limited",
        "title": "Too many requests",
        "status": 429,
        "detail": "callers of tier free may send 2 requests in 60 seconds: try again in 30 seconds",
        "tier": "free",
        "retry_after_seconds": 30,
        "request_id": "request-1",
    });
    assert_eq!(body, expected);

    let other = stack.send("p/a", "192.0.2.2", None, start()).await;
    assert_eq!(told(&other), (StatusCode::OK, left("\"free\";r=1;t=30"), None));
    let token = |tier| {
        let roles = std::collections::BTreeSet::new();
        auth::issue_dev_token(SECRET, "ada", &roles, Some(tier), Duration::from_secs(3600), start()).unwrap()
    };
    let pro = stack.send("p/a", "192.0.2.1", Some(&token(Tier::Pro)), start()).await;
    assert_eq!(text(&pro.headers, "ratelimit-policy"), Some("\"pro\";q=600;w=60"));
    assert_eq!(told(&pro), (StatusCode::OK, left("\"pro\";r=599;t=60"), None));
    let unlimited = stack.send("p/a", "192.0.2.1", Some(&token(Tier::ProMax)), start()).await;
    assert_eq!((told(&unlimited), text(&unlimited.headers, "ratelimit-policy")), ((StatusCode::OK, None, None), None));
    let bad = stack.send("p/a", "192.0.2.1", Some("a.b.c"), start()).await;
    assert_eq!(told(&bad), (StatusCode::UNAUTHORIZED, None, None));

    let later = stack.send("p/a", "192.0.2.1", None, after(30_000)).await;
    assert_eq!(later.status, StatusCode::OK);
    assert!(!later.headers.contains_key(RETRY_AFTER));
    stack.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_nothing_is_written() {
    let stack = Stack::new(&json!({})).await;
    let store = stack.tables.store.metered();
    let app = App::new(&Env::default(), store.clone()).unwrap();
    let stack = Stack { app, ..stack };
    for _ in 0..10 {
        let reply = stack.send("p/a", "192.0.2.1", None, start()).await;
        assert_eq!((reply.status, text(&reply.headers, "ratelimit")), (StatusCode::OK, None));
    }
    assert_eq!(store.consumed().write, 0.0);
    stack.tables.close().await;
}
