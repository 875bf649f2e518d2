//! What follows the repository.

mod git_webhook;
mod push;
mod request_sync;
mod signature;
mod sync;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use roster_git::{GitError, Location, Repository};
use roster_http::env::EnvError;
use roster_http::function::HandlerFuture;
use roster_http::{Access, Admission, Env, Function, Gate, Gatekeeper, Handler, Problem, Request};
use roster_store::{PolicyCache, Store, StoreError, TableNames};
use roster_sync::{Reconciler, Repo};
use tokio::sync::OnceCell;

/// What the functions of this artifact share.
pub struct App {
    store: Store,
    repository: String,
    token: Option<String>,
    branch: String,
    cache: String,
    reconciler: OnceCell<Reconciler>,
    gate: Gate,
    policies: PolicyCache,
    webhook_secret: Option<String>,
    /// How far apart the runs start that wishes cause.
    pace: Duration,
}

impl App {
    /// An app on a store.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        Ok(Arc::new(Self {
            repository: env.required("REPOSITORY")?.to_owned(),
            token: env.optional("GIT_TOKEN").map(str::to_owned),
            branch: env.required("BRANCH")?.to_owned(),
            // Lambda's only writable directory.
            cache: env.optional("GIT_CACHE").unwrap_or("/tmp/roster-git").to_owned(),
            reconciler: OnceCell::new(),
            gate: Gate::from_env(env)?.with_limits(env, store.clone())?,
            policies: PolicyCache::default(),
            webhook_secret: env.optional("WEBHOOK_SECRET").map(str::to_owned),
            pace: Duration::from_millis(env.number("SYNC_PACE_MS", sync::PACE_MS)?),
            store,
        }))
    }

    /// An app on AWS, with the tables that the environment names.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing.
    pub async fn from_env(env: &Env) -> Result<Arc<Self>, EnvError> {
        Self::new(env, Store::from_env(TableNames::from_lookup(|name| env.required(name))?).await)
    }

    /// The reconciler, its repository opened by the first call that needs it.
    async fn reconciler(&self) -> Result<&Reconciler, GitError> {
        let open = || async {
            let (location, cache) = (self.location()?, self.cache.clone());
            let name = self.repository.clone();
            let opened = tokio::task::spawn_blocking(move || Repository::open(&location, Path::new(&cache))).await;
            let repository = match opened {
                Ok(repository) => repository?,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            };
            Ok(Reconciler::new(self.store.clone(), Repo::new(repository, &name), Timestamp::now))
        };
        self.reconciler.get_or_try_init(open).await
    }

    fn location(&self) -> Result<Location, GitError> {
        let location = Location::parse(&self.repository)?;
        Ok(match &self.token {
            Some(token) => location.with_token(token.clone()),
            None => location,
        })
    }
}

impl Gatekeeper for App {
    fn admit<'a>(&'a self, access: Access, request: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async move {
            // A webhook brings its own proof, and shall not wait for a policy that has nothing to say about it.
            if access == Access::Open {
                return Ok(Admission::default());
            }
            let policy = self.policies.current(&self.store).await.map_err(unavailable)?;
            self.gate.admit(access, request, &policy).await
        })
    }
}

/// What a client is told when the tables do not answer; the log is told why.
fn unavailable(error: StoreError) -> Problem {
    tracing::error!(%error, "the tables are out of reach");
    Problem::unavailable()
}

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[
    Function {
        name: "git-webhook",
        handler: Handler::Http(Access::Open, |app, request| Box::pin(git_webhook::handle(app, request))),
    },
    Function {
        name: "request-sync",
        handler: Handler::Http(Access::ADMINS, |app, request| Box::pin(request_sync::handle(app, request))),
    },
    Function { name: "sync", handler: Handler::Event(|app, event| Box::pin(sync::handle(app, event))) },
];
