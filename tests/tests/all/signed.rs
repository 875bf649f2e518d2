//! Signed commits: with the rule on, only what an allowed key signed is applied.

use std::path::PathBuf;
use std::process::Command;

use roster_core::policy::SignaturePolicy;
use roster_sync::{CommitReport, RunReport, State};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::TestTables;
use serde_json::json;
use tempfile::TempDir;

/// An SSH key in a directory of its own.
struct Key {
    dir: TempDir,
}

impl Key {
    fn new() -> Self {
        let key = Self { dir: TempDir::new().unwrap() };
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f"];
        assert!(Command::new("ssh-keygen").args(arguments).arg(key.path()).status().unwrap().success());
        key
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    fn public(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("key.pub")).unwrap().trim().to_owned()
    }

    fn fingerprint(&self) -> String {
        let told = Command::new("ssh-keygen").arg("-lf").arg(self.path()).output().unwrap().stdout;
        String::from_utf8(told).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Signs the newest commit anew, and answers what it is now.
    fn sign(&self, repository: &TestRepository) -> String {
        let key = self.path();
        repository.git(&["config", "gpg.format", "ssh"]);
        repository.git(&["config", "user.signingkey", key.to_str().unwrap()]);
        repository.git(&["commit", "--quiet", "--amend", "--no-edit", "--allow-empty", "--gpg-sign"]);
        repository.head()
    }
}

fn put_policy(repository: &TestRepository, required: bool, keys: &[&Key]) {
    let keys: Vec<String> = keys.iter().map(|key| key.public()).collect();
    let policy = json!({ "signatures": { "required": required, "sshKeys": keys } });
    repository.write("catalog/policy.json", policy.to_string());
}

fn put_price(repository: &TestRepository, price: u64) {
    repository.put(&model("p/a", |value| value["meta"]["inputCostPerMillionTokens"] = json!(price)));
}

async fn sync(tables: &TestTables, repository: &TestRepository) -> (RunReport, Vec<CommitReport>) {
    tables.sync_with(repository, |_| {}).await.unwrap()
}

fn said(run: &RunReport) -> Vec<String> {
    run.problems.iter().map(ToString::to_string).collect()
}

/// A repository and tables that ask for signatures by a key.
async fn asking() -> (TestRepository, TestTables, Key) {
    let (repository, tables, key) = (TestRepository::new(), TestTables::embedded().await, Key::new());
    put_price(&repository, 1000);
    repository.commit("not signed, and not asked to be");
    put_policy(&repository, true, &[&key]);
    repository.commit("ask for signatures");
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Applied, "the default policy judges a first sync: {:?}", said(&run));
    (repository, tables, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_an_allowed_key_signed_is_applied() {
    let (repository, tables, key) = asking().await;
    let (before, records) = (sync(&tables, &repository).await.0, tables.records().await);

    put_price(&repository, 1100);
    let unsigned = repository.commit("raise the price");
    // The guard is not what asks: to go without it changes nothing.
    for guard in [true, false] {
        let (run, commits) = tables.sync_with(&repository, |options| options.guard = guard).await.unwrap();
        assert_eq!((run.state, run.digest.as_str(), run.commits), (State::Rejected, before.digest.as_str(), 1));
        let expected = format!("commit {unsigned} is not signed: policy asks for a signature by an allowed key");
        assert_eq!(said(&run), [expected]);
        assert_eq!(commits[0].operations, 0);
    }
    let (dry, _) = tables.sync_with(&repository, |options| options.dry_run = true).await.unwrap();
    assert_eq!(dry.state, State::Rejected, "a dry run says so too");
    assert_eq!(tables.records().await, records);

    let stranger = Key::new();
    put_price(&repository, 1200);
    repository.commit("raise it more");
    let strange = stranger.sign(&repository);
    let (run, commits) = sync(&tables, &repository).await;
    assert_eq!(commits.iter().map(|commit| commit.state).collect::<Vec<_>>(), [State::Rejected; 2]);
    let who = format!("SSH key {}", stranger.fingerprint());
    assert_eq!(said(&run), [format!("commit {strange} is signed by {who}, which policy does not allow")]);
    assert_eq!(tables.records().await, records);

    // What is not signed stops no newer commit, and is a part of its tree.
    repository.put(&model("p/b", |_| {}));
    repository.commit("add a model");
    key.sign(&repository);
    let (run, commits) = sync(&tables, &repository).await;
    let states: Vec<State> = commits.iter().map(|commit| commit.state).collect();
    assert_eq!(states, [State::Rejected, State::Rejected, State::Applied], "{:?}", said(&run));
    assert_eq!(run.operations, 2);

    // A revert is a commit like any other.
    let reverted = repository.revert("HEAD");
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Rejected);
    assert!(said(&run)[0].starts_with(&format!("commit {reverted} is not signed")), "{:?}", said(&run));
    key.sign(&repository);
    assert_eq!(sync(&tables, &repository).await.0.state, State::Applied);
    tables.check_history().await;
    tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_judged_by_the_rule_before_it() {
    let (repository, tables, key) = asking().await;
    let next = Key::new();

    put_policy(&repository, false, &[]);
    repository.commit("turn it off");
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Rejected, "an unsigned commit cannot switch off what rejects it");

    put_policy(&repository, true, &[&next]);
    repository.commit("let another key in");
    next.sign(&repository);
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Rejected, "a key cannot let itself in");

    key.sign(&repository);
    assert_eq!(sync(&tables, &repository).await.0.state, State::Applied);
    put_price(&repository, 1100);
    repository.commit("by the key that was let in");
    next.sign(&repository);
    assert_eq!(sync(&tables, &repository).await.0.state, State::Applied);

    std::fs::remove_file(repository.path().join("catalog/policy.json")).unwrap();
    repository.commit("turn it off");
    key.sign(&repository);
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Rejected, "the key before it is no longer allowed");
    next.sign(&repository);
    assert_eq!(sync(&tables, &repository).await.0.state, State::Applied);
    put_price(&repository, 1000);
    repository.commit("not signed, and not asked to be");
    assert_eq!(sync(&tables, &repository).await.0.state, State::Applied);
    tables.close().await;
}

/// History that was rewritten is one step to the tip, and the tip's signature counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_jump_is_judged_by_the_tip() {
    let (repository, tables, key) = asking().await;
    repository.git(&["commit", "--quiet", "--amend", "--message", "rewritten"]);
    put_price(&repository, 1100);
    repository.commit("not signed");
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!((run.state, run.commits), (State::Rejected, 1));
    put_price(&repository, 1200);
    repository.commit("signed");
    key.sign(&repository);
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!((run.state, run.commits), (State::Applied, 1), "{:?}", said(&run));
    tables.close().await;
}

/// A key that nothing can be signed with would shut everybody out.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_a_key_that_is_none_is_rejected() {
    let (repository, tables, key) = asking().await;
    let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----";
    let signatures = json!({ "required": true, "sshKeys": [key.public()], "gpgKeys": [block] });
    repository.write("catalog/policy.json", serde_json::to_string_pretty(&json!({"signatures": signatures})).unwrap());
    repository.commit("allow nonsense");
    key.sign(&repository);
    let (run, _) = sync(&tables, &repository).await;
    assert_eq!(run.state, State::Rejected);
    let said = said(&run);
    let place = "catalog/policy.json:4:7: /signatures/gpgKeys/0: is not an OpenPGP public key: ";
    assert!(said.len() == 1 && said[0].starts_with(place), "{said:?}");
    tables.close().await;
}

/// The keys in the example of the schema can be read by what verifies with them.
#[test]
fn the_keys_of_the_example_are_keys() {
    let example = include_bytes!("../../../catalog/schema/fixtures/valid/policy-every-key.json");
    let policy = roster_sync::read_policy("policy.json", example).unwrap();
    let SignaturePolicy { required, ssh_keys, gpg_keys } = policy.signatures;
    assert_eq!((required, ssh_keys.len(), gpg_keys.len()), (true, 1, 1));
}
