//! `roster drift`: where the models table does not say what the branch says, field by field.

use clap::Args;
use roster_sync::Options;
use roster_sync::drift::{Breadth, Drift};

use crate::output::{Failure, Output, counted};
use crate::{Json, tables};

/// What `roster drift` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The repository: a path, or a file://, http:// or https:// URL
    #[arg(long, default_value = ".")]
    repo: String,
    /// The branch to compare with
    #[arg(long, default_value = "main")]
    branch: String,
    #[command(flatten)]
    tables: tables::Arguments,
    #[command(flatten)]
    json: Json,
}

/// Prints every difference; fails when there is any.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let output = arguments.json.output();
    arguments.tables.must_exist()?;
    let (tables, reconciler) = tables::Tables::open_with(&arguments.tables, &arguments.repo).await?;
    let report = reconciler.drift(&Options::follow(&arguments.branch), Breadth::Table).await;
    tables.close().await?;
    let report = report?;
    output.report(&report, |report| {
        for drift in &report.drift {
            tell(output, drift);
        }
        let models = counted(report.models, "model");
        match report.drift.len() {
            0 => output.line(format_args!("{models}, all as the branch says")),
            count => output.line(format_args!("{models}, {count} with drift")),
        }
    })?;
    if report.drift.is_empty() { Ok(()) } else { Err(Failure::reported()) }
}

fn tell(output: Output, drift: &Drift) {
    let kind = serde_json::to_value(drift.kind).unwrap_or_default();
    output.line(format_args!("{} {} {}", drift.id, kind.as_str().unwrap_or_default(), drift.path));
    for change in &drift.changes {
        let side = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        output.line(format_args!(
            "    {}: the branch says {}, the table {}",
            change.path,
            side(&change.old),
            side(&change.new)
        ));
    }
    if let Some(terms) = &drift.terms {
        output.line(format_args!("    overridden by {} until {}: {}", terms.actor, terms.until, terms.reason));
    }
    if let Some(last) = &drift.last_change {
        output.line(format_args!("    last changed by {} at {}: {}", last.actor, last.at, last.reason));
    }
}
