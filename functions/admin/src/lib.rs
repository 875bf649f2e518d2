//! What admins call: every step in a model's life, and what was done when, by whom and why.

mod activate_version;
mod active_version;
mod analytics;
mod archive_model;
mod backup;
mod body;
mod compare_versions;
#[cfg(feature = "contract")]
pub mod contract;
mod create_model;
mod dashboard;
mod deprecate_version;
mod duplicate_model;
mod edit_meta;
mod edit_model;
mod end_override;
mod estimate_version;
mod export_audit;
mod export_models;
mod get_record;
mod import_models;
mod imports;
mod list_alerts;
mod list_archived;
mod list_audit;
mod list_legacy;
mod list_records;
mod list_versions;
mod list_warnings;
mod listing;
mod mark_legacy;
mod mode;
mod model_history;
mod model_prices;
mod pause_rollout;
mod proposals;
mod propose;
mod propose_reverts;
mod record;
mod register_version;
mod report_audit;
mod resume_rollout;
mod retire_version;
mod rollback_model;
mod rollouts;
mod timeline;
mod unarchive_model;
mod unmark_legacy;
mod version_decision;
mod version_evaluation;
mod versions;
mod write;

use std::sync::Arc;
use std::time::Duration;

use roster_edit::Editor;
use roster_http::env::EnvError;
use roster_http::function::{HandlerFuture, HttpHandler};
use roster_http::{Access, Admission, Env, Function, Gate, Gatekeeper, Handler, Problem, Request, Role};
use roster_store::reader::Reader;
use roster_store::{PolicyCache, Store, TableNames, Units};

use dashboard::Dashboard;
use proposals::Proposals;

/// What the functions of this artifact share.
pub struct App {
    store: Store,
    reader: Reader,
    editor: Editor,
    proposals: Proposals,
    gate: Gate,
    policies: PolicyCache,
    dashboard: Dashboard,
}

impl App {
    /// An app on a store.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn new(env: &Env, store: Store) -> Result<Arc<Self>, EnvError> {
        Ok(Arc::new(Self {
            // An admin sees a change as soon as it is made.
            reader: Reader::new(store.clone(), Duration::ZERO).strongly_consistent(),
            editor: Editor::new(store.clone()),
            proposals: Proposals::from_env(env),
            gate: Gate::from_env(env)?.with_limits(env, store.clone())?,
            policies: PolicyCache::default(),
            dashboard: Dashboard::from_env(env)?,
            store,
        }))
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

const fn admins(name: &'static str, handler: HttpHandler<App>) -> Function<App> {
    Function { name, handler: Handler::Http(Access::ADMINS, handler) }
}

/// The functions of this artifact: for admins, and one that proposes what a rollout came to.
pub static FUNCTIONS: &[Function<App>] = &[
    admins("create-model", |app, request| Box::pin(create_model::handle(app, request))),
    Function { name: "dashboard", handler: Handler::Pages(|app, request| Box::pin(dashboard::handle(app, request))) },
    admins("list-records", |app, request| Box::pin(list_records::handle(app, request))),
    admins("get-record", |app, request| Box::pin(get_record::handle(app, request))),
    admins("edit-model", |app, request| Box::pin(edit_model::handle(app, request))),
    admins("edit-meta", |app, request| Box::pin(edit_meta::handle(app, request))),
    admins("mark-legacy", |app, request| Box::pin(mark_legacy::handle(app, request))),
    admins("unmark-legacy", |app, request| Box::pin(unmark_legacy::handle(app, request))),
    admins("archive-model", |app, request| Box::pin(archive_model::handle(app, request))),
    admins("unarchive-model", |app, request| Box::pin(unarchive_model::handle(app, request))),
    admins("end-override", |app, request| Box::pin(end_override::handle(app, request))),
    admins("list-legacy", |app, request| Box::pin(list_legacy::handle(app, request))),
    admins("list-archived", |app, request| Box::pin(list_archived::handle(app, request))),
    admins("duplicate-model", |app, request| Box::pin(duplicate_model::handle(app, request))),
    admins("model-history", |app, request| Box::pin(model_history::handle(app, request))),
    admins("model-prices", |app, request| Box::pin(model_prices::handle(app, request))),
    admins("register-version", |app, request| Box::pin(register_version::handle(app, request))),
    admins("activate-version", |app, request| Box::pin(activate_version::handle(app, request))),
    admins("deprecate-version", |app, request| Box::pin(deprecate_version::handle(app, request))),
    admins("retire-version", |app, request| Box::pin(retire_version::handle(app, request))),
    admins("rollback-model", |app, request| Box::pin(rollback_model::handle(app, request))),
    admins("pause-rollout", |app, request| Box::pin(pause_rollout::handle(app, request))),
    admins("resume-rollout", |app, request| Box::pin(resume_rollout::handle(app, request))),
    admins("list-versions", |app, request| Box::pin(list_versions::handle(app, request))),
    admins("active-version", |app, request| Box::pin(active_version::handle(app, request))),
    admins("compare-versions", |app, request| Box::pin(compare_versions::handle(app, request))),
    admins("version-decision", |app, request| Box::pin(version_decision::handle(app, request))),
    admins("estimate-version", |app, request| Box::pin(estimate_version::handle(app, request))),
    Function {
        name: "backup",
        handler: Handler::Http(Access::Roles(&[Role::SuperAdmin]), |app, request| {
            Box::pin(backup::handle(app, request))
        }),
    },
    admins("list-audit", |app, request| Box::pin(list_audit::handle(app, request))),
    admins("report-audit", |app, request| Box::pin(report_audit::handle(app, request))),
    admins("list-alerts", |app, request| Box::pin(list_alerts::handle(app, request))),
    admins("list-warnings", |app, request| Box::pin(list_warnings::handle(app, request))),
    admins("version-evaluation", |app, request| Box::pin(version_evaluation::handle(app, request))),
    admins("analytics", |app, request| Box::pin(analytics::handle(app, request))),
    admins("import-models", |app, request| Box::pin(import_models::handle(app, request))),
    admins("export-models", |app, request| Box::pin(export_models::handle(app, request))),
    admins("export-audit", |app, request| Box::pin(export_audit::handle(app, request))),
    Function { name: "propose-reverts", handler: Handler::Event(|app, _| Box::pin(propose_reverts::handle(app))) },
];
