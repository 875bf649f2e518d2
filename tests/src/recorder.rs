//! Who calls what of DynamoDB: what IAM would ask about each call, for a comparison with what the template grants.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::proxy::{Behaviour, Message, Upstream};

/// Passes calls on, and appends to a file what they were, each once: a line of JSON with the function, the action, the
/// table, the index, and the partition key.
pub struct Recorder {
    file: PathBuf,
    calls: Mutex<BTreeSet<String>>,
}

impl Recorder {
    /// Records into a file, when it ends.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self { file, calls: Mutex::default() }
    }
}

impl Behaviour for Recorder {
    async fn answer(&self, call: Message, upstream: &mut Upstream) -> Option<Message> {
        let lines: Vec<String> = asked(&call).iter().map(Value::to_string).collect();
        self.calls.lock().expect("nobody panicked with the calls").extend(lines);
        upstream.call(&call).await
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let calls = self.calls.get_mut().expect("nobody panicked with the calls");
        let mut lines: String = calls.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.file);
        // One write: other tests append as well.
        file.and_then(|mut file| file.write_all(std::mem::take(&mut lines).as_bytes())).expect("a file to record into");
    }
}

/// What IAM would ask about a call
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>): a transaction is
/// asked about action by action, a batch as itself.
fn asked(call: &Message) -> Vec<Value> {
    // Each function signs with its own name.
    let credential = call.header("authorization").and_then(|header| header.split_once("Credential="));
    let function = credential.and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let body = call.json();
    let line = |action: &str, table: &Value, key: &Value| json!({"function": function, "action": action, "table": table, "index": Value::Null, "key": key["pk"]["S"]});
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default().into_iter();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default().into_iter();
    match call.operation() {
        "TransactWriteItems" => list(&body["TransactItems"])
            .flat_map(|action| members(&action))
            .map(|(kind, write)| {
                let action =
                    if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                line(&action, &write["TableName"], if kind == "Put" { &write["Item"] } else { &write["Key"] })
            })
            .collect(),
        operation @ "BatchGetItem" => members(&body["RequestItems"])
            .flat_map(|(table, of)| list(&of["Keys"]).map(move |key| (table.clone(), key)))
            .map(|(table, key)| line(operation, &table.into(), &key))
            .collect(),
        operation @ "BatchWriteItem" => members(&body["RequestItems"])
            .flat_map(|(table, writes)| list(&writes).map(move |write| (table.clone(), write)))
            .map(|(table, write)| {
                let put = &write["PutRequest"]["Item"];
                line(operation, &table.into(), if put.is_null() { &write["DeleteRequest"]["Key"] } else { put })
            })
            .collect(),
        operation @ "Query" => {
            // The partition's condition comes first: `pk = :pk`.
            let condition = body["KeyConditionExpression"].as_str().unwrap_or_default();
            let value = condition.split_whitespace().find(|word| word.starts_with(':')).unwrap_or_default();
            let mut query = line(operation, &body["TableName"], &Value::Null);
            query["index"] = body["IndexName"].clone();
            query["key"] = body["ExpressionAttributeValues"][value]["S"].clone();
            vec![query]
        }
        operation @ "PutItem" => vec![line(operation, &body["TableName"], &body["Item"])],
        operation => vec![line(operation, &body["TableName"], &body["Key"])],
    }
}
