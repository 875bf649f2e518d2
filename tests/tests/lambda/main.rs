//! The real artifacts, as processes over Lambda's Runtime API: `ARTIFACTS` names their folder, which `scripts/artifacts`
//! builds. The suite of `all` runs with them, too; here is what only a process shows.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

mod privileges;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use roster_local::{Lambda, LambdaOptions, LocalValues, Template};
use roster_tests::receiver::Receiver;
use roster_tests::repository::model;
use roster_tests::stack::TestStack;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn stack(variables: &[(&str, &str)]) -> TestStack {
    assert!(std::env::var_os("ARTIFACTS").is_some(), "ARTIFACTS must name what scripts/artifacts built");
    let stack = TestStack::with(variables).await;
    stack.repository.put(&model("acme/one", |value| value["aliases"] = json!(["one"])));
    stack.repository.commit("start");
    assert_eq!(stack.sync().await["state"], "applied");
    stack
}

/// The lines of the functions' log up to those that are looked for, as JSON.
async fn lines_until(stack: &TestStack, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let started = Instant::now();
    let mut lines = Vec::new();
    while !is_enough(&lines) {
        assert!(started.elapsed() < PATIENCE, "it is not logged: {lines:#?}");
        lines
            .extend(stack.logged().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap_or(line.into())));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lines
}

/// Everything of a request is out before its answer is, so that a process that is frozen or killed then has lost
/// nothing: one line, its metrics, and its span.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_before_it_is_answered() {
    let collector = Receiver::start(&[], 200, "{}").await;
    let stack = stack(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]).await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer = stack.send("GET /v1/models?limit=1", "", &[("traceparent", &parent)], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let commit = answer.json()["commit"].clone();
    let traces = collector.received();

    let of_request = |line: &Value| line["span"]["request_id"] == *answer.headers["x-request-id"];
    let counts = |line: &Value| !line["_aws"].is_null() && line["function"] == "list-models";
    let lines = lines_until(&stack, |lines| lines.iter().any(counts)).await;
    let told: Vec<&Value> = lines.iter().filter(|line| of_request(line)).collect();
    assert_eq!(told.len(), 1, "one line a request: {told:#?}");
    let line = told[0];
    assert_eq!((&line["message"], &line["status"], &line["level"]), (&json!("answered"), &json!(200), &json!("INFO")));
    assert_eq!((&line["span"]["function"], &line["span"]["revision"]), (&json!("list-models"), &json!(1)));
    assert_eq!(line["span"]["commit"], commit);

    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in lines.iter().filter(|line| !line["_aws"].is_null()) {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Roster/dev");
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "a dimension is a member at the top: {line}");
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            let (name, value) = (metric["Name"].as_str().unwrap(), &line[metric["Name"].as_str().unwrap()]);
            assert!(value.is_number() || value.as_array().is_some_and(|values| values.len() <= 100), "{line}");
            let dimensions = directive["Dimensions"][0].as_array().unwrap().iter();
            let labels = dimensions.map(|name| format!("{}={}", name.as_str().unwrap(), line[name.as_str().unwrap()]));
            let label = labels.collect::<Vec<_>>().join(",").replace('"', "");
            metrics.entry(line["function"].as_str().unwrap().to_owned()).or_default().insert(format!("{name} {label}"));
        }
    }
    let of = |function: &str| metrics[function].iter().map(|metric| metric.trim()).collect::<Vec<_>>();
    assert_eq!(
        of("list-models"),
        ["Latency", "ReadUnits", "Requests Outcome=success", "RevisionAge", "WriteUnits"],
        "{lines:#?}"
    );
    assert_eq!(of("sync"), ["ReadUnits", "SyncLag", "SyncRuns State=applied", "WriteUnits"]);

    let spans =
        |trace: &Value| trace["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
    let sent: Vec<Value> = traces.iter().map(|trace| serde_json::from_str(&trace.body).unwrap()).collect();
    let all: Vec<Value> = sent.iter().flat_map(spans).collect();
    let named = |name: &str| all.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {all:#?}"));
    let span = named("list-models");
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!("00f067aa0ba902b7")));
    let attributes: BTreeMap<&str, String> = span["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attribute| (attribute["key"].as_str().unwrap(), attribute["value"].to_string()))
        .collect();
    assert_eq!(attributes["http.response.status_code"], r#"{"intValue":"200"}"#);
    assert_eq!(attributes["http.request.method"], r#"{"stringValue":"GET"}"#);
    let start = &named("start")["spanId"];
    let calls = all.iter().filter(|span| span["parentSpanId"] == *start).map(|span| span["name"].as_str().unwrap());
    assert_eq!(
        calls.collect::<BTreeSet<_>>(),
        BTreeSet::from(["DynamoDB.BatchGetItem", "DynamoDB.GetItem"]),
        "what a start reads: {all:#?}"
    );
    let service = sent[0]["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(service.contains(r#""roster""#), "{service}");
    stack.close().await;
}

/// A collector that is away costs a line of the log, and no request its answer.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_is_away() {
    let stack = stack(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]).await;
    assert_eq!(stack.send("GET /v1/models", "", &[], None).await.status, 200);
    lines_until(&stack, |lines| lines.iter().any(|line| line["message"] == "traces could not be sent")).await;
    stack.close().await;
}

/// What AWS sends, as its documentation has it.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_events_are_understood() {
    let stack = stack(&[]).await;
    let event = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let scheduled = event(include_str!("events/schedule.json"));
    for function in ["sync", "check-drift", "lifecycle-clock", "evaluate-rollouts", "notify"] {
        let outcome = stack.call(function, &scheduled).await;
        assert!(outcome.is_ok(), "{function}: {outcome:?}");
    }
    let mut streamed = event(include_str!("events/stream.json"));
    streamed["Records"][0]["dynamodb"]["NewImage"] = stack.item("acme/one").await;
    stack.settle().await;
    let history = stack.admin("GET /admin/models/acme%2Fone/history", &Value::Null).await.json();
    for _ in 0..2 {
        let outcome = stack.call("record-history", &streamed).await.unwrap();
        assert_eq!(outcome, json!({"batchItemFailures": []}));
    }
    let again = stack.admin("GET /admin/models/acme%2Fone/history", &Value::Null).await.json();
    assert_eq!(again["data"], history["data"], "what came before changes nothing");

    // The gateway's event goes to the process as it is.
    let template = Template::load(&LocalValues { parameters: BTreeMap::new(), environment: BTreeMap::new() }).unwrap();
    let artifacts = std::env::var_os("ARTIFACTS").unwrap().into();
    let log = Some(tokio::sync::mpsc::unbounded_channel().0);
    let endpoint = stack.endpoint().to_owned();
    let lambda = Lambda::new(&template, &LambdaOptions { artifacts, endpoint, log }).unwrap();
    let request = include_str!("events/api_gateway.json");
    let answer = lambda.invoke("get-model", request.as_bytes().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().expect("a small body is text")).unwrap();
    assert_eq!(body["id"], "acme/one", "{body}");
    lambda.shutdown().await;
    stack.close().await;
}
