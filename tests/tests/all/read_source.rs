//! Leaving a hard-coded catalogue: policy moves callers from the bundle to the table, commit by commit, and back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, ETAG, WARNING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use roster_http::function::Hosted;
use roster_http::{Cors, Env, Reply, Request, answer, auth};
use roster_public::{App, FUNCTIONS};
use roster_store::Store;
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const CALLERS: usize = 2_000;
const MODELS: usize = 30;
/// The one model whose price differs, and its prices.
const REPRICED: &str = "p/m07";
const BUNDLED_PRICE: u64 = 1250;
const TABLE_PRICE: u64 = 1300;

/// A repository, the tables that follow it, and instances that are built with an older catalogue.
struct Stage {
    repository: TestRepository,
    tables: TestTables,
    bundle: String,
    now: Timestamp,
}

/// An instance of the functions.
struct Instance {
    app: Arc<App>,
    host: Hosted<App>,
}

/// Half of the callers bring a token, the others are known by their address.
struct Caller {
    headers: HeaderMap,
    source_ip: Option<String>,
}

impl Stage {
    /// Nothing is published yet.
    async fn new() -> Self {
        let repository = TestRepository::new();
        let mut hard_coded = Vec::new();
        for n in 0..MODELS {
            let id = format!("p/m{n:02}");
            let credits = |value: &mut Value| value["meta"]["creditsPer1kTokens"] = json!(28);
            hard_coded.push(model(&id, credits));
            repository.put(&model(&id, |value| {
                credits(value);
                if id == REPRICED {
                    value["meta"]["inputCostPerMillionTokens"] = json!(TABLE_PRICE);
                }
            }));
        }
        let bundle = Value::Array(hard_coded).to_string();
        Self { repository, tables: TestTables::embedded().await, bundle, now: Timestamp::now() }
    }

    fn instance(&self) -> Instance {
        self.instance_on(self.tables.store.clone())
    }

    fn instance_on(&self, store: Store) -> Instance {
        let variables = [("DEV_JWT_SECRET", SECRET), ("MAX_STALENESS_MS", "1000")];
        let env: Env = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let bundle = self.bundle.clone().into_bytes();
        let app = App::with_snapshot(&env, store, bundle).unwrap();
        Instance { app: app.clone(), host: Hosted::new(app, FUNCTIONS) }
    }

    /// Commits and syncs a policy. Instances see it with their next look at the head.
    async fn read_source(&self, table_percent: u64, shadow_percent: u64) {
        let policy = json!({"readSource": {"tablePercent": table_percent, "shadowPercent": shadow_percent}});
        self.repository.write("catalog/policy.json", policy.to_string());
        self.repository.commit(&format!("{table_percent} percent of the callers read the table"));
        let (_, commits) = self.tables.sync(&self.repository).await;
        assert_eq!(commits.len(), 1, "{commits:?}");
        assert!(commits[0].problems.is_empty(), "{:?}", commits[0].problems);
    }

    /// Lets the instances' knowledge of the head become too old.
    fn wait(&mut self) {
        self.now += SignedDuration::from_secs(1);
    }

    fn callers(&self) -> Vec<Caller> {
        let caller = |n: usize| match n % 2 {
            0 => {
                let (subject, ttl) = (format!("caller-{n}"), Duration::from_secs(3600));
                let token = auth::issue_dev_token(SECRET, &subject, &BTreeSet::new(), None, ttl, self.now).unwrap();
                let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
                Caller { headers: HeaderMap::from_iter([(AUTHORIZATION, bearer)]), source_ip: None }
            }
            _ => Caller { headers: HeaderMap::new(), source_ip: Some(format!("198.51.{}.{}", n / 256, n % 256)) },
        };
        (0..CALLERS).map(caller).collect()
    }

    async fn call(&self, instance: &Instance, caller: &Caller, function: &str, query: &[(&str, &str)]) -> Reply {
        let request = Request {
            method: Method::GET,
            path: "/v1/models".to_owned(),
            path_parameters: [("id".to_owned(), REPRICED.to_owned())].into(),
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            headers: caller.headers.clone(),
            body: bytes::Bytes::new(),
            source_ip: caller.source_ip.clone(),
            api_url: None,
            caller: roster_http::Caller::default(),
            request_id: "test".to_owned(),
            now: self.now,
        };
        answer(&instance.host, function, request, &Cors::default()).await
    }

    /// Who is answered from the table: the price says so, and the header must agree.
    async fn on_table(&self, instance: &Instance, callers: &[Caller]) -> BTreeSet<usize> {
        let mut on_table = BTreeSet::new();
        for (n, caller) in callers.iter().enumerate() {
            let reply = self.call(instance, caller, "get-model", &[]).await;
            let source = reply.headers.get("x-roster-source").map(|value| value.to_str().unwrap().to_owned());
            assert!(!reply.headers.contains_key(WARNING));
            match (body(&reply)["input_cost_per_million_tokens"].as_u64(), source.as_deref()) {
                (Some(TABLE_PRICE), None) => {
                    on_table.insert(n);
                }
                (Some(BUNDLED_PRICE), Some("bundled")) => {}
                other => panic!("caller {n}: {other:?}"),
            }
        }
        on_table
    }
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

fn ids(page: &Value) -> Vec<String> {
    page["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

/// 0 -> 1 -> 10 -> 50 -> 100, and everybody back by one commit.
#[tokio::test(flavor = "multi_thread")]
async fn callers_move_to_the_table_by_percentage_and_back_at_once() {
    let mut stage = Stage::new().await;
    let (one, other) = (stage.instance(), stage.instance());
    let callers = stage.callers();
    // Before the first sync there is nothing but the bundle.
    assert_eq!(stage.on_table(&one, &callers[..10]).await.len(), 0);
    let health = body(&stage.call(&one, &callers[0], "health", &[]).await);
    assert_eq!(
        (&health["status"], &health["source"], &health["revision"]),
        (&json!("ok"), &json!("bundled"), &json!(0))
    );

    let mut before: BTreeSet<usize> = BTreeSet::new();
    println!("tablePercent  callers on the table  share");
    for percent in [0u64, 1, 10, 50, 100] {
        stage.read_source(percent, 0).await;
        // Until the head is looked at again, nothing moves; then it does at once, and for good.
        assert!(stage.on_table(&one, &callers[..100]).await.is_subset(&before));
        stage.wait();
        let on_table = stage.on_table(&one, &callers).await;
        let share = on_table.len() as f64 * 100.0 / CALLERS as f64;
        println!("{percent:>12}  {:>20}  {share:.2} %", on_table.len());
        assert!((share - percent as f64).abs() <= 2.5, "{share} at {percent}");
        assert_eq!(on_table.is_empty(), percent == 0);
        assert!(before.is_subset(&on_table), "somebody went back at {percent}");
        assert_eq!(stage.on_table(&other, &callers).await, on_table, "another instance shares out alike");
        before = on_table;
    }
    assert_eq!(before.len(), CALLERS);
    stage.read_source(0, 0).await;
    assert_eq!(stage.on_table(&one, &callers[..10]).await.len(), 10, "the head is young enough still");
    stage.wait();
    let back = stage.on_table(&one, &callers).await.len();
    println!("{:>12}  {back:>20}  0.00 % (one commit later)", 0);
    assert_eq!(back, 0);
    let health = body(&stage.call(&one, &callers[0], "health", &[]).await);
    assert_eq!((&health["source"], &health["revision"]), (&json!("live"), &json!(6)));
    assert_eq!(health["shadow"], Value::Null);
    drop((one, other));
    stage.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_reads_find_what_differs_by_field_and_nothing_else() {
    let mut stage = Stage::new().await;
    let instance = stage.instance();
    let callers = stage.callers();
    stage.read_source(50, 100).await;
    stage.wait();
    assert_eq!(instance.app.shadow_counts().compared, 0);
    let on_table = stage.on_table(&instance, &callers[..200]).await;
    assert!((1..200).contains(&on_table.len()));
    let counts = json!(instance.app.shadow_counts());
    assert_eq!(counts, json!({"compared": 200, "mismatched": 200, "fields": {"input_cost_per_million_tokens": 200}}));
    // Three pages, of which the first one shows the difference.
    let mut query = vec![("limit", "10".to_owned())];
    for page in 0..3 {
        let borrowed: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = body(&stage.call(&instance, &callers[0], "list-models", &borrowed).await);
        assert_eq!(reply["models"].as_array().unwrap().len(), 10);
        query.truncate(1);
        if page < 2 {
            query.push(("cursor", reply["next_cursor"].as_str().unwrap().to_owned()));
        }
    }
    let health = body(&stage.call(&instance, &callers[0], "health", &[]).await);
    let expected = json!({"compared": 203, "mismatched": 201, "fields": {"input_cost_per_million_tokens": 201}});
    assert_eq!(health["shadow"], expected);

    // A model that only the table has, on the page that would have it.
    stage.repository.put(&model("p/m00a", |_| {}));
    stage.read_source(50, 100).await;
    stage.wait();
    stage.call(&instance, &callers[0], "list-models", &[("limit", "2")]).await;
    assert_eq!(instance.app.shadow_counts().fields["absent_from_bundle"], 1);
    assert_eq!(instance.app.shadow_counts().fields.len(), 2);
    drop(instance);
    stage.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_listing_stay_in_one_source_while_the_percentage_moves() {
    let mut stage = Stage::new().await;
    let instance = stage.instance();
    let caller = &stage.callers()[0];
    let expected: Vec<String> = (0..MODELS).map(|n| format!("p/m{n:02}")).collect();
    for (begins, goes_on, revision, price) in [(0, 100, 0, BUNDLED_PRICE), (100, 0, 2, TABLE_PRICE)] {
        stage.read_source(begins, 0).await;
        stage.wait();
        let mut reply = stage.call(&instance, caller, "list-models", &[("limit", "5")]).await;
        stage.read_source(goes_on, 0).await;
        stage.wait();
        let anew = body(&stage.call(&instance, caller, "list-models", &[("limit", "5")]).await);
        assert_ne!(anew["revision"] == 0, revision == 0, "the caller has moved");
        let mut listed = Vec::new();
        loop {
            let page = body(&reply);
            assert_eq!(page["revision"], revision);
            assert_eq!(reply.headers.contains_key("x-roster-source"), revision == 0);
            listed.extend(ids(&page));
            for model in page["models"].as_array().unwrap().iter().filter(|model| model["id"] == REPRICED) {
                assert_eq!(model["input_cost_per_million_tokens"], price);
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            reply = stage.call(&instance, caller, "list-models", &[("limit", "5"), ("cursor", cursor)]).await;
        }
        assert_eq!(listed, expected);
    }

    // An instance that was built with another catalogue cannot go on in this one's.
    stage.read_source(0, 0).await;
    stage.wait();
    let page = body(&stage.call(&instance, caller, "list-models", &[("limit", "5")]).await);
    let cursor = page["next_cursor"].as_str().unwrap();
    stage.bundle = json!([model("p/other", |_| {})]).to_string();
    let reply = stage.call(&stage.instance(), caller, "list-models", &[("limit", "5"), ("cursor", cursor)]).await;
    assert_eq!(reply.status, StatusCode::GONE);
    drop(instance);
    stage.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dynamodb_a_fresh_instance_serves_the_bundle_and_a_warm_one_its_last_catalogue() {
    let stage = Stage::new().await;
    stage.read_source(100, 0).await;
    let caller = &stage.callers()[0];
    let (warm, fresh) = (stage.instance(), stage.instance());
    let live = stage.call(&warm, caller, "get-model", &[]).await;
    assert_eq!(body(&live)["input_cost_per_million_tokens"], TABLE_PRICE);
    let Stage { repository, tables, bundle, now } = stage;
    tables.close().await;
    // Tables that nobody asks any more stand in for the closed ones.
    let stage =
        Stage { repository, tables: TestTables::embedded().await, bundle, now: now + SignedDuration::from_secs(1) };

    for (instance, source, price) in [(&warm, "stale", TABLE_PRICE), (&fresh, "bundled", BUNDLED_PRICE)] {
        for function in ["get-model", "list-models", "health"] {
            let reply = stage.call(instance, caller, function, &[]).await;
            assert_eq!(reply.headers["x-roster-source"], source, "{function}");
            assert_eq!(reply.headers[WARNING], "110 - \"Response is Stale\"");
            let body = body(&reply);
            match function {
                "get-model" => {
                    assert_eq!(body["input_cost_per_million_tokens"], price);
                    assert_eq!(reply.headers[ETAG] == live.headers[ETAG], source == "stale");
                }
                "list-models" => assert_eq!(body["models"].as_array().unwrap().len(), MODELS),
                _ => assert_eq!((&body["status"], &body["source"]), (&json!("degraded"), &json!(source))),
            }
        }
    }
    drop((warm, fresh));
    stage.tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_gives_way_once_dynamodb_answers() {
    let mut stage = Stage::new().await;
    stage.read_source(100, 0).await;
    let caller = &stage.callers()[0];
    // A port that nobody listens on, until somebody passes on what comes in.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let instance = stage.instance_on(stage.tables.store_at(&format!("http://{address}")));
    let reply = stage.call(&instance, caller, "list-models", &[("limit", "5")]).await;
    assert_eq!(
        (&reply.headers["x-roster-source"], body(&reply)["revision"].as_u64()),
        (&HeaderValue::from_static("bundled"), Some(0))
    );
    let cursor = body(&reply)["next_cursor"].as_str().unwrap().to_owned();

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let upstream = stage.tables.endpoint().trim_start_matches("http://").to_owned();
    let passing_on = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    stage.wait();
    let reply = stage.call(&instance, caller, "get-model", &[]).await;
    assert!(!reply.headers.contains_key("x-roster-source") && !reply.headers.contains_key(WARNING));
    assert_eq!(body(&reply)["input_cost_per_million_tokens"], TABLE_PRICE);
    // The listing that began in the bundle ends there, by now without a warning.
    let reply = stage.call(&instance, caller, "list-models", &[("cursor", &cursor)]).await;
    assert_eq!((&body(&reply)["revision"], reply.headers.contains_key(WARNING)), (&json!(0), false));
    assert_eq!(body(&reply)["models"].as_array().unwrap().len(), MODELS - 5);
    passing_on.abort();
    drop(instance);
    stage.tables.close().await;
}
