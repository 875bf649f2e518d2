//! `roster audit`: whether the history of every model is whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use clap::Subcommand;
use roster_core::ModelId;
use roster_core::audit::{Finding, verify};
use roster_core::record::{HistoryEntry, Record};
use roster_local::{LocalValues, Template};
use roster_store::{Store, StoreError};
use serde::Serialize;

use crate::output::{Failure, Output, counted};
use crate::{Json, tables};

/// How long the stream may take to deliver the newest entries.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two looks at what is not there yet.
const PAUSE: Duration = Duration::from_millis(250);

/// What can be done with the audit.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Prove that no model's history misses an entry, has one too many, or tells something else than the table
    ///
    /// Replays every model's history from nothing: it must end, digit for digit, in what the models table holds.
    /// Nothing is written. The newest entries may still be on their way: they are waited for, up to 10 seconds.
    /// In a data directory that no roster dev has open, nobody brings them: run roster sync there first.
    /// Exits with 1 when anything is wrong.
    Verify {
        #[command(flatten)]
        tables: tables::Arguments,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    complete: bool,
    models: usize,
    entries: usize,
    /// Models whose newest entries were not there at the first look.
    late: usize,
    waited_seconds: f64,
    findings: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    model: ModelId,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    message: String,
}

/// Runs a verb of the audit.
pub(crate) async fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Verify { tables, json } => verify_all(&tables, json.output()).await,
    }
}

async fn verify_all(arguments: &tables::Arguments, output: Output) -> Result<(), Failure> {
    arguments.must_exist()?;
    let template = Template::load(&LocalValues::default())?;
    // Without the function that writes history: what it would mend now was missing.
    let dynamodb = arguments.dynamodb().await?;
    let audited = match dynamodb.store(&template).await {
        Ok(store) => audit(&store).await,
        Err(error) => Err(error),
    };
    dynamodb.shutdown().await;
    let report = audited?;
    output.report(&report, |report| tell(output, report))?;
    if report.complete { Ok(()) } else { Err(Failure::reported()) }
}

fn tell(output: Output, report: &Report) {
    for finding in &report.findings {
        output.line(&finding.message);
    }
    let verdict = if report.complete { "complete".to_owned() } else { counted(report.findings.len(), "finding") };
    let models = counted(report.models, "model");
    let entries = if report.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", report.entries) };
    let late = match report.late {
        0 => String::new(),
        late => format!("; waited {:.1} s for the newest entries of {}", report.waited_seconds, counted(late, "model")),
    };
    output.line(format_args!("{models}, {entries}: {verdict}{late}"));
}

async fn audit(store: &Store) -> Result<Report, StoreError> {
    let mut audit = Audit::of(store).await?;
    let models = audit.models;
    let started = Instant::now();
    let late = audit.unsettled();
    while !audit.unsettled().is_empty() && started.elapsed() < PATIENCE {
        tokio::time::sleep(PAUSE).await;
        audit.look_again(store, started + PATIENCE).await?;
    }
    let findings: Vec<Told> = audit.findings.values().flatten().map(told).collect();
    Ok(Report {
        complete: findings.is_empty(),
        models,
        entries: audit.entries.values().sum(),
        late: late.len(),
        waited_seconds: if late.is_empty() { 0.0 } else { started.elapsed().as_secs_f64() },
        findings,
    })
}

fn told(finding: &Finding) -> Told {
    Told {
        model: finding.model().clone(),
        seq: finding.seq(),
        path: finding.path().map(str::to_owned),
        message: finding.to_string(),
    }
}

/// What was found so far.
struct Audit {
    models: usize,
    /// How many entries each model has.
    entries: HashMap<ModelId, usize>,
    /// What is wrong with each model with which something is.
    findings: BTreeMap<ModelId, Vec<Finding>>,
}

impl Audit {
    /// One look at both tables; one model's history is in memory at a time.
    async fn of(store: &Store) -> Result<Self, StoreError> {
        let records = store.all_records().await?;
        let mut records: HashMap<_, _> = records.into_iter().map(|record| (record.spec.id.clone(), record)).collect();
        let mut audit = Self { models: records.len(), entries: HashMap::new(), findings: BTreeMap::new() };
        store.all_history(|model, history| audit.check(&model, records.remove(&model).as_ref(), &history)).await?;
        for (model, record) in &records {
            audit.check(model, Some(record), &[]);
        }
        Ok(audit)
    }

    fn check(&mut self, model: &ModelId, record: Option<&Record>, history: &[HistoryEntry]) {
        let findings = match (record, history.last()) {
            (Some(record), _) => verify(record, history),
            (None, Some(last)) => vec![Finding::Unknown { model: model.clone(), seq: last.seq }],
            (None, None) => Vec::new(),
        };
        self.entries.insert(model.clone(), history.len());
        self.findings.remove(model);
        if !findings.is_empty() {
            self.findings.insert(model.clone(), findings);
        }
    }

    /// The models of which a change may just be on its way, and that have nothing else wrong with them.
    fn unsettled(&self) -> BTreeSet<ModelId> {
        let may_settle = self.findings.iter().filter(|(_, findings)| findings.iter().all(Finding::may_settle));
        may_settle.map(|(model, _)| model.clone()).collect()
    }

    /// Looks at the unsettled models once more, as many as there is time for.
    async fn look_again(&mut self, store: &Store, deadline: Instant) -> Result<(), StoreError> {
        let unsettled = self.unsettled();
        let records = store.records(&unsettled).await?;
        for model in &unsettled {
            if Instant::now() >= deadline {
                break;
            }
            let mut history = store.history(model, None, usize::MAX).await?;
            history.reverse();
            self.check(model, records.get(model), &history);
        }
        Ok(())
    }
}
