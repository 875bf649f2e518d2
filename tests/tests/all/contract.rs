//! The contract against the code: what the OpenAPI document says of parameters and problems is what the code knows.

use std::collections::BTreeSet;
use std::path::Path;

use roster_http::Role;
use roster_tests::stack::{TestStack, token};
use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(include_str!("../../../openapi.json")).unwrap()
}

/// Every function that reads a query tells which parameters it knows when it is asked for another one.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_parameters_are_those_that_are_read() {
    let stack = TestStack::new().await;
    let admin = token("ann", &[Role::Admin, Role::SuperAdmin]);
    let mut asked = 0;
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let documented: BTreeSet<&str> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let path = path.replace("{id}", "one").replace("{name}", "model.schema.json");
            let line = format!("{} {path}?colour=red", method.to_uppercase());
            let body = match path.as_str() {
                "/v1/resolve" => r#"{"model": "one"}"#,
                _ => r#"{"reason": "a test"}"#,
            };
            let body = operation.get("requestBody").map(|_| body);
            let answer = stack.send(&line, &admin, &[], body).await;
            let known: BTreeSet<String> = match known(&answer.json()) {
                Some(known) => known,
                // Who calls these is no client of ours: a prober, and a forge.
                None if ["/health", "/hooks/github"].contains(&path.as_str()) => BTreeSet::new(),
                None => panic!("{line} takes a parameter that nothing knows: {}", answer.text),
            };
            let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
            assert_eq!(documented, known, "{line}");
            asked += 1;
        }
    }
    assert!(asked > 25, "{asked}");
    stack.close().await;
}

/// The parameters that a refusal of an unknown one tells of.
fn known(problem: &Value) -> Option<BTreeSet<String>> {
    let errors = problem["errors"].as_array()?;
    let refusal = errors.iter().find(|error| error["parameter"] == "colour")?["detail"].as_str()?;
    let names = refusal.strip_prefix("is unknown: ")?;
    Some(match names.strip_prefix("the known ones are ") {
        Some(names) => names.split(", ").map(str::to_owned).collect(),
        None => BTreeSet::new(),
    })
}

/// What the code calls a problem is in the list, and what the list has is in the code.
#[test]
fn every_type_of_problem_is_documented() {
    let document = document();
    let responses = document["components"]["responses"].as_object().unwrap();
    let told: String = responses.values().map(|response| response["description"].as_str().unwrap()).collect();
    let documented: BTreeSet<&str> =
        told.split('`').filter_map(|word| word.strip_prefix("urn:roster:problem:")).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut code = String::new();
    for directory in
        ["shared/http/src", "shared/local/src", "functions/public/src", "functions/admin/src", "functions/gitops/src"]
    {
        for file in std::fs::read_dir(root.join(directory)).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() && !file.ends_with("contract.rs") {
                code.push_str(&std::fs::read_to_string(file).unwrap());
            }
        }
    }
    for kind in &documented {
        assert!(code.contains(&format!("\"{kind}\"")), "{kind} is documented, and nothing answers it");
    }
    for (at, _) in code.match_indices("Problem::new(") {
        let call = &code[at..code[at..].find(';').map_or(code.len(), |end| at + end)];
        let kind = call
            .split('"')
            .skip(1)
            .step_by(2)
            .find(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        if let Some(kind) = kind {
            assert!(documented.contains(kind), "{kind} is not in contract/problems.rs");
        }
    }
    assert!(documented.len() > 30, "{documented:?}");
}
