//! `roster digest`: the digest, made anew from every spec in the table.

use roster_core::catalogue;
use serde::Serialize;

use crate::output::{Failure, Output};
use crate::tables::{self, Tables};

#[derive(Serialize)]
struct Report {
    digest: String,
    models: usize,
    revision: u64,
    commit: Option<String>,
}

/// Prints the digest; fails when what is published says another.
pub(crate) async fn run(arguments: &tables::Arguments, output: Output) -> Result<(), Failure> {
    arguments.must_exist()?;
    let tables = Tables::open(arguments).await?;
    let (records, head) = (tables.store.all_records().await?, tables.store.head(true).await?);
    tables.close().await?;
    let specs: Vec<_> = records.iter().filter(|record| !record.tombstone).map(|record| &record.spec).collect();
    let digest = catalogue::digest(specs.iter().copied())?;
    let report = Report {
        models: specs.len(),
        revision: head.as_ref().map_or(0, |head| head.revision),
        commit: head.as_ref().and_then(|head| head.commit.clone()),
        digest,
    };
    output.report(&report, |report| output.line(&report.digest))?;
    match head.map(|head| head.roots.digest()) {
        Some(published) if published != report.digest => Err(Failure::new(format!(
            "the models table does not hold what is published, whose digest is {published}: a sync is under way, or was left half way"
        ))),
        _ => Ok(()),
    }
}
