//! `roster plan`: what a pull request would do.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use roster_core::diff::FieldChange;
use roster_core::plan::Step;
use roster_git::{Location, Repository};
use roster_sync::offline::{OfflinePlan, plan_between};
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
    /// The commit that is live
    #[arg(long)]
    base: String,
    /// The revision to plan for
    #[arg(long, default_value = "HEAD")]
    head: String,
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

/// Plans the way from one revision to another, and writes it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let format = if arguments.json.json { Format::Json } else { arguments.format };
    let repository = Repository::open(&Location::parse(&arguments.repo)?, Path::new(".roster/git"))?;
    let (base, head) = (repository.resolve(&arguments.base)?, repository.resolve(&arguments.head)?);
    let plan = plan_between(&repository, base, head, arguments.revision, Timestamp::now())?;
    let output = Output::new(format == Format::Json);
    let written = |plan: &OfflinePlan| if format == Format::Markdown { plan.review().markdown() } else { text(plan) };
    output.report(&plan, |plan| output.line(written(plan)))?;
    // A comment says by itself that it needs an approval; whoever reads only the exit code must be told.
    let fails_on_hold = arguments.fail_on_hold || format != Format::Markdown;
    let is_held = !plan.holds.is_empty() && fails_on_hold;
    if plan.problems.is_empty() && !is_held { Ok(()) } else { Err(Failure::reported()) }
}

fn text(plan: &OfflinePlan) -> String {
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
    for hold in &plan.holds {
        let _ = writeln!(out, "held: {}", hold.message);
    }
    let _ = write!(out, "{}", summary(plan));
    out
}

fn summary(plan: &OfflinePlan) -> String {
    let operations = plan.plan.operations().count();
    let verdict = match (plan.problems.len(), plan.holds.len()) {
        (0, 0) => "it would be applied".to_owned(),
        (0, _) => "it would be held for approval".to_owned(),
        (count, _) => format!("it would be rejected for {}", counted(count, "mistake")),
    };
    format!("{} on {}: {verdict}", counted(operations, "operation"), counted(plan.plan.steps.len(), "model"))
}

fn marks(step: &Step) -> String {
    step.operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn field(change: &FieldChange) -> String {
    let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    format!("{}: {} -> {}", change.path, shown(&change.old), shown(&change.new))
}
