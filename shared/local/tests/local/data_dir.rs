use std::os::unix::fs::PermissionsExt as _;

use roster_local::DataDir;

use crate::support::{Client, template};

#[tokio::test]
async fn a_second_opener_is_sent_to_the_first_ones_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::create(directory.path().join(".roster")).unwrap();
    let first = data.open().await.unwrap();
    assert!(first.is_owner());
    first.store(&template()).await.unwrap();
    let second = data.open().await.unwrap();
    assert!(!second.is_owner());
    assert_eq!(second.endpoint(), first.endpoint());
    Client::new(second.endpoint()).put("a").await;
    second.shutdown().await;
    first.shutdown().await;

    // Closed is free, and what was written is there.
    let third = data.open().await.unwrap();
    assert!(third.is_owner());
    let store = third.store(&template()).await.unwrap();
    let models = template().table_names.models;
    let mut follower =
        roster_store::streams::Follower::open(&store, third.endpoint(), &models, Default::default()).await.unwrap();
    assert_eq!(follower.next(10).await.unwrap().unwrap().records.len(), 1);
    third.shutdown().await;
}

#[tokio::test]
async fn a_holder_that_does_not_answer_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::create(directory.path()).unwrap();
    let lock = std::fs::File::create(directory.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    // Port 1 is nobody's.
    std::fs::write(directory.path().join("endpoint"), "http://127.0.0.1:1").unwrap();
    let error = data.open().await.unwrap_err().to_string();
    assert!(error.contains("in use by another process") && error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn the_secret_is_made_once_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::create(directory.path()).unwrap();
    let secret = data.dev_secret().unwrap();
    assert_eq!(secret.len(), 64);
    assert_eq!(data.dev_secret().unwrap(), secret);
    let file = directory.path().join("dev-secret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left behind");
    std::fs::write(&file, "short").unwrap();
    assert!(data.dev_secret().unwrap_err().to_string().contains("dev-secret"));
}
