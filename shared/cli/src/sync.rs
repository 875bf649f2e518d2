//! `roster sync`: applies a repository's branch to the tables, and says what it did and what it cost.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use roster_sync::{CommitReport, Options, State};

use crate::output::{Failure, Output, counted};
use crate::{Json, tables};

/// What `roster sync` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The repository: a path, or a file://, http:// or https:// URL
    #[arg(long, default_value = ".")]
    repo: String,
    /// The branch to follow
    #[arg(long, default_value = "main")]
    branch: String,
    /// Stop at this revision instead of the branch's tip
    #[arg(long)]
    to: Option<String>,
    /// Apply every commit by itself, however many there are
    #[arg(long)]
    every_commit: bool,
    /// Let no guard hold a plan: for replays and restores
    #[arg(long)]
    no_guard: bool,
    /// Stop before anything is written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    tables: tables::Arguments,
    #[command(flatten)]
    json: Json,
}

/// Runs one sync.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let output = arguments.json.output();
    let (tables, reconciler) = tables::Tables::open_with(&arguments.tables, &arguments.repo).await?;
    let dry_run = arguments.dry_run;
    let options = Options {
        to: arguments.to,
        every_commit: arguments.every_commit,
        guard: !arguments.no_guard,
        dry_run,
        ..Options::follow(&arguments.branch)
    };
    let bar = progress(output);
    let done = reconciler
        .run(&options, |at, of, commit| {
            bar.set_length(of as u64);
            bar.set_position(at as u64);
            bar.suspend(|| tell(output, commit));
        })
        .await;
    bar.finish_and_clear();
    // The history of what was applied is written by the stream, also when the run failed half way.
    tables.close().await?;
    let report = done?;
    output.report(&report, |report| {
        for ended in &report.overrides {
            let verb = if dry_run { "would end" } else { "ended" };
            output
                .line(format_args!("override of {} by {} {verb}: {}", ended.id, ended.terms.actor, ended.terms.reason));
        }
        output.line(format_args!(
            "{}: revision {} at {}\n{}, {}, {} rejected, {} held; {} units; {:.3} s\ndigest {}",
            report.state.name(),
            report.revision,
            report.commit,
            counted(report.commits, "commit"),
            counted(report.operations, "operation"),
            report.rejected,
            report.held,
            report.consumed,
            report.seconds,
            report.digest
        ));
    })?;
    if report.state.is_success() { Ok(()) } else { Err(Failure::reported()) }
}

fn tell(output: Output, commit: &CommitReport) {
    let told = output.report(commit, |commit| {
        let short = commit.commit.get(..12).unwrap_or(&commit.commit);
        output.line(format_args!(
            "{:<9} {short} revision {} {}; {} units; {:.3} s; digest {}; {}",
            commit.state.name(),
            commit.revision,
            counted(commit.operations, "operation"),
            commit.consumed,
            commit.seconds,
            commit.digest.get(..12).unwrap_or(&commit.digest),
            commit.subject
        ));
        for problem in &commit.problems {
            output.line(format_args!("    {problem}"));
        }
        for hold in &commit.holds {
            let verb = if commit.state == State::Held { "held" } else { "not held, for the guard is off" };
            output.line(format_args!("    {verb}: {}", hold.message));
        }
    });
    if let Err(failure) = told {
        tracing::warn!(message = failure.message(), "a report could not be written");
    }
}

fn progress(output: Output) -> ProgressBar {
    if !output.is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} commits, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
