//! What runs by itself: functions that follow the tables.

mod record_history;

use std::sync::Arc;

use roster_http::{Env, Function, Gatekeeper, Handler};
use roster_store::{Store, TableNames};

/// What the functions of this artifact share.
pub struct App {
    store: Store,
}

impl App {
    /// An app on these tables.
    #[must_use]
    pub fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store })
    }

    /// An app on AWS, with the tables that the environment names.
    ///
    /// # Errors
    /// [`roster_http::env::EnvError`] when a variable is missing.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, roster_http::env::EnvError> {
        Ok(Self::new(Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await))
    }
}

impl Gatekeeper for App {}

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[Function {
    name: "record-history",
    handler: Handler::Event(|app, event| Box::pin(record_history::handle(app, event))),
}];
