//! `roster export`: the catalogue on disk as other tools read it. `roster import` finds the same models in it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use roster_core::Model;
use roster_exchange::Format;

use crate::import::formats;
use crate::output::Failure;

/// What `roster export` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How it is written
    #[arg(long, value_parser = formats(&[Format::Roster, Format::ModelsDev, Format::LiteLlm, Format::Csv]))]
    to: Format,
    /// The file to write; otherwise it is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The catalogue, or the repository that holds it
    #[arg(default_value = "catalog")]
    path: PathBuf,
}

/// Writes the models of a catalogue without mistakes, sorted by id.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let checked = crate::validate::check(&arguments.path)?;
    if let Some(problem) = checked.problems.first() {
        return Err(Failure::new(format!("the catalogue has mistakes, see roster validate: {problem}")));
    }
    let mut models: Vec<Model> = checked.models.iter().map(|sourced| sourced.model.clone()).collect();
    models.sort_by(|one, other| one.id.cmp(&other.id));
    let bytes = roster_exchange::write(arguments.to, &models)?;
    match &arguments.out {
        Some(out) => fs::write(out, bytes).map_err(|error| Failure::new(format!("{}: {error}", out.display()))),
        None => {
            // A reader that went away is no failure.
            let _ = std::io::stdout().lock().write_all(&bytes);
            Ok(())
        }
    }
}
