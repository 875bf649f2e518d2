//! A function that does nothing, beside which `scripts/bench cold` measures: what a start takes at the least.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let answer = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({"statusCode": 200, "body": "hello"}));
    lambda_runtime::run(service_fn(answer)).await
}
