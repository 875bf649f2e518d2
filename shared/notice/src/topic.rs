//! An SNS topic.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_sns::error::DisplayErrorContext;
use aws_sdk_sns::types::MessageAttributeValue;

use crate::{Message, Undelivered};

/// A topic, which hands a message on to all who subscribe to it.
#[derive(Clone, Debug)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// A topic on AWS, with the credentials and the region of the environment.
    pub async fn from_env(arn: &str) -> Self {
        let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Self::with_config(Builder::from(&shared), arn)
    }

    /// A topic at an endpoint that takes any credentials.
    #[must_use]
    pub fn local(endpoint: &str, arn: &str) -> Self {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .endpoint_url(endpoint);
        Self::with_config(config, arn)
    }

    fn with_config(config: Builder, arn: &str) -> Self {
        // The SDK has no time limits of its own, and trying again is for the outbox.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(8))
            .build();
        let config = config.timeout_config(timeouts).retry_config(RetryConfig::standard().with_max_attempts(2)).build();
        Self { client: Client::from_conf(config), arn: arn.to_owned() }
    }

    /// Publishes a message; subscribers may filter by its `type`, and know it by its `id` when it comes again.
    pub(crate) async fn publish(&self, message: Message<'_>) -> Result<(), Undelivered> {
        let attribute = |value: &str| {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            attribute.map_err(|error| Undelivered::Failed(error.to_string()))
        };
        let published = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .message(message.body)
            .message_attributes("type", attribute(message.kind)?)
            .message_attributes("id", attribute(message.id)?)
            .send()
            .await;
        published.map(drop).map_err(|error| Undelivered::Failed(DisplayErrorContext(error).to_string()))
    }
}
