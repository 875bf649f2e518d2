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
        // The answer to HEAD does not say what it knows.
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "head") {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let documented: BTreeSet<&str> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let path = path.replace("{id}", "one").replace("{v}", "1.0.0").replace("{name}", "model.schema.json");
            let line = format!("{} {path}?colour=red", method.to_uppercase());
            let body = match path.as_str() {
                "/v1/resolve" => r#"{"model": "one"}"#,
                _ => r#"{"reason": "a test"}"#,
            };
            let body = operation.get("requestBody").map(|_| body);
            let answer = stack.send(&line, &admin, &[], body).await;
            let known = match known(&answer.text) {
                Some(known) => known,
                // Who calls these is no client of ours: a prober, and a forge.
                None if ["/health", "/hooks/github"].contains(&path.as_str()) => BTreeSet::new(),
                None => panic!("{line} takes a parameter that nothing knows: {}", answer.text),
            };
            assert_eq!(documented, known, "{line}");
            asked += 1;
        }
    }
    assert!(asked > 25, "{asked}");
    stack.close().await;
}

/// The parameters that a refusal of an unknown one tells of, in whatever shape it is told.
fn known(refusal: &str) -> Option<BTreeSet<&str>> {
    let (_, told) = refusal.split_once("colour is unknown: ")?;
    let told = told.split(['"', ';']).next()?;
    Some(told.strip_prefix("the known ones are ").map_or_else(BTreeSet::new, |names| names.split(", ").collect()))
}

/// API Gateway answers no method that has no route, and neither does the local one.
#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_where_the_template_has_a_route_for_it() {
    let stack = TestStack::new().await;
    let everyone = token("ann", &[]);
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let answer = stack.send(&format!("HEAD {}", path.replace("{id}", "one")), &everyone, &[], None).await;
        assert_eq!(item.get("head").is_some(), answer.status != 405, "{path}");
        assert_eq!(answer.text, "", "{path}");
    }
    assert!(document["paths"]["/v1/models"].get("head").is_some());
    stack.close().await;
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
                let text = std::fs::read_to_string(file).unwrap();
                code.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    for kind in &documented {
        assert!(code.contains(&format!("\"{kind}\"")), "{kind} is documented, and nothing answers it");
    }
    // A problem is made of its kind and, right after it, its title.
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let kinds: BTreeSet<&str> = code
        .match_indices("\", \"")
        .filter(|(at, _)| code[at + 4..].starts_with(|letter: char| letter.is_ascii_uppercase()))
        .filter_map(|(at, _)| code[..at].rsplit('"').next())
        .filter(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect();
    assert!(kinds.len() > 30, "{kinds:?}");
    assert_eq!(kinds.difference(&documented).collect::<Vec<_>>(), [&""; 0], "not in contract/problems.rs");
}
