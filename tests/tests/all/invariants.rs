//! Invariants 1, 3 and 4 on random sequences of commits: whatever way led to a commit, what is published is a
//! function of its tree; every change has one entry of history; a second sync changes nothing.

use std::sync::Arc;

use proptest::prelude::*;
use roster_core::catalogue;
use roster_git::{Location, Repository};
use roster_store::reader::Reader;
use roster_sync::{Scope, State, read};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

/// One commit.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Adds a model, or gives it another price.
    Put(u8, u16),
    Remove(u8),
    /// Renames a model by letter case alone.
    Recase(u8),
    Archive(u8),
    /// Marks a model legacy; the replacement may be missing, archived or circular.
    Replace(u8, u8),
    Alias(u8, u8),
    /// Leaves a file that is no model.
    Break(u8),
    Policy(u8),
    /// Takes back the commit that many before the last.
    Revert(u8),
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 3..14)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let slot = 0u8..6;
    prop_oneof![
        6 => (slot.clone(), 0u16..4).prop_map(|(slot, price)| Step::Put(slot, price)),
        2 => slot.clone().prop_map(Step::Remove),
        2 => slot.clone().prop_map(Step::Recase),
        1 => slot.clone().prop_map(Step::Archive),
        2 => (slot.clone(), slot.clone()).prop_map(|(slot, other)| Step::Replace(slot, other)),
        1 => (slot.clone(), slot.clone()).prop_map(|(slot, other)| Step::Alias(slot, other)),
        1 => slot.clone().prop_map(Step::Break),
        1 => (0u8..3).prop_map(Step::Policy),
        3 => (0u8..3).prop_map(Step::Revert),
        1 => Just(Step::Nothing),
    ]
}

/// The id in a slot, in whichever letter case it has now.
fn id(repository: &TestRepository, slot: u8) -> String {
    let upper = format!("p/M{slot}");
    if repository.model_path(&upper).exists() { upper } else { format!("p/m{slot}") }
}

/// Makes a commit of a step; `None` where there is nothing to take back.
pub(crate) fn commit(repository: &TestRepository, step: &Step, commits: &[String]) -> Option<String> {
    let edit = |slot: u8, change: &dyn Fn(&mut serde_json::Value)| {
        let id = id(repository, slot);
        let text = std::fs::read(repository.model_path(&id)).ok();
        let current = text.and_then(|text| serde_json::from_slice(&text).ok());
        let mut value = current.unwrap_or_else(|| model(&id, |_| {}));
        change(&mut value);
        repository.put(&value);
    };
    match step {
        Step::Put(slot, price) => edit(*slot, &|value| value["meta"]["inputCostPerMillionTokens"] = json!(price)),
        Step::Remove(slot) => drop(std::fs::remove_file(repository.model_path(&id(repository, *slot)))),
        Step::Recase(slot) => {
            let id = id(repository, *slot);
            let other = if id.contains('M') { format!("p/m{slot}") } else { format!("p/M{slot}") };
            if repository.model_path(&id).exists() {
                repository.remove(&id);
                repository.put(&model(&other, |_| {}));
            }
        }
        Step::Archive(slot) => edit(*slot, &|value| {
            value["isArchived"] = json!(true);
            value["isAvailable"] = json!(false);
        }),
        Step::Replace(slot, other) => {
            let other = id(repository, *other);
            edit(*slot, &|value| {
                value["isLegacy"] = json!(true);
                value["meta"]["legacyReplacementModelId"] = json!(other);
            });
        }
        Step::Alias(slot, other) => edit(*slot, &|value| value["aliases"] = json!([format!("alias-{other}")])),
        Step::Break(slot) => repository.write(&format!("catalog/models/p/m{slot}.json"), "{\"id\": "),
        Step::Policy(margin) => {
            repository.write("catalog/policy.json", json!({"credits": {"margin": margin + 1}}).to_string());
        }
        Step::Revert(back) => {
            let commit = commits.iter().rev().nth(usize::from(*back))?;
            return repository.try_revert(commit);
        }
        Step::Nothing => {}
    }
    Some(repository.commit(&format!("{step:?}")))
}

async fn check(steps: Vec<Step>) {
    let repository = TestRepository::new();
    let walked = TestTables::embedded().await;
    let mut commits = vec![repository.commit("nothing yet")];
    let mut good = None;
    for step in &steps {
        let Some(made) = commit(&repository, step, &commits) else { continue };
        commits.push(made.clone());
        let (run, _) = walked.sync(&repository).await;
        match run.state {
            State::Applied | State::Unchanged => good = Some((made, run.digest)),
            State::Rejected => {
                let live = good.as_ref().map(|(_, digest)| digest.clone());
                assert_eq!(run.digest, live.unwrap_or_else(|| catalogue::Roots::empty().digest()), "last good stays");
            }
            other => panic!("no guard, and yet {other:?}"),
        }
    }
    walked.check_history().await;
    let Some((commit, digest)) = good else { return };
    assert_eq!(walked.digest().await, digest);

    // Invariant 1: straight to the commit, and from its files alone.
    let jumped = TestTables::embedded().await;
    let (run, _) = jumped
        .sync_with(&repository, |options| {
            options.guard = false;
            options.to = Some(commit.clone());
        })
        .await
        .unwrap();
    assert_eq!(run.digest, digest, "straight to {commit}");
    jumped.check_history().await;
    let location = Location::parse(repository.path().to_str().unwrap()).unwrap();
    let opened = Repository::open(&location, std::path::Path::new("unused")).unwrap();
    let files = read(&opened, &Scope::Whole, commit.parse().unwrap()).unwrap();
    assert_eq!(files.problems, []);
    let specs: Vec<_> = files.proposal.present.iter().map(|sourced| sourced.model.clone()).collect();
    assert_eq!(catalogue::digest(specs.iter()).unwrap(), digest, "from the files alone");

    // What clients read is what the tables hold.
    let reader = Reader::new(walked.store.clone(), std::time::Duration::ZERO);
    let snapshot = reader.current(jiff::Timestamp::now()).await.unwrap().snapshot;
    let mut live: Vec<_> = specs.iter().map(|spec| spec.id.clone()).collect();
    live.sort();
    assert_eq!(snapshot.views().map(|view| view.id.clone()).collect::<Vec<_>>(), live);

    // Invariant 4: the second time changes nothing.
    let (again, _) = jumped
        .sync_with(&repository, |options| {
            options.guard = false;
            options.to = Some(commit);
        })
        .await
        .unwrap();
    assert_eq!((again.state, again.consumed.write), (State::Unchanged, 0.0));
    walked.close().await;
    jumped.close().await;
}

#[test]
fn random_sequences_of_commits() {
    let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(check(steps));
            Ok(())
        })
        .unwrap();
}
