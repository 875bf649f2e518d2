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
use roster_core::command::{Command, Unfit, VersionError};
use roster_core::guard::Hold;
use roster_core::plan::{Asker, Step};
use roster_core::propose::{Asked, Before, Blueprint, propose};
use roster_core::record::{ChangeNote, GitOrigin, Origin, Override, OverrideTerms, Record};
use roster_core::tree::{Missing, Nodes};
use roster_core::validate::{Proposal, SourcedModel, read_model};
use roster_core::{Model, ModelId, Policy, Problem, command, file};
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
    /// Until when it takes the place of what the model's file says; `None` for a change of what the API owns.
    pub overrides_until: Option<Timestamp>,
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
    /// The model's versions do not go that way.
    #[error(transparent)]
    Versions(VersionError),
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
    /// A document cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Invalid(problems) => Self::Invalid(problems),
            Unfit::Versions(error) => Self::Versions(error),
        }
    }
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

/// What a change would do.
pub struct Foreseen {
    /// What would be done; `None` when all of it is so already.
    pub step: Option<Step>,
    /// What the guard would hold it for.
    pub holds: Vec<Hold>,
}

/// A change of a file that would make the change of a model.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file, from the root of the repository.
    pub path: String,
    /// What it says, as far as the tables know; `None` when there is none.
    pub before: Option<Model>,
    /// What it would say.
    pub after: Model,
    /// What a commit of it would do; `None` when all of it is so already.
    pub step: Option<Step>,
    /// What the guard would hold it for.
    pub holds: Vec<Hold>,
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
        if !holds.is_empty() && !edit.approves {
            return Err(Refusal::Held(holds));
        }
        let head_revision = begun.head.as_ref().map_or(0, |head| head.revision);
        let (step, record, revision) = match (&step, before) {
            (None, Some(record)) => (None, record.clone(), head_revision),
            (None, None) => return Err(Refusal::Impossible),
            (Some(step), before) => {
                let revision = head_revision + 1;
                let origin = before.map_or_else(|| Origin::Api(edit.actor.to_owned()), |record| record.origin.clone());
                let mut record = Record::after(before, step, origin, edit.note(step, revision, now));
                record.overridden = before.and_then(|before| edit.overridden(before, now));
                (Some(step), record, revision)
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
        let asker = edit.asker(existing)?;
        let base = existing.map(|record| {
            let said = if asker == Asker::Override { &record.spec } else { record.described() };
            edit.command.base(said, record.status.rollout.as_ref())
        });
        let mut desired = edit.command.desired(base.as_deref(), policy, now)?;
        match (asker, existing.map(|record| (record, &record.origin))) {
            (Asker::Git, Some((record, _))) if record.overridden.is_none() => {
                return Ok(Judged { before, step: None, holds: Vec::new(), next: None });
            }
            (Asker::Git | Asker::Override, Some((record, Origin::Git(origin)))) => {
                let path = self.path(record, origin, &roots, known).await?;
                desired = in_file(&edit.command, &desired.model, &path)?;
            }
            (_, Some((record, Origin::Git(origin))))
                if matches!(edit.target, Target::Existing(_)) && (record.tombstone || desired.model != record.spec) =>
            {
                let (origin, before, after) = (origin.clone(), record.described().clone(), desired.model);
                return Err(Refusal::ManagedByGit(Box::new(ManagedByGit { origin, before, after })));
            }
            _ => {}
        }
        if let (Target::New | Target::CopyOf(_), Some(record)) = (&edit.target, before) {
            return Err(taken(record));
        }
        self.check_names(&desired, before, &roots, known).await?;
        let blueprint = self.blueprint(desired, before, asker, &roots, policy, known, now).await?;
        if !blueprint.problems.is_empty() {
            return Err(Refusal::Invalid(edit.command.placed(blueprint.problems)));
        }
        // What the file says has passed the guard: going back to it must always be possible.
        let holds = match asker {
            Asker::Git => Vec::new(),
            _ => [blueprint.holds, self.store.decision_holds(&blueprint.plan, policy, now).await?].concat(),
        };
        let step = blueprint.plan.steps.into_iter().next();
        Ok(Judged { before, step, holds, next: blueprint.next })
    }

    /// What [`Editor::apply`] would do now; nothing is written.
    ///
    /// # Errors
    /// [`Refusal`] as it would be, but for what the guard holds: that is in the answer.
    pub async fn foresee(&self, edit: &Edit<'_>) -> Result<Foreseen, Refusal> {
        let known = tokio::time::timeout(PATIENCE, self.known.lock()).await;
        let mut known = known.map_err(|_| Refusal::Busy)?;
        let new_id = edit.new_id();
        let ids: Vec<&ModelId> = new_id.iter().chain(edit.existing()).collect();
        let begun = self.store.begin_edit(&ids, None, edit.now).await?;
        let policy = self.policies.of(&self.store, begun.head.as_ref()).await?;
        let judged = self.judge(edit, new_id.as_ref(), &begun, &policy, &mut known, edit.now).await?;
        Ok(Foreseen { step: judged.step, holds: judged.holds })
    }

    /// The change of a file that would make a change of a model; nothing is written.
    ///
    /// # Errors
    /// [`Refusal`] when a commit of it would be rejected, or the model is not what the caller believes it to be.
    pub async fn draft(&self, edit: &Edit<'_>) -> Result<Draft, Refusal> {
        let known = tokio::time::timeout(PATIENCE, self.known.lock()).await;
        let mut known = known.map_err(|_| Refusal::Busy)?;
        let known = &mut *known;
        let new_id = edit.new_id();
        let ids: Vec<&ModelId> = new_id.iter().chain(edit.existing()).collect();
        let begun = self.store.begin_edit(&ids, None, edit.now).await?;
        let policy = self.policies.of(&self.store, begun.head.as_ref()).await?;
        let roots = begun.head.as_ref().map_or_else(Roots::empty, |head| head.roots);
        let record_of = |id: &ModelId| begun.records.iter().find(|record| record.spec.id == *id);
        let existing = edit.existing().map(record_of);
        if let (Some(None), Some(id)) = (existing, edit.existing()) {
            return Err(self.absent(id, &roots, known).await?);
        }
        let existing = existing.flatten();
        if existing.is_some_and(|record| !(edit.precondition)(record, &policy)) {
            return Err(Refusal::Changed);
        }
        let base = existing.map(|record| edit.command.base(record.described(), record.status.rollout.as_ref()));
        let desired = edit.command.desired(base.as_deref(), &policy, edit.now)?;
        let live = match (&edit.target, new_id.as_ref().and_then(record_of)) {
            (Target::Existing(_), _) => existing,
            (_, Some(record)) => return Err(taken(record)),
            (_, None) => None,
        };
        let (path, before) = match live.map(|record| (record, &record.origin)) {
            Some((record, Origin::Git(origin))) => {
                let path = self.path(record, origin, &roots, known).await?;
                (path, (!record.tombstone).then(|| record.described().clone()))
            }
            // A file for a model of the API adopts it.
            Some((_, Origin::Api(_))) | None => (file::path(&desired.model), None),
        };
        let desired = in_file(&edit.command, &desired.model, &path)?;
        self.check_names(&desired, live, &roots, known).await?;
        let (id, after) = (desired.model.id.clone(), desired.model.clone());
        if before.as_ref() == Some(&after) {
            return Ok(Draft { path, before, after, step: None, holds: Vec::new() });
        }
        // What a commit does is told from what the file says, whatever overrides it now.
        let live = live.map(|live| Record { spec: live.described().clone(), overridden: None, ..live.clone() });
        let blueprint = self.blueprint(desired, live.as_ref(), Asker::Git, &roots, &policy, known, edit.now).await?;
        if !blueprint.problems.is_empty() {
            return Err(Refusal::Invalid(without_lines(edit.command.placed(blueprint.problems))));
        }
        let measured = self.store.decision_holds(&blueprint.plan, &policy, edit.now).await?;
        let step = blueprint.plan.steps.into_iter().find(|step| step.id == id);
        Ok(Draft { path, before, after, step, holds: [blueprint.holds, measured].concat() })
    }

    /// Judges a document in the place of a record, loading what that takes.
    #[expect(clippy::too_many_arguments, reason = "each is another part of what is live")]
    async fn blueprint(
        &self,
        desired: SourcedModel,
        live: Option<&Record>,
        asker: Asker,
        roots: &Roots,
        policy: &Policy,
        known: &mut Known,
        now: Timestamp,
    ) -> Result<Blueprint, Refusal> {
        let id = desired.model.id.clone();
        let in_place = live.iter().map(|record| record.spec.id.clone()).collect();
        let proposal = Proposal { present: vec![Arc::new(desired)], in_place, ..Proposal::default() };
        let records: HashMap<ModelId, Record> = live.map(|record| (id, record.clone())).into_iter().collect();
        let asked = Asked { proposal: &proposal, problems: &[], policy_changes: false, asker };
        loop {
            let before = Before { roots, policy, records: &records, api_models: 0 };
            match propose(asked, before, &known.nodes, now) {
                Ok(blueprint) => return Ok(blueprint),
                Err(EditError::Missing(Missing(ids))) => self.store.load_nodes(&ids, &mut known.nodes).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The file of a model. A record keeps the one of its last change; a file that was moved since is in the index.
    async fn path(
        &self,
        record: &Record,
        origin: &GitOrigin,
        roots: &Roots,
        known: &mut Known,
    ) -> Result<String, Refusal> {
        let id = &record.spec.id;
        let holder = self.ask(roots, known, |catalogue| Ok(catalogue.holder(&id.folded())?)).await?;
        let path = holder.filter(|holder| holder.id == *id).and_then(|holder| holder.path);
        Ok(path.map_or_else(|| origin.path.clone(), |path| path.to_string()))
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

    /// On whose behalf the model changes.
    fn asker(&self, existing: Option<&Record>) -> Result<Asker, Refusal> {
        let refused = |pointer: &str, message: &str| Err(Refusal::Invalid(vec![command::problem(pointer, message)]));
        match (&self.command, self.overrides_until, &self.target, existing) {
            (Command::EndOverride, ..) => Ok(Asker::Git),
            (_, None, ..) => Ok(Asker::Api),
            (_, Some(_), Target::Existing(_), Some(Record { origin: Origin::Git(_), tombstone: false, .. })) => {
                Ok(Asker::Override)
            }
            (_, Some(_), Target::Existing(_), Some(Record { origin: Origin::Git(_), .. })) => {
                refused("", "the model's file was removed: there is nothing to override")
            }
            (_, Some(_), Target::Existing(_), _) => {
                refused("", "the model is the API's own: change it without mode=override")
            }
            (_, Some(_), ..) => refused("", "a new model has no file to override: make it without mode=override"),
        }
    }

    /// The override that the record has afterwards.
    fn overridden(&self, before: &Record, now: Timestamp) -> Option<Override> {
        let (until, Origin::Git(origin)) = (self.overrides_until?, &before.origin) else { return None };
        let terms = OverrideTerms { actor: self.actor.to_owned(), reason: self.reason.to_owned(), since: now, until };
        // One that takes the place of another overrides the same file.
        let blob = before.overridden.as_ref().map_or_else(|| origin.blob.clone(), |first| first.blob.clone());
        Some(Override { terms, blob, spec: before.described().clone() })
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
            reason: match self.overrides_until {
                Some(until) => format!("until {until}: {}", self.reason),
                None => self.reason.to_owned(),
            },
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

/// The document that a file at a path would be, checked as a commit's is.
fn in_file(command: &Command, model: &Model, path: &str) -> Result<SourcedModel, Refusal> {
    let text = file::text(model, path)?;
    read_model(path, text.as_bytes()).map_err(|problems| Refusal::Invalid(without_lines(command.placed(problems))))
}

/// Nobody has seen the lines of a file that is not written yet.
fn without_lines(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().map(|problem| Problem { line: 0, column: 0, ..problem }).collect()
}

fn taken(record: &Record) -> Refusal {
    let state = match (record.tombstone, record.spec.is_archived) {
        (true, _) => "a model whose file was removed, which keeps it",
        (false, true) => "a model that is archived",
        (false, false) => "another model",
    };
    Refusal::Taken { pointer: "/id".to_owned(), message: format!("\"{}\" is the id of {state}", record.spec.id) }
}

fn messages(holds: &[Hold]) -> String {
    holds.iter().map(|hold| hold.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// A few milliseconds, another number each time: writers that met shall not meet again.
fn jitter() -> Duration {
    Duration::from_millis(5 + RandomState::new().build_hasher().finish() % 45)
}
