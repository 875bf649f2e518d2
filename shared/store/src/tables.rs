//! Making the tables, where no CloudFormation does: on the embedded DynamoDB and on DynamoDB Local.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification,
};

use crate::client::{Store, StoreError, call};

/// A table to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: KeySpec,
    /// Its global secondary indexes; each projects all attributes.
    pub indexes: Vec<IndexSpec>,
    /// What its stream tells of a change, where it has a stream.
    pub stream: Option<StreamView>,
    /// The attribute that says when an item expires.
    pub ttl: Option<String>,
}

/// What a stream tells of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamView {
    /// The item after it.
    NewImage,
    /// The item before and after it.
    NewAndOldImages,
}

/// A global secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSpec {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: KeySpec,
}

/// The key of a table or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key.
    pub sort: Option<KeyAttribute>,
}

/// An attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: KeyKind,
}

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `S`.
    String,
    /// `N`.
    Number,
}

/// Makes the tables that do not exist, and waits until all of them can be used. A table that exists gets the stream
/// and the expiry that it lacks, as a new version of the template gives them, and is left as it is otherwise.
///
/// # Errors
/// [`StoreError::Call`].
pub async fn create_missing(store: &Store, specs: &[TableSpec]) -> Result<(), StoreError> {
    for spec in specs {
        create(&store.client, spec).await?;
    }
    for spec in specs {
        let has_stream = until_active(&store.client, &spec.name).await?;
        if let Some(view) = spec.stream.filter(|_| !has_stream) {
            add_stream(&store.client, &spec.name, view).await?;
            until_active(&store.client, &spec.name).await?;
        }
        if let Some(attribute) = &spec.ttl {
            expire_by(&store.client, &spec.name, attribute).await?;
        }
    }
    Ok(())
}

async fn create(client: &Client, spec: &TableSpec) -> Result<(), StoreError> {
    match request(client, spec).map_err(call("CreateTable"))?.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => Ok(()),
        Err(error) => Err(call("CreateTable")(error)),
    }
}

fn request(client: &Client, spec: &TableSpec) -> Result<CreateTableFluentBuilder, BuildError> {
    let indexes = spec.indexes.iter().map(index).collect::<Result<Vec<_>, _>>()?;
    let stream = spec.stream.map(stream).transpose()?;
    Ok(client
        .create_table()
        .table_name(&spec.name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes(spec)?))
        .set_key_schema(Some(key_schema(&spec.key)?))
        .set_global_secondary_indexes(Some(indexes).filter(|indexes| !indexes.is_empty()))
        .set_stream_specification(stream))
}

fn stream(view: StreamView) -> Result<StreamSpecification, BuildError> {
    let view = match view {
        StreamView::NewImage => StreamViewType::NewImage,
        StreamView::NewAndOldImages => StreamViewType::NewAndOldImages,
    };
    StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build()
}

async fn add_stream(client: &Client, table: &str, view: StreamView) -> Result<(), StoreError> {
    let stream = stream(view).map_err(call("UpdateTable"))?;
    let request = client.update_table().table_name(table).stream_specification(stream);
    request.send().await.map_err(call("UpdateTable"))?;
    Ok(())
}

/// Every attribute of a key, once, whichever keys it is part of.
fn attributes(spec: &TableSpec) -> Result<Vec<AttributeDefinition>, BuildError> {
    let keys = std::iter::once(&spec.key).chain(spec.indexes.iter().map(|index| &index.key));
    let mut attributes: Vec<&KeyAttribute> =
        keys.flat_map(|key| std::iter::once(&key.partition).chain(&key.sort)).collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes.dedup();
    let definition = |attribute: &KeyAttribute| {
        let kind = match attribute.kind {
            KeyKind::String => ScalarAttributeType::S,
            KeyKind::Number => ScalarAttributeType::N,
        };
        AttributeDefinition::builder().attribute_name(&attribute.name).attribute_type(kind).build()
    };
    attributes.into_iter().map(definition).collect()
}

fn index(spec: &IndexSpec) -> Result<GlobalSecondaryIndex, BuildError> {
    GlobalSecondaryIndex::builder()
        .index_name(&spec.name)
        .set_key_schema(Some(key_schema(&spec.key)?))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
}

fn key_schema(key: &KeySpec) -> Result<Vec<KeySchemaElement>, BuildError> {
    let element = |attribute: &KeyAttribute, kind| {
        KeySchemaElement::builder().attribute_name(&attribute.name).key_type(kind).build()
    };
    let partition = std::iter::once(element(&key.partition, KeyType::Hash));
    partition.chain(key.sort.iter().map(|sort| element(sort, KeyType::Range))).collect()
}

/// Waits until a table can be used; answers whether it has a stream.
async fn until_active(client: &Client, table: &str) -> Result<bool, StoreError> {
    loop {
        let answer = client.describe_table().table_name(table).send().await.map_err(call("DescribeTable"))?;
        if let Some(table) = answer.table.filter(|table| table.table_status == Some(TableStatus::Active)) {
            return Ok(table.stream_specification.is_some_and(|stream| stream.stream_enabled));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// DynamoDB refuses to set what is set already, so it is asked first.
async fn expire_by(client: &Client, table: &str, attribute: &str) -> Result<(), StoreError> {
    let answer = client.describe_time_to_live().table_name(table).send().await.map_err(call("DescribeTimeToLive"))?;
    if answer.time_to_live_description.and_then(|ttl| ttl.attribute_name).as_deref() == Some(attribute) {
        return Ok(());
    }
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
    let ttl = ttl.map_err(call("UpdateTimeToLive"))?;
    let request = client.update_time_to_live().table_name(table).time_to_live_specification(ttl);
    request.send().await.map_err(call("UpdateTimeToLive"))?;
    Ok(())
}
