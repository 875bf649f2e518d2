//! `roster snapshot`: a catalogue as the one document that functions can be built with.

use std::path::Path;

use roster_core::Bundle;

use crate::output::{Failure, Output, counted};
use crate::validate::{self, Checked};

/// Prints the catalogue in a directory, or in the `catalog/` below it, once it is without mistakes.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let Checked { models, policy, problems } = validate::check(path)?;
    if !problems.is_empty() {
        let lines: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
        return Err(Failure::new(format!("{} in {}{lines}", counted(problems.len(), "problem"), path.display())));
    }
    let models = models.iter().map(|sourced| sourced.model.clone()).collect();
    // What is printed is a document, whoever reads it.
    Output::new(true).line(Bundle::new(models, policy)?.to_json()?);
    Ok(())
}

/// Reads such a document.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    let told = |message: &dyn std::fmt::Display| Failure::new(format!("{}: {message}", file.display()));
    let text = std::fs::read(file).map_err(|error| told(&error))?;
    let bundle = Bundle::parse(&text).map_err(|error| told(&error))?;
    Ok(bundle.to_json()?)
}
