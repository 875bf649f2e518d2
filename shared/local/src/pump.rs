//! The stream pump: delivers a table's stream to functions, as Lambda's event source mapping does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roster_store::streams::{Checkpoint, Follower};
use roster_store::{Store, StoreError};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::data_dir::{read_if_any, write_whole};
use crate::hosts::{Callee, Hosts};
use crate::stack::StackError;
use crate::stop::{Stop, Tasks};
use crate::template::{StreamSource, Template};

/// How long an empty stream is left alone.
const IDLE: Duration = Duration::from_millis(100);
/// The most records read at once, DynamoDB's own limit. Filters are applied before batches are made, as Lambda does it:
/// of a table in which much happens that a function is not called for, a batch's worth at a time would be slow.
const READ: i32 = 1_000;
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Follows the template's streams.
pub struct Pump {
    drains: Vec<mpsc::Sender<Drained>>,
    dead_letters: Arc<DeadLetters>,
    tasks: Tasks,
}

type Drained = oneshot::Sender<Result<(), String>>;

/// A record that a function could not handle.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The function.
    pub function: String,
    /// What it said last.
    pub error: String,
    /// The record.
    pub record: Value,
}

/// A stream that cannot be drained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the streams could not be read to their ends: {0}")]
pub struct DrainError(String);

impl Pump {
    /// Follows every stream from where the files in `directory` say, and keeps them there; without
    /// a directory, from its oldest record, and only in memory.
    ///
    /// # Errors
    /// [`StackError`] when a stream cannot be followed or a checkpoint cannot be read.
    pub async fn start(
        template: &Template,
        hosts: &Hosts,
        store: &Store,
        endpoint: &str,
        directory: Option<&Path>,
    ) -> Result<Self, StackError> {
        let dead_letters = Arc::new(DeadLetters::new(directory));
        let (mut drains, mut tasks) = (Vec::new(), Tasks::new());
        for function in &template.functions {
            for source in &function.streams {
                let table = template.table_name(&source.table).unwrap_or_default();
                let file = directory.map(|path| path.join(format!("checkpoint-{}-{table}.json", function.name)));
                let checkpoint = load(file.as_deref())?;
                let follower = Follower::open(store, endpoint, table, checkpoint).await?;
                let mapping = Mapping {
                    callee: hosts.callee(function)?,
                    source: source.clone(),
                    dead_letters: Arc::clone(&dead_letters),
                };
                let (drain, requests) = mpsc::channel(8);
                drains.push(drain);
                tasks.spawn(|stop| mapping.run(follower, file, requests, stop));
            }
        }
        Ok(Self { drains, dead_letters, tasks })
    }

    /// Waits until everything that was written before this call is handled.
    ///
    /// # Errors
    /// [`DrainError`] when a stream cannot be read, or the pump is stopped.
    pub async fn drain(&self) -> Result<(), DrainError> {
        let stopped = || DrainError("the pump was stopped".to_owned());
        // All are asked before any is waited for.
        let mut answers = Vec::with_capacity(self.drains.len());
        for drain in &self.drains {
            let (answer, answered) = oneshot::channel();
            drain.send(answer).await.map_err(|_| stopped())?;
            answers.push(answered);
        }
        for answered in answers {
            answered.await.map_err(|_| stopped())?.map_err(DrainError)?;
        }
        Ok(())
    }

    /// The records given up since the start.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead_letters.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops after the calls under way. What is not handled then comes again after a restart.
    pub async fn shutdown(self) {
        self.tasks.shutdown().await;
    }
}

/// One stream, delivered to one function.
struct Mapping {
    callee: Callee,
    source: StreamSource,
    dead_letters: Arc<DeadLetters>,
}

impl Mapping {
    async fn run(
        self,
        mut follower: Follower,
        file: Option<PathBuf>,
        mut requests: mpsc::Receiver<Drained>,
        stop: Stop,
    ) {
        let mut waiting: Vec<Drained> = Vec::new();
        loop {
            // Who asked before this read is answered when it finds nothing.
            while let Ok(request) = requests.try_recv() {
                waiting.push(request);
            }
            match follower.next(READ).await {
                Ok(Some(batch)) => {
                    if !self.deliver(batch.records, &stop).await {
                        return;
                    }
                    save(file.as_deref(), &batch.checkpoint);
                    if stop.is_requested() {
                        return;
                    }
                    continue;
                }
                Ok(None) => answer(&mut waiting, &Ok(())),
                Err(error) => {
                    tracing::warn!(function = &*self.callee.name, %error, "a stream could not be read");
                    answer(&mut waiting, &Err(error.to_string()));
                }
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(IDLE) => {}
                Some(request) = requests.recv() => waiting.push(request),
            }
        }
    }

    /// Delivers records in order, each until it is handled or given up; `false` when told to stop before.
    async fn deliver(&self, mut records: Vec<Value>, stop: &Stop) -> bool {
        records.retain(|record| self.passes(record));
        // What is next is last. The number is of the tries that a batch has behind it.
        let size = usize::try_from(self.source.batch_size).unwrap_or(1).max(1);
        let mut pending: Vec<(Vec<Value>, u32)> = records.chunks(size).rev().map(|batch| (batch.to_vec(), 0)).collect();
        while let Some((mut batch, tries)) = pending.pop() {
            if batch.is_empty() {
                continue;
            }
            let Err(failure) = self.call(&batch).await else { continue };
            let mut failed = batch.split_off(failure.first);
            if failure.first > 0 {
                // What came before it is handled: the rest is a batch of its own.
                pending.push((failed, 0));
            } else if self.source.bisects && failed.len() > 1 {
                pending.push((failed.split_off(failed.len() / 2), 0));
                pending.push((failed, 0));
            } else if self.source.max_retries.is_none_or(|max| tries < max) {
                pending.push((failed, tries + 1));
                if !stop.sleep(backoff(tries)).await {
                    return false;
                }
            } else {
                self.dead_letters.add(&self.callee.name, &failure.error, failed);
            }
        }
        true
    }

    fn passes(&self, record: &Value) -> bool {
        self.source.filters.is_empty() || self.source.filters.iter().any(|filter| filter.matches(record))
    }

    async fn call(&self, batch: &[Value]) -> Result<(), Failure> {
        let error = match self.callee.event(json!({ "Records": batch })).await {
            Ok(answer) if self.source.reports_failures => return reported(batch, &answer),
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        tracing::warn!(function = &*self.callee.name, records = batch.len(), error, "a batch failed");
        Err(Failure { first: 0, error })
    }
}

/// A batch that failed from one of its records on.
struct Failure {
    first: usize,
    error: String,
}

/// What an answer says of its batch. As for Lambda, no list or an empty one is a success, and a
/// record that is not in the batch fails all of it.
fn reported(batch: &[Value], answer: &Value) -> Result<(), Failure> {
    let failures = answer["batchItemFailures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let position = |failure: &Value| {
        let is_it = |record: &Value| record["dynamodb"]["SequenceNumber"] == failure["itemIdentifier"];
        batch.iter().position(is_it).unwrap_or_default()
    };
    match failures.iter().map(position).min() {
        None => Ok(()),
        Some(first) => Err(Failure { first, error: "the function reported the record as failed".to_owned() }),
    }
}

fn backoff(tries: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_BACKOFF)
}

fn answer(waiting: &mut Vec<Drained>, result: &Result<(), String>) {
    for waiter in waiting.drain(..) {
        // Who does not wait any more needs no answer.
        let _ = waiter.send(result.clone());
    }
}

fn load(file: Option<&Path>) -> Result<Checkpoint, StackError> {
    let Some(file) = file else { return Ok(Checkpoint::default()) };
    let unreadable = |message: String| StackError::Checkpoint { path: file.to_owned(), message };
    match read_if_any(file).map_err(|error| unreadable(error.to_string()))? {
        None => Ok(Checkpoint::default()),
        Some(text) => serde_json::from_str(&text).map_err(|error| unreadable(error.to_string())),
    }
}

/// A checkpoint that is not kept costs only that records are delivered again.
fn save(file: Option<&Path>, checkpoint: &Checkpoint) {
    let Some(file) = file else { return };
    let saved = serde_json::to_vec(checkpoint).map_err(Into::into).and_then(|text| write_whole(file, &text));
    if let Err(error) = saved {
        tracing::warn!(path = %file.display(), %error, "a checkpoint could not be kept");
    }
}

struct DeadLetters {
    file: Option<PathBuf>,
    letters: Mutex<Vec<DeadLetter>>,
}

impl DeadLetters {
    fn new(directory: Option<&Path>) -> Self {
        Self { file: directory.map(|path| path.join("dead-letters.jsonl")), letters: Mutex::default() }
    }

    fn add(&self, function: &str, error: &str, records: Vec<Value>) {
        let letter = |record| DeadLetter { function: function.to_owned(), error: error.to_owned(), record };
        for letter in records.into_iter().map(letter) {
            let sequence_number = letter.record["dynamodb"]["SequenceNumber"].as_str();
            tracing::error!(function, error, sequence_number, "a record was given up");
            if let Err(error) = self.append(&letter) {
                tracing::error!(%error, "a dead letter could not be kept");
            }
            self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        }
    }

    fn append(&self, letter: &DeadLetter) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        OpenOptions::new().append(true).create(true).open(file)?.write_all(&line)
    }
}

impl From<StoreError> for StackError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
