//! The models of an import, one after the other, until a request has done its share.
//!
//! Each model is one change, under the same rules and the same guard as any other. What is as the file says already
//! is not written, so the next request may begin where this one ended, or from the start.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use roster_core::audit::{AuditEvent, EventKind};
use roster_core::command::Command;
use roster_core::document::Document;
use roster_core::record::{Origin, Record};
use roster_core::{Model, ModelId, Policy, validate};
use roster_edit::{Done, Edit, Refusal, Target};
use roster_exchange::{Format, Imported, Kept, Options, Reading, Skipped};
use roster_http::{Problem, Request};
use roster_store::edits::Answer;
use roster_store::reader::Snapshot;
use serde_json::{Value, json};

use crate::{App, listing, write};

/// The most entries of one request.
const MAX_ENTRIES: usize = 500;
/// How long a request goes on with new entries; the function has 25 seconds, of which one change may wait for 15.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is asked for.
pub(crate) struct Import {
    pub(crate) format: Format,
    pub(crate) options: Options,
    pub(crate) is_dry_run: bool,
    /// How many models of the file were done before.
    pub(crate) after: usize,
    /// Why.
    pub(crate) reason: String,
}

/// What became of an entry.
enum Outcome {
    Created(ModelId),
    Updated(ModelId),
    Unchanged(ModelId),
    Skipped(Skipped),
    /// A sync or other writers are faster: it is the next request's.
    Later,
}

/// Imports models, and tells what became of each entry.
///
/// # Errors
/// 503 when the tables do not answer. What was imported before stays, and is unchanged when the request is repeated.
pub(crate) async fn run(app: &App, request: &Request, import: &Import, reading: Reading) -> Result<Value, Problem> {
    let started = Instant::now();
    let entries = reading.entries();
    let snapshot = app.reader.current(request.now).await?.snapshot;
    let here: Vec<&Imported> = reading.models.iter().skip(import.after).take(MAX_ENTRIES).collect();
    let targets: Vec<Result<Option<ModelId>, Skipped>> =
        here.iter().map(|imported| target(&snapshot, imported)).collect();
    let records = app.store.records(targets.iter().filter_map(|target| target.as_ref().ok()?.as_ref())).await?;
    let mut told = Vec::new();
    // The entries that are no models are told once.
    let mut skipped = if import.after == 0 { reading.skipped } else { Vec::new() };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut done = 0;
    for (imported, target) in here.iter().zip(targets) {
        if done > 0 && started.elapsed() > PATIENCE {
            break;
        }
        let (outcome, kept) = match target {
            Ok(target) => one(app, request, import, imported, target.as_ref(), &records).await?,
            Err(skipped) => (Outcome::Skipped(skipped), Vec::new()),
        };
        let (name, id) = match outcome {
            Outcome::Later => break,
            Outcome::Skipped(entry) => {
                skipped.push(entry);
                done += 1;
                continue;
            }
            Outcome::Created(id) => ("created", id),
            Outcome::Updated(id) => ("updated", id),
            Outcome::Unchanged(id) => ("unchanged", id),
        };
        *counts.entry(name).or_default() += 1;
        told.push(json!({"key": imported.key, "id": id, "outcome": name, "kept": kept, "notes": imported.notes}));
        done += 1;
    }
    let after = import.after + done;
    let next = (after < reading.models.len()).then_some(after);
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    Ok(json!({
        "from": import.format.name(),
        "dryRun": import.is_dry_run,
        "entries": entries,
        "created": count("created"),
        "updated": count("updated"),
        "unchanged": count("unchanged"),
        "models": told,
        "skipped": skipped,
        "next": next,
    }))
}

/// The model that an entry is about; `None` when that is new.
fn target(snapshot: &Snapshot, imported: &Imported) -> Result<Option<ModelId>, Skipped> {
    for name in [imported.id.as_str(), imported.rest.as_str()] {
        let Some(view) = listing::find(snapshot, name) else { continue };
        if *view.provider == *imported.provider && (imported.document.is_none() || view.id == imported.id) {
            return Ok(Some(view.id.clone()));
        }
        if name == imported.id.as_str() {
            let reason = format!("\"{name}\" is a name of model \"{}\" of {}", view.id, view.provider);
            return Err(Skipped::new(&imported.key, "name-taken", reason));
        }
    }
    Ok(None)
}

async fn one(
    app: &App,
    request: &Request,
    import: &Import,
    imported: &Imported,
    target: Option<&ModelId>,
    records: &HashMap<ModelId, Record>,
) -> Result<(Outcome, Vec<Kept>), Problem> {
    let record = target.and_then(|id| records.get(id));
    let skip = |kind, reason: String| Outcome::Skipped(Skipped::new(&imported.key, kind, reason));
    let skipped = |kind, reason: String| Ok((skip(kind, reason), Vec::new()));
    if let Some(record) = record.filter(|record| record.tombstone) {
        return skipped("removed", format!("model \"{}\" was removed: its id stays reserved", record.spec.id));
    }
    let current = record.map(|record| &record.spec);
    let merged = match roster_exchange::merge(import.format, imported, current, &import.options) {
        Ok(merged) => merged,
        Err(error) => return skipped("invalid", error.to_string()),
    };
    let model: Model = match serde_json::from_value(merged.document.clone()) {
        Ok(model) => model,
        Err(error) => return skipped("invalid", error.to_string()),
    };
    if current == Some(&model) {
        return Ok((Outcome::Unchanged(model.id), merged.kept));
    }
    if let Some(Origin::Git(origin)) = record.map(|record| &record.origin) {
        let reason = format!("the model is managed by {}: import it there with roster import", origin.path);
        return skipped("managed-by-git", reason);
    }
    let document = match Document::parse("", merged.document.to_string().as_bytes()) {
        Ok(document) => document,
        Err(problems) => return skipped("invalid", reasons(problems)),
    };
    let id = model.id.clone();
    let done = if current.is_some() { Outcome::Updated(id.clone()) } else { Outcome::Created(id.clone()) };
    if import.is_dry_run {
        return match validate::read_body(document) {
            Ok(_) => Ok((done, merged.kept)),
            Err(problems) => skipped("invalid", reasons(problems)),
        };
    }
    let (target, command) = match current {
        Some(_) => (Target::Existing(id.clone()), Command::Replace(document)),
        None => (Target::New, Command::Create(document)),
    };
    // What was merged with is what must be there.
    let seq = record.map(|record| record.seq);
    let is_as_read = |record: &Record, _: &Policy| Some(record.seq) == seq;
    let edit = Edit {
        target,
        command,
        actor: request.actor()?,
        reason: &import.reason,
        correlation_id: &request.request_id,
        now: request.now,
        approves: false,
        overrides_until: None,
        key: None,
        precondition: &is_as_read,
    };
    let respond = |_: &Done<'_>| Answer { status: 200, etag: String::new(), body: String::new() };
    let outcome = match app.editor.apply(&edit, &respond).await {
        Ok(_) => done,
        Err(Refusal::Busy | Refusal::Changed) => Outcome::Later,
        Err(Refusal::Invalid(problems)) => skip("invalid", reasons(problems)),
        Err(Refusal::Taken { message, .. }) => skip("name-taken", message),
        Err(refusal @ Refusal::ManagedByGit(_)) => skip("managed-by-git", refusal.to_string()),
        Err(refusal @ Refusal::Absent { .. }) => skip("removed", refusal.to_string()),
        Err(Refusal::Held(holds)) => {
            let message = Refusal::Held(holds.clone()).to_string();
            let refused = AuditEvent::new(EventKind::WriteRefused, request.now, edit.actor, "api", message.clone());
            let correlation_id = request.request_id.clone();
            app.store.tell(&AuditEvent { model_id: Some(id), correlation_id, holds, ..refused }).await;
            skip("held", message)
        }
        Err(refusal) => return Err(write::problem(refusal)),
    };
    Ok((outcome, merged.kept))
}

fn reasons(problems: Vec<roster_core::Problem>) -> String {
    let told = problems.into_iter().map(|problem| match problem.pointer.as_str() {
        "" => problem.message,
        pointer => format!("{pointer}: {}", problem.message),
    });
    told.collect::<Vec<_>>().join("; ")
}
