//! Toy functions, and a client for the tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use http::StatusCode;
use roster_http::function::EventError;
use roster_http::function::HandlerFuture;
use roster_http::{Access, Admission, Function, Gatekeeper, Handler, Hosted, Problem, Reply, Request};
use roster_local::{Hosts, LocalValues, Template};
use serde_json::{Value, json};

/// What the toy functions saw.
#[derive(Default)]
pub(crate) struct Toy {
    /// The keys of the stream records that were handled, in order.
    pub(crate) handled: Mutex<Vec<String>>,
    /// The events of schedules.
    pub(crate) ticks: Mutex<Vec<Value>>,
    /// How many batches were refused as a whole.
    pub(crate) refused: Mutex<usize>,
}

impl Gatekeeper for Toy {
    fn admit<'a>(&'a self, _: Access, _: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async { Ok(Admission::default()) })
    }
}

pub(crate) static FUNCTIONS: &[Function<Toy>] = &[
    Function {
        name: "health",
        handler: Handler::Http(Access::Open, |_, request| Box::pin(async { Ok(echo(request)) })),
    },
    Function {
        name: "list-models",
        handler: Handler::Http(Access::Open, |_, request| Box::pin(async { Ok(echo(request)) })),
    },
    Function { name: "get-model", handler: Handler::Http(Access::Open, |_, request| Box::pin(model(request))) },
    Function { name: "sync", handler: Handler::Event(|toy, event| Box::pin(async { Ok(tick(toy, event)) })) },
    Function {
        name: "record-history",
        handler: Handler::Event(|toy, event| Box::pin(async move { record(toy, &event) })),
    },
];

fn echo(request: Request) -> Reply {
    let body = json!({
        "method": request.method.as_str(),
        "path": request.path,
        "parameters": request.path_parameters,
        "query": request.query,
        "bytes": request.body.len(),
    });
    Reply::json(StatusCode::OK, body.to_string())
}

async fn model(request: Request) -> Result<Reply, Problem> {
    match request.path_parameter("id") {
        "panic" => panic!("a secret"),
        "slow" => std::future::pending().await,
        "absent" => Err(Problem::not_found("no model \"absent\"")),
        "unchanged" => Ok(Reply::empty(StatusCode::NOT_MODIFIED)),
        _ => Ok(echo(request)),
    }
}

fn tick(toy: &Toy, event: Value) -> Value {
    toy.ticks.lock().unwrap().push(event);
    Value::Null
}

/// Handles records up to one whose key begins with "poison"; refuses a batch with a "crash" in it.
fn record(toy: &Toy, event: &Value) -> Result<Value, EventError> {
    let records = event["Records"].as_array().unwrap();
    let key = |record: &Value| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
    if records.iter().any(|record| key(record).starts_with("crash")) {
        *toy.refused.lock().unwrap() += 1;
        return Err(EventError("crashed".to_owned()));
    }
    for record in records {
        if key(record).starts_with("poison") {
            return Ok(json!({"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}));
        }
        toy.handled.lock().unwrap().push(key(record));
    }
    Ok(json!({"batchItemFailures": []}))
}

/// The real template, as far as there are toys for its functions.
pub(crate) fn template() -> Template {
    let mut template = Template::load(&LocalValues {
        parameters: BTreeMap::from([("AllowedOrigins".to_owned(), "https://a.example".to_owned())]),
        ..LocalValues::default()
    })
    .unwrap();
    template.functions.retain(|function| FUNCTIONS.iter().any(|toy| toy.name == function.name));
    template
}

pub(crate) fn hosts(toy: &Arc<Toy>) -> Hosts {
    Hosts::Here(vec![Arc::new(Hosted::new(Arc::clone(toy), FUNCTIONS))])
}

/// A client with the credentials of the local store: DynamoDB Local keeps tables apart by them.
pub(crate) struct Client(aws_sdk_dynamodb::Client);

impl Client {
    pub(crate) fn new(endpoint: &str) -> Self {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .endpoint_url(endpoint);
        Self(aws_sdk_dynamodb::Client::from_conf(config.build()))
    }

    /// Writes a model of this key.
    pub(crate) async fn put(&self, pk: &str) {
        let table = template().table_names.models;
        let request = self.0.put_item().table_name(table).item("pk", AttributeValue::S(pk.to_owned()));
        let request = request.item("sk", AttributeValue::S("model".to_owned()));
        request.item("price", AttributeValue::N("1250".to_owned())).send().await.unwrap();
    }

    pub(crate) async fn delete(&self, pk: &str) {
        let table = template().table_names.models;
        let request = self.0.delete_item().table_name(table).key("pk", AttributeValue::S(pk.to_owned()));
        request.key("sk", AttributeValue::S("model".to_owned())).send().await.unwrap();
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
