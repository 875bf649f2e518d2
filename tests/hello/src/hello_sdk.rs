//! A function that asks DynamoDB for one item at its start and does nothing else, beside which `scripts/bench cold`
//! measures: what a start with a client and its first connection takes.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = aws_sdk_dynamodb::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let table = std::env::var("PUBLISHED_TABLE")?;
    let head = client.get_item().table_name(table).key("pk", AttributeValue::S("head".to_owned())).send().await?;
    let revision = head.item.is_some();
    let answer = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({"statusCode": 200, "body": revision.to_string()}));
    lambda_runtime::run(service_fn(answer)).await
}
