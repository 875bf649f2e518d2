use roster_local::DynamoDb;
use roster_store::Store;
use roster_store::streams::{Checkpoint, Follower};
use serde_json::json;

use crate::support::{Client, template};

async fn all(follower: &mut Follower, limit: i32) -> (Vec<String>, Option<Checkpoint>) {
    let (mut keys, mut checkpoint) = (Vec::new(), None);
    while let Some(batch) = follower.next(limit).await.unwrap() {
        assert!(batch.records.len() <= limit as usize);
        let key = |record: &serde_json::Value| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
        keys.extend(batch.records.iter().map(key));
        checkpoint = Some(batch.checkpoint);
    }
    (keys, checkpoint)
}

#[tokio::test]
async fn tables_made_twice_are_made_once() {
    let dynamodb = DynamoDb::memory().unwrap();
    dynamodb.store(&template()).await.unwrap();
    Client::new(dynamodb.endpoint()).put("a").await;
    let store = dynamodb.store(&template()).await.unwrap();
    let models = &template().table_names.models;
    let mut follower = Follower::open(&store, dynamodb.endpoint(), models, Checkpoint::default()).await.unwrap();
    assert_eq!(all(&mut follower, 10).await.0, ["a"]);
    dynamodb.shutdown().await;
}

#[tokio::test]
async fn records_come_in_order_and_a_checkpoint_resumes() {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let (client, models) = (Client::new(dynamodb.endpoint()), template().table_names.models);
    let open = async |store: &Store, from| Follower::open(store, dynamodb.endpoint(), &models, from).await.unwrap();

    let mut follower = open(&store, Checkpoint::default()).await;
    assert!(follower.next(2).await.unwrap().is_none());
    for key in ["a", "b", "c"] {
        client.put(key).await;
    }
    let (keys, checkpoint) = all(&mut follower, 2).await;
    assert_eq!(keys, ["a", "b", "c"]);
    client.put("d").await;
    assert_eq!(all(&mut follower, 2).await.0, ["d"]);

    let checkpoint = serde_json::to_string(&checkpoint.unwrap()).unwrap();
    let mut resumed = open(&store, serde_json::from_str(&checkpoint).unwrap()).await;
    assert_eq!(all(&mut resumed, 100).await.0, ["d"]);

    // The same table made anew has another stream: the checkpoint says nothing about it.
    let other = DynamoDb::memory().unwrap();
    let store = other.store(&template()).await.unwrap();
    Client::new(other.endpoint()).put("e").await;
    let from = serde_json::from_str(&checkpoint).unwrap();
    let mut anew = Follower::open(&store, other.endpoint(), &models, from).await.unwrap();
    assert_eq!(all(&mut anew, 100).await.0, ["e"]);
}

#[tokio::test]
async fn records_look_as_lambda_delivers_them() {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let (client, models) = (Client::new(dynamodb.endpoint()), template().table_names.models);
    client.put("a").await;
    client.put("a").await;
    client.delete("a").await;
    let mut follower = Follower::open(&store, dynamodb.endpoint(), &models, Checkpoint::default()).await.unwrap();
    let records = follower.next(10).await.unwrap().unwrap().records;
    let names: Vec<_> = records.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let image = json!({"pk": {"S": "a"}, "sk": {"S": "model"}, "price": {"N": "1250"}});
    let change = &records[0]["dynamodb"];
    assert_eq!(change["NewImage"], image);
    assert_eq!(change["Keys"], json!({"pk": {"S": "a"}, "sk": {"S": "model"}}));
    assert!(change.get("OldImage").is_none());
    assert!(change["ApproximateCreationDateTime"].is_number() && change["SizeBytes"].is_number());
    assert_eq!(change["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert_eq!(records[2]["dynamodb"]["OldImage"], image);
    assert_eq!(records[0]["eventSource"], "aws:dynamodb");
    assert!(records[0]["eventSourceARN"].as_str().unwrap().contains(&models));
}

#[tokio::test]
async fn a_table_from_before_it_had_a_stream_gets_one() {
    let dynamodb = DynamoDb::memory().unwrap();
    let mut older = template();
    older.tables.iter_mut().for_each(|table| table.spec.stream = None);
    let store = dynamodb.store(&older).await.unwrap();
    let runtime = template().table_names.runtime;
    let open = async || Follower::open(&store, dynamodb.endpoint(), &runtime, Checkpoint::default()).await;
    assert!(open().await.is_err());
    dynamodb.store(&template()).await.unwrap();
    assert!(open().await.unwrap().next(10).await.unwrap().is_none());
    dynamodb.shutdown().await;
}

#[tokio::test]
async fn a_table_without_a_stream_is_refused() {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template()).await.unwrap();
    let history = template().table_names.history;
    let error = Follower::open(&store, dynamodb.endpoint(), &history, Checkpoint::default()).await.unwrap_err();
    assert!(error.to_string().contains("no stream"), "{error}");
}
