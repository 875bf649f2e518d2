//! `roster dev`: the whole stack in one process, following a branch.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use roster_core::tier::Tier;
use roster_git::{CommitId, Location, Repository};
use roster_http::auth::Role;
use roster_http::function::Hosted;
use roster_http::{Env, Telemetry};
use roster_local::{DataDir, Hosts, Lambda, LambdaOptions, LocalValues, Stack, StackOptions, Template};
use roster_store::Store;
use serde_json::{Value, json};

use crate::output::{Failure, Output, counted};
use crate::{snapshot, tables, token};

/// How often the watcher looks at the branch.
const LOOK: Duration = Duration::from_millis(200);
/// How long the watcher waits after a failure.
const BACK_OFF: Duration = Duration::from_secs(2);
/// How long the printed tokens are good for.
const TOKENS: Duration = Duration::from_secs(12 * 3600);

/// What `roster dev` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The repository: a path, or a file://, http:// or https:// URL
    #[arg(long, default_value = ".")]
    repo: String,
    /// The branch to follow
    #[arg(long, default_value = "main")]
    branch: String,
    /// The gateway's port; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Serves below this, as the domain of an API Gateway serves below its stage
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    #[command(flatten)]
    tables: tables::Arguments,
    /// The hard-coded catalogue that policy moves callers away from, instead of the one that was built in
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The longest time between two calls of a scheduled function, in seconds: to see soon what takes minutes
    #[arg(long, value_name = "SECONDS")]
    schedule_seconds: Option<u64>,
    /// What runs the functions: this process, or a process a function, of the artifacts that are deployed
    #[arg(long, value_enum, default_value_t = Runtime::Here)]
    runtime: Runtime,
    /// Where those artifacts are, which scripts/artifacts builds
    #[arg(long, value_name = "FOLDER", default_value = "target/lambda")]
    artifacts: PathBuf,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    log: String,
}

/// What runs the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// This process.
    Here,
    /// Processes, over Lambda's Runtime API.
    Lambda,
}

/// What the functions may be told by the environment of `roster dev`: access to the repository, where the statuses of
/// its commits are set, the secret of its webhooks, whose tokens are taken instead of those that it signs itself, and
/// where notices go.
const FROM_OUTSIDE: [&str; 17] = [
    "GITHUB_API_URL",
    "GITHUB_REPOSITORY",
    "GIT_TOKEN",
    "JWKS_FILE",
    "JWKS_URL",
    "JWT_AUDIENCE",
    "JWT_ISSUER",
    "JWT_ROLES_CLAIM",
    "JWT_SUBJECT_CLAIM",
    "JWT_TIER_CLAIM",
    "NOTICE_WEBHOOK_SECRET",
    "NOTICE_WEBHOOK_URLS",
    "OIDC_CLIENT_ID",
    "OIDC_SCOPES",
    "OIDC_TOKEN",
    "STATUS_CONTEXT",
    "WEBHOOK_SECRET",
];

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let output = Output::new(false);
    // The local stack counts nothing, and sends no traces.
    Telemetry::begin(&Env::from_iter([("LOG_LEVEL".to_owned(), format!("{},dynoxide=error", arguments.log))]))
        .map_err(Failure::new)?;
    if arguments.runtime == Runtime::Lambda && arguments.snapshot.is_some() {
        return Err(Failure::new(
            "the artifacts bring the catalogue that was built in: --snapshot is for --runtime here",
        ));
    }
    let bundled: Cow<'static, [u8]> = match &arguments.snapshot {
        Some(file) => snapshot::read(file)?.into_bytes().into(),
        None => roster_public::SNAPSHOT.into(),
    };
    let directory = DataDir::create(&arguments.tables.data)?;
    let secret = directory.dev_secret()?;
    let location = Location::parse(&arguments.repo)?;
    let repository = Repository::open(&location, &directory.path().join("watch"))?;
    let mut template = Template::load(&values(&arguments, &secret, directory.path()))?;
    if let Some(seconds) = arguments.schedule_seconds {
        let longest = Duration::from_secs(seconds.max(1));
        let schedules = template.functions.iter_mut().flat_map(|function| &mut function.schedules);
        schedules.for_each(|schedule| schedule.every = schedule.every.min(longest));
    }
    let dynamodb = arguments.tables.dynamodb().await?;
    if !dynamodb.is_owner() {
        return Err(Failure::new(format!(
            "{}: another roster has this data directory open; stop it, or use another --data",
            directory.path().display()
        )));
    }
    let store = dynamodb.store(&template).await?;
    let hosts = match arguments.runtime {
        Runtime::Here => here(&template, &store, bundled)?,
        Runtime::Lambda => {
            let artifacts = arguments.artifacts.clone();
            let options = LambdaOptions { artifacts, endpoint: dynamodb.endpoint().to_owned(), log: None };
            Hosts::Lambda(Arc::new(Lambda::new(&template, &options).map_err(Failure::new)?))
        }
    };
    let functions = Arc::new((hosts.clone(), template.clone()));
    let stack = Stack::start(StackOptions {
        dynamodb,
        hosts,
        template,
        store,
        port: arguments.port,
        stage: arguments.stage.clone(),
        directory: arguments.tables.checkpoints(),
    })
    .await?;
    greet(output, &stack.url, &arguments, &secret)?;
    let watcher = tokio::spawn(watch(repository, arguments.branch, functions, output));
    stopped().await;
    output.line("stopping");
    watcher.abort();
    let _ = watcher.await;
    stack.shutdown().await;
    Ok(())
}

/// Every artifact in this process.
fn here(template: &Template, store: &Store, bundled: Cow<'static, [u8]>) -> Result<Hosts, Failure> {
    let env = |artifact| template.env_for(artifact);
    let public = roster_public::App::with_snapshot(&env("public")?, store.clone(), bundled)?;
    let admin = roster_admin::App::new(&env("admin")?, store.clone())?;
    let events = roster_events::App::new(&env("events")?, store.clone())?;
    let gitops = roster_gitops::App::new(&env("gitops")?, store.clone())?;
    Ok(Hosts::Here(vec![
        Arc::new(Hosted::new(public, roster_public::FUNCTIONS)),
        Arc::new(Hosted::new(admin, roster_admin::FUNCTIONS)),
        Arc::new(Hosted::new(events, roster_events::FUNCTIONS)),
        Arc::new(Hosted::new(gitops, roster_gitops::FUNCTIONS)),
    ]))
}

/// The template's values here: this repository and this secret.
fn values(arguments: &Arguments, secret: &str, directory: &Path) -> LocalValues {
    let mut environment = BTreeMap::from([
        ("DEV_JWT_SECRET".to_owned(), secret.to_owned()),
        ("GIT_CACHE".to_owned(), directory.join("git").display().to_string()),
        // What is live here is not live for others: commits have a status of it only where somebody asks for that.
        ("STATUS_CONTEXT".to_owned(), String::new()),
    ]);
    for name in FROM_OUTSIDE {
        environment.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    LocalValues {
        parameters: BTreeMap::from([
            ("RepositoryUrl".to_owned(), arguments.repo.clone()),
            ("Branch".to_owned(), arguments.branch.clone()),
        ]),
        environment,
    }
}

fn greet(output: Output, url: &str, arguments: &Arguments, secret: &str) -> Result<(), Failure> {
    let free = token::issue(secret, "reader", &BTreeSet::new(), Some(Tier::Free), TOKENS)?;
    let pro = token::issue(secret, "pro", &BTreeSet::new(), Some(Tier::Pro), TOKENS)?;
    let admin = token::issue(secret, "admin", &BTreeSet::from([Role::Admin]), Some(Tier::EnterpriseMax), TOKENS)?;
    let both = BTreeSet::from([Role::Admin, Role::SuperAdmin]);
    let super_admin = token::issue(secret, "super", &both, Some(Tier::EnterpriseMax), TOKENS)?;
    output.line(format_args!("Roster answers at {url}, following {} of {}", arguments.branch, arguments.repo));
    output.line(format_args!("\n  curl '{url}/v1/models?limit=2'\n"));
    output.line("Tokens for 12 hours, for an \"Authorization: Bearer\" header:");
    for (name, token) in [("free", free), ("pro", pro), ("admin", admin), ("super", super_admin)] {
        output.line(format_args!("  {name:<6}{token}"));
    }
    output.line(format_args!("\nThe dashboard is at {url}/ui: sign in there with the admin token."));
    output.line("\nCtrl-C stops it.\n");
    Ok(())
}

/// Calls `sync` when the branch moves. A remote branch is left to the schedule: looking at it is not free.
async fn watch(repository: Repository, branch: String, functions: Arc<(Hosts, Template)>, output: Output) {
    let repository = Arc::new(std::sync::Mutex::new(repository));
    let mut done: Option<CommitId> = None;
    let mut said = String::new();
    loop {
        let (shared, name) = (repository.clone(), branch.clone());
        let tip = tokio::task::spawn_blocking(move || {
            shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).branch_tip(&name)
        });
        let outcome = match tip.await {
            Ok(Ok(tip)) if done == Some(tip) => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Ok(Ok(tip)) => sync(&functions).await.map(|report| (tip, report)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok((_, report)) if report["state"] == "busy" => tokio::time::sleep(LOOK).await,
            Ok((tip, report)) => {
                tell(output, &report);
                done = Some(tip);
                said.clear();
            }
            Err(message) => {
                // The same failure again is no news.
                if said != message {
                    output.line(format_args!("sync failed: {message}"));
                    said = message;
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn sync((hosts, template): &(Hosts, Template)) -> Result<Value, String> {
    let run = hosts.event(template, "sync", json!({"source": "roster.watch"}));
    run.await.map_err(|error| error.to_string())
}

fn tell(output: Output, report: &Value) {
    let text = |key: &str| report[key].as_str().unwrap_or_default();
    output.line(format_args!(
        "{}: revision {} at {}, {} in {}",
        text("state"),
        report["revision"],
        text("commit").get(..12).unwrap_or_default(),
        counted(&report["operations"], "operation"),
        counted(&report["commits"], "commit"),
    ));
    let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    for problem in list("problems") {
        if let Ok(problem) = serde_json::from_value::<roster_core::Problem>(problem) {
            output.line(format_args!("    {problem}"));
        }
    }
    for hold in list("holds") {
        output.line(format_args!("    held: {}", hold["message"].as_str().unwrap_or_default()));
    }
}

/// Resolves when the process is asked to stop.
async fn stopped() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be listened for");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
