//! What clients call: the published catalogue, read only.

mod catalogue;
mod get_model;
mod health;
mod list_models;
mod lookup;
mod page;
mod selection;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use roster_http::env::EnvError;
use roster_http::{Authenticator, Env, Function, Handler};
use roster_store::reader::Reader;
use roster_store::{Store, TableNames};

/// What the functions of this artifact share.
pub struct App {
    reader: Reader,
    authenticator: Authenticator,
}

impl App {
    /// An app on a store.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        let max_staleness = Duration::from_millis(env.number("MAX_STALENESS_MS", 1000)?);
        let authenticator = Authenticator::from_env(env)?;
        Ok(Arc::new(Self { reader: Reader::new(store, max_staleness), authenticator }))
    }

    /// An app on AWS, with the tables that the environment names.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, EnvError> {
        Self::new(env, Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await)
    }
}

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[
    Function {
        name: "list-models",
        handler: Handler::Http(|app, request| Box::pin(list_models::handle(app, request))),
    },
    Function { name: "get-model", handler: Handler::Http(|app, request| Box::pin(get_model::handle(app, request))) },
    Function { name: "health", handler: Handler::Http(|app, request| Box::pin(health::handle(app, request))) },
];
