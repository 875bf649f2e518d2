//! The hash that a reviewer reads on a pull request is the hash that the run of its merge reports, so that an approval
//! given before the merge is one of what the merge does.

use std::path::Path;

use jiff::Timestamp;
use roster_git::{Location, Repository};
use roster_sync::offline::plan_between;
use roster_sync::{CommitReport, PlanReport, State};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;

/// What a pull request of the branch `pr` onto `main` is told.
fn planned(repository: &TestRepository, revision: u64) -> PlanReport {
    let location = Location::parse(repository.path().to_str().unwrap()).unwrap();
    let opened = Repository::open(&location, Path::new("unused")).unwrap();
    let commit = |name: &str| opened.resolve(name).unwrap();
    plan_between(&opened, commit("main"), commit("pr"), revision, Timestamp::now()).unwrap()
}

/// A repository that is live at its second revision, with `pr` checked out: a price that is held, in two commits.
async fn live() -> (TestRepository, TestTables) {
    let repository = TestRepository::new();
    for id in ["p/a", "p/b", "p/c"] {
        repository.put(&model(id, |_| {}));
    }
    repository.commit("start");
    let tables = TestTables::embedded().await;
    tables.sync(&repository).await;
    price(&repository, "p/b", 1300);
    repository.commit("a price");
    tables.sync(&repository).await;
    repository.git(&["switch", "--quiet", "--create", "pr"]);
    price(&repository, "p/a", 99_000);
    repository.commit("another price");
    repository.put(&model("p/new", |value| value["meta"]["displayName"] = json!("A name, with \"quotes\" and é")));
    repository.remove("p/c");
    repository.commit("a new model for an old one");
    (repository, tables)
}

fn price(repository: &TestRepository, id: &str, price: u64) {
    repository.put(&model(id, |value| value["meta"]["inputCostPerMillionTokens"] = json!(price)));
}

fn on_main(repository: &TestRepository, arguments: &[&str]) {
    repository.git(&["switch", "--quiet", "main"]);
    repository.git(arguments);
}

/// What the runs say of each commit, under the guard.
async fn run(repository: &TestRepository, tables: &TestTables) -> Vec<CommitReport> {
    tables.sync_with(repository, |_| {}).await.unwrap().1
}

async fn revision(tables: &TestTables) -> u64 {
    tables.store.head(true).await.unwrap().unwrap().revision
}

/// Plans `pr`, merges it, and wants the run to hold exactly that plan.
async fn the_held_run_has_the_hash_of_the_plan(merge: impl FnOnce(&TestRepository)) {
    let (repository, tables) = live().await;
    assert_eq!(revision(&tables).await, 2);
    let plan = planned(&repository, 2);
    assert_eq!(plan.holds.len(), 1, "{:?}", plan.holds);
    on_main(&repository, &["status"]);
    merge(&repository);
    let reports = run(&repository, &tables).await;
    assert_eq!(reports.iter().map(|report| report.state).collect::<Vec<_>>(), [State::Held]);
    assert_eq!(reports[0].plan_hash.as_ref(), Some(&plan.hash));
    assert_eq!(reports[0].plan, plan.plan);
    assert_eq!(reports[0].holds, plan.holds);
    assert!(plan.review().markdown().contains(&format!("`Roster-Approve: {}`", plan.hash)));
    assert_ne!(planned(&repository, 1).hash, plan.hash, "the hash is of the live revision");
    tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_merge() {
    the_held_run_has_the_hash_of_the_plan(|repository| {
        let message = "Merge pull request #7 from ann/pr";
        repository.git(&["merge", "--quiet", "--no-ff", "--message", message, "pr"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_squash() {
    the_held_run_has_the_hash_of_the_plan(|repository| {
        repository.git(&["merge", "--quiet", "--squash", "pr"]);
        repository.commit("Another price (#7)");
    })
    .await;
}

/// A rebase of one commit gives it another id, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_rebase_of_one_commit() {
    the_held_run_has_the_hash_of_the_plan(|repository| {
        let tree = repository.git(&["rev-parse", "pr^{tree}"]);
        let commit = repository.git(&["commit-tree", &tree, "-p", "main", "-m", "Rebased (#7)"]);
        repository.git(&["reset", "--quiet", "--hard", &commit]);
    })
    .await;
}

/// A rebase of several commits is judged commit by commit. While all of them are held, the last one is judged against
/// what is live, as the plan was; once an earlier one is applied, the live revision is another.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_rebase_of_several_commits_as_long_as_none_is_applied() {
    let (repository, tables) = live().await;
    let plan = planned(&repository, 2);
    on_main(&repository, &["merge", "--quiet", "--ff-only", "pr"]);
    let reports = run(&repository, &tables).await;
    assert_eq!(reports.iter().map(|report| report.state).collect::<Vec<_>>(), [State::Held, State::Held]);
    assert_ne!(reports[0].plan_hash.as_ref(), Some(&plan.hash));
    assert_eq!(reports[1].plan_hash.as_ref(), Some(&plan.hash));
    tables.close().await;

    let (repository, tables) = live().await;
    repository.git(&["reset", "--quiet", "--hard", "main"]);
    price(&repository, "p/b", 1400);
    repository.commit("goes through");
    price(&repository, "p/a", 99_000);
    repository.commit("is held");
    let plan = planned(&repository, 2);
    on_main(&repository, &["merge", "--quiet", "--ff-only", "pr"]);
    let reports = run(&repository, &tables).await;
    assert_eq!(reports.iter().map(|report| report.state).collect::<Vec<_>>(), [State::Applied, State::Held]);
    assert_ne!(reports[1].plan_hash.as_ref(), Some(&plan.hash));
    tables.close().await;
}

/// A commit outside the catalogue moves what is live without a revision: the base is the branch's tip then, not the
/// commit that the revision was published from.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_commit_that_published_nothing() {
    let (repository, tables) = live().await;
    on_main(&repository, &["status"]);
    repository.write("README.md", "read me");
    repository.commit("a page");
    assert_eq!(run(&repository, &tables).await[0].state, State::Unchanged);
    repository.git(&["switch", "--quiet", "pr"]);
    repository.git(&["rebase", "--quiet", "main"]);
    let plan = planned(&repository, revision(&tables).await);
    on_main(&repository, &["merge", "--quiet", "--no-ff", "--message", "Merge pull request #7 from ann/pr", "pr"]);
    let reports = run(&repository, &tables).await;
    assert_eq!(reports[0].plan_hash.as_ref(), Some(&plan.hash));
    tables.close().await;
}

/// Whatever moves the live catalogue after the review gives the run another plan to approve.
#[tokio::test(flavor = "multi_thread")]
async fn not_of_a_branch_that_is_behind() {
    let (repository, tables) = live().await;
    let plan = planned(&repository, 2);
    on_main(&repository, &["status"]);
    price(&repository, "p/b", 1400);
    repository.commit("meanwhile");
    run(&repository, &tables).await;
    repository.git(&["merge", "--quiet", "--no-ff", "--message", "Merge pull request #7 from ann/pr", "pr"]);
    let reports = run(&repository, &tables).await;
    assert_eq!(reports[0].state, State::Held);
    assert_ne!(reports[0].plan_hash.as_ref(), Some(&plan.hash));
    assert_eq!(reports[0].plan.steps.len(), 3, "the merge keeps what came meanwhile");
    tables.close().await;
}
