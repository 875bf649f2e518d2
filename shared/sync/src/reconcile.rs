//! A run: from the last applied commit to the tip of the branch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::catalogue::{self, EditError, NextRoots, Roots};
use roster_core::guard::Hold;
use roster_core::plan::{Operation, Plan, Step};
use roster_core::propose::{self, Before, Blueprint, propose};
use roster_core::record::{ChangeNote, GitOrigin, Origin, Record};
use roster_core::tree::{Missing, NodeId, Nodes};
use roster_core::validate::CATALOG;
use roster_core::{ModelId, Policy, Problem, canonical};
use roster_git::{Commit, CommitId, GitError, Repository, Walk};
use roster_store::lease::Cursor;
use roster_store::models::RecordWrite;
use roster_store::{Lease, Manifest, Publication, Store, StoreError, Units};

use crate::overrides::leave_alone;
use crate::read::{ReadCommit, Scope, read};
use crate::report::{CommitReport, RunReport, State};
use crate::signed;

/// How long a lease lasts without a sign of life.
const LEASE: Duration = Duration::from_secs(60);
/// How often the holder gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Commits walked to say who changed which file, when a run jumps over several.
const MAX_ATTRIBUTED: usize = 5_000;
/// The trailer by which a commit approves of its own plan.
const APPROVAL_TRAILER: &str = "Roster-Approve";
/// Reasons that the audit keeps of one plan.
const MAX_HOLDS: usize = 100;
/// Nodes kept from commit to commit; beyond, those that the live trees do not reach are forgotten.
const MAX_NODES: usize = 50_000;

/// A repository that runs share.
#[derive(Clone)]
pub struct Repo {
    repository: Arc<Mutex<Repository>>,
    pub(crate) name: Arc<str>,
}

impl Repo {
    /// A repository, with the name that records carry; no credentials in it.
    #[must_use]
    pub fn new(repository: Repository, name: &str) -> Self {
        Self { repository: Arc::new(Mutex::new(repository)), name: name.into() }
    }

    /// Runs blocking work on the repository, off the async threads.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Repository) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, SyncError> {
        let repository = self.repository.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A poisoned lock is of a panic while reading; the repository holds no state that could be half written.
            let mut repository = repository.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            work(&mut repository)
        });
        Ok(done.await.map_err(|error| SyncError::Internal(error.to_string()))??)
    }
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The branch to follow.
    pub branch: String,
    /// A revision to stop at instead of the branch's tip.
    pub to: Option<String>,
    /// Whether every commit is applied by itself, however many there are.
    pub every_commit: bool,
    /// Whether the guard judges plans.
    pub guard: bool,
    /// Whether to stop before anything is written.
    pub dry_run: bool,
    /// A name for the run, kept with every change it makes.
    pub correlation_id: String,
}

impl Options {
    /// Follows a branch to its tip, under the guard.
    #[must_use]
    pub fn follow(branch: &str) -> Self {
        // The hasher's keys are random for each call: enough to tell runs apart.
        let random = RandomState::new().build_hasher().finish();
        Self {
            branch: branch.to_owned(),
            to: None,
            every_commit: false,
            guard: true,
            dry_run: false,
            correlation_id: format!("sync-{random:016x}"),
        }
    }
}

/// Why a run stopped without an answer for its commits.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The tables do not answer, or another worker was faster.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is published cannot be read.
    #[error(transparent)]
    Catalogue(#[from] EditError),
    /// Another worker syncs now.
    #[error("another sync is running: it holds the lease")]
    Busy,
    /// What is live cannot be compared with, without reading all of it.
    #[error("the live commit {0} is not in the repository any more: the next sync compares everything")]
    LiveCommitGone(CommitId),
    /// A commit could not be brought to an end.
    #[error("commit {commit}: {source}")]
    Commit {
        /// The commit.
        commit: CommitId,
        /// What failed.
        source: Box<SyncError>,
    },
    /// Something that should not happen.
    #[error("internal error: {0}")]
    Internal(String),
}

impl SyncError {
    /// What people are told, without the words of an SDK: the same for every call that fails the same way.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Git(error) => error.to_string(),
            Self::Store(StoreError::Conflict(_)) => "another writer was faster".to_owned(),
            Self::Store(_) => "the tables do not answer".to_owned(),
            Self::Catalogue(_) => "what is published cannot be read".to_owned(),
            Self::Busy | Self::LiveCommitGone(_) => self.to_string(),
            Self::Commit { source, .. } => source.told(),
            Self::Internal(_) => "internal error".to_owned(),
        }
    }

    /// The commit that could not be brought to an end, unless another worker was faster: then it is theirs to report.
    #[must_use]
    pub fn failed_commit(&self) -> Option<CommitId> {
        match self {
            Self::Commit { source, .. } if matches!(**source, Self::Store(StoreError::Conflict(_))) => None,
            Self::Commit { commit, .. } => Some(*commit),
            _ => None,
        }
    }
}

/// Applies a repository to the tables.
pub struct Reconciler {
    pub(crate) store: Store,
    pub(crate) repo: Repo,
    pub(crate) clock: fn() -> Timestamp,
    /// Commits that were not applied, on which revision and why: polls find them again and again.
    refused: Mutex<HashSet<(String, u64, State)>>,
}

/// Where a run stands: what is live, and what is known of it.
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) options: Options,
    /// Whether this is only a look at a change that is not merged: it may be unsigned, and no table is scanned for it.
    pub(crate) is_preview: bool,
    pub(crate) head: Option<Manifest>,
    pub(crate) policy: Policy,
    pub(crate) nodes: Nodes,
    pub(crate) base: Option<CommitId>,
    /// What holds every plan, where somebody holds the sync by hand.
    hold: Option<Hold>,
    /// Commits whose records were being written when a run stopped.
    half_way: BTreeSet<CommitId>,
    pub(crate) lease: Option<Lease>,
}

/// What a commit asks for, and what the table holds of it.
pub(crate) struct Asked {
    commit: Commit,
    pub(crate) read: ReadCommit,
    records: HashMap<ModelId, Record>,
    /// How many of the models the API owns.
    api_models: u64,
}

/// What a commit asks for, and what the rules and the guard say to it.
pub(crate) struct Judged {
    pub(crate) asked: Asked,
    pub(crate) problems: Vec<Problem>,
    pub(crate) plan: Plan,
    pub(crate) holds: Vec<Hold>,
    next: Option<NextRoots>,
}

impl Judged {
    /// Whether it asks for anything that could be approved.
    fn asks(&self) -> bool {
        !self.plan.steps.is_empty() || self.asked.read.policy.is_some()
    }
}

impl Session {
    pub(crate) fn roots(&self) -> Roots {
        self.head.as_ref().map_or_else(Roots::empty, |head| head.roots)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.revision)
    }
}

impl Reconciler {
    /// A reconciler with a clock.
    #[must_use]
    pub fn new(store: Store, repo: Repo, clock: fn() -> Timestamp) -> Self {
        Self { store, repo, clock, refused: Mutex::default() }
    }

    /// Brings the tables to the branch's tip, telling of each commit as it is done.
    ///
    /// # Errors
    /// [`SyncError`] when the repository or the tables fail; what was applied until then stays, whole.
    pub async fn run(
        &self,
        options: &Options,
        mut on_commit: impl FnMut(usize, usize, &CommitReport),
    ) -> Result<RunReport, SyncError> {
        let started = Instant::now();
        let store = self.store.metered();
        let mut tip = self.tip(options).await?;
        let mut session = self.session(&store, options).await?;
        let mut run = RunReport {
            state: State::Unchanged,
            revision: session.revision(),
            commit: tip.to_string(),
            digest: session.roots().digest(),
            commits: 0,
            operations: 0,
            rejected: 0,
            held: 0,
            overrides: Vec::new(),
            problems: Vec::new(),
            holds: Vec::new(),
            consumed: Units::default(),
            seconds: 0.0,
        };
        let over = store.overrides_over((self.clock)()).await?;
        if session.base != Some(tip) || !session.half_way.is_empty() || !over.is_empty() {
            let heartbeat = if options.dry_run { None } else { Some(self.take_lease(&mut session).await?) };
            let done = async {
                if heartbeat.is_some() {
                    // While this one waited, another worker may have gone further than the tip it knew.
                    tip = self.tip(options).await?;
                    run.commit = tip.to_string();
                }
                // First, so that the commits are judged beside what the branch says.
                run.overrides = self.end_overrides(&mut session, &over).await?;
                if !run.overrides.is_empty() {
                    run.state = if options.dry_run { State::Planned } else { State::Applied };
                    run.operations += run.overrides.iter().map(|ended| ended.operations.len()).sum::<usize>();
                    (run.revision, run.digest) = (session.revision(), session.roots().digest());
                }
                match session.base == Some(tip) && session.half_way.is_empty() {
                    true => Ok(()),
                    false => self.commits(&mut session, tip, &mut run, &mut on_commit).await,
                }
            }
            .await;
            drop(heartbeat);
            if let Some(lease) = &session.lease {
                give_back(&store, lease).await;
            }
            done?;
        }
        run.consumed = store.consumed();
        run.seconds = started.elapsed().as_secs_f64();
        Ok(run)
    }

    pub(crate) async fn tip(&self, options: &Options) -> Result<CommitId, SyncError> {
        let (branch, to) = (options.branch.clone(), options.to.clone());
        self.repo
            .with(move |repository| {
                repository.refresh()?;
                match to {
                    Some(revision) => repository.resolve(&revision),
                    None => repository.branch_tip(&branch),
                }
            })
            .await
    }

    /// Where the tables stand.
    pub(crate) async fn session(&self, store: &Store, options: &Options) -> Result<Session, SyncError> {
        let (head, state) = (store.head(true).await?, store.sync_state().await?);
        let now = (self.clock)();
        let hold = state.hold.filter(|hold| now < hold.until).map(|hold| Hold {
            rule: "hold".to_owned(),
            message: format!("held by {} until {}: {}", hold.actor, hold.until, hold.reason),
        });
        let policy = store.policy(head.as_ref().and_then(|head| head.policy)).await?;
        let reconciled = match (&head, state.cursor) {
            // A cursor beside another commit is older than the head. The API may have moved the head's revision since.
            (Some(head), Some(cursor)) if cursor.published == head.commit => Some(cursor.commit),
            (Some(head), _) => head.commit.clone(),
            (None, _) => None,
        };
        let parse = |commit: String| commit.parse::<CommitId>();
        Ok(Session {
            store: store.clone(),
            options: options.clone(),
            is_preview: false,
            base: reconciled.map(parse).transpose()?,
            half_way: state.intent.into_iter().map(parse).collect::<Result<_, _>>()?,
            head,
            policy,
            nodes: Nodes::default(),
            hold,
            lease: None,
        })
    }

    /// Takes the lease and reads again what another worker may have changed before.
    pub(crate) async fn take_lease(&self, session: &mut Session) -> Result<Heartbeat, SyncError> {
        let store = session.store.clone();
        let owner = session.options.correlation_id.clone();
        let lease = store.acquire_lease(&owner, (self.clock)(), LEASE).await?.ok_or(SyncError::Busy)?;
        let heartbeat = Heartbeat::start(store.clone(), lease.clone(), self.clock);
        match self.session(&store, &session.options).await {
            Ok(fresh) => *session = Session { lease: Some(lease), ..fresh },
            Err(error) => {
                drop(heartbeat);
                give_back(&store, &lease).await;
                return Err(error);
            }
        }
        Ok(heartbeat)
    }

    async fn commits(
        &self,
        session: &mut Session,
        tip: CommitId,
        run: &mut RunReport,
        on_commit: &mut impl FnMut(usize, usize, &CommitReport),
    ) -> Result<(), SyncError> {
        let base = session.base;
        let every_commit = session.options.every_commit;
        let limit = usize::try_from(session.policy.sync.max_commits_per_run).unwrap_or(usize::MAX);
        // Nothing moves in a dry run, so only the way to the tip as a whole can be judged.
        let jump = base.is_none() && !every_commit || session.options.dry_run;
        let walk = match jump {
            true => Walk::Diverged,
            false => {
                let limit = (!every_commit).then_some(limit);
                self.repo.with(move |repository| repository.first_parent(base, tip, limit)).await?
            }
        };
        let (commits, mut superseded) = match walk {
            Walk::Linear(commits) if !commits.is_empty() => (commits, Vec::new()),
            // History was rewritten, or there is too much of it, or only a half-way commit is left: one plan.
            _ if jump => (vec![tip], Vec::new()),
            _ => (vec![tip], self.jumped_over(base, tip, limit).await?),
        };
        let total = commits.len();
        for (at, commit) in commits.into_iter().enumerate() {
            let done = self.commit(session, commit, std::mem::take(&mut superseded)).await;
            let report = done.map_err(|source| SyncError::Commit { commit, source: Box::new(source) })?;
            if run.overrides.is_empty() || report.state != State::Unchanged {
                run.state = report.state;
            }
            run.revision = report.revision;
            run.digest.clone_from(&report.digest);
            run.commits += 1;
            run.operations += if report.state.is_success() { report.operations } else { 0 };
            run.rejected += usize::from(report.state == State::Rejected);
            run.held += usize::from(report.state == State::Held);
            on_commit(at + 1, total, &report);
            (run.problems, run.holds) = (report.problems, report.holds);
        }
        Ok(())
    }

    /// The newest commits, without the tip, that one step from the base to the tip leaves no report of.
    async fn jumped_over(&self, base: Option<CommitId>, tip: CommitId, limit: usize) -> Result<Vec<String>, SyncError> {
        let work = move |repository: &mut Repository| {
            // What the rewritten branch shares with the one before has a report of its own.
            let known: HashSet<CommitId> = repository.newest(base, MAX_ATTRIBUTED)?.into_iter().collect();
            let new = repository.newest(Some(tip), limit.saturating_add(1))?;
            let new = new.into_iter().skip(1).take_while(|commit| !known.contains(commit));
            Ok(new.map(|commit| commit.to_string()).collect())
        };
        self.repo.with(work).await
    }

    /// What a commit asks for against what is live: read, validate, plan, guard.
    pub(crate) async fn judge(&self, session: &mut Session, id: CommitId, now: Timestamp) -> Result<Judged, SyncError> {
        let asked = self.read(session, id).await?;
        let (roots, policy) = (session.roots(), session.policy.clone());
        let live = Before { roots: &roots, policy: &policy, records: &asked.records, api_models: asked.api_models };
        let Blueprint { problems, plan, holds, next } = judge(session, asked.read.asked(), live, now).await?;
        let measured = session.store.decision_holds(&plan, &policy, now).await?;
        let mut judged = Judged { asked, problems, plan, holds, next };
        judged.holds.extend(measured);
        let by_hand = session.hold.clone().filter(|_| judged.asks());
        judged.holds.extend(by_hand);
        Ok(judged)
    }

    /// Everything about one commit: read, validate, plan, guard, apply, publish, report.
    async fn commit(
        &self,
        session: &mut Session,
        id: CommitId,
        superseded: Vec<String>,
    ) -> Result<CommitReport, SyncError> {
        let started = Instant::now();
        let now = (self.clock)();
        let before = session.store.consumed();
        let judged = self.judge(session, id, now).await?;
        let plan_hash = if judged.asks() { Some(self.plan_hash(session, id, &judged.plan).await?) } else { None };
        let Judged { asked, problems, plan, holds, next } = judged;
        let approved_by = match &plan_hash {
            Some(hash) if session.options.guard && !holds.is_empty() => approval(session, &asked.commit, hash).await?,
            _ => None,
        };
        let held = session.options.guard && !holds.is_empty() && approved_by.is_none();
        let state = match (next, session.lease.clone()) {
            (None, _) => State::Rejected,
            (Some(_), _) if held => State::Held,
            (Some(_), None) => State::Planned,
            (Some(next), Some(lease)) => self.apply(session, &lease, &asked, &plan, next, now).await?,
        };
        let mut report = CommitReport {
            state,
            revision: session.revision(),
            commit: id.to_string(),
            committed_at: asked.commit.committed_at,
            subject: asked.commit.subject.clone(),
            pull_request: asked.commit.pull_request,
            digest: session.roots().digest(),
            operations: plan.operations().count(),
            files: asked.read.proposal.touched.len(),
            plan,
            plan_hash,
            problems,
            holds,
            approved_by,
            superseded,
            consumed: Units::default(),
            seconds: 0.0,
        };
        report.consumed = session.store.consumed() - before;
        report.seconds = started.elapsed().as_secs_f64();
        if session.lease.is_some() && self.is_news(&report) {
            let run_retention = days(session.policy.retention.run_days);
            // The commit is what it is, whether or not its record can be kept.
            if let Err(error) = session.store.put_run(now, &report.commit, &report.kept(), run_retention).await {
                tracing::warn!(%error, commit = report.commit, "the record of a commit could not be kept");
            }
            if let Some(event) = event(&report, &asked.commit, &session.options, now) {
                session.store.tell(&event).await;
            }
        }
        report.consumed = session.store.consumed() - before;
        Ok(report)
    }

    /// What a commit asks for, and what the table holds of it.
    async fn read(&self, session: &Session, id: CommitId) -> Result<Asked, SyncError> {
        let scope = self.scope(session).await?;
        let (commit, mut read) = {
            let (scope, now) = (scope.clone(), (self.clock)());
            let rule = (!session.is_preview).then(|| session.policy.signatures.clone());
            let work = move |repository: &mut Repository| {
                let mut read = read(repository, &scope, id)?;
                if let Some(rule) = &rule {
                    read.problems.splice(..0, signed::problem(repository, id, rule, now)?);
                }
                Ok((repository.commit(id)?, read))
            };
            self.repo.with(work).await?
        };
        let mut records = self.records(session, &scope, &mut read).await?;
        leave_alone(&mut read, &mut records, &scope);
        let api_models = match scope {
            // A run that stopped half way may have taken over some of them, and only the table knows which.
            Scope::Since(_) if !session.is_preview && !session.half_way.is_empty() => {
                of_api(&session.store.all_records().await?)
            }
            Scope::Whole if !session.is_preview => of_api(records.values()),
            Scope::Whole | Scope::Since(_) => session.head.as_ref().map_or(0, |head| head.api_models),
        };
        Ok(Asked { commit, read, records, api_models })
    }

    pub(crate) async fn plan_hash(&self, session: &Session, id: CommitId, plan: &Plan) -> Result<String, SyncError> {
        let tree = self.repo.with(move |repository| repository.subtree(id, CATALOG)).await?;
        let (base, tree) = (session.base.map(|base| base.to_string()), tree.map(|tree| tree.to_string()));
        Ok(plan.hash(base.as_deref(), tree.as_deref(), session.revision()).map_err(EditError::Json)?)
    }

    /// Writes what a commit asks for and shows it; where nothing differs, remembers only that it was looked at.
    async fn apply(
        &self,
        session: &mut Session,
        lease: &Lease,
        asked: &Asked,
        plan: &Plan,
        mut next: NextRoots,
        now: Timestamp,
    ) -> Result<State, SyncError> {
        let id = asked.commit.id;
        let live_policy = session.head.as_ref().and_then(|head| head.policy);
        let policy = policy_chunk(&asked.read)?;
        let policy_id = match &policy {
            PolicyChunk::Unchanged => live_policy,
            PolicyChunk::Default => None,
            PolicyChunk::New(id, _) => Some(*id),
        };
        let is_live = session.head.is_some() && next.roots == session.roots() && policy_id == live_policy;
        let state = if is_live && plan.steps.is_empty() {
            if !session.half_way.is_empty() {
                session.store.clear_intent(lease).await?;
            }
            if session.base != Some(id) {
                let published = session.head.as_ref().and_then(|head| head.commit.clone());
                let cursor = Cursor { commit: id.to_string(), published };
                let kept = days(session.policy.retention.revision_days);
                session.store.put_cursor(lease, &cursor, session.head.as_ref(), now, kept).await?;
            }
            State::Unchanged
        } else {
            let revision = session.revision() + 1;
            let writes = self.writes(session, &plan.steps, asked, revision, now).await?;
            note_appearances(session, &mut next, &writes).await?;
            let manifest = Manifest {
                revision,
                commit: Some(id.to_string()),
                roots: next.roots,
                api_models: asked.api_models.saturating_sub(adopted(plan)),
                policy: policy_id,
                published_at: now,
            };
            session.store.put_chunks(&next.fresh, policy.content()).await?;
            let publication = Publication {
                previous: session.head.as_ref(),
                next: &manifest,
                retention_seconds: days(session.policy.retention.revision_days),
                half_way: session.half_way.iter().map(ToString::to_string).collect(),
            };
            session.store.publish(lease, &writes, &publication).await?;
            if let Some(policy) = &asked.read.policy {
                session.policy = policy.clone().unwrap_or_default();
            }
            next.fresh.into_iter().for_each(|(id, node)| session.nodes.insert(id, node));
            session.head = Some(manifest);
            State::Applied
        };
        session.half_way.clear();
        session.base = Some(id);
        if session.nodes.len() > MAX_NODES {
            session.nodes.retain_reachable(&session.roots().all());
        }
        Ok(state)
    }

    /// Whether the record of runs does not have this outcome yet, as far as this process knows.
    fn is_news(&self, report: &CommitReport) -> bool {
        if matches!(report.state, State::Applied | State::Unchanged | State::Planned) {
            return report.state == State::Applied;
        }
        let mut refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Those of earlier revisions do not come again.
        refused.retain(|(_, revision, _)| *revision == report.revision);
        refused.insert((report.commit.clone(), report.revision, report.state))
    }

    /// What the commit must be compared with: the last applied one, and those that were left half way.
    async fn scope(&self, session: &Session) -> Result<Scope, SyncError> {
        let Some(base) = session.base else { return Ok(Scope::Whole) };
        let bases: Vec<CommitId> = std::iter::once(base).chain(session.half_way.iter().copied()).collect();
        let all = bases.clone();
        let known =
            self.repo.with(move |repository| Ok(all.iter().all(|id| repository.resolve(&id.to_string()).is_ok())));
        // After a rewrite the old commits may be gone from the repository: then everything is compared.
        match known.await? {
            true => Ok(Scope::Since(bases)),
            false if session.is_preview => Err(SyncError::LiveCommitGone(base)),
            false => Ok(Scope::Whole),
        }
    }

    /// The records that a commit touches. When everything is compared, what has no file any more is absent.
    async fn records(
        &self,
        session: &Session,
        scope: &Scope,
        read: &mut ReadCommit,
    ) -> Result<HashMap<ModelId, Record>, SyncError> {
        let present: BTreeSet<ModelId> = read.proposal.present.iter().map(|sourced| sourced.model.id.clone()).collect();
        // Before a first sync no record has had a file, so a preview misses nothing by asking for those of files.
        if *scope == Scope::Whole && !session.is_preview {
            let all = session.store.all_records().await?;
            for record in &all {
                let id = &record.spec.id;
                if let Origin::Git(origin) = &record.origin
                    && !present.contains(id)
                    && !read.proposal.unreadable.contains(id.as_str())
                {
                    read.proposal.touched.insert(origin.path.clone());
                    read.proposal.absent.insert(record.spec.id.clone(), origin.path.clone());
                }
            }
            return Ok(all.into_iter().map(|record| (record.spec.id.clone(), record)).collect());
        }
        Ok(session.store.records(present.iter().chain(read.proposal.absent.keys())).await?)
    }

    /// The records to write, each with who changed it, when and why.
    async fn writes(
        &self,
        session: &Session,
        steps: &[Step],
        asked: &Asked,
        revision: u64,
        now: Timestamp,
    ) -> Result<Vec<RecordWrite>, SyncError> {
        let Asked { commit, read, records, .. } = asked;
        let path_of = |id: &ModelId| match read.blobs.get(id) {
            Some((path, _)) => path.clone(),
            None => read.proposal.absent.get(id).cloned().unwrap_or_default(),
        };
        let paths: BTreeSet<String> = steps.iter().map(|step| path_of(&step.id)).collect();
        let authors = self.authors(session.base, commit.id, paths).await?;
        let note_of = |step: &Step, commit: &Commit| ChangeNote {
            operations: step.operations.clone(),
            actor: author(commit),
            reason: short(&commit.subject),
            source: "git".to_owned(),
            at: commit.committed_at,
            applied_at: now,
            commit: Some(commit.id.to_string()),
            pull_request: commit.pull_request,
            revision,
            correlation_id: session.options.correlation_id.clone(),
        };
        let mut writes = Vec::with_capacity(steps.len());
        for step in steps {
            let old = records.get(&step.id);
            let path = path_of(&step.id);
            let by = authors.get(&path).map_or(commit, AsRef::as_ref);
            let blob = match (read.blobs.get(&step.id), old.map(|old| &old.origin)) {
                (Some((_, blob)), _) => blob.to_string(),
                (None, Some(Origin::Git(origin))) => origin.blob.clone(),
                (None, _) => String::new(),
            };
            let origin = Origin::Git(GitOrigin {
                repository: self.repo.name.to_string(),
                path,
                blob,
                commit: by.id.to_string(),
                pull_request: by.pull_request,
                author: author(by),
            });
            let record = Record::after(old, step, origin, note_of(step, by));
            writes.push(RecordWrite { read_seq: old.map(|old| old.seq), record });
        }
        Ok(writes)
    }

    /// Who last changed each file since `base`: the commit itself, unless it stands for several.
    async fn authors(
        &self,
        base: Option<CommitId>,
        commit: CommitId,
        paths: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Arc<Commit>>, SyncError> {
        self.repo
            .with(move |repository| match repository.first_parent(base, commit, Some(1)) {
                Ok(Walk::Linear(chain)) if chain.len() == 1 => Ok(BTreeMap::new()),
                _ => repository.attribute(&paths, base, commit, MAX_ATTRIBUTED, CATALOG),
            })
            .await
    }
}

/// Judges what is asked for, loading what that takes.
pub(crate) async fn judge(
    session: &mut Session,
    asked: propose::Asked<'_>,
    before: Before<'_>,
    now: Timestamp,
) -> Result<Blueprint, SyncError> {
    loop {
        match propose(asked, before, &session.nodes, now) {
            Ok(blueprint) => return Ok(blueprint),
            Err(EditError::Missing(Missing(ids))) => session.store.load_nodes(&ids, &mut session.nodes).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// How many of these models the API owns.
fn of_api<'r>(records: impl IntoIterator<Item = &'r Record>) -> u64 {
    records.into_iter().filter(|record| matches!(record.origin, Origin::Api(_))).count() as u64
}

/// Adds to the next trees when their new models first appeared. Where what is published lacks more, it is put right
/// from all records: an older version published it, it was lost, or a run died between its records and the head.
async fn note_appearances(
    session: &mut Session,
    next: &mut NextRoots,
    writes: &[RecordWrite],
) -> Result<(), SyncError> {
    let new = writes.iter().filter(|write| write.read_seq.is_none()).map(|write| &write.record);
    let appeared_at = |record: &Record| (record.spec.id.clone(), record.created_at);
    let mut appeared: BTreeMap<ModelId, Timestamp> = new.map(appeared_at).collect();
    let Session { store, nodes, .. } = session;
    if next.roots.lacks_appearances(appeared.len()) {
        let mut all = nodes.clone();
        next.fresh.iter().for_each(|(id, node)| all.insert(*id, node.clone()));
        for root in [next.roots.models, next.roots.tombstones] {
            store.load_tree(&root, &mut all).await?;
        }
        let ids = catalogue::ids(&all, &next.roots).map_err(EditError::from)?;
        let records = store.all_records().await?;
        appeared.extend(records.iter().filter(|record| ids.contains(record.spec.id.as_str())).map(appeared_at));
    }
    Ok(store.note_appearances(next, &appeared, nodes).await?)
}

/// How many models of the API a plan makes the repository's.
fn adopted(plan: &Plan) -> u64 {
    plan.operations().filter(|operation| **operation == Operation::Adopt).count() as u64
}

/// Who approved of a plan that is held: with the admin API, or with a trailer of the commit itself.
async fn approval(session: &Session, commit: &Commit, plan_hash: &str) -> Result<Option<String>, SyncError> {
    if commit.trailer(APPROVAL_TRAILER).contains(&plan_hash) {
        return Ok(Some(author(commit)));
    }
    Ok(session.store.approval(plan_hash).await?.map(|approval| approval.actor))
}

/// What the audit is told of a commit that is not applied, or only because somebody approved of it.
fn event(report: &CommitReport, commit: &Commit, options: &Options, now: Timestamp) -> Option<AuditEvent> {
    let (kind, message) = match report.state {
        State::Held => (EventKind::PlanHeld, short(&commit.subject)),
        State::Rejected => {
            let more = report.problems.len().saturating_sub(1);
            let first = report.problems.first().map(ToString::to_string).unwrap_or_default();
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            (EventKind::CommitRejected, format!("{first}{more}"))
        }
        State::Applied if report.approved_by.is_some() => (EventKind::Approved, short(&commit.subject)),
        State::Planned | State::Applied | State::Unchanged => return None,
    };
    let actor = report.approved_by.clone().unwrap_or_else(|| author(commit));
    Some(AuditEvent {
        commit: Some(report.commit.clone()),
        pull_request: report.pull_request,
        revision: Some(report.revision),
        correlation_id: options.correlation_id.clone(),
        holds: report.holds.iter().take(MAX_HOLDS).cloned().collect(),
        ..AuditEvent::new(kind, now, &actor, "git", message)
    })
}

fn author(commit: &Commit) -> String {
    short(&format!("{} <{}>", commit.author_name, commit.author_email))
}

/// The beginning of a text that Git does not bound: it is kept with every record.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(500).collect()
}

pub(crate) fn days(days: u64) -> i64 {
    i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400)
}

/// What becomes of the policy's chunk.
enum PolicyChunk {
    Unchanged,
    Default,
    New(NodeId, String),
}

impl PolicyChunk {
    /// The chunk to write.
    fn content(&self) -> Option<(NodeId, &str)> {
        match self {
            Self::New(id, text) => Some((*id, text)),
            Self::Unchanged | Self::Default => None,
        }
    }
}

fn policy_chunk(read: &ReadCommit) -> Result<PolicyChunk, EditError> {
    Ok(match &read.policy {
        None => PolicyChunk::Unchanged,
        Some(None) => PolicyChunk::Default,
        Some(Some(policy)) => {
            let text = canonical::to_string(policy)?;
            PolicyChunk::New(NodeId::of(text.as_bytes()), text)
        }
    })
}

/// Gives a lease back, so that nobody has to wait for its end.
pub(crate) async fn give_back(store: &Store, lease: &Lease) {
    if let Err(error) = store.release_lease(lease).await {
        tracing::warn!(%error, "the lease could not be released: it ends by itself");
    }
}

/// Keeps a lease alive for as long as it is held.
pub(crate) struct Heartbeat(tokio::task::JoinHandle<()>);

impl Heartbeat {
    fn start(store: Store, lease: Lease, clock: fn() -> Timestamp) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                // Losing the lease is found out by the next transaction, which checks it.
                if let Err(error) = store.renew_lease(&lease, clock(), LEASE).await {
                    tracing::warn!(%error, "the lease could not be renewed");
                }
            }
        }))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
