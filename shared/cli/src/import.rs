//! `roster import`: models of another catalogue as files, with what people have edited in them left alone.

mod report;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use roster_core::tier::Tier;
use roster_core::validate::{self, Proposal, SourcedModel};
use roster_core::{Model, diff, file};
use roster_exchange::{Format, Imported, Kept, Options, Skipped};

use crate::Json;
use crate::fitting::{self, Candidate};
use crate::migrate::in_document;
use crate::output::{Failure, Output};
use report::{ModelReport, Outcome, Report};

/// What `roster import` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Whose file it is
    #[arg(long, value_parser = formats(&Format::ALL))]
    from: Format,
    /// The file
    file: PathBuf,
    /// The catalogue to write to
    #[arg(long, value_name = "DIR", default_value = "catalog")]
    out: PathBuf,
    /// Import the models of this provider only; repeat it for others
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// Import the models whose id is like this only: * stands for any characters
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// The tier that new models require
    #[arg(long, default_value = "free")]
    tier: Tier,
    /// Take this field from the file whatever the catalogue says; repeat it for others
    #[arg(long, value_name = "FIELD")]
    take_upstream: Vec<String>,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

/// Names of formats, as a command takes them.
pub(crate) fn formats(formats: &[Format]) -> impl TypedValueParser<Value = Format> + use<> {
    let names: Vec<&'static str> = formats.iter().map(|format| format.name()).collect();
    PossibleValuesParser::new(names).try_map(|name| Format::from_name(&name).ok_or("no such format"))
}

/// A file that an entry makes, on paper.
struct Planned {
    key: String,
    sourced: Arc<SourcedModel>,
    text: String,
    /// The file on disk.
    target: PathBuf,
    outcome: Outcome,
    changes: Vec<String>,
    kept: Vec<Kept>,
    notes: Vec<String>,
}

impl Candidate for Planned {
    fn sourced(&self) -> &Arc<SourcedModel> {
        &self.sourced
    }
}

/// Imports a file.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let output = arguments.json.output();
    let report = import(arguments, output)?;
    output.report(&report, |report| report::tell(report, output))?;
    if report.is_good() { Ok(()) } else { Err(Failure::reported()) }
}

fn import(arguments: &Arguments, output: Output) -> Result<Report, Failure> {
    let name = arguments.file.display().to_string();
    let bytes = fs::read(&arguments.file).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let reading =
        roster_exchange::read(arguments.from, &bytes).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let mut report = Report::new(arguments.from, reading.entries(), arguments.dry_run);
    let is_asked = |imported: &Imported| {
        (arguments.provider.is_empty() || arguments.provider.contains(&imported.provider))
            && arguments.only.as_ref().is_none_or(|only| is_like(imported.id.as_str(), only))
    };
    let (asked, others): (Vec<_>, Vec<_>) = reading.models.into_iter().partition(is_asked);
    report.not_asked_for = others.len();
    report.skipped = reading.skipped;
    let root =
        if arguments.out.join("catalog").is_dir() { arguments.out.join("catalog") } else { arguments.out.clone() };
    let before = match root.join("models").is_dir() {
        true => crate::validate::read_all(&root)?.0,
        false => Proposal::default(),
    };
    let options = Options { tier: arguments.tier, take: arguments.take_upstream.clone() };
    let progress = progress(output, asked.len());
    let mut planned = Vec::new();
    let mut targets = HashSet::new();
    for imported in asked {
        progress.inc(1);
        match plan(arguments.from, &imported, &before, &options, &root) {
            Ok(plan) if targets.insert(plan.target.clone()) => planned.push(plan),
            Ok(plan) => {
                let reason = format!("{} is the file of an entry before it", plan.target.display());
                report.skipped.push(Skipped::new(&imported.key, "repeated", reason));
            }
            Err(skipped) => report.skipped.push(skipped),
        }
    }
    progress.finish_and_clear();
    let skipped = &mut report.skipped;
    let others = fitting::retain(
        &before,
        &mut planned,
        |_| Vec::new(),
        |plan: &Planned, problems| {
            skipped.push(Skipped::new(&plan.key, "invalid", told(problems)));
        },
    )?;
    report.problems.extend(others.iter().map(ToString::to_string));
    for plan in &planned {
        if !arguments.dry_run
            && plan.outcome != Outcome::Unchanged
            && let Err(error) = write(&plan.target, &plan.text)
        {
            report.problems.push(format!("{}: {error}", plan.target.display()));
        }
    }
    report.models = planned.into_iter().map(ModelReport::from).collect();
    Ok(report)
}

/// Makes the file of an entry, and checks it as `roster validate` does.
fn plan(
    format: Format,
    imported: &Imported,
    before: &Proposal,
    options: &Options,
    root: &Path,
) -> Result<Planned, Skipped> {
    let there = before.present.iter().find(|sourced| imported.is(&sourced.model));
    let invalid = |reason: String| Skipped::new(&imported.key, "invalid", reason);
    let current = there.map(|sourced| &sourced.model);
    let merged =
        roster_exchange::merge(format, imported, current, options).map_err(|error| invalid(error.to_string()))?;
    let model: Model = serde_json::from_value(merged.document).map_err(|error| invalid(error.to_string()))?;
    let path = there.map_or_else(|| file::path(&model), |sourced| sourced.document.path().to_owned());
    let target = root.join(path.strip_prefix("catalog/").unwrap_or(&path));
    let unreadable = |error: std::io::Error| invalid(format!("{}: {error}", target.display()));
    let (text, outcome) = match current {
        None if target.symlink_metadata().is_ok() => {
            return Err(invalid(format!("{}: is there, and is not this model", target.display())));
        }
        None => (file::text(&model, &path).map_err(|error| invalid(error.to_string()))?, Outcome::Created),
        Some(current) if *current == model => (fs::read_to_string(&target).map_err(unreadable)?, Outcome::Unchanged),
        Some(current) => {
            let there = fs::read_to_string(&target).map_err(unreadable)?;
            let text = file::updated(&there, current, &model, &path).map_err(|error| invalid(error.to_string()))?;
            (text, Outcome::Updated)
        }
    };
    let sourced = validate::read_model(&path, text.as_bytes()).map_err(|problems| invalid(told(&problems)))?;
    if sourced.model != model {
        return Err(invalid(format!("{}: cannot be changed as it is laid out: reformat it", target.display())));
    }
    let changes = current.and_then(|current| Some(diff::fields(&value(current)?, &value(&model)?))).unwrap_or_default();
    Ok(Planned {
        key: imported.key.clone(),
        sourced: Arc::new(sourced),
        text,
        target,
        outcome,
        changes: changes.into_iter().map(|change| change.path).collect(),
        kept: merged.kept,
        notes: imported.notes.clone(),
    })
}

fn value(model: &Model) -> Option<serde_json::Value> {
    serde_json::to_value(model).ok()
}

fn told(problems: &[roster_core::Problem]) -> String {
    problems.iter().map(in_document).collect::<Vec<_>>().join("; ")
}

fn write(target: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(target, text)
}

/// Whether a text is like a pattern, in which `*` stands for any characters.
fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]).any(|rest| is_like(rest, after))
        }),
    }
}

fn progress(output: Output, entries: usize) -> ProgressBar {
    if !output.is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries");
    let bar = ProgressBar::new(entries.try_into().unwrap_or(u64::MAX));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_pattern_stands_for_any_characters() {
        for (text, pattern) in [("openai/gpt-5", "openai/*"), ("a", "*"), ("abc", "a*c"), ("abcbc", "*bc"), ("a", "a")]
        {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [("openai/gpt-5", "gpt*"), ("abc", "a*b"), ("", "a"), ("ab", "a")] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
    }
}
