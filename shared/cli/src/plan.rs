//! `roster plan`: what a pull request would do.

use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use jiff::Timestamp;
use roster_core::diff::FieldChange;
use roster_core::plan::Step;
use roster_git::{Location, Repository};
use roster_sync::offline::{OfflinePlan, plan_between};
use serde_json::Value;

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

/// Plans the way from one revision to another, and writes it.
pub(crate) fn run(repo: &str, base: &str, head: &str, format: Format) -> Result<(), Failure> {
    let repository = Repository::open(&Location::parse(repo)?, Path::new(".roster/git"))?;
    let (base, head) = (repository.resolve(base)?, repository.resolve(head)?);
    let plan = plan_between(&repository, base, head, Timestamp::now())?;
    let output = Output::new(format == Format::Json);
    output.report(&plan, |plan| output.line(if format == Format::Markdown { markdown(plan) } else { text(plan) }))?;
    if plan.problems.is_empty() { Ok(()) } else { Err(Failure::reported()) }
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

fn markdown(plan: &OfflinePlan) -> String {
    let mut out = format!("### Roster plan\n\n{}\n", summary(plan));
    if !plan.problems.is_empty() {
        out.push_str("\n**Mistakes**\n\n");
        for problem in &plan.problems {
            let _ = writeln!(out, "- `{problem}`");
        }
    }
    if !plan.holds.is_empty() {
        out.push_str("\n**Held for approval**\n\n");
        for hold in &plan.holds {
            let _ = writeln!(out, "- {}", hold.message);
        }
    }
    if !plan.plan.steps.is_empty() {
        out.push_str("\n| model | operations | changes |\n| --- | --- | --- |\n");
        for step in &plan.plan.steps {
            let changes: Vec<String> =
                step.changes.iter().map(|change| format!("`{}`", field(change).replace('|', "\\|"))).collect();
            let _ = writeln!(out, "| `{}` | {} | {} |", step.id, marks(step), changes.join("<br>"));
        }
        let _ = write!(out, "\nPlan `{}`", plan.hash);
    }
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
