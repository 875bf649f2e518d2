//! `roster validate`: every mistake in a catalogue, as it lies on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roster_core::Policy;
use roster_core::catalogue::{Catalogue, Roots};
use roster_core::document::{self, Problem};
use roster_core::tree::Nodes;
use roster_core::validate::{self, FileRole, Proposal, SourcedModel};
use serde::Serialize;

use crate::output::{Failure, Output, counted};

/// What `roster validate` says.
#[derive(Serialize)]
struct Report {
    valid: bool,
    models: usize,
    problems: Vec<Problem>,
}

/// A catalogue as it lies on disk.
pub(crate) struct Checked {
    /// The models whose files are without mistakes.
    pub(crate) models: Vec<Arc<SourcedModel>>,
    /// The policy, where there is one without mistakes.
    pub(crate) policy: Option<Policy>,
    /// Every mistake.
    pub(crate) problems: Vec<Problem>,
}

/// Checks the catalogue in a directory, or in the `catalog/` below it.
pub(crate) fn run(path: &Path, output: Output) -> Result<(), Failure> {
    let Checked { models, problems, .. } = check(path)?;
    let report = Report { valid: problems.is_empty(), models: models.len(), problems };
    output.report(&report, |report| {
        for problem in &report.problems {
            output.line(problem);
        }
        match report.problems.len() {
            0 => output.line(format_args!("{}, all valid", counted(report.models, "model"))),
            count => output.line(counted(count, "problem")),
        }
    })?;
    if report.valid { Ok(()) } else { Err(Failure::reported()) }
}

/// Reads the catalogue in a directory, or in the `catalog/` below it, and finds every mistake.
pub(crate) fn check(path: &Path) -> Result<Checked, Failure> {
    let root = if path.join("catalog").is_dir() { path.join("catalog") } else { path.to_owned() };
    if !root.join("models").is_dir() {
        return Err(Failure::new(format!("{} holds no catalogue: there is no models directory in it", path.display())));
    }
    let (proposal, policy, mut problems) = read_all(&root)?;
    problems.extend(across(&proposal)?);
    problems.sort();
    Ok(Checked { models: proposal.present, policy, problems })
}

/// Every file of a catalogue, as a proposal for an empty one and its policy, with the mistakes of single files.
pub(crate) fn read_all(root: &Path) -> Result<(Proposal, Option<Policy>, Vec<Problem>), Failure> {
    let mut files = Vec::new();
    list(root, &mut files)?;
    files.sort();
    let mut problems = Vec::new();
    let mut policy = None;
    let mut proposal = Proposal::default();
    for file in files {
        let below = file.strip_prefix(root).unwrap_or(&file);
        let Some(below) = below.to_str() else {
            let shown = format!("catalog/{}", below.display());
            problems.push(Problem::of_file(&shown, "the path is not UTF-8: rename the file"));
            continue;
        };
        let path = format!("{}/{below}", validate::CATALOG);
        let read = match validate::role(&path) {
            FileRole::Other => continue,
            FileRole::Model => content(&path, &file)?.and_then(|bytes| validate::read_model(&path, &bytes).map(Some)),
            FileRole::Policy => content(&path, &file)?.and_then(|bytes| {
                policy = Some(roster_sync::read_policy(&path, &bytes)?);
                Ok(None)
            }),
        };
        match read {
            Ok(sourced) => proposal.present.extend(sourced.map(Arc::new)),
            Err(found) => {
                problems.extend(found);
                proposal.unreadable.extend(validate::possible_ids(&path));
            }
        }
        proposal.touched.insert(path);
    }
    Ok((proposal, policy, problems))
}

/// The mistakes across the models of a catalogue that is proposed as a whole.
pub(crate) fn across(proposal: &Proposal) -> Result<Vec<Problem>, Failure> {
    let (nodes, roots) = (Nodes::default(), Roots::empty());
    validate::problems(proposal, &Catalogue::new(&nodes, &roots)).map_err(Failure::new)
}

/// Every file below a directory; links are listed, not followed.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::new(format!("{}: {error}", directory.display()));
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        match entry.file_type().map_err(unreadable)?.is_dir() {
            true => list(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

/// A file's bytes, or why it can have none.
fn content(path: &str, file: &Path) -> Result<Result<Vec<u8>, Vec<Problem>>, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let metadata = fs::symlink_metadata(file).map_err(unreadable)?;
    if metadata.is_symlink() {
        return Ok(Err(vec![Problem::of_file(path, "is a symbolic link: write the file itself")]));
    }
    if metadata.len() > document::MAX_BYTES {
        return Ok(Err(vec![Problem::of_file(path, document::too_large(metadata.len()))]));
    }
    fs::read(file).map(Ok).map_err(unreadable)
}
