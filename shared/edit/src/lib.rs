//! Changes that the admin API makes: validate -> plan -> guard -> apply -> publish, one model at a time.
//!
//! The same rules as for a commit, in one transaction that holds only while no sync is at work and nothing moved
//! since it was read; else it is read and judged again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::catalogue::{Catalogue, EditError, NextRoots, Roots};
use roster_core::command::Command;
use roster_core::guard::Hold;
use roster_core::plan::{Asker, Step};
use roster_core::propose::{Asked, Before, propose};
use roster_core::record::{ChangeNote, GitOrigin, Origin, Record};
use roster_core::tree::{Missing, Nodes};
use roster_core::validate::{Proposal, SourcedModel};
use roster_core::{Model, ModelId, Policy, Problem};
use roster_store::edits::{Answer, Begun, IdempotencyKey};
use roster_store::models::RecordWrite;
use roster_store::{Manifest, PolicyCache, Publication, Store, StoreError};
use tokio::sync::Mutex;

/// How long a change may wait for a sync or for faster writers.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it looks whether the sync is done.
const LOOK: Duration = Duration::from_millis(100);
/// Nodes kept from change to change; beyond, those that the live trees do not reach are forgotten.
const MAX_NODES: usize = 50_000;

/// Makes changes; one a process.
pub struct Editor {
    store: Store,
    /// Whoever changes, changes alone in this process: writers of one process do not race each other.
    known: Mutex<Known>,
    policies: PolicyCache,
}

/// What is known from the change before: all of it named by its content, so none of it can be out of date.
#[derive(Default)]
struct Known {
    nodes: Nodes,
}

/// Which model changes.
#[derive(Clone, Debug)]
pub enum Target {
    /// One that is new.
    New,
    /// One that is new, as a copy of this one.
    CopyOf(ModelId),
    /// This one.
    Existing(ModelId),
}

/// A change to make.
pub struct Edit<'e> {
    /// Which model changes.
    pub target: Target,
    /// What is to be done.
    pub command: Command,
    /// Who asks: the subject of the token.
    pub actor: &'e str,
    /// Why.
    pub reason: &'e str,
    /// The request's id, kept with the change.
    pub correlation_id: &'e str,
    /// When it was asked for.
    pub now: Timestamp,
    /// Whether the caller approves of what the guard would hold.
    pub approves: bool,
    /// The key under which the answer is kept.
    pub key: Option<IdempotencyKey>,
    /// Whether the model is what the caller believes it to be.
    pub precondition: &'e (dyn Fn(&Record, &Policy) -> bool + Sync),
}

/// A change that is made, or need not be.
pub struct Done<'d> {
    /// The record afterwards.
    pub record: &'d Record,
    /// What was done; `None` when all of it was so already.
    pub step: Option<&'d Step>,
    /// The revision that shows it.
    pub revision: u64,
    /// The policy in force.
    pub policy: &'d Policy,
    /// What the guard would have held, had the caller not approved.
    pub approved: &'d [Hold],
}

/// The answer to a change.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Whether it is the one that the same request got before.
    pub is_replayed: bool,
}

/// Why a change is not made. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such model.
    #[error("no model has the id \"{id}\"")]
    Absent {
        /// The id.
        id: ModelId,
        /// The model that has it as another name.
        alias_of: Option<ModelId>,
    },
    /// A name that a new model wants is another's, or was.
    #[error("{message}")]
    Taken {
        /// Where the body has it.
        pointer: String,
        /// Whose it is.
        message: String,
    },
    /// A file of the repository answers for the model.
    #[error("the model is managed by {}", .0.origin.path)]
    ManagedByGit(Box<ManagedByGit>),
    /// The model is not what the caller believes it to be.
    #[error("the model changed meanwhile")]
    Changed,
    /// Something is wrong with what is asked for.
    #[error("{} mistakes", .0.len())]
    Invalid(Vec<Problem>),
    /// The guard holds it.
    #[error("the guard holds it: {}", messages(.0))]
    Held(Vec<Hold>),
    /// The idempotency key is another request's.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A sync or other writers were faster all the time.
    #[error("other writers were faster for {} seconds", PATIENCE.as_secs())]
    Busy,
    /// A new model that needs no step: that cannot be.
    #[error("a new model needs no step")]
    Impossible,
    /// The tables do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is published cannot be read.
    #[error(transparent)]
    Catalogue(#[from] EditError),
}

/// What to change in the repository instead.
#[derive(Clone, Debug)]
pub struct ManagedByGit {
    /// The file, and the change that brought it to what it is.
    pub origin: GitOrigin,
    /// What the model is.
    pub before: Model,
    /// What it would be.
    pub after: Model,
}

/// A try that came to an end, or must be made again.
enum Outcome {
    Answered(Answered),
    Locked,
    Overtaken,
}

impl Editor {
    /// An editor on these tables.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, known: Mutex::default(), policies: PolicyCache::default() }
    }

    /// Makes a change, and answers with what `respond` makes of it, or what it made of it the first time.
    ///
    /// # Errors
    /// [`Refusal`]: nothing changed then.
    pub async fn apply(
        &self,
        edit: &Edit<'_>,
        respond: &(dyn Fn(&Done<'_>) -> Answer + Sync),
    ) -> Result<Answered, Refusal> {
        let started = Instant::now();
        let known = tokio::time::timeout(PATIENCE, self.known.lock()).await;
        let mut known = known.map_err(|_| Refusal::Busy)?;
        while started.elapsed() < PATIENCE {
            let now = edit.now.checked_add(started.elapsed()).unwrap_or(edit.now);
            match self.attempt(edit, respond, &mut known, now).await? {
                Outcome::Answered(answered) => return Ok(answered),
                Outcome::Locked => tokio::time::sleep(LOOK).await,
                Outcome::Overtaken => tokio::time::sleep(jitter()).await,
            }
        }
        Err(Refusal::Busy)
    }

    async fn attempt(
        &self,
        edit: &Edit<'_>,
        respond: &(dyn Fn(&Done<'_>) -> Answer + Sync),
        known: &mut Known,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let new_id = edit.new_id();
        let ids: Vec<&ModelId> = new_id.iter().chain(edit.existing()).collect();
        let begun = self.store.begin_edit(&ids, edit.key.as_ref(), now).await?;
        if let (Some(key), Some((request, answer))) = (&edit.key, &begun.answered) {
            let answer = answer.clone();
            let answered = Answered { answer, is_replayed: true };
            return if *request == key.request { Ok(Outcome::Answered(answered)) } else { Err(Refusal::KeyReused) };
        }
        if begun.is_locked {
            return Ok(Outcome::Locked);
        }
        if begun.head.is_none() {
            // What was published before may have been lost: what is known of it need not be there any more.
            known.nodes = Nodes::default();
        }
        let policy = self.policies.of(&self.store, begun.head.as_ref()).await?;
        let judged = self.judge(edit, new_id.as_ref(), &begun, &policy, known, now).await?;
        let Judged { before, step, holds, next } = judged;
        let head_revision = begun.head.as_ref().map_or(0, |head| head.revision);
        let (step, record, revision) = match (&step, before) {
            (None, Some(record)) => (None, record.clone(), head_revision),
            (None, None) => return Err(Refusal::Impossible),
            (Some(step), before) => {
                let revision = head_revision + 1;
                let origin = before.map_or_else(|| Origin::Api(edit.actor.to_owned()), |record| record.origin.clone());
                (Some(step), Record::after(before, step, origin, edit.note(step, revision, now)), revision)
            }
        };
        let answer = respond(&Done { record: &record, step, revision, policy: &policy, approved: &holds });
        let kept = edit.key.as_ref().map(|key| (key, &answer));
        let written = match step {
            None => match kept {
                Some((key, answer)) => self.store.put_answer(key, answer, now).await,
                None => Ok(()),
            },
            Some(_) => {
                let write = RecordWrite { read_seq: before.map(|record| record.seq), record };
                let told = (!holds.is_empty()).then(|| edit.approval(&write.record.spec.id, revision, &holds, now));
                let publication =
                    Publishing { previous: begun.head.as_ref(), next, answer: kept, event: told.as_ref() };
                self.publish(&write, publication, &policy, known, now).await
            }
        };
        match written {
            Ok(()) => Ok(Outcome::Answered(Answered { answer, is_replayed: false })),
            Err(StoreError::Conflict(_)) => Ok(Outcome::Overtaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Validates, plans and guards.
    async fn judge<'b>(
        &self,
        edit: &Edit<'_>,
        new_id: Option<&ModelId>,
        begun: &'b Begun,
        policy: &Policy,
        known: &mut Known,
        now: Timestamp,
    ) -> Result<Judged<'b>, Refusal> {
        let roots = begun.head.as_ref().map_or_else(Roots::empty, |head| head.roots);
        let record_of = |id: &ModelId| begun.records.iter().find(|record| record.spec.id == *id);
        let existing = match edit.existing() {
            None => None,
            Some(id) => match record_of(id) {
                Some(record) => Some(record),
                None => return Err(self.absent(id, &roots, known).await?),
            },
        };
        let before = match &edit.target {
            Target::Existing(_) => existing,
            Target::New | Target::CopyOf(_) => new_id.and_then(record_of),
        };
        if existing.is_some_and(|record| !(edit.precondition)(record, policy)) {
            return Err(Refusal::Changed);
        }
        let desired = edit.command.desired(existing.map(|record| &record.spec), now).map_err(Refusal::Invalid)?;
        if let (Target::Existing(_), Some(Record { origin: Origin::Git(origin), spec, tombstone, .. })) =
            (&edit.target, existing)
            && (*tombstone || desired.model != *spec)
        {
            let (origin, before, after) = (origin.clone(), spec.clone(), desired.model);
            return Err(Refusal::ManagedByGit(Box::new(ManagedByGit { origin, before, after })));
        }
        if let (Target::New | Target::CopyOf(_), Some(record)) = (&edit.target, before) {
            let state = match (record.tombstone, record.spec.is_archived) {
                (true, _) => "a model whose file was removed, which keeps it",
                (false, true) => "a model that is archived",
                (false, false) => "another model",
            };
            let message = format!("\"{}\" is the id of {state}", record.spec.id);
            return Err(Refusal::Taken { pointer: "/id".to_owned(), message });
        }
        self.check_names(&desired, before, &roots, known).await?;
        let id = desired.model.id.clone();
        let in_place = before.iter().map(|record| record.spec.id.clone()).collect();
        let proposal = Proposal { present: vec![Arc::new(desired)], in_place, ..Proposal::default() };
        let records: HashMap<ModelId, Record> = before.map(|record| (id, record.clone())).into_iter().collect();
        let asked = Asked { proposal: &proposal, problems: &[], policy_changes: false, asker: Asker::Api };
        let blueprint = loop {
            let before = Before { roots: &roots, policy, records: &records, api_models: 0 };
            match propose(asked, before, &known.nodes, now) {
                Ok(blueprint) => break blueprint,
                Err(EditError::Missing(Missing(ids))) => self.store.load_nodes(&ids, &mut known.nodes).await?,
                Err(error) => return Err(error.into()),
            }
        };
        if !blueprint.problems.is_empty() {
            return Err(Refusal::Invalid(edit.command.placed(blueprint.problems)));
        }
        if !blueprint.holds.is_empty() && !edit.approves {
            return Err(Refusal::Held(blueprint.holds));
        }
        let step = blueprint.plan.steps.into_iter().next();
        Ok(Judged { before, step, holds: blueprint.holds, next: blueprint.next })
    }

    async fn publish(
        &self,
        write: &RecordWrite,
        publishing: Publishing<'_>,
        policy: &Policy,
        known: &mut Known,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Publishing { previous, next, answer, event } = publishing;
        let Some(mut next) = next else { return Ok(()) };
        if write.read_seq.is_none() {
            let appeared = BTreeMap::from([(write.record.spec.id.clone(), write.record.created_at)]);
            self.store.note_appearances(&mut next, &appeared, &mut known.nodes).await?;
        }
        let manifest = Manifest {
            revision: previous.map_or(1, |previous| previous.revision + 1),
            commit: previous.and_then(|previous| previous.commit.clone()),
            roots: next.roots,
            api_models: previous.map_or(0, |previous| previous.api_models) + u64::from(write.read_seq.is_none()),
            policy: previous.and_then(|previous| previous.policy),
            published_at: now,
        };
        self.store.put_chunks(&next.fresh, None).await?;
        let retention_seconds =
            i64::try_from(policy.retention.revision_days).unwrap_or(i64::MAX).saturating_mul(86_400);
        let publication =
            Publication { previous, next: &manifest, retention_seconds, half_way: std::collections::BTreeSet::new() };
        self.store.publish_edit(write, &publication, answer, event, now).await?;
        next.fresh.into_iter().for_each(|(id, node)| known.nodes.insert(id, node));
        if known.nodes.len() > MAX_NODES {
            known.nodes.retain_reachable(&manifest.roots.all());
        }
        Ok(())
    }

    /// Names that the model did not have before must be nobody's, and must never have been a removed model's id.
    async fn check_names(
        &self,
        desired: &SourcedModel,
        before: Option<&Record>,
        roots: &Roots,
        known: &mut Known,
    ) -> Result<(), Refusal> {
        let model = &desired.model;
        let aliases = model.aliases.iter().enumerate().map(|(at, alias)| (format!("/aliases/{at}"), alias));
        let names = std::iter::once(("/id".to_owned(), &model.id)).chain(aliases);
        let is_old = |name: &ModelId| before.is_some_and(|b| b.spec.id == *name || b.spec.aliases.contains(name));
        for (pointer, name) in names.filter(|(_, name)| !is_old(name)) {
            let ask = |catalogue: &Catalogue<'_>| {
                let holder = catalogue.holder(&name.folded())?.map(|holder| holder.id);
                Ok((holder, catalogue.is_removed(&name.folded())))
            };
            let message = match self.ask(roots, known, ask).await? {
                (Some(holder), _) if holder == model.id => continue,
                (Some(holder), _) if holder.folded() == name.folded() => {
                    format!("\"{name}\" is the id of model \"{holder}\"")
                }
                (Some(holder), _) => format!("\"{name}\" is another name of model \"{holder}\""),
                (None, true) => format!("\"{name}\" is the id of a model whose file was removed, which keeps it"),
                (None, false) => continue,
            };
            return Err(Refusal::Taken { pointer, message });
        }
        Ok(())
    }

    async fn absent(&self, id: &ModelId, roots: &Roots, known: &mut Known) -> Result<Refusal, Refusal> {
        let holder = self.ask(roots, known, |catalogue| Ok(catalogue.holder(&id.folded())?)).await?;
        Ok(Refusal::Absent { id: id.clone(), alias_of: holder.map(|holder| holder.id).filter(|holder| holder != id) })
    }

    /// Asks the catalogue, loading what that takes.
    async fn ask<T>(
        &self,
        roots: &Roots,
        known: &mut Known,
        question: impl Fn(&Catalogue<'_>) -> Result<T, EditError>,
    ) -> Result<T, Refusal> {
        loop {
            let catalogue = Catalogue::new(&known.nodes, roots);
            let answer = question(&catalogue)?;
            match catalogue.complete() {
                Ok(()) => return Ok(answer),
                Err(Missing(ids)) => self.store.load_nodes(&ids, &mut known.nodes).await?,
            }
        }
    }
}

/// What is published, and what is kept with it.
struct Publishing<'p> {
    previous: Option<&'p Manifest>,
    next: Option<NextRoots>,
    answer: Option<(&'p IdempotencyKey, &'p Answer)>,
    event: Option<&'p AuditEvent>,
}

/// A change that may be made.
struct Judged<'b> {
    before: Option<&'b Record>,
    step: Option<Step>,
    holds: Vec<Hold>,
    next: Option<NextRoots>,
}

impl Edit<'_> {
    /// The model that changes, where that is known.
    #[must_use]
    pub fn model_id(&self) -> Option<ModelId> {
        match &self.target {
            Target::Existing(id) => Some(id.clone()),
            Target::New | Target::CopyOf(_) => self.new_id(),
        }
    }

    /// The model that must be there.
    fn existing(&self) -> Option<&ModelId> {
        match &self.target {
            Target::New => None,
            Target::CopyOf(id) | Target::Existing(id) => Some(id),
        }
    }

    /// The id of the model that is made, where the body names one that can be one.
    fn new_id(&self) -> Option<ModelId> {
        let id = match &self.command {
            Command::Create(document) => document.value().get("id"),
            Command::Duplicate(overrides) => overrides.get("id"),
            _ => None,
        };
        // What is no id is told with every other mistake.
        id.and_then(serde_json::Value::as_str).and_then(|id| ModelId::parse(id).ok())
    }

    /// What the audit is told when the caller approved of what the guard would have held.
    fn approval(&self, id: &ModelId, revision: u64, holds: &[Hold], now: Timestamp) -> AuditEvent {
        AuditEvent {
            model_id: Some(id.clone()),
            revision: Some(revision),
            correlation_id: self.correlation_id.to_owned(),
            holds: holds.to_vec(),
            ..AuditEvent::new(EventKind::Approved, now, self.actor, "api", self.reason.to_owned())
        }
    }

    fn note(&self, step: &Step, revision: u64, now: Timestamp) -> ChangeNote {
        ChangeNote {
            operations: step.operations.clone(),
            actor: self.actor.to_owned(),
            reason: self.reason.to_owned(),
            source: "api".to_owned(),
            at: now,
            applied_at: now,
            commit: None,
            pull_request: None,
            revision,
            correlation_id: self.correlation_id.to_owned(),
        }
    }
}

fn messages(holds: &[Hold]) -> String {
    holds.iter().map(|hold| hold.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// A few milliseconds, another number each time: writers that met shall not meet again.
fn jitter() -> Duration {
    Duration::from_millis(5 + RandomState::new().build_hasher().finish() % 45)
}
