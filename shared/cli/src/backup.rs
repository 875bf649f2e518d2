//! `roster backup` and `roster restore`: a catalogue as one file, and one file as the same catalogue.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use roster_core::record::Record;
use roster_store::Store;
use roster_store::backup::{Backup, KeptModel};
use roster_store::reader::Reader;
use serde::Serialize;

use crate::Json;
use crate::output::{Failure, counted};
use crate::tables::{self, Tables};

/// What `roster backup` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file to write; otherwise it is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    tables: tables::Arguments,
}

/// What `roster restore` takes.
#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// A file of roster backup, or the pages of POST /admin/backup one behind the other
    file: PathBuf,
    #[command(flatten)]
    tables: tables::Arguments,
    #[command(flatten)]
    json: Json,
}

#[derive(Serialize)]
struct Report {
    digest: String,
    revision: u64,
    commit: Option<String>,
    models: usize,
    entries: usize,
}

/// Writes models, history and policy.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.tables.must_exist()?;
    let tables = Tables::open(&arguments.tables).await?;
    // What is in the stream still belongs to the history.
    let text = match tables.settle().await {
        Ok(()) => whole(&tables.store).await,
        Err(failure) => Err(failure),
    };
    tables.close().await?;
    let text = text?;
    match &arguments.out {
        Some(out) => fs::write(out, text).map_err(|error| failed(out, &error)),
        None => {
            // A reader that went away is no failure.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            Ok(())
        }
    }
}

/// Makes the catalogue of a backup, and reads it back to prove that it is the same.
pub(crate) async fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let file = &arguments.file;
    let text = fs::read_to_string(file).map_err(|error| failed(file, &error))?;
    let backup = Backup::read(&text).map_err(|error| failed(file, &error))?;
    let tables = Tables::open(&arguments.tables).await?;
    let restored = prove(&tables, &backup).await;
    tables.close().await?;
    let report = restored?;
    let output = arguments.json.output();
    output.report(&report, |report| {
        let (models, entries) = (counted(report.models, "model"), counted(report.entries, "change"));
        output.line(format_args!("restored {models} with {entries}, as revision {}", report.revision));
        output.line(format_args!("digest {}, as in the backup", report.digest));
    })
}

async fn prove(tables: &Tables, backup: &Backup) -> Result<Report, Failure> {
    tables.store.restore_backup(backup, Timestamp::now()).await?;
    tables.settle().await?;
    let again = Backup::read(&whole(&tables.store).await?)?;
    let records = |backup: &Backup| backup.models.values().map(|KeptModel { record, .. }| record.clone()).collect();
    let (before, after): (Vec<_>, Vec<_>) = (records(backup), records(&again));
    if before != after || backup.history != again.history || backup.header.digest != again.header.digest {
        return Err(not_the_same());
    }
    // Rollouts are in no digest: what is published of them is what the records of models that are there say.
    let snapshot = Reader::new(tables.store.clone(), Duration::ZERO)
        .strongly_consistent()
        .current(Timestamp::now())
        .await?
        .snapshot;
    let is_shown = |record: &Record| {
        let said = record.status.rollout.as_ref().filter(|_| !record.tombstone);
        snapshot.rollout(&record.spec.id) == said
    };
    if !after.iter().all(is_shown) {
        return Err(not_the_same());
    }
    let header = again.header;
    Ok(Report {
        digest: header.digest,
        revision: header.revision,
        commit: header.commit,
        models: header.models,
        entries: again.history.values().map(Vec::len).sum(),
    })
}

fn not_the_same() -> Failure {
    Failure::new("what was restored is not what the backup says: do not use these tables")
}

/// The lines of everything.
async fn whole(store: &Store) -> Result<String, Failure> {
    let head = store.head(true).await?.ok_or_else(|| Failure::new("nothing was published yet: sync first"))?;
    let ids = store.ids_of(&head).await?;
    let header = store.backup_header(&head, ids.len(), Timestamp::now()).await?;
    let (lines, _) = store.backup_lines(&head, &ids, "", usize::MAX).await?;
    Ok(format!("{}\n{lines}", serde_json::to_string(&header)?))
}

fn failed(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {error}", file.display()))
}
