//! The functions as clients see them, over a published catalogue in an embedded DynamoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod past;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LOCATION, ETAG, IF_NONE_MATCH, VARY, WARNING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use roster_core::catalogue::{self, Change, Roots};
use roster_core::tier::Tier;
use roster_core::tree::Nodes;
use roster_core::{Model, ModelId};
use roster_http::{Cors, Env, Hosted, Reply, Request, Role, answer, auth};
use roster_public::{App, FUNCTIONS};
use roster_store::tables::{KeyAttribute, KeyKind, KeySpec, TableSpec, create_missing};
use roster_store::{Manifest, Store, TableNames};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A published catalogue, and the functions on it.
struct Stack {
    store: Store,
    app: Arc<App>,
    nodes: Nodes,
    live: Option<Manifest>,
    now: Timestamp,
    /// Revisions to leave out.
    skipped: u64,
    stop: oneshot::Sender<()>,
}

impl Stack {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, async {
            let _ = stopped.await;
        }));
        let names = TableNames::from_lookup(Ok::<_, ()>).unwrap();
        let key = |name: &str| KeyAttribute { name: name.to_owned(), kind: KeyKind::String };
        let table = |name: &String, sort: Option<&str>| TableSpec {
            name: name.clone(),
            key: KeySpec { partition: key("pk"), sort: sort.map(key) },
            indexes: Vec::new(),
            stream: None,
            ttl: None,
        };
        let specs = [table(&names.published, None), table(&names.runtime, Some("sk"))];
        let store = Store::local(&endpoint, names);
        create_missing(&store, &specs).await.unwrap();
        let variables = [("DEV_JWT_SECRET", SECRET), ("MAX_STALENESS_MS", "0")];
        let env: Env = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let app = App::new(&env, store.metered()).unwrap();
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        Self { store, app, nodes: Nodes::default(), live: None, now, skipped: 0, stop }
    }

    /// Publishes a revision in which these models are present, and those are removed.
    async fn publish(&mut self, present: &[Model], removed: &[Model]) {
        let mut changes: BTreeMap<ModelId, Change<'_>> = present
            .iter()
            .map(|model| (model.id.clone(), Change::Present { model, path: None, in_place: false }))
            .collect();
        changes.extend(removed.iter().map(|model| (model.id.clone(), Change::Tombstone(model))));
        let before = self.live.as_ref().map_or_else(Roots::empty, |live| live.roots);
        let next = catalogue::edit(&self.nodes, &before, &changes).unwrap();
        self.store.put_chunks(&next.fresh, None).await.unwrap();
        next.fresh.into_iter().for_each(|(id, node)| self.nodes.insert(id, node));
        let revision = self.live.as_ref().map_or(1, |live| live.revision + 1) + self.skipped;
        let commit = Some(format!("{revision:040}"));
        let manifest =
            Manifest { revision, commit, roots: next.roots, api_models: 0, policy: None, published_at: self.now };
        let lease = self.store.acquire_lease("test", self.now, Duration::from_secs(60)).await.unwrap().unwrap();
        let publication = roster_store::Publication {
            previous: self.live.as_ref(),
            next: &manifest,
            retention_seconds: 3600,
            half_way: std::collections::BTreeSet::new(),
        };
        self.store.publish(&lease, &[], &publication).await.unwrap();
        self.live = Some(manifest);
    }

    /// Publishes after a revision that nobody can find.
    async fn skip_revision(&mut self, present: &[Model]) {
        self.skipped = 1;
        self.publish(present, &[]).await;
        self.skipped = 0;
    }

    async fn send(&self, function: &str, target: &str, headers: HeaderMap) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let request = Request {
            method: Method::GET,
            path: path.to_owned(),
            path_parameters: [("id".to_owned(), path.trim_start_matches("/v1/models/").to_owned())].into(),
            query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers,
            body: Vec::new().into(),
            source_ip: None,
            api_url: None,
            caller: roster_http::Caller::default(),
            request_id: "request-1".to_owned(),
            now: self.now,
        };
        answer(&Hosted::new(self.app.clone(), FUNCTIONS), function, request, &Cors::default()).await
    }

    async fn list(&self, target: &str) -> (StatusCode, Value) {
        decoded(&self.send("list-models", target, HeaderMap::new()).await)
    }

    async fn get(&self, id: &str, headers: HeaderMap) -> Reply {
        self.send("get-model", &format!("/v1/models/{id}"), headers).await
    }

    fn token(&self, roles: &[Role], tier: Option<Tier>) -> HeaderMap {
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let token = auth::issue_dev_token(SECRET, "ada", &roles, tier, Duration::from_secs(60), self.now).unwrap();
        [(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())].into_iter().collect()
    }
}

fn decoded(reply: &Reply) -> (StatusCode, Value) {
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn model(id: &str) -> Model {
    serde_json::from_value(json!({
        "id": id, "name": id, "provider": "p", "isAvailable": true, "isLegacy": false, "isArchived": false,
        "meta": {
            "displayName": id, "capabilities": ["text"], "contextLength": 1000,
            "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
            "requiredTier": "pro", "tierRestrictionMode": "minimum", "allowedTiers": [],
        },
    }))
    .unwrap()
}

fn archived(id: &str, replacement: &str) -> Model {
    let mut model = model(id);
    (model.is_archived, model.is_available) = (true, false);
    model.meta.legacy_replacement_model_id = ModelId::parse(replacement).ok();
    model
}

fn ids(page: &Value) -> Vec<&str> {
    page["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn before_the_first_publication() {
    let stack = Stack::new().await;
    let (status, body) = stack.list("/v1/models").await;
    assert_eq!(status, StatusCode::OK);
    let empty =
        json!({"models": [], "total": 0, "user_tier": "free", "revision": 0, "commit": null, "next_cursor": null});
    assert_eq!(body, empty);
    assert_eq!(decoded(&stack.get("a", HeaderMap::new()).await).0, StatusCode::NOT_FOUND);
    let (status, body) = decoded(&stack.send("health", "/health", HeaderMap::new()).await);
    assert_eq!(
        (status, &body["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:roster:problem:nothing-published"))
    );
}

#[tokio::test]
async fn pages_stay_in_the_revision_that_they_began_in() {
    let mut stack = Stack::new().await;
    let models: Vec<Model> = (0..7).map(|n| model(&format!("m{n}"))).collect();
    stack.publish(&models, &[]).await;
    let (_, first) = stack.list("/v1/models?limit=3").await;
    assert_eq!((ids(&first), &first["total"]), (vec!["m0", "m1", "m2"], &json!(7)));
    stack.publish(&[model("m3a")], &models[4..5]).await;
    let (_, second) =
        stack.list(&format!("/v1/models?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&second), &second["revision"], &second["total"]), (vec!["m3", "m4"], &json!(1), &json!(7)));
    let (_, last) = stack.list(&format!("/v1/models?cursor={}", second["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&last), &last["next_cursor"]), (vec!["m5", "m6"], &Value::Null));
    let (_, anew) = stack.list("/v1/models").await;
    assert_eq!(ids(&anew), ["m0", "m1", "m2", "m3", "m3a", "m5", "m6"]);
    assert_eq!((&anew["revision"], &anew["commit"]), (&json!(2), &json!(format!("{:040}", 2))));

    let other = format!("/v1/models?provider=p&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(stack.list(&other).await.1["type"], "urn:roster:problem:bad-cursor");
}

#[tokio::test]
async fn a_revision_that_is_not_kept_is_gone() {
    let mut stack = Stack::new().await;
    stack.publish(&[model("a"), model("b")], &[]).await;
    let (_, page) = stack.list("/v1/models?limit=1").await;
    // The same listing, going on in a revision that never was.
    let mut other = Stack::new().await;
    for _ in 0..3 {
        other.publish(&[model("a"), model("b")], &[]).await;
    }
    let (_, later) = other.list("/v1/models?limit=1").await;
    let target = format!("/v1/models?limit=1&cursor={}", later["next_cursor"].as_str().unwrap());
    let (status, problem) = stack.list(&target).await;
    assert_eq!((status, &problem["type"]), (StatusCode::GONE, &json!("urn:roster:problem:revision-expired")));
    assert_eq!(ids(&page), ["a"]);
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let mut stack = Stack::new().await;
    stack.publish(&[model("a"), model("b")], &[]).await;
    for target in ["/v1/models", "/v1/models?limit=1", "/v1/models/a"] {
        let function = if target.ends_with("/a") { "get-model" } else { "list-models" };
        let reply = stack.send(function, target, HeaderMap::new()).await;
        let known: HeaderMap = [(IF_NONE_MATCH, reply.headers[ETAG].clone())].into_iter().collect();
        let again = stack.send(function, target, known.clone()).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert!(again.body.is_empty());
        assert_eq!((&again.headers[ETAG], &again.headers[VARY]), (&reply.headers[ETAG], &reply.headers[VARY]));
        let mut as_pro = stack.token(&[], Some(Tier::Pro));
        as_pro.extend(known.clone());
        assert_eq!(stack.send(function, target, as_pro).await.status, StatusCode::OK);
        stack.publish(&[model("c")], &[]).await;
        // A model is what it was when another one is new; a list is not.
        let status = if function == "get-model" { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        assert_eq!(stack.send(function, target, known.clone()).await.status, status);
        let mut changed = model("a");
        changed.meta.description = target.to_owned();
        stack.publish(&[changed], &[model("c")]).await;
        assert_eq!(stack.send(function, target, known).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn one_model_by_id_or_alias() {
    let mut stack = Stack::new().await;
    let mut gpt = model("openai/gpt-5");
    gpt.aliases = vec![ModelId::parse("gpt-5-latest").unwrap()];
    stack.publish(&[gpt], &[]).await;
    let reply = stack.get("openai/gpt-5", HeaderMap::new()).await;
    let (status, body) = decoded(&reply);
    assert_eq!((status, &body["access_status"]), (StatusCode::OK, &json!("upgrade_required")));
    assert_eq!(body, stack.list("/v1/models").await.1["models"][0]);
    assert!(!reply.headers.contains_key(CONTENT_LOCATION));
    let by_alias = stack.get("gpt-5-latest", stack.token(&[], Some(Tier::Pro))).await;
    assert_eq!(by_alias.headers[CONTENT_LOCATION], "/v1/models/openai/gpt-5");
    assert_eq!(decoded(&by_alias).1["access_status"], "allowed");
    let (status, problem) = decoded(&stack.get("gpt-6", HeaderMap::new()).await);
    assert_eq!((status, &problem["model_id"]), (StatusCode::NOT_FOUND, &json!("gpt-6")));
    assert_eq!(problem["request_id"], "request-1");
}

#[tokio::test]
async fn archived_and_removed_models_are_gone_for_all_but_admins() {
    let mut stack = Stack::new().await;
    stack.publish(&[archived("a", "b"), archived("b", "c"), model("c")], &[]).await;
    stack.publish(&[], &[archived("z", "a")]).await;
    assert_eq!(ids(&stack.list("/v1/models").await.1), ["c"]);
    for id in ["a", "z"] {
        let (status, problem) = decoded(&stack.get(id, HeaderMap::new()).await);
        assert_eq!(status, StatusCode::GONE);
        assert_eq!(problem["type"], "urn:roster:problem:archived");
        assert_eq!((&problem["model_id"], &problem["replacement_model_id"]), (&json!(id), &json!("c")));
        let (status, body) = decoded(&stack.get(id, stack.token(&[Role::Admin], None)).await);
        assert_eq!((status, &body["is_archived"]), (StatusCode::OK, &json!(true)));
    }
    let all = "/v1/models?includeArchived=true";
    let (_, page) = decoded(&stack.send("list-models", all, stack.token(&[Role::SuperAdmin], None)).await);
    assert_eq!((ids(&page), &page["total"]), (vec!["a", "b", "c", "z"], &json!(4)));
    assert_eq!(stack.list(all).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn out_of_reach_the_last_catalogue_is_served_and_marked() {
    let mut stack = Stack::new().await;
    stack.publish(&[model("a")], &[]).await;
    let (status, body) = decoded(&stack.send("health", "/health", HeaderMap::new()).await);
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "status": "ok", "source": "live", "revision": 1, "commit": format!("{:040}", 1), "models": 1,
        "published_at": "2026-11-21T00:00:00Z", "age_seconds": 0,
    });
    assert_eq!(body, expected);
    let cold = App::new(&Env::default(), stack.store.metered()).unwrap();
    stack.stop.send(()).unwrap();
    let (stop, _) = oneshot::channel();
    let stack = Stack { stop, ..stack };

    let reply = stack.send("list-models", "/v1/models", HeaderMap::new()).await;
    assert_eq!(reply.headers[WARNING], "110 - \"Response is Stale\"");
    assert_eq!(reply.headers["x-roster-source"], "stale");
    assert_eq!(ids(&decoded(&reply).1), ["a"]);
    let (status, body) = decoded(&stack.send("health", "/health", HeaderMap::new()).await);
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("degraded")));

    let cold = Stack { app: cold, ..stack };
    let reply = cold.send("health", "/health", HeaderMap::new()).await;
    let (status, problem) = decoded(&reply);
    assert_eq!((status, &problem["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:roster:problem:unavailable")));
    assert!(!problem.to_string().contains("GetItem"));
    assert!(reply.headers.contains_key("retry-after"));
}
