//! Bad input gets a clear error and changes nothing; the last good catalogue keeps serving.

use roster_sync::{Options, State};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

/// A repository with three models, and one commit more that `change` makes.
fn repository(change: impl FnOnce(&TestRepository)) -> TestRepository {
    let repository = TestRepository::new();
    for id in ["p/a", "p/b", "p/c"] {
        repository.put(&model(id, |_| {}));
    }
    repository.put(&model("p/gone", |value| {
        value["isArchived"] = json!(true);
        value["isAvailable"] = json!(false);
    }));
    repository.commit("good");
    change(&repository);
    repository.commit("bad");
    repository
}

/// What a sync says of the bad commit, after checking that it changed nothing and that a newer good one goes through.
async fn said_of(change: impl FnOnce(&TestRepository)) -> Vec<String> {
    let repository = repository(change);
    let tables = TestTables::embedded().await;
    let first = |options: &mut Options| options.to = Some("HEAD~1".to_owned());
    let (good, _) = tables.sync_with(&repository, first).await.unwrap();
    let before = tables.records().await;
    let (bad, _) = tables.sync_with(&repository, |_| {}).await.unwrap();
    assert_eq!(bad.state, State::Rejected);
    assert_eq!((&bad.digest, bad.revision), (&good.digest, good.revision));
    assert_eq!(tables.records().await, before);
    let said = bad.problems.iter().map(ToString::to_string).collect();

    repository.git(&["reset", "--quiet", "--hard", "HEAD"]);
    repository.git(&["rm", "-r", "--quiet", "--cached", "catalog"]);
    std::fs::remove_dir_all(repository.path().join("catalog")).unwrap();
    repository.git(&["checkout", "HEAD~1", "--", "catalog"]);
    repository.put(&model("p/new", |_| {}));
    repository.commit("good again");
    let (good, _) = tables.sync_with(&repository, |_| {}).await.unwrap();
    assert_eq!((good.state, good.operations), (State::Applied, 1));
    tables.check_history().await;
    tables.close().await;
    said
}

fn edit(id: &'static str, change: impl FnOnce(&mut Value)) -> impl FnOnce(&TestRepository) {
    move |repository| repository.put(&model(id, change))
}

/// Each mistake, and the line that is said of it.
async fn check(change: impl FnOnce(&TestRepository), expected: &[&str]) {
    assert_eq!(said_of(change).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_files() {
    check(
        |repository| repository.write("catalog/models/p/a.json", "{\n  \"id\": \"p/a\",\n}"),
        &["catalog/models/p/a.json:3:1: malformed JSON: trailing comma"],
    )
    .await;
    check(
        |repository| {
            let text = model("p/a", |_| {}).to_string();
            repository.write("catalog/models/p/a.json", text.replacen('{', "{\"id\": \"p/b\",\n", 1));
        },
        &["catalog/models/p/a.json:2:1: /id: duplicate key \"id\": keep one of them"],
    )
    .await;
    check(
        edit("p/a", |value| value["colour"] = json!("red")),
        &["catalog/models/p/a.json:2:3: /colour: unknown key \"colour\""],
    )
    .await;
    check(
        |repository| repository.write("catalog/models/p/big.json", vec![b' '; 10 * 1024 * 1024]),
        &["catalog/models/p/big.json: 10485760 bytes, but a catalogue file has at most 262144"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values() {
    check(
        edit("p/a", |value| value["meta"]["inputCostPerMillionTokens"] = json!(-1)),
        &["catalog/models/p/a.json:16:5: /meta/inputCostPerMillionTokens: -1 is below the minimum of 0"],
    )
    .await;
    check(
        edit("p/a", |value| value["meta"]["inputCostPerMillionTokens"] = json!("cheap")),
        &["catalog/models/p/a.json:16:5: /meta/inputCostPerMillionTokens: expected null or number, found \"cheap\""],
    )
    .await;
    let said = said_of(edit("p/a", |value| value["meta"]["requiredTier"] = json!("gold"))).await;
    assert!(said.len() == 1 && said[0].contains("/meta/requiredTier: \"gold\" is not one of [\"free\""), "{said:?}");
    check(
        |repository| {
            let text = model("p/x", |_| {}).to_string();
            repository.write("catalog/models/p/y.json", text);
        },
        &["catalog/models/p/y.json:1:2: /id: id \"p/x\" fights its path: here it is \"y\" or \"p/y\""],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_replacements() {
    let replaced = |by: &'static str| edit("p/a", move |value| value["meta"]["legacyReplacementModelId"] = json!(by));
    let at = "catalog/models/p/a.json:17:5: /meta/legacyReplacementModelId";
    let line = |what: &str| format!("{at}: {what}");
    let missing = line("replacement \"p/none\" does not exist: name the id of a model");
    check(replaced("p/none"), &[&missing]).await;
    let archived = line("replacement \"p/gone\" is archived: name a model that is in use");
    check(replaced("p/gone"), &[&archived]).await;
    let said = said_of(|repository| {
        replaced("p/b")(repository);
        repository.put(&model("p/b", |value| value["meta"]["legacyReplacementModelId"] = json!("p/a")));
    })
    .await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].ends_with("replacements go in a circle: p/a -> p/b -> p/a"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_files() {
    check(
        |repository| {
            std::os::unix::fs::symlink("a.json", repository.path().join("catalog/models/p/link.json")).unwrap();
        },
        &["catalog/models/p/link.json: is a symbolic link: write the file itself"],
    )
    .await;
    check(
        |repository| {
            let text = model("p/A", |_| {}).to_string();
            repository.write("catalog/models/p/A.json", text);
        },
        &["catalog/models/p/A.json:1:2: /id: \"p/A\" differs from model \"p/a\" only by letter case, in catalog/models/p/a.json"],
    )
    .await;
    check(
        |repository| repository.write("catalog/models/README.md", "hello"),
        &["catalog/models/README.md: a model belongs in catalog/models/<provider>/<id>.json"],
    )
    .await;
}

/// An emptied tree is held by the guard, not rejected: it may be meant.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tree_is_held() {
    let repository = repository(|repository| std::fs::remove_dir_all(repository.path().join("catalog")).unwrap());
    let tables = TestTables::embedded().await;
    let first = |options: &mut Options| options.to = Some("HEAD~1".to_owned());
    let (good, _) = tables.sync_with(&repository, first).await.unwrap();
    let (held, _) = tables.sync_with(&repository, |_| {}).await.unwrap();
    assert_eq!((held.state, &held.digest), (State::Held, &good.digest));
    let rules: Vec<&str> = held.holds.iter().map(|hold| hold.rule.as_str()).collect();
    assert_eq!(rules, ["archived_percent", "empty_tree"]);
    repository.revert("HEAD");
    let (back, commits) = tables.sync_with(&repository, |_| {}).await.unwrap();
    assert_eq!((back.state, &back.digest), (State::Unchanged, &good.digest));
    assert_eq!(commits.iter().map(|commit| commit.state).collect::<Vec<_>>(), [State::Held, State::Unchanged]);
    tables.close().await;
}
