//! The client, the tables' names, and what can go wrong.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};

use crate::units::{Meter, Units};

/// The names of the four tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNames {
    /// One item a model.
    pub models: String,
    /// What clients read.
    pub published: String,
    /// One item a change.
    pub history: String,
    /// What the system remembers of itself.
    pub runtime: String,
}

impl TableNames {
    /// The names that a function's environment gives, by the variables `template.yaml` sets.
    ///
    /// # Errors
    /// The first error of `lookup`.
    pub fn from_lookup<'v, E>(lookup: impl Fn(&'static str) -> Result<&'v str, E>) -> Result<Self, E> {
        Ok(Self {
            models: lookup("MODELS_TABLE")?.to_owned(),
            published: lookup("PUBLISHED_TABLE")?.to_owned(),
            history: lookup("HISTORY_TABLE")?.to_owned(),
            runtime: lookup("RUNTIME_TABLE")?.to_owned(),
        })
    }
}

/// Access to the tables. Cheap to clone; clones share connections and the meter.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) tables: TableNames,
    pub(crate) meter: Meter,
}

/// What can go wrong with the tables.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB refused or did not answer, after every retry.
    #[error("{operation} failed: {}", chain(.source.as_ref()))]
    Call {
        /// The operation, in DynamoDB's own words.
        operation: &'static str,
        /// What the SDK says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A condition did not hold: another writer was faster, or the lease is lost.
    #[error("another writer was faster: {0}")]
    Conflict(String),
    /// An item cannot be read: something else wrote it.
    #[error("item {key} cannot be read: {message}")]
    Corrupt {
        /// The item's key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Store {
    /// A store on AWS, with the credentials and the region of the environment.
    pub async fn from_env(tables: TableNames) -> Self {
        let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Self::with_config(aws_sdk_dynamodb::config::Builder::from(&shared), tables)
    }

    /// A store on a DynamoDB that takes any credentials: the embedded one, or DynamoDB Local.
    #[must_use]
    pub fn local(endpoint: &str, tables: TableNames) -> Self {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(local_credentials())
            .endpoint_url(endpoint);
        Self::with_config(config, tables)
    }

    fn with_config(config: aws_sdk_dynamodb::config::Builder, tables: TableNames) -> Self {
        let config = config
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(6).with_initial_backoff(Duration::from_millis(50)))
            .build();
        Self { client: aws_sdk_dynamodb::Client::from_conf(config), tables, meter: Meter::default() }
    }

    /// The same store with a meter of its own.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self { meter: Meter::default(), ..self.clone() }
    }

    /// What was consumed through this store and its clones.
    #[must_use]
    pub fn consumed(&self) -> Units {
        self.meter.total()
    }
}

/// An SDK error with its causes: the outermost alone says only "service error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Names the operation that an SDK error comes from.
pub(crate) fn call<E: std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Call { operation, source: Box::new(source) }
}

/// The SDK has no time limits of its own.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(20))
        .build()
}

/// Credentials that mean nothing, for a DynamoDB that checks none.
pub(crate) fn local_credentials() -> Credentials {
    Credentials::new("local", "local", None, None, "local")
}
