//! Following a table's stream, as Lambda's event source mapping does.

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Region};
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{
    AttributeValue, OperationType, Record, Shard, ShardIteratorType, StreamRecord, StreamViewType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::{Store, StoreError, call, local_credentials, timeouts};

/// How far a stream is read: what a restart continues from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The stream that it belongs to: a table made anew has another one, which is read from its start.
    stream: String,
    shards: BTreeMap<String, Position>,
}

/// How far a shard is read; a shard without a position is read from its oldest record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Position {
    After(String),
    Ended,
}

/// Records of one shard in their order, as Lambda delivers them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The records, each an element of an event's `Records`.
    pub records: Vec<Value>,
    /// Where to continue once they are handled.
    pub checkpoint: Checkpoint,
}

/// Follows a stream from its oldest record, or from a checkpoint.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    checkpoint: Checkpoint,
    /// The shards known, parents before children.
    shards: Vec<Shard>,
    iterators: BTreeMap<String, String>,
    /// Whether the shards may have changed, or something was not where it should be.
    stale: bool,
    /// Whose turn it is, so that a busy shard does not starve the others.
    turn: usize,
}

impl Follower {
    /// A follower of the stream of a table on a DynamoDB that serves streams at the tables' endpoint.
    ///
    /// # Errors
    /// [`StoreError::Call`], and [`StoreError::Corrupt`] where the table has no stream.
    pub async fn open(store: &Store, endpoint: &str, table: &str, from: Checkpoint) -> Result<Self, StoreError> {
        let answer = store.client.describe_table().table_name(table).send().await.map_err(call("DescribeTable"))?;
        let Some(stream) = answer.table.and_then(|table| table.latest_stream_arn) else {
            return Err(StoreError::Corrupt { key: table.to_owned(), message: "the table has no stream".to_owned() });
        };
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(local_credentials())
            .timeout_config(timeouts())
            .endpoint_url(endpoint)
            .build();
        let checkpoint = if from.stream == stream { from } else { Checkpoint { stream, shards: BTreeMap::new() } };
        let client = Client::from_conf(config);
        Ok(Self { client, checkpoint, shards: Vec::new(), iterators: BTreeMap::new(), stale: true, turn: 0 })
    }

    /// The next records of some shard, at most `limit`; `None` when no open shard has any now.
    ///
    /// The follower moves on at once. Who could not handle a batch keeps it, or follows again from
    /// the checkpoint before it.
    ///
    /// # Errors
    /// [`StoreError::Call`]; the follower can be asked again.
    pub async fn next(&mut self, limit: i32) -> Result<Option<Batch>, StoreError> {
        loop {
            if self.stale {
                self.refresh().await?;
            }
            let open: Vec<String> = self.open_shards();
            for offset in 0..open.len() {
                let shard = &open[(self.turn + offset) % open.len()];
                let records = self.read(shard, limit).await?;
                if !records.is_empty() {
                    self.turn = (self.turn + offset + 1) % open.len();
                    return Ok(Some(Batch { records, checkpoint: self.checkpoint.clone() }));
                }
            }
            // A shard that ended has opened its children, which are read at once.
            if !self.stale {
                return Ok(None);
            }
        }
    }

    /// The shards whose parents are read to their ends: a child's records follow its parent's.
    fn open_shards(&self) -> Vec<String> {
        let known = |id: &str| self.shards.iter().any(|shard| shard.shard_id() == Some(id));
        let ended = |id: &str| self.checkpoint.shards.get(id) == Some(&Position::Ended);
        let open = |shard: &&Shard| {
            let ready = shard.parent_shard_id().is_none_or(|parent| !known(parent) || ended(parent));
            ready && shard.shard_id().is_some_and(|id| !ended(id))
        };
        self.shards.iter().filter(open).filter_map(|shard| shard.shard_id.clone()).collect()
    }

    /// Learns the stream's shards, and forgets those that the stream has forgotten.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let (mut shards, mut after) = (Vec::new(), None);
        loop {
            let request = self.client.describe_stream().stream_arn(&self.checkpoint.stream);
            let answer = request.set_exclusive_start_shard_id(after).send().await.map_err(call("DescribeStream"))?;
            let Some(stream) = answer.stream_description else { break };
            shards.extend(stream.shards.unwrap_or_default());
            after = stream.last_evaluated_shard_id;
            if after.is_none() {
                break;
            }
        }
        self.shards = shards;
        self.stale = false;
        let known: Vec<&str> = self.shards.iter().filter_map(Shard::shard_id).collect();
        self.checkpoint.shards.retain(|id, _| known.contains(&id.as_str()));
        self.iterators.retain(|id, _| known.contains(&id.as_str()));
        Ok(())
    }

    /// What is next in a shard: nothing also where its position has to be found anew first.
    async fn read(&mut self, shard: &str, limit: i32) -> Result<Vec<Value>, StoreError> {
        let iterator = match self.iterators.remove(shard) {
            Some(iterator) => Some(iterator),
            None => self.iterator(shard).await?,
        };
        let Some(iterator) = iterator else { return Ok(Vec::new()) };
        let answer = match self.client.get_records().shard_iterator(iterator).limit(limit).send().await {
            Ok(answer) => answer,
            // Asked too late, as after a laptop's sleep: the position still says where to go on.
            Err(error) if error.as_service_error().is_some_and(GetRecordsError::is_expired_iterator_exception) => {
                self.stale = true;
                return Ok(Vec::new());
            }
            Err(error) if error.as_service_error().is_some_and(GetRecordsError::is_trimmed_data_access_exception) => {
                self.restart(shard);
                return Ok(Vec::new());
            }
            Err(error) => {
                self.stale = true;
                return Err(call("GetRecords")(error));
            }
        };
        let records = answer.records.unwrap_or_default();
        let last = records.iter().rev().find_map(|record| record.dynamodb.as_ref()?.sequence_number.clone());
        let position = match answer.next_shard_iterator {
            Some(iterator) => {
                self.iterators.insert(shard.to_owned(), iterator);
                last.map(Position::After)
            }
            None => {
                self.stale = true;
                Some(Position::Ended)
            }
        };
        self.checkpoint.shards.extend(position.map(|position| (shard.to_owned(), position)));
        Ok(records.into_iter().map(|record| delivered(record, &self.checkpoint.stream)).collect())
    }

    /// An iterator at the shard's position; `None` when the shard or the position is gone.
    async fn iterator(&mut self, shard: &str) -> Result<Option<String>, StoreError> {
        let request = self.client.get_shard_iterator().stream_arn(&self.checkpoint.stream).shard_id(shard);
        let request = match self.checkpoint.shards.get(shard) {
            Some(Position::After(sequence)) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence)
            }
            _ => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        match request.send().await.map_err(SdkError::into_service_error) {
            Ok(answer) => Ok(answer.shard_iterator),
            Err(GetShardIteratorError::TrimmedDataAccessException(_)) => {
                self.restart(shard);
                Ok(None)
            }
            Err(error) => {
                self.stale = true;
                Err(call("GetShardIterator")(error))
            }
        }
    }

    /// The stream keeps records for a day: what is older is lost, and the oldest left is next.
    fn restart(&mut self, shard: &str) {
        tracing::warn!(stream = self.checkpoint.stream, shard, "stream trimmed beyond the checkpoint");
        self.checkpoint.shards.remove(shard);
        self.stale = true;
    }
}

/// A record as an element of the `Records` of Lambda's event.
fn delivered(record: Record, stream: &str) -> Value {
    let mut event = json!({
        "eventID": record.event_id,
        "eventName": record.event_name.as_ref().map(OperationType::as_str),
        "eventVersion": record.event_version,
        "eventSource": record.event_source,
        "awsRegion": record.aws_region,
        "dynamodb": record.dynamodb.map(change),
        "eventSourceARN": stream,
    });
    // Only what expired has an identity: DynamoDB's own.
    if let Some(identity) = record.user_identity {
        event["userIdentity"] = json!({ "type": identity.r#type, "principalId": identity.principal_id });
    }
    event
}

fn change(record: StreamRecord) -> Value {
    let mut change = json!({
        "ApproximateCreationDateTime": record.approximate_creation_date_time.map(|time| time.secs()),
        "Keys": record.keys.map(item),
        "SequenceNumber": record.sequence_number,
        "SizeBytes": record.size_bytes,
        "StreamViewType": record.stream_view_type.as_ref().map(StreamViewType::as_str),
    });
    if let Some(image) = record.new_image {
        change["NewImage"] = item(image);
    }
    if let Some(image) = record.old_image {
        change["OldImage"] = item(image);
    }
    change
}

fn item(attributes: impl IntoIterator<Item = (String, AttributeValue)>) -> Value {
    attributes.into_iter().map(|(name, value)| (name, attribute(value))).collect::<Map<_, _>>().into()
}

/// A value in DynamoDB's JSON.
fn attribute(value: AttributeValue) -> Value {
    let binary = |blob: Blob| BASE64.encode(blob);
    match value {
        AttributeValue::B(blob) => json!({ "B": binary(blob) }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.into_iter().map(binary).collect::<Vec<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.into_iter().map(attribute).collect::<Vec<_>>() }),
        AttributeValue::M(attributes) => json!({ "M": item(attributes) }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Null(value) => json!({ "NULL": value }),
        AttributeValue::S(string) => json!({ "S": string }),
        AttributeValue::Ss(strings) => json!({ "SS": strings }),
        // A type that this SDK does not know: the record says so, and who handles it decides.
        _ => Value::Null,
    }
}
