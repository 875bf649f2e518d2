//! The house: who may depend on whom, and the template against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use roster_local::Hosts;
use roster_tests::stack::{hosts, unconnected};
use serde_json::Value;

/// What Cargo says of the workspace.
fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The direct dependencies of each crate of the workspace, tests' own left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    dependencies_that(|_| true)
}

/// Those of a build without any feature that is not its default.
fn deployed_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    dependencies_that(|dependency| dependency["optional"] != true)
}

fn dependencies_that(counts: impl Fn(&Value) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null() && counts(dependency));
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

fn features(package: &str) -> Value {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().find(|found| found["name"] == package).unwrap()["features"].clone()
}

/// Dependencies point one way: functions, cli, local -> http, sync, edit -> store, git -> core.
#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    let ours = |name: &str| -> Vec<&str> {
        all[name].iter().map(String::as_str).filter(|other| all.contains_key(*other)).collect()
    };
    assert_eq!(ours("roster-core"), [""; 0]);
    assert_eq!(ours("roster-exchange"), ["roster-core"]);
    assert_eq!(ours("roster-git"), [""; 0]);
    assert_eq!(ours("roster-git-server"), [""; 0]);
    assert_eq!(ours("roster-github"), [""; 0]);
    assert_eq!(ours("roster-notice"), [""; 0]);
    assert_eq!(ours("roster-store"), ["roster-core"]);
    assert_eq!(ours("roster-http"), ["roster-core", "roster-store"]);
    assert_eq!(ours("roster-signature"), ["roster-git"]);
    assert_eq!(ours("roster-sync"), ["roster-core", "roster-git", "roster-signature", "roster-store"]);
    assert_eq!(ours("roster-contract"), ["roster-http"]);
    assert_eq!(ours("roster-local"), ["roster-http", "roster-store"]);
    // The contract only for the OpenAPI document, as in all artifacts.
    assert_eq!(ours("roster-public"), ["roster-contract", "roster-core", "roster-http", "roster-store"]);
    assert_eq!(ours("roster-edit"), ["roster-core", "roster-store"]);
    // Git only for the local stack: see `what_answers_callers_is_small`.
    let admin = [
        "roster-contract",
        "roster-core",
        "roster-edit",
        "roster-exchange",
        "roster-git",
        "roster-github",
        "roster-http",
        "roster-store",
    ];
    assert_eq!(ours("roster-admin"), admin);
    assert_eq!(ours("roster-events"), ["roster-core", "roster-http", "roster-notice", "roster-store"]);
    let gitops =
        ["roster-contract", "roster-core", "roster-git", "roster-github", "roster-http", "roster-store", "roster-sync"];
    assert_eq!(ours("roster-gitops"), gitops);
}

/// No artifact is deployed with what describes it.
#[test]
fn the_contract_is_built_into_no_artifact() {
    for (name, dependencies) in deployed_dependencies() {
        let describes = ["roster", "roster-contract"].contains(&name.as_str());
        let brought = ["roster-contract", "schemars"].into_iter().find(|other| dependencies.contains(*other));
        assert!(describes || brought.is_none(), "{name} is built with {brought:?}");
    }
}

/// What only tests need is built into nothing that runs.
#[test]
fn only_tests_are_built_with_what_tests_need() {
    for (name, dependencies) in dependencies() {
        let of_tests = ["roster-tests", "roster-git-server"].into_iter().find(|other| dependencies.contains(*other));
        assert!(name == "roster-tests" || of_tests.is_none(), "{name} is built with {of_tests:?}");
    }
}

/// Reading Git and verifying signatures bring many crates along: only what follows the repository is built with them.
#[test]
fn what_answers_callers_is_small() {
    let all = deployed_dependencies();
    let [by_default, features] = ["default", "local"].map(|name| features("roster-admin")[name].clone());
    assert_eq!((by_default, features), (Value::Null, serde_json::json!(["dep:roster-git"])));
    for artifact in ["roster-public", "roster-admin", "roster-events"] {
        let mut reached = BTreeSet::from([artifact]);
        let mut next = vec![artifact];
        while let Some(name) = next.pop() {
            let below = all.get(name).into_iter().flatten().map(String::as_str);
            next.extend(below.filter(|below| reached.insert(below)));
        }
        for heavy in ["roster-contract", "roster-git", "roster-signature", "roster-sync", "schemars"] {
            assert!(!reached.contains(heavy), "{artifact} is built with {heavy}");
        }
    }
}

/// Each outside world has one crate that knows it.
#[test]
fn one_crate_knows_each_outside_world() {
    let all = dependencies();
    let users = |prefix: &str| -> Vec<&str> {
        let uses = |names: &BTreeSet<String>| names.iter().any(|name| name.starts_with(prefix));
        all.iter().filter(|(_, names)| uses(names)).map(|(name, _)| name.as_str()).collect()
    };
    // Besides, the bare functions that a bench measures beside.
    assert_eq!(users("aws-sdk-dynamodb"), ["roster-hello", "roster-store"]);
    assert_eq!(users("aws-sdk-sns"), ["roster-notice"]);
    assert_eq!(users("aws-"), ["roster-hello", "roster-notice", "roster-store"]);
    assert_eq!(users("gix"), ["roster-git"]);
    assert_eq!(users("pgp"), ["roster-signature"]);
    assert_eq!(users("ssh-key"), ["roster-signature"]);
    assert_eq!(users("octocrab"), ["roster-github"]);
    assert_eq!(users("lambda_"), ["roster-hello", "roster-http"]);
    assert_eq!(users("jsonwebtoken"), ["roster-http"]);
    assert_eq!(users("reqwest"), ["roster-http", "roster-notice", "roster-tests"]);
    assert_eq!(users("jsonschema"), ["roster-core"]);
    assert_eq!(users("dynoxide"), ["roster-local"]);
    for pure in ["roster-core", "roster-exchange"] {
        for banned in ["tokio", "http", "hyper", "futures"] {
            assert!(!all[pure].contains(banned), "{pure} depends on {banned}");
        }
    }
}

/// The template and the registries name the same functions, and an artifact's functions are given what its code reads.
#[tokio::test]
async fn the_template_and_the_code_belong_together() {
    let (template, store) = unconnected();
    let hosts = Hosts::Here(hosts(&template, &store));
    hosts.check(&template).unwrap();

    let shared = variables_read_in(&["shared/http/src", "shared/store/src"]);
    let missing = |read: &BTreeSet<String>, set: &BTreeSet<String>| -> Vec<String> {
        read.difference(set).filter(|name| !NOT_OF_THE_TEMPLATE.contains(&name.as_str())).cloned().collect()
    };
    let mut artifacts = BTreeMap::<&str, BTreeSet<String>>::new();
    for function in &template.functions {
        let set = function.environment.keys().cloned().collect();
        if !function.routes.is_empty() {
            // No page calls the webhook, and no other site's page the dashboard.
            let is_called = !["git-webhook", "dashboard"].contains(&function.name.as_str());
            let without: &[&str] = if is_called { &[] } else { &["ALLOWED_ORIGINS"] };
            assert_eq!(missing(&shared, &set), without, "{} is not given what every answer needs", function.name);
        }
        artifacts.entry(&function.artifact).or_default().extend(set);
    }
    assert_eq!(artifacts.keys().copied().collect::<Vec<_>>(), ["admin", "events", "gitops", "public"]);
    for (artifact, set) in artifacts {
        let own = variables_read_in(&[&format!("functions/{artifact}/src")]);
        assert_eq!(missing(&own, &set), [""; 0], "{artifact} reads what template.yaml does not set");
        let not_read: Vec<&String> =
            set.iter().filter(|name| !own.contains(*name) && !shared.contains(*name)).collect();
        assert_eq!(not_read, [""; 0], "template.yaml sets what {artifact} does not read");
    }
    let everywhere = variables_read_in(&[
        "shared/http/src",
        "shared/store/src",
        "functions/admin/src",
        "functions/events/src",
        "functions/gitops/src",
        "functions/public/src",
    ]);
    for name in NOT_OF_THE_TEMPLATE {
        assert!(everywhere.contains(name), "nothing reads {name}");
    }
}

/// What the functions read and the template does not set.
const NOT_OF_THE_TEMPLATE: [&str; 7] = [
    // Lambda sets it.
    "_HANDLER",
    // The local stack does: it signs tokens itself, keeps keys in a file, and a directory of its own for each process.
    "DEV_JWT_SECRET",
    "GIT_CACHE",
    "JWKS_FILE",
    // A repository on disk has no address to tell its name on GitHub by.
    "GITHUB_REPOSITORY",
    // What is deployed is the default; tests have less patience.
    "RATE_LIMIT_TIMEOUT_MS",
    "SYNC_PACE_MS",
];

/// The names of variables in the code of directories, tests left out: what is looked up, and constants that are.
fn variables_read_in(directories: &[&str]) -> BTreeSet<String> {
    const BEFORE: [&str; 6] = [".optional(", ".required(", ".number(", "lookup(", "from_env(env,", ": &str ="];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    let mut left: Vec<PathBuf> = directories.iter().map(|directory| root.join(directory)).collect();
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let parts: Vec<&str> = code.split('"').collect();
            for (before, name) in parts.iter().zip(&parts[1..]) {
                let is_name = name.chars().all(|letter| letter.is_ascii_uppercase() || "_0123456789".contains(letter));
                if is_name
                    && !name.is_empty()
                    && !name.starts_with(|first: char| first.is_ascii_digit())
                    && BEFORE.iter().any(|end| before.trim_end().ends_with(end))
                {
                    found.insert((*name).to_owned());
                }
            }
        }
    }
    found
}
