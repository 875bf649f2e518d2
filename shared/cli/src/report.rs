//! `roster report`: what became of a commit, as its status on GitHub.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use roster_github::{CommitStatus, State};
use serde_json::json;

use crate::Json;
use crate::output::Failure;

/// What `roster report` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The commit, by its whole id
    #[arg(long)]
    commit: String,
    /// What became of it
    #[arg(long, value_parser = states())]
    state: State,
    /// One line about it; GitHub has room for 140 characters
    #[arg(long)]
    description: Option<String>,
    /// Where more is to be read
    #[arg(long)]
    target_url: Option<String>,
    #[command(flatten)]
    json: Json,
}

/// Sets the status, unless it is so already.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { commit, state, description, target_url, json } = arguments;
    let mut status = CommitStatus { target_url, ..CommitStatus::new(state) };
    if let Some(description) = description.filter(|description| !description.trim().is_empty()) {
        status.description = description;
    }
    let set = crate::github::client()?.set_status(&commit, &status).await?;
    let output = json.output();
    output.report(&json!({"commit": commit, "state": state, "set": set}), |_| {
        let done = if set { "is now" } else { "was already" };
        output.line(format_args!("{commit} {done} {}", state.name()));
    })
}

fn states() -> impl clap::builder::TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::name))
        .try_map(|name| State::from_name(&name).ok_or("no such state"))
}
