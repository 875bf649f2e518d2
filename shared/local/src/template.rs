//! `template.yaml`, as the local stack understands it.
//!
//! What changes how Roster behaves is read, and what of that is not understood is an error; what
//! only AWS acts on (permissions, alarms, logs) is named here, so that nothing is overlooked.

mod expression;
mod yaml;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use roster_http::Env;
use roster_store::TableNames;
use roster_store::tables::{IndexSpec, KeyAttribute, KeyKind, KeySpec, StreamView, TableSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::filter::Filter;
use crate::router::Pattern;
use expression::Scope;

/// The deployed template.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// What the template says, with the local stack's values in it.
#[derive(Clone, Debug)]
pub struct Template {
    /// The functions, by logical id.
    pub functions: Vec<Function>,
    /// The tables, by logical id.
    pub tables: Vec<Table>,
    /// The names of the four tables.
    pub table_names: TableNames,
    extra: BTreeMap<String, String>,
}

/// What the local stack sets.
#[derive(Clone, Debug, Default)]
pub struct LocalValues {
    /// Parameters, instead of their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Environment variables that no deployed function has.
    pub environment: BTreeMap<String, String>,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// What the template calls it.
    pub logical_id: String,
    /// Its `Handler`: what the artifact calls it.
    pub name: String,
    /// The last part of its `CodeUri`.
    pub artifact: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// The routes that it serves.
    pub routes: Vec<Route>,
    /// When it is called.
    pub schedules: Vec<Schedule>,
    /// The streams that it is called with.
    pub streams: Vec<StreamSource>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: Pattern,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What the template calls it.
    pub name: String,
    /// The time between two calls.
    pub every: Duration,
}

/// A stream that a function is called with.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSource {
    /// The logical id of the stream's table.
    pub table: String,
    /// How many records a call takes at most.
    pub batch_size: i32,
    /// A record is delivered when one of these lets it pass, or when there are none.
    pub filters: Vec<Filter>,
    /// Whether an answer says which records failed.
    pub reports_failures: bool,
    /// Whether a failed batch is halved.
    pub bisects: bool,
    /// How often a batch is tried again; without a limit, until it succeeds.
    pub max_retries: Option<u32>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What the template calls it.
    pub logical_id: String,
    /// What it is.
    pub spec: TableSpec,
}

/// What the local stack does not understand in the template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template.yaml: {place}{message}")]
pub struct TemplateError {
    place: String,
    message: String,
}

impl Template {
    /// The deployed template, with local values.
    ///
    /// # Errors
    /// [`TemplateError`], also for a parameter that the template does not have.
    pub fn load(values: &LocalValues) -> Result<Self, TemplateError> {
        Self::parse(TEMPLATE, values)
    }

    /// A template from its text.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str, values: &LocalValues) -> Result<Self, TemplateError> {
        // The message of a YAML error has its line and column.
        let document = yaml::parse(text).map_err(|error| at("", error))?;
        let raw: RawTemplate = typed("", document)?;
        let mut scope = Scope { references: references(&raw.parameters, &values.parameters)?, ..Scope::default() };
        for (name, condition) in &raw.conditions {
            let holds = scope.holds(condition).map_err(|message| at(name, message))?;
            scope.conditions.insert(name.clone(), holds);
        }
        let globals = raw.globals.function.unwrap_or_default();
        let (mut functions, mut tables) = (Vec::new(), Vec::new());
        // Tables first: functions refer to them.
        for (id, resource) in &raw.resources {
            match resource.kind.as_str() {
                TABLE => tables.push(table(id, resource, &scope)?),
                kind if kind == FUNCTION || ONLY_ON_AWS.contains(&kind) => {}
                kind => return Err(at(id, format_args!("type {kind} is not known to the local stack"))),
            }
        }
        let named = |table: &Table| (table.logical_id.clone(), table.spec.name.clone());
        scope.references.extend(tables.iter().map(named));
        // There is no SNS here: who is told of a topic is told of none.
        let topics = raw.resources.iter().filter(|(_, resource)| resource.kind == TOPIC);
        scope.references.extend(topics.map(|(id, _)| (id.clone(), String::new())));
        for (id, resource) in raw.resources.iter().filter(|(_, resource)| resource.kind == FUNCTION) {
            functions.push(function(id, resource, &globals, &scope)?);
        }
        let table_names = table_names(&tables)?;
        let streamed =
            functions.iter().flat_map(|function| function.streams.iter().map(move |stream| (function, stream)));
        for (function, stream) in streamed {
            if !tables.iter().any(|table| table.logical_id == stream.table && table.spec.stream.is_some()) {
                return Err(at(&function.logical_id, format_args!("{} is not a table with a stream", stream.table)));
            }
        }
        Ok(Self { functions, tables, table_names, extra: values.environment.clone() })
    }

    /// The environment that the functions of an artifact share.
    ///
    /// # Errors
    /// [`TemplateError`] when two of them give a variable different values, or there are none.
    pub fn env_for(&self, artifact: &str) -> Result<Env, TemplateError> {
        let mut merged: BTreeMap<String, String> = BTreeMap::new();
        let mut functions = self.functions.iter().filter(|function| function.artifact == artifact).peekable();
        if functions.peek().is_none() {
            return Err(at("", format_args!("no function has the artifact {artifact}")));
        }
        for function in functions {
            for (name, value) in &function.environment {
                if merged.insert(name.clone(), value.clone()).is_some_and(|other| other != *value) {
                    let message = format_args!("{name} differs from that of another function of {artifact}");
                    return Err(at(&function.logical_id, message));
                }
            }
        }
        merged.extend(self.extra.clone());
        Ok(merged.into_iter().collect())
    }

    pub(crate) fn env_of(&self, function: &Function) -> Env {
        self.variables_of(function).collect()
    }

    /// The environment of a function: what the template says, and what the local stack adds.
    pub(crate) fn variables_of(&self, function: &Function) -> impl Iterator<Item = (String, String)> + use<> {
        function.environment.clone().into_iter().chain(self.extra.clone())
    }

    pub(crate) fn table_name(&self, logical_id: &str) -> Option<&str> {
        let table = self.tables.iter().find(|table| table.logical_id == logical_id)?;
        Some(&table.spec.name)
    }
}

const FUNCTION: &str = "AWS::Serverless::Function";
const TABLE: &str = "AWS::DynamoDB::Table";
const TOPIC: &str = "AWS::SNS::Topic";
const ONLY_ON_AWS: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    TOPIC,
    "AWS::SQS::Queue",
    "AWS::Serverless::Api",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawTemplate {
    #[serde(default)]
    parameters: BTreeMap<String, RawParameter>,
    #[serde(default)]
    conditions: BTreeMap<String, Value>,
    #[serde(default)]
    globals: RawGlobals,
    resources: BTreeMap<String, RawResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawParameter {
    default: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawGlobals {
    function: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawResource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default, rename = "Metadata")]
    _metadata: Value,
    #[serde(default, rename = "DeletionPolicy")]
    _deletion_policy: Value,
    #[serde(default, rename = "UpdateReplacePolicy")]
    _update_replace_policy: Value,
}

const FUNCTION_ONLY_ON_AWS: &[&str] = &[
    "Architectures",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "DeploymentPreference",
    "EventInvokeConfig",
    "FunctionName",
    "LoggingConfig",
    "MemorySize",
    "Policies",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawFunction {
    code_uri: String,
    handler: String,
    timeout: u64,
    #[serde(default)]
    environment: RawEnvironment,
    #[serde(default)]
    events: BTreeMap<String, RawEvent>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawEnvironment {
    variables: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawEvent {
    #[serde(rename = "Type")]
    kind: String,
    properties: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawRoute {
    method: String,
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawSchedule {
    schedule: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStream {
    stream: RawStreamArn,
    starting_position: TrimHorizon,
    #[serde(default = "RawStream::default_batch_size")]
    batch_size: i32,
    #[serde(default)]
    function_response_types: Vec<ResponseType>,
    #[serde(default)]
    bisect_batch_on_function_error: bool,
    maximum_retry_attempts: Option<i64>,
    #[serde(default)]
    filter_criteria: RawFilters,
}

impl RawStream {
    /// Lambda's own.
    fn default_batch_size() -> i32 {
        100
    }
}

#[derive(Deserialize)]
struct RawStreamArn {
    #[serde(rename = "Fn::GetAtt")]
    path: (String, StreamArn),
}

#[derive(Deserialize)]
enum StreamArn {
    StreamArn,
}

#[derive(Deserialize)]
enum TrimHorizon {
    #[serde(rename = "TRIM_HORIZON")]
    TrimHorizon,
}

#[derive(Deserialize)]
enum ResponseType {
    ReportBatchItemFailures,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawFilters {
    filters: Vec<RawFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawFilter {
    pattern: String,
}

const TABLE_ONLY_ON_AWS: &[&str] =
    &["BillingMode", "DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "SSESpecification"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawTable {
    table_name: Value,
    attribute_definitions: Vec<RawAttribute>,
    key_schema: Vec<RawKey>,
    #[serde(default)]
    global_secondary_indexes: Vec<RawIndex>,
    stream_specification: Option<RawStreamView>,
    time_to_live_specification: Option<RawTimeToLive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawAttribute {
    attribute_name: String,
    attribute_type: RawKind,
}

#[derive(Clone, Copy, Deserialize)]
enum RawKind {
    S,
    N,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawKey {
    attribute_name: String,
    key_type: RawKeyType,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum RawKeyType {
    Hash,
    Range,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawIndex {
    index_name: String,
    key_schema: Vec<RawKey>,
    #[serde(rename = "Projection")]
    _projection: RawProjection,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawProjection {
    #[serde(rename = "ProjectionType")]
    _projection_type: AllAttributes,
}

#[derive(Deserialize)]
enum AllAttributes {
    #[serde(rename = "ALL")]
    All,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStreamView {
    stream_view_type: RawView,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum RawView {
    NewImage,
    NewAndOldImages,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawTimeToLive {
    attribute_name: String,
    enabled: bool,
}

/// Reads a value strictly; an error says where in the template it is.
fn typed<T: DeserializeOwned>(place: &str, value: impl Into<Value>) -> Result<T, TemplateError> {
    serde_path_to_error::deserialize(value.into()).map_err(|error| at(place, error))
}

/// As [`typed`], without the properties that only AWS acts on.
fn properties<T: DeserializeOwned>(
    place: &str,
    properties: &Map<String, Value>,
    only_on_aws: &[&str],
) -> Result<T, TemplateError> {
    let mut properties = properties.clone();
    properties.retain(|name, _| !only_on_aws.contains(&name.as_str()));
    typed(place, properties)
}

fn at(place: &str, message: impl ToString) -> TemplateError {
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    TemplateError { place, message: message.to_string() }
}

fn references(
    declared: &BTreeMap<String, RawParameter>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    if let Some(unknown) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(at(unknown, "there is no such parameter"));
    }
    let pseudo = [("AWS::Region", "us-east-1"), ("AWS::AccountId", "000000000000"), ("AWS::StackName", "local")];
    let mut references: BTreeMap<String, String> =
        pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, parameter) in declared {
        // A parameter without a value is an error only where something refers to it.
        if let Some(default) = &parameter.default {
            let text = Scope::default().text(default).map_err(|message| at(name, message))?;
            references.insert(name.clone(), text);
        }
    }
    references.extend(given.clone());
    Ok(references)
}

fn function(
    id: &str,
    resource: &RawResource,
    globals: &Map<String, Value>,
    scope: &Scope,
) -> Result<Function, TemplateError> {
    let mut merged = resource.properties.clone();
    inherit(&mut merged, globals);
    let raw: RawFunction = properties(id, &merged, FUNCTION_ONLY_ON_AWS)?;
    let variable = |(name, value): (String, Value)| match scope.text(&value) {
        Ok(text) => Ok((name, text)),
        Err(message) => Err(at(id, format_args!("Environment.{name}: {message}"))),
    };
    let mut function = Function {
        logical_id: id.to_owned(),
        name: raw.handler,
        artifact: raw.code_uri.rsplit('/').next().unwrap_or_default().to_owned(),
        timeout: Duration::from_secs(raw.timeout),
        environment: raw.environment.variables.into_iter().map(variable).collect::<Result<_, _>>()?,
        routes: Vec::new(),
        schedules: Vec::new(),
        streams: Vec::new(),
    };
    for (name, event) in raw.events {
        let place = format!("{id}.Events.{name}");
        match event.kind.as_str() {
            "Api" => function.routes.push(route(&place, &event.properties)?),
            "Schedule" => {
                let raw: RawSchedule = properties(&place, &event.properties, &["Description"])?;
                let every = rate(&raw.schedule).map_err(|message| at(&place, message))?;
                function.schedules.push(Schedule { name, every });
            }
            "DynamoDB" => function.streams.push(stream(&place, &event.properties)?),
            kind => return Err(at(&place, format_args!("type {kind} is not known to the local stack"))),
        }
    }
    Ok(function)
}

/// As SAM merges globals: maps member by member, anything else is the function's own if it has it.
fn inherit(properties: &mut Map<String, Value>, globals: &Map<String, Value>) {
    for (name, global) in globals {
        match (properties.get_mut(name), global) {
            (None, _) => {
                properties.insert(name.clone(), global.clone());
            }
            (Some(Value::Object(own)), Value::Object(global)) => inherit(own, global),
            (Some(_), _) => {}
        }
    }
}

fn route(place: &str, event: &Map<String, Value>) -> Result<Route, TemplateError> {
    let raw: RawRoute = properties(place, event, &["RestApiId"])?;
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let method = known.into_iter().find(|method| raw.method.eq_ignore_ascii_case(method.as_str()));
    let method =
        method.ok_or_else(|| at(place, format_args!("method {} is not known to the local stack", raw.method)))?;
    Ok(Route { method, path: Pattern::parse(&raw.path).map_err(|message| at(place, message))? })
}

fn rate(expression: &str) -> Result<Duration, String> {
    let refused = || format!("schedule {expression} is not a rate(n minutes|hours|days)");
    let rate = expression.strip_prefix("rate(").and_then(|rate| rate.strip_suffix(')')).ok_or_else(refused)?;
    let (number, unit) = rate.split_once(' ').ok_or_else(refused)?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(refused)?;
    let seconds = match (unit, number) {
        ("minute", 1) => 60,
        ("hour", 1) => 3_600,
        ("day", 1) => 86_400,
        ("minutes", 2..) => 60,
        ("hours", 2..) => 3_600,
        ("days", 2..) => 86_400,
        _ => return Err(refused()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refused)
}

fn stream(place: &str, event: &Map<String, Value>) -> Result<StreamSource, TemplateError> {
    // Records are delivered in order however many workers Lambda may use for them.
    let only_on_aws = &["DestinationConfig", "ParallelizationFactor"];
    let raw: RawStream = properties(place, event, only_on_aws)?;
    let ((table, StreamArn::StreamArn), TrimHorizon::TrimHorizon) = (raw.stream.path, raw.starting_position);
    if !(1..=1000).contains(&raw.batch_size) {
        return Err(at(place, "BatchSize is not from 1 to 1000"));
    }
    let filter = |filter: &RawFilter| Filter::parse(&filter.pattern).map_err(|message| at(place, message));
    Ok(StreamSource {
        table,
        batch_size: raw.batch_size,
        filters: raw.filter_criteria.filters.iter().map(filter).collect::<Result<_, _>>()?,
        reports_failures: raw.function_response_types.iter().any(|ResponseType::ReportBatchItemFailures| true),
        bisects: raw.bisect_batch_on_function_error,
        // Lambda's -1 is for ever, and so is leaving it out.
        max_retries: raw.maximum_retry_attempts.and_then(|attempts| u32::try_from(attempts).ok()),
    })
}

fn table(id: &str, resource: &RawResource, scope: &Scope) -> Result<Table, TemplateError> {
    let raw: RawTable = properties(id, &resource.properties, TABLE_ONLY_ON_AWS)?;
    let key = |keys: &[RawKey]| key(keys, &raw.attribute_definitions).map_err(|message| at(id, message));
    let index = |index: &RawIndex| Ok(IndexSpec { name: index.index_name.clone(), key: key(&index.key_schema)? });
    let spec = TableSpec {
        name: scope.text(&raw.table_name).map_err(|message| at(id, message))?,
        key: key(&raw.key_schema)?,
        indexes: raw.global_secondary_indexes.iter().map(index).collect::<Result<_, _>>()?,
        stream: raw.stream_specification.map(|stream| match stream.stream_view_type {
            RawView::NewImage => StreamView::NewImage,
            RawView::NewAndOldImages => StreamView::NewAndOldImages,
        }),
        ttl: raw.time_to_live_specification.filter(|ttl| ttl.enabled).map(|ttl| ttl.attribute_name),
    };
    Ok(Table { logical_id: id.to_owned(), spec })
}

fn key(keys: &[RawKey], attributes: &[RawAttribute]) -> Result<KeySpec, String> {
    let attribute = |key: &RawKey| {
        let defined = attributes.iter().find(|attribute| attribute.attribute_name == key.attribute_name);
        let defined = defined.ok_or_else(|| format!("key {} is not an attribute", key.attribute_name))?;
        let kind = match defined.attribute_type {
            RawKind::S => KeyKind::String,
            RawKind::N => KeyKind::Number,
        };
        Ok::<_, String>(KeyAttribute { name: key.attribute_name.clone(), kind })
    };
    match keys {
        [partition @ RawKey { key_type: RawKeyType::Hash, .. }] => {
            Ok(KeySpec { partition: attribute(partition)?, sort: None })
        }
        [partition @ RawKey { key_type: RawKeyType::Hash, .. }, sort @ RawKey { key_type: RawKeyType::Range, .. }] => {
            Ok(KeySpec { partition: attribute(partition)?, sort: Some(attribute(sort)?) })
        }
        _ => Err("the key is not HASH, or HASH and RANGE".to_owned()),
    }
}

fn table_names(tables: &[Table]) -> Result<TableNames, TemplateError> {
    let name = |logical_id: &str| {
        let table = tables.iter().find(|table| table.logical_id == logical_id);
        table.map(|table| table.spec.name.clone()).ok_or_else(|| at(logical_id, "there is no such table"))
    };
    Ok(TableNames {
        models: name("ModelsTable")?,
        published: name("PublishedTable")?,
        history: name("HistoryTable")?,
        runtime: name("RuntimeTable")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn local() -> LocalValues {
        LocalValues {
            parameters: BTreeMap::from([("Stage".to_owned(), "local".to_owned())]),
            environment: BTreeMap::from([("DEV_JWT_SECRET".to_owned(), "secret".to_owned())]),
        }
    }

    fn deployed() -> Template {
        Template::load(&local()).unwrap()
    }

    fn named(name: &str) -> Function {
        deployed().functions.into_iter().find(|function| function.name == name).unwrap()
    }

    #[test]
    fn routes_schedules_and_streams_are_found() {
        let route = &named("get-model").routes[0];
        assert_eq!((&route.method, route.path.to_string().as_str()), (&Method::GET, "/v1/models/{id+}"));
        assert_eq!(named("list-models").routes[0].path.to_string(), "/v1/models");
        assert_eq!(named("health").artifact, "public");
        assert_eq!(named("sync").schedules, [Schedule { name: "Poll".to_owned(), every: Duration::from_secs(60) }]);
        assert_eq!(named("sync").timeout, Duration::from_secs(300));
        let stream = &named("record-history").streams[0];
        assert_eq!((stream.table.as_str(), stream.batch_size, stream.max_retries), ("ModelsTable", 100, Some(5)));
        assert!(stream.bisects && stream.reports_failures);
        assert!(stream.filters[0].matches(&json!({"eventName": "INSERT"})));
        assert!(!stream.filters[0].matches(&json!({"eventName": "REMOVE"})));
        let stream = &named("sync").streams[0];
        assert_eq!((stream.table.as_str(), stream.max_retries), ("RuntimeTable", Some(2)));
        let record = |pk: &str, sk: &str, look: &str| {
            let keys = json!({"pk": {"S": pk}, "sk": {"S": sk}});
            json!({"eventName": "MODIFY", "dynamodb": {"Keys": keys, "NewImage": {"look": {"S": look}}}})
        };
        assert!(stream.filters[0].matches(&record("wish", "wish", "wanted")));
        assert!(!stream.filters[0].matches(&record("wish", "wish", "taken")));
        assert!(!stream.filters[0].matches(&record("bucket#1", "bucket", "wanted")));
    }

    #[test]
    fn tables_are_found_with_their_keys() {
        let tables = deployed().tables;
        let spec = |id: &str| tables.iter().find(|table| table.logical_id == id).unwrap().spec.clone();
        let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
        let history = TableSpec {
            name: "roster-local-history".to_owned(),
            key: KeySpec { partition: attribute("pk", KeyKind::String), sort: Some(attribute("sk", KeyKind::Number)) },
            indexes: vec![IndexSpec {
                name: "by-day".to_owned(),
                key: KeySpec {
                    partition: attribute("day", KeyKind::String),
                    sort: Some(attribute("at", KeyKind::String)),
                },
            }],
            stream: None,
            ttl: None,
        };
        assert_eq!(spec("HistoryTable"), history);
        assert_eq!(spec("ModelsTable").stream, Some(StreamView::NewAndOldImages));
        assert_eq!(spec("RuntimeTable").stream, Some(StreamView::NewImage));
        assert_eq!(spec("PublishedTable").key.sort, None);
        assert_eq!(spec("RuntimeTable").ttl.as_deref(), Some("expiresAt"));
    }

    #[test]
    fn an_artifact_has_one_environment() {
        let template = deployed();
        assert_eq!(template.env_for("gitops").unwrap().optional("WEBHOOK_SECRET"), None, "there is none by default");
        let env = template.env_for("public").unwrap();
        assert_eq!(env.optional("PUBLISHED_TABLE"), Some("roster-local-published"));
        assert_eq!(env.optional("MAX_STALENESS_MS"), Some("1000"));
        assert_eq!(env.optional("DEV_JWT_SECRET"), Some("secret"));
        assert_eq!(env.optional("BRANCH"), None);
        assert_eq!(template.env_for("gitops").unwrap().optional("BRANCH"), Some("main"));
        assert!(template.env_for("absent").is_err());
    }

    #[test]
    fn functions_of_an_artifact_must_agree() {
        let text = TEMPLATE.replacen("MAX_STALENESS_MS: \"1000\"", "MAX_STALENESS_MS: \"9\"", 1);
        let error = Template::parse(&text, &local()).unwrap().env_for("public").unwrap_err();
        assert!(error.to_string().contains("MAX_STALENESS_MS"), "{error}");
    }

    #[test]
    fn a_parameter_that_is_not_there_is_refused() {
        let parameters = BTreeMap::from([("Stagee".to_owned(), "x".to_owned())]);
        let error = Template::load(&LocalValues { parameters, ..LocalValues::default() }).unwrap_err();
        assert_eq!(error.to_string(), "template.yaml: Stagee: there is no such parameter");
    }

    #[test]
    fn what_is_not_understood_is_refused_where_it_is() {
        for (from, to, expected) in [
            ("Handler: health", "Handlr: health", "Health: Handlr: unknown field `Handlr`"),
            ("Path: /health", "Path: health", "Health.Events.Get: path \"health\" does not begin with a slash"),
            ("Method: GET", "Method: ANY", "method ANY"),
            ("RestApiId: !Ref Api", "Auth: {}", "unknown field `Auth`"),
            ("rate(1 minute)", "cron(0 0 * * ? *)", "ProposeReverts.Events.Minutely: schedule cron"),
            ("rate(1 minute)", "rate(1 minutes)", "ProposeReverts.Events.Minutely: schedule rate"),
            ("Type: Schedule", "Type: ScheduleV2", "ProposeReverts.Events.Minutely: type ScheduleV2"),
            ("TRIM_HORIZON", "LATEST", "Sync.Events.Wish: StartingPosition: unknown variant `LATEST`"),
            ("NEW_AND_OLD_IMAGES", "KEYS_ONLY", "ModelsTable: StreamSpecification.StreamViewType"),
            ("ProjectionType: ALL", "ProjectionType: KEYS_ONLY", "HistoryTable: GlobalSecondaryIndexes[0]"),
            ("AWS::SNS::Topic", "AWS::Events::Rule", "NoticesTopic: type AWS::Events::Rule"),
            ("BRANCH: !Ref Branch", "BRANCH: !Ref Brnch", "CreateModel: Environment.BRANCH: Brnch has no value"),
            ("BRANCH: !Ref Branch", "BRANCH: !ImportValue x", "CreateModel: Environment.BRANCH"),
            ("Stream: !GetAtt ModelsTable.StreamArn", "Stream: !GetAtt HistoryTable.StreamArn", "RecordHistory: Hist"),
            ("!Not [!Equals", "!Or [!Equals", "HasGitToken: "),
            ("!If [HasWebhookSecret", "!If [HasSecret", "GitWebhook: Environment.WEBHOOK_SECRET: there is no cond"),
            ("Resources:", "Resources: [", "line"),
        ] {
            let text = TEMPLATE.replacen(from, to, 1);
            assert_ne!(text, TEMPLATE, "{from}");
            let error = Template::parse(&text, &local()).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
