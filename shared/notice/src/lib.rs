//! Sends notices: to an SNS topic, and to webhooks as <https://www.standardwebhooks.com> specifies them.
//!
//! The only crate that speaks to either. It sends once; trying again is for whoever keeps the notice meanwhile.

mod topic;
mod webhook;

use jiff::Timestamp;

pub use topic::Topic;
pub use webhook::{InvalidWebhook, Webhook};

/// What is sent, the same each time.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// By what a receiver knows a message that comes again.
    pub id: &'m str,
    /// What it is about.
    pub kind: &'m str,
    /// The whole of it, JSON.
    pub body: &'m str,
}

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may arrive another time.
    #[error("{0}")]
    Failed(String),
    /// The receiver wants nothing any more: it said 410.
    #[error("the receiver answered 410 Gone")]
    Gone,
}

/// Whom notices go to.
#[derive(Clone, Debug, Default)]
pub struct Targets(Vec<Target>);

/// One that gets every notice.
#[derive(Clone, Debug)]
pub enum Target {
    /// A topic, and so all who subscribe to it.
    Topic(Topic),
    /// A webhook.
    Webhook(Webhook),
}

impl Targets {
    /// These targets.
    #[must_use]
    pub fn new(topic: Option<Topic>, webhooks: Vec<Webhook>) -> Self {
        Self(topic.into_iter().map(Target::Topic).chain(webhooks.into_iter().map(Target::Webhook)).collect())
    }

    /// Whether nobody gets anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }
}

impl Target {
    /// What it is called in tables and logs; no secret is in it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Topic(_) => "sns",
            Self::Webhook(webhook) => webhook.name(),
        }
    }

    /// Sends a message once; `now` is when.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub async fn send(&self, message: Message<'_>, now: Timestamp) -> Result<(), Undelivered> {
        match self {
            Self::Topic(topic) => topic.publish(message).await,
            Self::Webhook(webhook) => webhook.post(message, now).await,
        }
    }
}
