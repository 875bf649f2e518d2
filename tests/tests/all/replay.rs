//! The real history in `shared/data` beside the repository: the way to its tip leaves no trace.

use roster_sync::State;
use roster_tests::repository::TestRepository;
use roster_tests::tables::TestTables;

/// How many of its 900 commits are walked here; `scripts/bench replay` walks them all.
const COMMITS: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_commits_of_a_real_catalogue() {
    let Some((repository, commits)) = TestRepository::of_real_history() else { return };
    let commit = commits[COMMITS - 1].clone();
    let sync = async |tables: &TestTables, every_commit: bool| {
        let options = |options: &mut roster_sync::Options| {
            options.guard = false;
            options.every_commit = every_commit;
            options.to = Some(commit.clone());
        };
        tables.sync_with(&repository, options).await.unwrap().0
    };
    let (walked, jumped) = (TestTables::embedded().await, TestTables::embedded().await);
    let every = sync(&walked, true).await;
    assert_eq!((every.commits, every.rejected, every.state), (COMMITS, 0, State::Applied));
    let once = sync(&jumped, false).await;
    assert_eq!(once.digest, every.digest);
    assert_eq!(walked.digest().await, jumped.digest().await);
    walked.check_history().await;
    jumped.check_history().await;
    walked.close().await;
    jumped.close().await;
}
