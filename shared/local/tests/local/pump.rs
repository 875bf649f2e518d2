use std::path::Path;
use std::sync::Arc;

use roster_local::{DynamoDb, Pump};
use roster_store::Store;

use crate::support::{Client, Toy, hosts, template};

async fn pump(toy: &Arc<Toy>, dynamodb: &DynamoDb, store: &Store, directory: Option<&Path>) -> Pump {
    Pump::start(&template(), &hosts(toy), store, dynamodb.endpoint(), directory).await.unwrap()
}

fn handled(toy: &Toy) -> Vec<String> {
    toy.handled.lock().unwrap().clone()
}

#[tokio::test]
async fn a_restart_goes_on_where_the_pump_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let client = Client::new(dynamodb.endpoint());
    let toy = Arc::new(Toy::default());
    client.put("a").await;
    let first = pump(&toy, &dynamodb, &store, Some(directory.path())).await;
    client.put("b").await;
    first.drain().await.unwrap();
    assert_eq!(handled(&toy), ["a", "b"]);
    first.shutdown().await;
    client.put("c").await;
    let second = pump(&toy, &dynamodb, &store, Some(directory.path())).await;
    second.drain().await.unwrap();
    assert_eq!(handled(&toy), ["a", "b", "c"]);
    assert_eq!(second.dead_letters(), []);
    second.shutdown().await;
}

#[tokio::test]
async fn removals_are_filtered_out() {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let client = Client::new(dynamodb.endpoint());
    client.put("a").await;
    client.delete("a").await;
    let toy = Arc::new(Toy::default());
    let pump = pump(&toy, &dynamodb, &store, None).await;
    pump.drain().await.unwrap();
    assert_eq!(handled(&toy), ["a"]);
}

#[tokio::test]
async fn a_poisonous_record_ends_in_the_dead_letters_and_no_other_does() {
    let directory = tempfile::tempdir().unwrap();
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let client = Client::new(dynamodb.endpoint());
    for key in ["a", "b", "poison", "c", "d"] {
        client.put(key).await;
    }
    let toy = Arc::new(Toy::default());
    let pump = pump(&toy, &dynamodb, &store, Some(directory.path())).await;
    pump.drain().await.unwrap();
    assert_eq!(handled(&toy), ["a", "b", "c", "d"]);
    let letters = pump.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].function, "record-history");
    assert_eq!(letters[0].record["dynamodb"]["Keys"]["pk"]["S"], "poison");
    let kept = std::fs::read_to_string(directory.path().join("dead-letters.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 1);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_halved_until_one_record_is_left() {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let client = Client::new(dynamodb.endpoint());
    for key in ["a", "b", "c", "crash", "d"] {
        client.put(key).await;
    }
    let toy = Arc::new(Toy::default());
    let pump = pump(&toy, &dynamodb, &store, None).await;
    pump.drain().await.unwrap();
    assert_eq!(handled(&toy), ["a", "b", "c", "d"]);
    let letters = pump.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].error.as_str(), &letters[0].record["dynamodb"]["Keys"]["pk"]["S"]),
        ("crashed", &serde_json::json!("crash"))
    );
    // Five, three and two records once each, then one, and its five retries.
    assert_eq!(*toy.refused.lock().unwrap(), 3 + 6);
}
