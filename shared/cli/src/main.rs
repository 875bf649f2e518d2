//! The `roster` command.

mod audit;
mod backup;
mod comment;
mod dev;
mod digest;
mod drift;
mod export;
mod fitting;
mod github;
mod history;
mod import;
mod migrate;
mod output;
mod plan;
mod report;
mod snapshot;
mod sync;
mod tables;
mod token;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use output::{Failure, Output};

/// A catalogue of AI models that a Git repository runs.
#[derive(Parser)]
#[command(name = "roster", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the whole stack here: gateway, functions, tables, and a watcher on a branch
    Dev(dev::Arguments),
    /// Check the catalogue on disk and report every mistake
    Validate {
        /// The catalogue, or the repository that holds it
        #[arg(default_value = "catalog")]
        path: PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Print the catalogue on disk as one JSON document, to build functions with or to serve with dev
    Snapshot {
        /// The catalogue, or the repository that holds it
        #[arg(default_value = "catalog")]
        path: PathBuf,
    },
    /// Show what a change would do, before it is merged
    ///
    /// Exits with 1 for mistakes, and for a plan that would be held: as Markdown only with --fail-on-hold.
    Plan(plan::Arguments),
    /// Set the status of a commit on GitHub: what became of it
    Report(report::Arguments),
    /// Write the text of a file as a comment on a pull request of GitHub, or edit the comment that is there
    Comment(comment::Arguments),
    /// Apply a repository's branch to the tables
    Sync(sync::Arguments),
    /// Show where the tables do not say what a repository's branch says
    Drift(drift::Arguments),
    /// Print a name for exactly the specs that the tables hold
    Digest {
        #[command(flatten)]
        tables: tables::Arguments,
        #[command(flatten)]
        json: Json,
    },
    /// Show who changed a model, when, why and what, newest first
    History {
        /// The model
        id: String,
        /// Show at most this many changes
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        tables: tables::Arguments,
        #[command(flatten)]
        json: Json,
    },
    /// Check the audit
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Write models, versions, history and policy to one file
    Backup(backup::Arguments),
    /// Make the catalogue of a backup on tables that are empty, and prove that it is the same
    Restore(backup::RestoreArguments),
    /// Turn an old table, one column a field, into files of the catalogue, and prove that nothing is lost
    Migrate(migrate::Arguments),
    /// Write the models of another catalogue as files, and keep what people have edited in them
    ///
    /// Every entry is imported or listed with its reason. Exits with 1 when nothing of a file can be imported.
    Import(import::Arguments),
    /// Print the catalogue on disk as other tools read it
    Export(export::Arguments),
    /// Make a token for the local stack
    Token(token::Arguments),
}

/// Whether to speak to a program.
#[derive(Args, Clone, Copy)]
#[group(skip)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Json {
    fn output(self) -> Output {
        Output::new(self.json)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("roster: no async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli.verb));
    // Blocking reads of a repository may still be under way after Ctrl-C; they hold nothing that matters.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                eprintln!("roster: {message}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Dev(arguments) => dev::run(arguments).await,
        Verb::Validate { path, json } => validate::run(&path, json.output()),
        Verb::Snapshot { path } => snapshot::run(&path),
        Verb::Plan(arguments) => plan::run(&arguments).await,
        Verb::Report(arguments) => report::run(arguments).await,
        Verb::Comment(arguments) => comment::run(arguments).await,
        Verb::Sync(arguments) => sync::run(arguments).await,
        Verb::Drift(arguments) => drift::run(arguments).await,
        Verb::Digest { tables, json } => digest::run(&tables, json.output()).await,
        Verb::History { id, limit, tables, json } => history::run(&id, limit, &tables, json.output()).await,
        Verb::Audit(verb) => audit::run(verb).await,
        Verb::Backup(arguments) => backup::run(&arguments).await,
        Verb::Restore(arguments) => backup::restore(&arguments).await,
        Verb::Migrate(arguments) => migrate::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Export(arguments) => export::run(&arguments),
        Verb::Token(arguments) => token::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_make_sense() {
        super::Cli::command().debug_assert();
    }
}
