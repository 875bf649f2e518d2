//! What runs by itself: functions that follow the tables, and time.

mod deliver;
mod evaluate_rollouts;
mod lifecycle_clock;
mod notify;
mod record_history;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use roster_http::env::EnvError;
use roster_http::function::EventError;
use roster_http::{Env, Function, Gatekeeper, Handler};
use roster_notice::{InvalidWebhook, Targets, Topic, Webhook};
use roster_store::reader::{Reader, Snapshot, Source};
use roster_store::{Store, TableNames, Units};

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the functions of this artifact share.
pub struct App {
    store: Store,
    reader: Reader,
    targets: Targets,
    clock: Clock,
    memory: Mutex<lifecycle_clock::Memory>,
}

impl App {
    /// An app on a store, whose notices go to the webhooks that the environment names.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        Ok(Self::with(store, Targets::new(None, webhooks(env)?), Arc::new(Timestamp::now)))
    }

    /// An app with other targets, or another clock.
    #[must_use]
    pub fn with(store: Store, targets: Targets, clock: Clock) -> Arc<Self> {
        Arc::new(Self::made(store, targets, clock))
    }

    /// An app on AWS, with the tables, the topic and the webhooks that the environment names.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, EnvError> {
        let store = Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await;
        let topic = match env.optional("NOTICES_TOPIC") {
            Some(arn) => Some(Topic::from_env(arn).await),
            None => None,
        };
        let targets = Targets::new(topic, webhooks(env)?);
        Ok(Arc::new(Self::made(store, targets, Arc::new(Timestamp::now))))
    }

    fn made(store: Store, targets: Targets, clock: Clock) -> Self {
        // What is due is decided by the newest revision.
        let reader = Reader::new(store.clone(), Duration::ZERO).strongly_consistent();
        Self { store, reader, targets, clock, memory: Mutex::default() }
    }

    /// The published catalogue as it is now: nothing is decided by an older one.
    async fn published(&self, now: Timestamp) -> Result<Arc<Snapshot>, EventError> {
        let served = self.reader.current(now).await.map_err(EventError::of)?;
        match served.source {
            Source::Live => Ok(served.snapshot),
            _ => Err(EventError::of("the published catalogue is out of reach")),
        }
    }
}

fn webhooks(env: &Env) -> Result<Vec<Webhook>, EnvError> {
    const URLS: &str = "NOTICE_WEBHOOK_URLS";
    const SECRET: &str = "NOTICE_WEBHOOK_SECRET";
    let text = |name| env.optional(name).unwrap_or_default();
    Webhook::parse_all(text(URLS), text(SECRET)).map_err(|error| {
        tracing::error!(%error, "webhooks cannot be used");
        match error {
            InvalidWebhook::Address(_) | InvalidWebhook::Client(_) => {
                EnvError::Invalid { name: URLS, expected: "https URLs, or http ones on 127.0.0.1" }
            }
            InvalidWebhook::NoSecret => EnvError::Missing(SECRET),
            InvalidWebhook::Secret(_) => {
                EnvError::Invalid { name: SECRET, expected: "whsec_ and the Base64 of 24 to 64 bytes" }
            }
        }
    })
}

impl Gatekeeper for App {
    fn consumed(&self) -> Units {
        self.store.consumed()
    }
}

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[
    Function {
        name: "record-history",
        handler: Handler::Event(|app, event| Box::pin(record_history::handle(app, event))),
    },
    Function { name: "lifecycle-clock", handler: Handler::Event(|app, _event| Box::pin(lifecycle_clock::handle(app))) },
    Function {
        name: "evaluate-rollouts",
        handler: Handler::Event(|app, _event| Box::pin(evaluate_rollouts::handle(app))),
    },
    Function { name: "notify", handler: Handler::Event(|app, event| Box::pin(notify::handle(app, event))) },
];
