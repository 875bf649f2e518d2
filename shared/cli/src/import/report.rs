//! What `roster import` says: model by model, and every entry that is none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use roster_core::ModelId;
use roster_exchange::{Format, Kept, Skipped};
use serde::Serialize;

use super::Planned;
use crate::output::{Output, counted};

/// What `roster import` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    from: &'static str,
    dry_run: bool,
    entries: usize,
    /// Entries that the options leave out.
    pub(crate) not_asked_for: usize,
    pub(crate) models: Vec<ModelReport>,
    pub(crate) skipped: Vec<Skipped>,
    /// What could not be written, and what else is wrong.
    pub(crate) problems: Vec<String>,
}

/// What becomes of a model's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModelReport {
    key: String,
    id: ModelId,
    path: PathBuf,
    outcome: Outcome,
    changes: Vec<String>,
    kept: Vec<Kept>,
    notes: Vec<String>,
}

impl From<Planned> for ModelReport {
    fn from(plan: Planned) -> Self {
        let Planned { key, sourced, target, outcome, changes, kept, notes, .. } = plan;
        Self { key, id: sourced.model.id.clone(), path: target, outcome, changes, kept, notes }
    }
}

impl Report {
    pub(crate) fn new(from: Format, entries: usize, dry_run: bool) -> Self {
        let (models, skipped, problems) = (Vec::new(), Vec::new(), Vec::new());
        Self { from: from.name(), dry_run, entries, not_asked_for: 0, models, skipped, problems }
    }

    /// Whether something was imported, where there was something, and nothing else went wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && (!self.models.is_empty() || self.skipped.is_empty())
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.models.iter().filter(|model| model.outcome == outcome).count()
    }
}

/// Tells a report to people.
pub(crate) fn tell(report: &Report, output: Output) {
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    for model in &report.models {
        let path = model.path.display();
        match (model.outcome, report.dry_run) {
            (Outcome::Created, false) => output.line(format_args!("created {path}")),
            (Outcome::Created, true) => output.line(format_args!("would create {path}")),
            (Outcome::Updated, false) => output.line(format_args!("updated {path}: {}", model.changes.join(", "))),
            (Outcome::Updated, true) => output.line(format_args!("would update {path}: {}", model.changes.join(", "))),
            (Outcome::Unchanged, _) => {}
        }
        for kept in &model.kept {
            let Kept { place, stays, upstream, why } = kept;
            output.line(format_args!("kept {path}: {place} is {stays}, {} says {upstream}: {why}", report.from));
        }
        model.notes.iter().for_each(|note| *notes.entry(note).or_default() += 1);
    }
    for skipped in &report.skipped {
        output.line(format_args!("skipped {}: {}", skipped.key, skipped.reason));
    }
    for (note, count) in notes {
        output.line(format_args!("note: {note} ({})", counted(count, "model")));
    }
    report.problems.iter().for_each(|problem| output.line(problem));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    report.skipped.iter().for_each(|skipped| *kinds.entry(skipped.kind).or_default() += 1);
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let others = match report.not_asked_for {
        0 => String::new(),
        others => format!(", {others} not asked for"),
    };
    output.line(format_args!(
        "{}: {} created, {} updated, {} unchanged, {} skipped{kinds}{others}{}",
        if report.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", report.entries) },
        report.count(Outcome::Created),
        report.count(Outcome::Updated),
        report.count(Outcome::Unchanged),
        report.skipped.len(),
        if report.dry_run { "; nothing was written" } else { "" },
    ));
}
