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
use roster_http::function::HandlerFuture;
use roster_http::{Access, Admission, Env, Function, Gate, Gatekeeper, Handler, Problem, Request};
use roster_store::reader::Reader;
use roster_store::{Limiter, Store, TableNames, limiter};

/// What the functions of this artifact share.
pub struct App {
    reader: Reader,
    gate: Gate,
}

impl App {
    /// An app on a store.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        let max_staleness = Duration::from_millis(env.number("MAX_STALENESS_MS", 1000)?);
        let patience = env.number("RATE_LIMIT_TIMEOUT_MS", limiter::PATIENCE_MS)?;
        let limiter = Limiter::new(store.clone()).with_patience(Duration::from_millis(patience));
        let gate = Gate::from_env(env)?.with_limiter(limiter);
        Ok(Arc::new(Self { reader: Reader::new(store, max_staleness), gate }))
    }

    /// An app on AWS, with the tables that the environment names.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, EnvError> {
        Self::new(env, Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await)
    }
}

impl Gatekeeper for App {
    fn admit<'a>(&'a self, access: Access, request: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async move {
            let policy = self.catalogue(request.now).await?.snapshot.policy.clone();
            self.gate.admit(access, request, &policy).await
        })
    }
}

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[
    Function {
        name: "list-models",
        handler: Handler::Http(Access::Everyone, |app, request| Box::pin(list_models::handle(app, request))),
    },
    Function {
        name: "get-model",
        handler: Handler::Http(Access::Everyone, |app, request| Box::pin(get_model::handle(app, request))),
    },
    Function {
        name: "health",
        handler: Handler::Http(Access::Open, |app, request| Box::pin(health::handle(app, request))),
    },
];
