//! What clients call: the published catalogue, read only.

mod anthropic_models;
mod bodies;
mod catalogue;
mod changes;
#[cfg(feature = "contract")]
pub mod contract;
mod counting;
mod facets;
mod foreign;
mod get_model;
mod get_schema;
mod health;
mod list_models;
mod lookup;
mod openai_models;
mod openapi;
mod openrouter_models;
mod page;
mod price_history;
mod quote_cost;
mod record_inferences;
mod resolve_model;
mod selection;
mod shadow;
#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use roster_http::env::EnvError;
use roster_http::function::{HandlerFuture, HttpHandler};
use roster_http::{Access, Admission, Dialect, Env, Function, Gate, Gatekeeper, Handler, Problem, Request, Role};
use roster_store::reader::Reader;
use roster_store::{Bundled, Store, TableNames, Units};

pub use shadow::ShadowCounts;

/// The catalogue that was bundled at build: what `ROSTER_SNAPSHOT` named, else the workspace's own.
pub static SNAPSHOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/snapshot.json"));

/// What the functions of this artifact share.
pub struct App {
    store: Store,
    reader: Reader,
    gate: Gate,
    shadow: shadow::Shadow,
    bodies: bodies::Bodies,
}

impl App {
    /// An app on a store, with nothing but the store to read.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        Self::with_snapshot(env, store, &[][..])
    }

    /// An app on a store, with a snapshot of a catalogue for callers who are left on it, and for when there is no
    /// other: a document as [`roster_core::Bundle`] reads it. One without models counts as none.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn with_snapshot(
        env: &Env,
        store: Store,
        snapshot: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Arc<Self>, EnvError> {
        let max_staleness = Duration::from_millis(env.number("MAX_STALENESS_MS", 1000)?);
        let reader = Reader::new(store.clone(), max_staleness).with_bundle(Bundled::new(snapshot));
        let gate = Gate::from_env(env)?.with_limits(env, store.clone())?;
        let (shadow, bodies) = (shadow::Shadow::default(), bodies::Bodies::default());
        Ok(Arc::new(Self { store, reader, gate, shadow, bodies }))
    }

    /// An app on AWS, with the tables that the environment names and the snapshot that was bundled at build.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, EnvError> {
        let store = Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await;
        Self::with_snapshot(env, store, SNAPSHOT)
    }
}

impl Gatekeeper for App {
    fn consumed(&self) -> Units {
        self.store.consumed()
    }

    fn admit<'a>(&'a self, access: Access, request: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async move {
            let policy = async { Ok(self.catalogue(request.now).await?.snapshot.policy.clone()) };
            self.gate.admit(access, request, policy).await
        })
    }
}

const fn foreign(name: &'static str, dialect: &'static Dialect, handler: HttpHandler<App>) -> Function<App> {
    Function { name, handler: Handler::Foreign(Access::Everyone, dialect, handler) }
}

/// Who reports results: services, and admins by hand.
const REPORTERS: Access = Access::Roles(&[Role::Service, Role::Admin, Role::SuperAdmin]);

/// Whether a function answers from the catalogue, so that it is to be loaded before the first request.
#[must_use]
pub fn reads_catalogue(function: &str) -> bool {
    !["get-schema", "openapi"].contains(&function)
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
        name: "resolve-model",
        handler: Handler::Http(Access::Everyone, |app, request| Box::pin(resolve_model::handle(app, request))),
    },
    Function {
        name: "quote-cost",
        handler: Handler::Http(Access::Everyone, |app, request| Box::pin(quote_cost::handle(app, request))),
    },
    Function {
        name: "price-history",
        handler: Handler::Http(Access::Everyone, |app, request| Box::pin(price_history::handle(app, request))),
    },
    Function {
        name: "record-inferences",
        handler: Handler::Http(REPORTERS, |app, request| Box::pin(record_inferences::handle(app, request))),
    },
    foreign("openai-models", &openai_models::DIALECT, |app, request| Box::pin(openai_models::handle(app, request))),
    foreign("anthropic-models", &anthropic_models::DIALECT, |app, request| {
        Box::pin(anthropic_models::handle(app, request))
    }),
    foreign("openrouter-models", &openrouter_models::DIALECT, |app, request| {
        Box::pin(openrouter_models::handle(app, request))
    }),
    Function {
        name: "health",
        handler: Handler::Http(Access::Open, |app, request| Box::pin(health::handle(app, request))),
    },
    Function {
        name: "openapi",
        handler: Handler::Http(Access::Open, |_, request| Box::pin(async move { openapi::handle(&request) })),
    },
    Function {
        name: "get-schema",
        handler: Handler::Http(Access::Open, |_, request| Box::pin(async move { get_schema::handle(&request) })),
    },
];

#[cfg(test)]
mod tests {
    use roster_core::Bundle;

    /// The build has refused any other already; this tells a build that bundled nothing from one that did.
    #[test]
    fn the_bundled_snapshot_can_be_read() {
        let bundle = Bundle::parse(super::SNAPSHOT).unwrap();
        assert_eq!(bundle.to_json().unwrap().as_bytes(), super::SNAPSHOT);
        if option_env!("ROSTER_SNAPSHOT").is_none_or(str::is_empty) {
            assert!(bundle.models().len() > 100 && bundle.policy().is_some());
        }
    }
}
