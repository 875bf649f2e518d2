//! The house: who may depend on whom, and the template against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use roster_local::Hosts;
use roster_tests::stack::{hosts, unconnected};
use serde_json::Value;

/// The direct dependencies of each crate of the workspace, tests' own left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

/// Dependencies point one way: functions, cli, local -> http, sync, edit -> store, git -> core.
#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    let ours = |name: &str| -> Vec<&str> {
        all[name].iter().map(String::as_str).filter(|other| all.contains_key(*other)).collect()
    };
    assert_eq!(ours("roster-core"), [""; 0]);
    assert_eq!(ours("roster-git"), [""; 0]);
    assert_eq!(ours("roster-github"), [""; 0]);
    assert_eq!(ours("roster-notice"), [""; 0]);
    assert_eq!(ours("roster-store"), ["roster-core"]);
    assert_eq!(ours("roster-http"), ["roster-core", "roster-store"]);
    assert_eq!(ours("roster-signature"), ["roster-git"]);
    assert_eq!(ours("roster-sync"), ["roster-core", "roster-git", "roster-signature", "roster-store"]);
    assert_eq!(ours("roster-local"), ["roster-http", "roster-store"]);
    assert_eq!(ours("roster-public"), ["roster-core", "roster-http", "roster-store"]);
    assert_eq!(ours("roster-edit"), ["roster-core", "roster-store"]);
    assert_eq!(ours("roster-admin"), ["roster-core", "roster-edit", "roster-http", "roster-store"]);
    assert_eq!(ours("roster-events"), ["roster-core", "roster-http", "roster-notice", "roster-store"]);
    assert_eq!(ours("roster-gitops"), ["roster-core", "roster-git", "roster-http", "roster-store", "roster-sync"]);
}

/// Reading Git and verifying signatures bring many crates along: only what follows the repository is built with them.
#[test]
fn what_answers_callers_is_small() {
    let all = dependencies();
    for artifact in ["roster-public", "roster-admin", "roster-events"] {
        let mut reached = BTreeSet::from([artifact]);
        let mut next = vec![artifact];
        while let Some(name) = next.pop() {
            let below = all.get(name).into_iter().flatten().map(String::as_str);
            next.extend(below.filter(|below| reached.insert(below)));
        }
        for heavy in ["roster-git", "roster-signature", "roster-sync"] {
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
    assert_eq!(users("aws-sdk-dynamodb"), ["roster-store"]);
    assert_eq!(users("aws-sdk-sns"), ["roster-notice"]);
    assert_eq!(users("aws-"), ["roster-notice", "roster-store"]);
    assert_eq!(users("gix"), ["roster-git"]);
    assert_eq!(users("pgp"), ["roster-signature"]);
    assert_eq!(users("ssh-key"), ["roster-signature"]);
    assert_eq!(users("octocrab"), ["roster-github"]);
    assert_eq!(users("lambda_"), ["roster-http"]);
    assert_eq!(users("jsonwebtoken"), ["roster-http"]);
    assert_eq!(users("reqwest"), ["roster-http", "roster-notice", "roster-tests"]);
    assert_eq!(users("jsonschema"), ["roster-core"]);
    assert_eq!(users("dynoxide"), ["roster-local"]);
    let pure = &all["roster-core"];
    for banned in ["tokio", "http", "hyper", "futures"] {
        assert!(!pure.contains(banned), "core depends on {banned}");
    }
}

/// The template and the registries name the same functions, and every variable it sets is read somewhere.
#[tokio::test]
async fn the_template_and_the_code_belong_together() {
    let (template, store) = unconnected();
    let hosts = Hosts::new(hosts(&template, &store));
    hosts.check(&template).unwrap();

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut code = String::new();
    for directory in [
        "shared/http/src",
        "shared/store/src",
        "functions/public/src",
        "functions/admin/src",
        "functions/gitops/src",
        "functions/events/src",
    ] {
        for file in std::fs::read_dir(root.join(directory)).unwrap() {
            code.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
        }
    }
    let set: BTreeSet<&String> = template.functions.iter().flat_map(|function| function.environment.keys()).collect();
    assert!(set.len() >= 8, "{set:?}");
    for name in set {
        assert!(code.contains(&format!("\"{name}\"")), "template.yaml sets {name}, which nothing reads");
    }
}
