//! The whole local stack for a test: gateway, functions, tables and streams, and a client that sends real HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use roster_core::tier::Tier;
use roster_http::auth::issue_dev_token;
use roster_http::function::{Host, Hosted};
use roster_http::{Env, Role};
use roster_local::{DynamoDb, Hosts, LocalValues, Stack, StackOptions, Template};
use roster_store::{Store, TableNames};
use serde_json::Value;

use crate::repository::TestRepository;
use crate::tables::verify_audit;

/// The secret that the stack's tokens are signed with.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Every artifact of the house on these tables, by the environments of its functions.
#[must_use]
pub fn hosts(template: &Template, store: &Store) -> Vec<Arc<dyn Host>> {
    let env = |artifact: &str| -> Env { template.env_for(artifact).expect("one environment an artifact") };
    vec![
        Arc::new(Hosted::new(
            roster_public::App::new(&env("public"), store.clone()).expect("public"),
            roster_public::FUNCTIONS,
        )),
        Arc::new(Hosted::new(
            roster_admin::App::new(&env("admin"), store.clone()).expect("admin"),
            roster_admin::FUNCTIONS,
        )),
        Arc::new(Hosted::new(roster_events::App::new(store.clone()), roster_events::FUNCTIONS)),
        Arc::new(Hosted::new(
            roster_gitops::App::new(&env("gitops"), store.clone()).expect("gitops"),
            roster_gitops::FUNCTIONS,
        )),
    ]
}

/// A running stack on an empty repository of its own.
pub struct TestStack {
    /// Access to the tables.
    pub store: Store,
    /// The repository that `sync` follows.
    pub repository: TestRepository,
    hosts: Vec<Arc<dyn Host>>,
    stack: Stack,
    client: reqwest::Client,
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl TestStack {
    /// A stack whose functions answer with the newest revision always.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A stack with more variables, or other values of them.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let repository = TestRepository::new();
        let path = repository.path().display().to_string();
        let variables = [("DEV_JWT_SECRET", SECRET), ("MAX_STALENESS_MS", "0")].iter().chain(variables);
        let template = Template::load(&LocalValues {
            parameters: BTreeMap::from([("RepositoryUrl".to_owned(), path)]),
            environment: variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        })
        .expect("the template");
        let dynamodb = DynamoDb::memory().expect("an embedded DynamoDB");
        let store = dynamodb.store(&template).await.expect("the tables");
        let hosts = hosts(&template, &store);
        let options = StackOptions {
            dynamodb,
            hosts: Hosts::new(hosts.clone()),
            template,
            store: store.clone(),
            port: 0,
            directory: None,
        };
        let stack = Stack::start(options).await.expect("a stack");
        Self { store, repository, hosts, stack, client: reqwest::Client::new() }
    }

    /// Where the gateway answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.stack.url
    }

    /// Brings the tables to the repository's `main`, through the function that does it.
    pub async fn sync(&self) -> Value {
        let event = serde_json::json!({"source": "test"});
        let run = self.hosts.iter().find_map(|host| host.event("sync", event.clone())).expect("a sync");
        run.await.expect("a run")
    }

    /// Sends a request: `"GET /v1/models"`, a token or an empty text, more headers, and a body where there is one.
    pub async fn send(&self, line: &str, token: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.stack.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.expect("an answer");
        let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(text).collect(),
            text: response.text().await.expect("a body"),
        }
    }

    /// Sends a request as an admin.
    pub async fn admin(&self, line: &str, body: &Value) -> Answer {
        let body = (!body.is_null()).then(|| body.to_string());
        self.send(line, &token("ann", &[Role::Admin]), &[], body.as_deref()).await
    }

    /// Waits until every change has its history.
    pub async fn settle(&self) {
        self.stack.drain().await.expect("a stream that can be read");
    }

    /// Checks that the history of every model is whole, and ends everything.
    pub async fn close(self) {
        self.settle().await;
        verify_audit(&self.store).await;
        self.stack.shutdown().await;
    }
}

/// A token for an hour.
#[must_use]
pub fn token(subject: &str, roles: &[Role]) -> String {
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    let tier = Some(Tier::EnterpriseMax);
    issue_dev_token(SECRET, subject, &roles, tier, Duration::from_secs(3600), Timestamp::now()).expect("a token")
}

/// A template and a store for looking at the house: nothing answers there.
#[must_use]
pub fn unconnected() -> (Template, Store) {
    let parameters = BTreeMap::from([("RepositoryUrl".to_owned(), ".".to_owned())]);
    let template = Template::load(&LocalValues { parameters, environment: BTreeMap::new() }).expect("the template");
    let names: TableNames = template.table_names.clone();
    let store = Store::local("http://127.0.0.1:1", names);
    (template, store)
}
