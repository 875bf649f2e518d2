//! What `roster migrate` says: field by field, file by file, and every row that is not whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use roster_core::ModelId;
use serde::Serialize;

use super::row::{Field, Origin};
use super::table::{bounded, shorten};
use crate::output::{Output, counted};

/// What `roster migrate` says.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Whether every row is migrated, and nothing of it lost.
    pub(crate) complete: bool,
    /// Whether files were written, or would only have been.
    pub(crate) written: bool,
    pub(crate) rows: usize,
    pub(crate) fields: Vec<FieldReport>,
    pub(crate) files: Vec<FileReport>,
    pub(crate) notes: Vec<String>,
    pub(crate) problems: Vec<RowProblem>,
    pub(crate) lost: Vec<RowProblem>,
}

/// Where the values of one field have come from, over all rows that can be migrated.
#[derive(Debug, Default, Serialize)]
pub(crate) struct FieldReport {
    pub(crate) field: String,
    pub(crate) columns: BTreeSet<String>,
    pub(crate) taken: usize,
    pub(crate) converted: usize,
    /// How values are written otherwise, and in how many rows.
    pub(crate) conversions: BTreeMap<String, usize>,
    pub(crate) defaulted: usize,
    /// What stands where rows had none, and in how many rows.
    pub(crate) defaults: BTreeMap<String, usize>,
}

/// What becomes of a row's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Created,
    Replaced,
    Unchanged,
    /// Another content is there, and stays.
    Conflicting,
    /// It could not be written.
    Failed,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    pub(crate) row: usize,
    pub(crate) id: ModelId,
    pub(crate) path: PathBuf,
    pub(crate) outcome: Outcome,
}

/// Something wrong, with its row where it has one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct RowProblem {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) row: Option<usize>,
    pub(crate) id: Option<String>,
    pub(crate) message: String,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        match (self.row, &self.id) {
            (Some(row), Some(id)) => write!(f, ": row {row} ({}): {}", shorten(id), self.message),
            (Some(row), None) => write!(f, ": row {row}: {}", self.message),
            (None, _) => write!(f, ": {}", self.message),
        }
    }
}

/// The origins of all fields, in the order of the format.
pub(crate) fn fields<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<FieldReport> {
    let mut reports: BTreeMap<(usize, &str), FieldReport> = BTreeMap::new();
    for field in fields {
        let report = reports.entry((field.place, &field.name)).or_default();
        report.field.clone_from(&field.name);
        report.columns.extend(field.column.clone());
        match &field.origin {
            Origin::Taken => report.taken += 1,
            Origin::Converted(how) => {
                report.converted += 1;
                how.iter().for_each(|how| *report.conversions.entry(how.clone()).or_default() += 1);
            }
            Origin::Defaulted(said) => {
                report.defaulted += 1;
                *report.defaults.entry(said.clone()).or_default() += 1;
            }
        }
    }
    reports.into_values().collect()
}

impl fmt::Display for FieldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
        let mut parts = Vec::new();
        if self.taken > 0 {
            parts.push(format!("{} taken from {}", counted(self.taken, "row"), shorten(&columns)));
        }
        if self.converted > 0 {
            let how: Vec<String> = self.conversions.iter().map(|(how, rows)| format!("{how}: {rows}")).collect();
            let (rows, how) = (counted(self.converted, "row"), how.join(", "));
            parts.push(format!("{rows} converted from {} ({})", shorten(&columns), bounded(&how, 500)));
        }
        for (said, rows) in &self.defaults {
            parts.push(format!("{} had none: {said}", counted(rows, "row")));
        }
        write!(f, "{}: {}", shorten(&self.field), parts.join("; "))
    }
}

/// Tells a report to people.
pub(crate) fn tell(report: &Report, output: Output) {
    for field in &report.fields {
        output.line(field);
    }
    for file in &report.files {
        let verb = match (file.outcome, report.written) {
            (Outcome::Unchanged, _) => "unchanged",
            (Outcome::Conflicting, _) => "conflicting",
            (Outcome::Failed, _) => "failed",
            (Outcome::Created, true) => "created",
            (Outcome::Created, false) => "would create",
            (Outcome::Replaced, true) => "replaced",
            (Outcome::Replaced, false) => "would replace",
        };
        output.line(format_args!("{verb} {}", file.path.display()));
    }
    for note in &report.notes {
        output.line(format_args!("note: {}", shorten(note)));
    }
    for line in report.problems.iter().chain(&report.lost) {
        output.line(line);
    }
    let rows = counted(report.rows, "row");
    let nothing = if report.written { "" } else { "; nothing was written" };
    match report.complete {
        true => output.line(format_args!("{rows}, every value found again{nothing}")),
        false => output.line(format_args!(
            "{rows}, {}, {} lost{nothing}",
            counted(report.problems.len(), "problem"),
            counted(report.lost.len(), "value")
        )),
    }
}
