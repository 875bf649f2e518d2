//! `roster plan`: what a pull request would do.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use roster_core::Problem;
use roster_core::diff::FieldChange;
use roster_core::guard::Hold;
use roster_core::plan::Operation;
use roster_git::{Location, Repository};
use roster_http::Client;
use roster_sync::offline::plan_between;
use serde::Deserialize;
use serde_json::Value;

use crate::Json;
use crate::output::{Failure, Output, counted};

/// How the plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal.
    Text,
    /// For a pull request.
    Markdown,
    /// For programs.
    Json,
}

/// What `roster plan` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The repository: a path, or a file://, http:// or https:// URL
    #[arg(long, default_value = ".")]
    repo: String,
    /// The commit that is taken as live, without asking anybody
    #[arg(long, required_unless_present = "live", conflicts_with = "live")]
    base: Option<String>,
    /// The URL of the API whose live catalogue is planned against, with the token in ROSTER_TOKEN; it reads the change
    /// from its own repository
    #[arg(long, value_name = "URL", conflicts_with_all = ["base", "revision"])]
    live: Option<String>,
    /// The revision to plan for, HEAD by default; with --live a branch, refs/pull/N/merge, or a commit that is pushed
    #[arg(long)]
    head: Option<String>,
    /// The published revision that is live, as /health tells it: the plan's hash names it
    #[arg(long, default_value_t = 0)]
    revision: u64,
    /// How to write the plan
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Fail for a plan that would be held, whatever its format
    #[arg(long)]
    fail_on_hold: bool,
    #[command(flatten)]
    json: Json,
}

/// A plan as it is told, by this process or by an API.
#[derive(Deserialize)]
struct Told {
    problems: Vec<Problem>,
    #[serde(default)]
    warnings: Vec<String>,
    holds: Vec<Hold>,
    plan: Steps,
    /// How many there are in all, where not every step is told.
    operations: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Steps {
    steps: Vec<Step>,
    /// How many more there are than an API answers.
    #[serde(default)]
    more_steps: usize,
}

#[derive(Deserialize)]
struct Step {
    id: String,
    operations: Vec<Operation>,
    changes: Vec<FieldChange>,
}

/// Plans the way to a revision, and writes it.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let format = if arguments.json.json { Format::Json } else { arguments.format };
    let (plan, markdown) = match &arguments.live {
        Some(url) => live(arguments, url, format).await?,
        None => offline(arguments, format)?,
    };
    let told: Told = serde_json::from_value(plan.clone())?;
    let output = Output::new(format == Format::Json);
    output.report(&plan, |_| output.line(markdown.unwrap_or_else(|| text(&told))))?;
    // A comment says by itself that it needs an approval; whoever reads only the exit code must be told.
    let fails_on_hold = arguments.fail_on_hold || format != Format::Markdown;
    let is_held = !told.holds.is_empty() && fails_on_hold;
    if told.problems.is_empty() && !is_held { Ok(()) } else { Err(Failure::reported()) }
}

/// A plan against a commit, as if exactly that were live; and its Markdown where that is wanted.
fn offline(arguments: &Arguments, format: Format) -> Result<(Value, Option<String>), Failure> {
    let repository = Repository::open(&Location::parse(&arguments.repo)?, Path::new(".roster/git"))?;
    let base = repository.resolve(arguments.base.as_deref().unwrap_or("HEAD"))?;
    let head = repository.resolve(arguments.head.as_deref().unwrap_or("HEAD"))?;
    let plan = plan_between(&repository, base, head, arguments.revision, Timestamp::now())?;
    let markdown = (format == Format::Markdown).then(|| plan.review().markdown());
    Ok((serde_json::to_value(&plan)?, markdown))
}

/// A plan against what is live, made by the API with the code of its sync.
async fn live(arguments: &Arguments, url: &str, format: Format) -> Result<(Value, Option<String>), Failure> {
    // A token is never an argument, which others on the machine could see.
    let token = std::env::var("ROSTER_TOKEN").unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::new("ROSTER_TOKEN is not set: --live needs the token of an admin"));
    }
    let client = Client::new(url, &token)?;
    let head = match &arguments.head {
        Some(head) => head.clone(),
        None => {
            let repository = Repository::open(&Location::parse(&arguments.repo)?, Path::new(".roster/git"))?;
            repository.resolve("HEAD")?.to_string()
        }
    };
    let text = client.get("/admin/sync/plan", &[("ref", &head)], "application/json").await?;
    let mut plan = serde_json::from_str::<Value>(&text)?["data"].take();
    let markdown = plan.as_object_mut().and_then(|plan| plan.remove("markdown"));
    let markdown = markdown.and_then(|text| text.as_str().map(str::to_owned));
    Ok((plan, markdown.filter(|_| format == Format::Markdown)))
}

fn text(plan: &Told) -> String {
    let mut out = String::new();
    for problem in &plan.problems {
        let _ = writeln!(out, "{problem}");
    }
    for step in &plan.plan.steps {
        let _ = writeln!(out, "{} {}", marks(step), step.id);
        for change in &step.changes {
            let _ = writeln!(out, "    {}", field(change));
        }
    }
    if plan.plan.more_steps > 0 {
        let _ = writeln!(out, "and {}", counted(plan.plan.more_steps, "more model"));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for hold in &plan.holds {
        let _ = writeln!(out, "held: {}", hold.message);
    }
    let _ = write!(out, "{}", summary(plan));
    out
}

fn summary(plan: &Told) -> String {
    let operations = plan.operations.unwrap_or_else(|| plan.plan.steps.iter().map(|step| step.operations.len()).sum());
    let verdict = match (plan.problems.len(), plan.holds.len()) {
        (0, 0) => "it would be applied".to_owned(),
        (0, _) => "it would be held for approval".to_owned(),
        (count, _) => format!("it would be rejected for {}", counted(count, "mistake")),
    };
    format!(
        "{} on {}: {verdict}",
        counted(operations, "operation"),
        counted(plan.plan.steps.len() + plan.plan.more_steps, "model")
    )
}

fn marks(step: &Step) -> String {
    step.operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn field(change: &FieldChange) -> String {
    let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    format!("{}: {} -> {}", change.path, shown(&change.old), shown(&change.new))
}
