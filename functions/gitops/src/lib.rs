//! What follows the repository.

mod approve_plan;
mod check_drift;
#[cfg(feature = "contract")]
pub mod contract;
mod git_webhook;
mod hold_sync;
mod list_drift;
mod list_runs;
mod plan_commit;
mod push;
mod release_sync;
mod request_sync;
mod signature;
mod statuses;
mod sync;
mod system_status;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
use roster_git::{GitError, Location, Repository};
use roster_http::env::EnvError;
use roster_http::function::{HandlerFuture, HttpHandler};
use roster_http::{Access, Admission, Env, Function, Gate, Gatekeeper, Handler, Problem, Request, Role};
use roster_store::reader::Reader;
use roster_store::{PolicyCache, Store, TableNames, Units};
use roster_sync::{Reconciler, Repo};
use tokio::sync::OnceCell;

use statuses::Statuses;

/// What the functions of this artifact share.
pub struct App {
    store: Store,
    reader: Reader,
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
    /// What tells GitHub what became of commits, where the repository is there.
    statuses: Option<Statuses>,
    /// The failures that were told in an hour.
    failures: Mutex<HashSet<(Timestamp, String)>>,
}

impl App {
    /// An app on a store.
    ///
    /// # Errors
    /// [`EnvError`] when a variable is missing or cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        let repository = env.required("REPOSITORY")?.to_owned();
        Ok(Arc::new(Self {
            reader: Reader::new(store.clone(), Duration::ZERO).strongly_consistent(),
            statuses: Statuses::from_env(env, &repository),
            failures: Mutex::default(),
            repository,
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
            // Without the credentials that a URL may hold: records carry it.
            let name = location.to_string();
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
    fn consumed(&self) -> Units {
        self.store.consumed()
    }

    fn admit<'a>(&'a self, access: Access, request: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async move {
            let policy = async { self.policies.current(&self.store).await.map_err(Problem::from) };
            self.gate.admit(access, request, policy).await
        })
    }
}

/// What a client is told when the repository or the tables do not answer; the log is told why.
fn out_of_reach(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "the repository or the tables are out of reach");
    Problem::unavailable()
}

/// A reason that says something.
fn reasoned(reason: String) -> Result<String, Problem> {
    let legal = (1..=1000).contains(&reason.trim().chars().count());
    if legal {
        return Ok(reason);
    }
    let detail = "/reason: a reason has 1 to 1000 characters";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", detail))
}

/// Has the branch looked at, so that what was decided is applied at once. Where that fails it is decided all the same,
/// and the next poll finds it.
async fn look_soon(app: &App) {
    if let Err(error) = app.store.wish().await {
        tracing::warn!(%error, "the branch is not looked at before the next poll");
    }
}

/// Tells the audit what a caller did.
async fn tell(app: &App, request: &Request, kind: EventKind, message: String) {
    let actor = request.caller.subject.as_deref().unwrap_or_default();
    let correlation_id = request.request_id.clone();
    let event = AuditEvent { correlation_id, ..AuditEvent::new(kind, request.now, actor, "api", message) };
    app.store.tell(&event).await;
}

const fn for_roles(name: &'static str, roles: &'static [Role], handler: HttpHandler<App>) -> Function<App> {
    Function { name, handler: Handler::Http(Access::Roles(roles), handler) }
}

const ADMINS: &[Role] = &[Role::Admin, Role::SuperAdmin];

/// The functions of this artifact.
pub static FUNCTIONS: &[Function<App>] = &[
    Function {
        name: "git-webhook",
        handler: Handler::Http(Access::Open, |app, request| Box::pin(git_webhook::handle(app, request))),
    },
    for_roles("request-sync", ADMINS, |app, request| Box::pin(request_sync::handle(app, request))),
    Function { name: "sync", handler: Handler::Event(|app, event| Box::pin(sync::handle(app, event))) },
    Function { name: "check-drift", handler: Handler::Event(|app, event| Box::pin(check_drift::handle(app, event))) },
    for_roles("approve-plan", &[Role::SuperAdmin], |app, request| Box::pin(approve_plan::handle(app, request))),
    for_roles("hold-sync", ADMINS, |app, request| Box::pin(hold_sync::handle(app, request))),
    for_roles("release-sync", ADMINS, |app, request| Box::pin(release_sync::handle(app, request))),
    for_roles("list-runs", ADMINS, |app, request| Box::pin(list_runs::handle(app, request))),
    for_roles("plan-commit", ADMINS, |app, request| Box::pin(plan_commit::handle(app, request))),
    for_roles("system-status", ADMINS, |app, request| Box::pin(system_status::handle(app, request))),
    for_roles("list-drift", ADMINS, |app, request| Box::pin(list_drift::handle(app, request))),
];
