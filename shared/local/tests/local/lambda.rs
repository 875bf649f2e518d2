//! Functions as processes: what becomes of calls that fail in every way there is.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roster_local::{Hosts, Lambda, LambdaOptions, LocalValues, Template};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A function in a shell: what the payload asks for is what it does.
const BOOTSTRAP: &str = r#"#!/usr/bin/env bash
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
if [ "$_HANDLER" = health ]; then
    curl -sS -d '{"errorMessage":"no table","errorType":"Init"}' "$api/init/error" >/dev/null
    exit 1
fi
trap 'exit 0' TERM
echo "started $_HANDLER"
while :; do
    curl -sS -D "$GIT_CACHE.head" "$api/invocation/next" >"$GIT_CACHE.event" & wait $!
    id=$(grep -i '^lambda-runtime-aws-request-id' "$GIT_CACHE.head" | tr -d '\r' | cut -d' ' -f2)
    case $(cat "$GIT_CACHE.event") in
        *crash*) exit 3 ;;
        *hang*) exec sleep 1000 ;;
        *fail*) curl -sS -d '{"errorMessage":"no luck","errorType":"Bad"}' "$api/invocation/$id/error" >/dev/null ;;
        *large*) head -c 6300000 /dev/zero | tr '\0' x | curl -sS --data-binary @- "$api/invocation/$id/response" >/dev/null ;;
        *) curl -sS -d "{\"pid\":$$}" "$api/invocation/$id/response" >/dev/null ;;
    esac
done
"#;

fn template() -> Template {
    Template::load(&LocalValues { parameters: BTreeMap::new(), environment: BTreeMap::new() }).unwrap()
}

fn artifacts(folder: &Path, template: &Template) {
    for function in &template.functions {
        let folder = folder.join(&function.artifact);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bootstrap");
        std::fs::write(&path, BOOTSTRAP).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut template = template();
    let options =
        |log| LambdaOptions { artifacts: folder.path().to_owned(), endpoint: "http://127.0.0.1:1".to_owned(), log };
    let missing = Lambda::new(&template, &options(None)).err().unwrap().to_string();
    assert!(missing.contains("/bootstrap: there is no such artifact: build it with scripts/artifacts"), "{missing}");
    artifacts(folder.path(), &template);
    let limited = template.functions.iter_mut().find(|function| function.name == "check-drift").unwrap();
    limited.timeout = Duration::from_millis(300);
    let (log, mut lines) = mpsc::unbounded_channel();
    let lambda = Arc::new(Lambda::new(&template, &options(Some(log))).unwrap());
    let hosts = Hosts::Lambda(Arc::clone(&lambda));
    let call = async |function: &str, asks: &str| {
        let answer = hosts.event(&template, function, json!({ "asks": asks })).await;
        answer.map_err(|error| error.to_string())
    };
    let first = call("sync", "").await.unwrap();
    assert_eq!(lines.recv().await.as_deref(), Some("started sync"));
    assert_eq!(call("sync", "").await.unwrap(), first, "the same process");
    assert_eq!(call("sync", "fail").await.unwrap_err(), "no luck");
    assert_eq!(call("sync", "").await.unwrap(), first, "a failure is no end");
    let large = call("sync", "large").await.unwrap_err();
    assert!(large.starts_with("Function.ResponseSizeTooLarge"), "{large}");
    assert_eq!(call("sync", "").await.unwrap(), first);
    let crashed = call("sync", "crash").await.unwrap_err();
    assert_eq!(crashed, "the process ended before it answered: exit status: 3");
    assert_ne!(call("sync", "").await.unwrap(), first, "another process");
    assert_eq!(call("health", "").await.unwrap_err(), "the process could not start: no table");
    let timed_out = call("check-drift", "hang").await.unwrap_err();
    assert_eq!(timed_out, "timed out after 300ms");
    // Calls at once are answered by processes of their own.
    let (one, two): (Result<Value, _>, Result<Value, _>) = tokio::join!(call("notify", ""), call("notify", ""));
    assert_ne!(one.unwrap(), two.unwrap());
    lambda.shutdown().await;
    assert!(call("absent", "").await.is_err());
}

/// A process that was ended between two calls is no answer to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_gone_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let template = template();
    artifacts(folder.path(), &template);
    let log = Some(mpsc::unbounded_channel().0);
    let options = LambdaOptions { artifacts: folder.path().to_owned(), endpoint: "http://127.0.0.1:1".to_owned(), log };
    let lambda = Arc::new(Lambda::new(&template, &options).unwrap());
    let answer: Value = serde_json::from_slice(&lambda.invoke("sync", "{}".into()).await.unwrap()).unwrap();
    let pid = answer["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    // It is gone for good only once it is no more than a zombie.
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let next: Value = serde_json::from_slice(&lambda.invoke("sync", "{}".into()).await.unwrap()).unwrap();
    assert_ne!(next, answer);
    lambda.shutdown().await;
}
