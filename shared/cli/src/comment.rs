//! `roster comment`: one comment on a pull request, edited in place.

use std::path::PathBuf;

use clap::Args;

use crate::Json;
use crate::output::Failure;

/// What `roster comment` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the pull request
    #[arg(long)]
    pull_request: u64,
    /// The text. An HTML comment as its first line tells this comment from others of ours
    #[arg(long)]
    file: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// Writes the comment, or edits the one that is there.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { pull_request, file, json } = arguments;
    let text =
        std::fs::read_to_string(&file).map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?;
    let comment = crate::github::client()?.upsert_comment(pull_request, marker(&text), &text).await?;
    let output = json.output();
    output.report(&comment, |comment| {
        let done = match (comment.created, comment.changed) {
            (true, _) => "written",
            (false, true) => "edited",
            (false, false) => "unchanged",
        };
        output.line(format_args!("{done}: {}", comment.url));
    })
}

/// What tells the comment from others of ours.
fn marker(text: &str) -> &str {
    let first = text.lines().next().unwrap_or_default().trim_end();
    if first.starts_with("<!--") && first.ends_with("-->") { first } else { "<!-- roster-plan -->" }
}

#[cfg(test)]
mod tests {
    use super::marker;

    #[test]
    fn the_first_line_may_be_the_marker() {
        assert_eq!(marker("<!-- prices -->\r\n# Plan"), "<!-- prices -->");
        for text in ["# Plan", "", "<!-- open\n-->", " <!-- x -->"] {
            assert_eq!(marker(text), "<!-- roster-plan -->");
        }
    }
}
