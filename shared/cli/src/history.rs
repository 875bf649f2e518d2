//! `roster history`: who changed a model, when, why and what.

use roster_core::ModelId;
use roster_core::record::HistoryEntry;
use serde_json::Value;

use crate::output::{Failure, Output};
use crate::tables::{self, Tables};

/// Prints a model's history, newest first.
pub(crate) async fn run(id: &str, limit: usize, arguments: &tables::Arguments, output: Output) -> Result<(), Failure> {
    let id = ModelId::parse(id)?;
    arguments.must_exist()?;
    let tables = Tables::open(arguments).await?;
    let entries = tables.store.history(&id, None, limit).await?;
    tables.close().await?;
    if entries.is_empty() {
        return Err(Failure::new(format!("model \"{id}\" has no history: there never was one of this id")));
    }
    output.report(&entries, |entries| entries.iter().for_each(|entry| tell(output, entry)))
}

fn tell(output: Output, entry: &HistoryEntry) {
    let change = &entry.change;
    let operations: Vec<String> = change.operations.iter().map(ToString::to_string).collect();
    let commit = change.commit.as_deref().and_then(|commit| commit.get(..12)).unwrap_or("no commit");
    let pull_request = change.pull_request.map_or(String::new(), |number| format!(" #{number}"));
    output.line(format_args!("{} {} {} {commit}{pull_request}", entry.seq, change.at, operations.join(", ")));
    output.line(format_args!("    {}: {}", change.actor, change.reason));
    let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    // The first entry is the whole model: its fields are no news.
    for field in entry.changes.iter().filter(|_| entry.seq > 1) {
        output.line(format_args!("    {}: {} -> {}", field.path, shown(&field.old), shown(&field.new)));
    }
}
