//! The whole local stack for a test: gateway, functions, tables and streams, and a client that sends real HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use roster_core::tier::Tier;
use roster_http::auth::issue_dev_token;
use roster_http::function::{Host, Hosted};
use roster_http::{Env, Role};
use roster_local::{DynamoDb, Hosts, Lambda, LambdaOptions, LocalValues, Stack, StackOptions, Template};
use roster_store::{Store, TableNames};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::proxy::Proxy;
use crate::recorder::Recorder;
use crate::repository::TestRepository;
use crate::tables::{by_hand, verify_audit};

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
        Arc::new(Hosted::new(
            roster_events::App::new(&env("events"), store.clone()).expect("events"),
            roster_events::FUNCTIONS,
        )),
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
    endpoint: String,
    models_table: String,
    published_table: String,
    hosts: Hosts,
    template: Template,
    /// What the functions log, where they are processes.
    log: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
    stack: Stack,
    /// What the processes call DynamoDB through, where their calls are recorded.
    recorder: Option<Proxy<Recorder>>,
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
    /// A stack whose functions answer with the newest revision always. They run in this process, or, where `ARTIFACTS`
    /// names the folder of the real artifacts, in processes of those; what these call is then recorded in the file that
    /// `RECORDED_CALLS` names, if it does.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A stack with more variables, or other values of them.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        Self::below(None, variables).await
    }

    /// The same behind a stage of the gateway, where one is named.
    pub async fn below(stage: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let repository = TestRepository::new();
        let path = repository.path().display().to_string();
        let variables = [("DEV_JWT_SECRET", SECRET), ("MAX_STALENESS_MS", "0")].iter().chain(variables);
        let mut template = Template::load(&LocalValues {
            parameters: BTreeMap::from([("RepositoryUrl".to_owned(), path)]),
            environment: variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        })
        .expect("the template");
        // A test takes rollouts further when it wants to, by a clock of its own.
        let by_hand = ["evaluate-rollouts", "propose-reverts"];
        let functions = template.functions.iter_mut().filter(|function| by_hand.contains(&function.name.as_str()));
        functions.for_each(|function| function.schedules.clear());
        let dynamodb = DynamoDb::memory().expect("an embedded DynamoDB");
        let store = dynamodb.store(&template).await.expect("the tables");
        let endpoint = dynamodb.endpoint().to_owned();
        let (mut log_lines, mut recorder) = (None, None);
        let hosts = match std::env::var_os("ARTIFACTS") {
            None => Hosts::Here(hosts(&template, &store)),
            Some(artifacts) => {
                let (log, lines) = mpsc::unbounded_channel();
                log_lines = Some(lines);
                if let Some(file) = std::env::var_os("RECORDED_CALLS") {
                    recorder = Some(Proxy::start(&endpoint, Recorder::new(file.into())).await);
                }
                let endpoint = recorder.as_ref().map_or(&endpoint, |recorder| &recorder.url).clone();
                let options = LambdaOptions { artifacts: artifacts.into(), endpoint, log: Some(log) };
                Hosts::Lambda(Arc::new(Lambda::new(&template, &options).expect("the artifacts")))
            }
        };
        let (models_table, published_table) =
            (template.table_names.models.clone(), template.table_names.published.clone());
        let options = StackOptions {
            dynamodb,
            hosts: hosts.clone(),
            template: template.clone(),
            store: store.clone(),
            port: 0,
            stage: stage.map(str::to_owned),
            directory: None,
        };
        let stack = Stack::start(options).await.expect("a stack");
        Self {
            store,
            repository,
            endpoint,
            models_table,
            published_table,
            hosts,
            template,
            log: Mutex::new(log_lines),
            stack,
            recorder,
            client: reqwest::Client::new(),
        }
    }

    /// Where the gateway answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.stack.url
    }

    /// What the functions have logged since this was asked last, where they are processes.
    pub fn logged(&self) -> Vec<String> {
        let mut log = self.log.lock().expect("nobody panicked with the log");
        std::iter::from_fn(|| log.as_mut()?.try_recv().ok()).collect()
    }

    /// Where the DynamoDB answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same tables, reached through another endpoint.
    #[must_use]
    pub fn store_at(&self, endpoint: &str) -> Store {
        let (template, _) = unconnected();
        Store::local(endpoint, template.table_names)
    }

    /// Brings the tables to the repository's `main`, through the function that does it.
    pub async fn sync(&self) -> Value {
        self.event("sync").await
    }

    /// Calls a function as a schedule does.
    pub async fn event(&self, function: &str) -> Value {
        self.try_event(function).await.expect("an outcome")
    }

    /// Calls a function as a schedule does, and answers why it failed.
    ///
    /// # Errors
    /// What the function says.
    pub async fn try_event(&self, function: &str) -> Result<Value, String> {
        self.call(function, &json!({"source": "test"})).await
    }

    /// Calls a function with an event, and answers why it failed.
    ///
    /// # Errors
    /// What the function says.
    pub async fn call(&self, function: &str, event: &Value) -> Result<Value, String> {
        self.hosts.event(&self.template, function, event.clone()).await.map_err(|error| error.to_string())
    }

    /// The item of a record, in DynamoDB's JSON.
    pub async fn item(&self, id: &str) -> Value {
        let get = json!({"TableName": self.models_table, "Key": record_key(id), "ConsistentRead": true});
        by_hand(&self.endpoint, "GetItem", &get).await["Item"].clone()
    }

    /// Changes a record's spec as somebody with a console would, and nothing else of it.
    pub async fn edit_spec(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let key = record_key(id);
        let found = self.item(id).await;
        let text = found["spec"]["S"].as_str().expect("a spec");
        let mut spec: Value = serde_json::from_str(text).expect("JSON");
        change(&mut spec);
        let update = json!({
            "TableName": self.models_table, "Key": key, "UpdateExpression": "SET spec = :spec",
            "ExpressionAttributeValues": {":spec": {"S": spec.to_string()}},
        });
        by_hand(&self.endpoint, "UpdateItem", &update).await;
    }

    /// Empties the published table, as a loss does.
    pub async fn lose_published(&self) {
        self.lose_items(|_| true).await;
    }

    /// Takes every chunk out of the published table, which leaves a head that leads nowhere.
    pub async fn lose_chunks(&self) {
        self.lose_items(|key| key.starts_with("chunk#")).await;
    }

    async fn lose_items(&self, is_lost: impl Fn(&str) -> bool) {
        let table = &self.published_table;
        let all = by_hand(&self.endpoint, "Scan", &json!({"TableName": table, "ProjectionExpression": "pk"})).await;
        let items = all["Items"].as_array().expect("items").iter();
        for item in items.filter(|item| item["pk"]["S"].as_str().is_some_and(&is_lost)) {
            by_hand(&self.endpoint, "DeleteItem", &json!({"TableName": table, "Key": {"pk": item["pk"]}})).await;
        }
    }

    /// Removes a record as somebody with a console would.
    pub async fn remove_record(&self, id: &str) {
        let body = json!({"TableName": self.models_table, "Key": record_key(id)});
        by_hand(&self.endpoint, "DeleteItem", &body).await;
    }

    /// The list of models as a fresh instance of the functions answers it.
    pub async fn beside(stack: &Self) -> Answer {
        let template = Template::load(&LocalValues {
            parameters: BTreeMap::from([("RepositoryUrl".to_owned(), ".".to_owned())]),
            environment: BTreeMap::new(),
        })
        .expect("the template");
        let fresh = hosts(&template, &stack.store);
        let request = roster_http::Request {
            method: "GET".parse().expect("a method"),
            path: "/v1/models".to_owned(),
            path_parameters: BTreeMap::new(),
            query: Vec::new(),
            headers: reqwest::header::HeaderMap::new(),
            body: Default::default(),
            source_ip: None,
            api_url: None,
            caller: roster_http::Caller::default(),
            request_id: "test".to_owned(),
            now: Timestamp::now(),
        };
        let reply = roster_http::answer(&*fresh[0], "list-models", request, &roster_http::Cors::default()).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        Answer { status: reply.status.as_u16(), headers: BTreeMap::new(), text }
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
        drop(self.recorder);
    }
}

fn record_key(id: &str) -> Value {
    json!({"pk": {"S": format!("model#{id}")}, "sk": {"S": "model"}})
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
