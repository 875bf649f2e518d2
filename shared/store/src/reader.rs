//! Reading what is published: the whole catalogue in memory, and one small read to see whether it moved.
//!
//! The cost of a request does not depend on the catalogue's size: at most one `GetItem` of the head, none
//! within the allowed staleness. A head that moved loads only the nodes that are new.
//!
//! A reader may carry a bundled catalogue for when there is no published one to serve:
//!
//! - *The table is out of reach.* The last revision that was loaded is served; where none was, the bundle.
//! - *Nothing was ever published.* The bundle is served too: who begins with a hard-coded catalogue has clients
//!   that need it until the first sync, and an empty listing would be the one wrong answer. Without a bundle, or
//!   with an empty one, the empty catalogue is served and `/health` says that nothing is published.
//!
//! Whether a caller is left on the bundle while there is a published catalogue is not decided here. What was
//! published before the newest revision is in `past.rs`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use roster_core::catalogue::{Published, Roots};
use roster_core::finder::{Finder, Views};
use roster_core::lifecycle::{self, Stage};
use roster_core::rollout::RolloutStatus;
use roster_core::tree::{Missing, Node, NodeId, Nodes, Root};
use roster_core::view::View;
use roster_core::{Model, ModelId, Policy};
use tokio::sync::Mutex;

use crate::appearances::{Appearances, Appeared};
use crate::bundled::Bundled;
use crate::client::{Store, StoreError, call};
use crate::past::Past;
use crate::published::Manifest;
use crate::rollouts::{self, LoadedRollouts, Rollouts};

/// Snapshots kept for pages that are pinned to an older revision.
const RECENT: usize = 4;

/// How far the clocks of two writers may be apart, in seconds.
const CLOCKS_APART: i64 = 60;

/// How long the head may take: a caller waits for the last snapshot rather than for DynamoDB.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves snapshots; one a process.
#[derive(Debug)]
pub struct Reader {
    pub(crate) store: Store,
    max_staleness: Duration,
    is_consistent: bool,
    latest: RwLock<Option<Checked>>,
    /// Snapshots that were the newest a while ago, for those who need not wait for the loader.
    recent: RwLock<Vec<Arc<Snapshot>>>,
    /// Whoever loads, loads alone; the others wait for what it brings.
    pub(crate) loader: Mutex<Loader>,
    /// Older revisions are loaded beside it, so that nobody who wants the newest one waits for them.
    pub(crate) past: Mutex<Past>,
    bundled: Option<Bundled>,
    appeared: Mutex<Appeared>,
}

#[derive(Clone, Debug)]
struct Checked {
    at: Timestamp,
    served: Served,
}

/// A snapshot, and where it comes from.
#[derive(Clone, Debug)]
pub struct Served {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Where it comes from.
    pub source: Source,
}

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The newest revision.
    Live,
    /// The last revision that was loaded, for the table is out of reach.
    Stale,
    /// The bundled catalogue, for the table is left aside: nothing is published yet, or policy keeps the caller here.
    Bundled,
    /// The bundled catalogue, for the table is out of reach and nothing was loaded before.
    Fallback,
}

/// One revision of the catalogue, rendered.
#[derive(Debug)]
pub struct Snapshot {
    /// The revision; 0 when nothing was ever published, and of the bundled catalogue.
    pub revision: u64,
    /// The commit it is at.
    pub commit: Option<String>,
    /// The bundled catalogue's digest; absent for a published one.
    pub bundle: Option<Arc<str>>,
    /// The policy it was published with, or the bundled catalogue is read with.
    pub policy: Arc<Policy>,
    /// When it was published; says nothing of the bundled catalogue.
    pub published_at: Timestamp,
    pub(crate) roots: Roots,
    pub(crate) policy_id: Option<NodeId>,
    rollouts: Arc<Rollouts>,
    models: Vec<Arc<Leaf>>,
    tombstones: Vec<Arc<Leaf>>,
    aliases: HashMap<ModelId, ModelId>,
    visible: usize,
    epoch: Timestamp,
    next_change: Option<Timestamp>,
    /// Where the view at each position is, and what listings ask of them; made when it is first asked.
    places: OnceLock<Box<[Place]>>,
    finder: OnceLock<Finder>,
}

/// Where a view is: its leaf, those of removed models after the others, and its place in there.
#[derive(Clone, Copy, Debug)]
struct Place {
    leaf: u32,
    at: u32,
}

#[derive(Debug)]
pub(crate) struct Leaf {
    views: Box<[View]>,
    /// What the views were made of, entry by entry.
    node: Arc<Node>,
    /// The last and the next instant at which time alone changes a model of it.
    last_change: Timestamp,
    next_change: Option<Timestamp>,
    policy_id: Option<NodeId>,
    /// The rollouts of its models, which are no part of its node.
    rollouts: Box<[(Arc<str>, Arc<RolloutStatus>)]>,
}

#[derive(Debug, Default)]
pub(crate) struct Loader {
    nodes: Nodes,
    leaves: HashMap<NodeId, Arc<Leaf>>,
    pub(crate) recent: VecDeque<Arc<Snapshot>>,
    rollouts: LoadedRollouts,
    /// How many snapshots are kept, and how many models they may have together; one is kept always.
    max_snapshots: usize,
    max_models: usize,
}

impl Reader {
    /// A reader that asks for the head again once its answer is older than `max_staleness`.
    #[must_use]
    pub fn new(store: Store, max_staleness: Duration) -> Self {
        Self {
            store,
            max_staleness,
            is_consistent: false,
            latest: RwLock::default(),
            recent: RwLock::default(),
            loader: Mutex::new(Loader::keeping(RECENT, usize::MAX)),
            past: Mutex::default(),
            bundled: None,
            appeared: Mutex::default(),
        }
    }

    /// The reader with strongly consistent looks at the head, at twice the cost: what was written before is seen.
    #[must_use]
    pub fn strongly_consistent(self) -> Self {
        Self { is_consistent: true, ..self }
    }

    /// The reader with a catalogue for when there is no published one.
    #[must_use]
    pub fn with_bundle(self, bundled: Bundled) -> Self {
        Self { bundled: Some(bundled), ..self }
    }

    /// The bundled catalogue with the policy of a snapshot, for callers who are left on it; `None` without one.
    #[must_use]
    pub fn bundled(&self, policy_of: &Snapshot, now: Timestamp) -> Option<Arc<Snapshot>> {
        self.bundled.as_ref()?.render(Some(policy_of), now)
    }

    /// The newest snapshot; when the table is out of reach the last one that was loaded, else the bundled one.
    ///
    /// # Errors
    /// [`StoreError`] when the table is out of reach, nothing was loaded before, and nothing is bundled.
    pub async fn current(&self, now: Timestamp) -> Result<Served, StoreError> {
        let served = self.looked(now).await?;
        // What is logged of a request says what it was answered from.
        let (snapshot, span) = (&served.snapshot, tracing::Span::current());
        span.record("revision", snapshot.revision);
        span.record("commit", snapshot.commit.as_deref());
        Ok(served)
    }

    async fn looked(&self, now: Timestamp) -> Result<Served, StoreError> {
        if let Some(served) = self.fresh(now) {
            return Ok(served);
        }
        let mut loader = self.loader.lock().await;
        if let Some(served) = self.fresh(now) {
            return Ok(served);
        }
        // A bundle that is served for want of a revision is no last revision.
        let last = self.newest_in_memory();
        let own_bundle = || self.bundled.as_ref().and_then(|bundled| bundled.render(None, now));
        let served = match self.newest(&mut loader, last.clone(), now).await {
            Ok(Some(snapshot)) => Served { snapshot, source: Source::Live },
            Ok(None) => match own_bundle() {
                Some(snapshot) => Served { snapshot, source: Source::Bundled },
                None => Served { snapshot: Arc::new(Snapshot::empty(now)), source: Source::Live },
            },
            Err(error) => {
                let served = match last {
                    Some(last) => {
                        Served { snapshot: loader.at_time(&self.store, last, now).await?, source: Source::Stale }
                    }
                    None => match own_bundle() {
                        Some(snapshot) => Served { snapshot, source: Source::Fallback },
                        None => return Err(error),
                    },
                };
                tracing::warn!(%error, revision = served.snapshot.revision, "the published table is out of reach");
                served
            }
        };
        if let Ok(mut latest) = self.latest.write() {
            *latest = Some(Checked { at: now, served: served.clone() });
        }
        if let Ok(mut recent) = self.recent.write() {
            recent.clear();
            recent.extend(loader.recent.iter().cloned());
        }
        Ok(served)
    }

    /// A snapshot that is in memory since it was the newest, as it is or was at a time.
    pub(crate) fn in_memory(&self, revision: u64, at: Timestamp) -> Option<Arc<Snapshot>> {
        let latest = self.newest_in_memory().filter(|snapshot| snapshot.shows(revision, at));
        latest.or_else(|| self.recent.read().ok()?.iter().find(|snapshot| snapshot.shows(revision, at)).cloned())
    }

    /// The newest snapshot that was loaded; no bundled one.
    pub(crate) fn newest_in_memory(&self) -> Option<Arc<Snapshot>> {
        self.latest().map(|checked| checked.served.snapshot).filter(|snapshot| snapshot.bundle.is_none())
    }

    /// When the models of a snapshot first appeared. It is loaded when it is first asked for, for most readers never
    /// ask; what changed since, is loaded later.
    ///
    /// # Errors
    /// [`StoreError`] when the table is out of reach and nothing was loaded before.
    pub async fn appearances(&self, snapshot: &Snapshot) -> Result<Arc<Appearances>, StoreError> {
        self.appeared.lock().await.of(&self.store, &snapshot.roots.appearances).await
    }

    fn latest(&self) -> Option<Checked> {
        self.latest.read().ok().and_then(|latest| latest.clone())
    }

    /// What was last served, if it was asked for recently enough and time has not changed it.
    fn fresh(&self, now: Timestamp) -> Option<Served> {
        let max_staleness = i64::try_from(self.max_staleness.as_millis()).unwrap_or(i64::MAX);
        let Checked { at, served } = self.latest()?;
        let age = now.as_millisecond() - at.as_millisecond();
        // A clock that was put back says nothing of how old an answer is.
        ((0..max_staleness).contains(&age) && served.snapshot.is_current_at(now)).then_some(served)
    }

    /// The newest revision, or the last one where nothing is published any more.
    async fn newest(
        &self,
        loader: &mut Loader,
        last: Option<Arc<Snapshot>>,
        now: Timestamp,
    ) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let head = tokio::time::timeout(PATIENCE, self.store.head(self.is_consistent));
        let Some(head) = head.await.map_err(|elapsed| call("GetItem")(elapsed))?? else {
            return Ok(last);
        };
        match last {
            // An eventually consistent read may lag behind what another one has shown: never go back. Only a table that
            // was lost and begun anew has a lower revision of a later time.
            Some(last) if last.revision >= head.revision && !is_begun_anew(&last, &head) => {
                loader.at_time(&self.store, last, now).await
            }
            _ => loader.load(&self.store, &head, now).await,
        }
        .map(Some)
    }
}

impl Loader {
    /// A loader that keeps as many snapshots as this, unless they have more models than that.
    pub(crate) fn keeping(max_snapshots: usize, max_models: usize) -> Self {
        Self { max_snapshots, max_models, ..Self::default() }
    }

    /// A loader that has all of its nodes.
    pub(crate) fn with_nodes(loaded: Vec<(NodeId, Arc<Node>)>) -> Self {
        let mut loader = Self::default();
        loaded.into_iter().for_each(|(id, node)| loader.nodes.insert(id, node));
        loader
    }

    /// Takes over what another loader has, to load only what neither has.
    pub(crate) fn adopt(&mut self, other: &Self) {
        self.nodes.adopt(&other.nodes);
        for (id, leaf) in &other.leaves {
            self.leaves.entry(*id).or_insert_with(|| leaf.clone());
        }
    }

    pub(crate) async fn load(
        &mut self,
        store: &Store,
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let known = self.recent.iter().find(|snapshot| snapshot.policy_id == manifest.policy);
        let policy = match known {
            Some(snapshot) => snapshot.policy.clone(),
            None => Arc::new(store.policy(manifest.policy).await?),
        };
        for root in [manifest.roots.models, manifest.roots.tombstones] {
            store.load_tree(&root, &mut self.nodes).await?;
        }
        let rollouts = self.rollouts.of(store, &manifest.roots.rollouts, &mut self.nodes).await?;
        let snapshot = self.snapshot(
            &Snapshot {
                rollouts,
                revision: manifest.revision,
                commit: manifest.commit.clone(),
                policy,
                published_at: manifest.published_at,
                roots: manifest.roots,
                policy_id: manifest.policy,
                ..Snapshot::empty(now)
            },
            now,
        )?;
        self.remember(snapshot.clone());
        Ok(snapshot)
    }

    /// A snapshot as it is at `now`: the same one unless time has changed a model.
    async fn at_time(
        &mut self,
        store: &Store,
        snapshot: Arc<Snapshot>,
        now: Timestamp,
    ) -> Result<Arc<Snapshot>, StoreError> {
        if snapshot.is_current_at(now) {
            return Ok(snapshot);
        }
        for root in [snapshot.roots.models, snapshot.roots.tombstones] {
            store.load_tree(&root, &mut self.nodes).await?;
        }
        let again = self.snapshot(&snapshot, now)?;
        self.recent.retain(|other| other.revision != again.revision);
        self.remember(again.clone());
        Ok(again)
    }

    fn remember(&mut self, snapshot: Arc<Snapshot>) {
        self.recent.retain(|other| other.revision != snapshot.revision);
        self.recent.push_front(snapshot);
        let models = |recent: &VecDeque<Arc<Snapshot>>| recent.iter().map(|snapshot| snapshot.count()).sum::<usize>();
        while self.recent.len() > 1
            && (self.recent.len() > self.max_snapshots || models(&self.recent) > self.max_models)
        {
            self.recent.pop_back();
        }
        let kept = |snapshot: &Arc<Snapshot>| {
            let roots = &snapshot.roots;
            [roots.models, roots.tombstones, roots.rollouts]
        };
        let roots: Vec<Root> = self.recent.iter().flat_map(kept).collect();
        self.nodes.retain_reachable(&roots);
        self.leaves.retain(|id, _| self.nodes.contains(id));
    }

    /// Renders the trees of a snapshot; leaves that are rendered already are shared.
    pub(crate) fn snapshot(&mut self, of: &Snapshot, now: Timestamp) -> Result<Arc<Snapshot>, StoreError> {
        let models = self.leaves_of(&of.roots.models, of, now)?;
        let tombstones = self.leaves_of(&of.roots.tombstones, of, now)?;
        let views = || models.iter().flat_map(|leaf| leaf.views.iter());
        let aliases =
            views().flat_map(|view| view.aliases.iter().map(|alias| (alias.clone(), view.id.clone()))).collect();
        let all = || models.iter().chain(&tombstones);
        Ok(Arc::new(Snapshot {
            revision: of.revision,
            commit: of.commit.clone(),
            bundle: of.bundle.clone(),
            policy: of.policy.clone(),
            published_at: of.published_at,
            roots: of.roots,
            policy_id: of.policy_id,
            rollouts: of.rollouts.clone(),
            aliases,
            visible: views().filter(|view| view.stage != Stage::Archived).count(),
            epoch: all().map(|leaf| leaf.last_change).max().unwrap_or(Timestamp::UNIX_EPOCH),
            next_change: all().filter_map(|leaf| leaf.next_change).min(),
            models,
            tombstones,
            places: OnceLock::new(),
            finder: OnceLock::new(),
        }))
    }

    fn leaves_of(&mut self, root: &Root, of: &Snapshot, now: Timestamp) -> Result<Vec<Arc<Leaf>>, StoreError> {
        let mut ids = Vec::new();
        leaf_ids(&self.nodes, root.id, &mut ids).map_err(|Missing(ids)| not_loaded(&ids))?;
        ids.into_iter().map(|id| self.leaf(id, of, now)).collect()
    }

    fn leaf(&mut self, id: NodeId, of: &Snapshot, now: Timestamp) -> Result<Arc<Leaf>, StoreError> {
        let node = self.nodes.get(id).map_err(|Missing(ids)| not_loaded(&ids))?.clone();
        let rollouts = match node.as_ref() {
            Node::Leaf(entries) if !of.rollouts.is_empty() => within(&of.rollouts, entries),
            _ => Box::default(),
        };
        if let Some(leaf) = self.leaves.get(&id)
            && leaf.policy_id == of.policy_id
            && leaf.rollouts == rollouts
            && leaf.last_change <= now
            && leaf.next_change.is_none_or(|at| now < at)
        {
            return Ok(leaf.clone());
        }
        let corrupt = |message: String| StoreError::Corrupt { key: format!("chunk#{id}"), message };
        let mut views = Vec::new();
        let mut next_change: Option<Timestamp> = None;
        let mut last_change = Timestamp::UNIX_EPOCH;
        if let Node::Leaf(entries) = node.as_ref() {
            for (model, text) in entries {
                let published: Published = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
                let spec = &published.spec;
                let rollout = of.rollouts.get(model).map(AsRef::as_ref);
                let view = View::render(spec, text, rollout, &of.policy, now);
                let view = view.map_err(|error| corrupt(error.to_string()))?;
                next_change = next_change.into_iter().chain(view.next_change).min();
                let passed = view.retirements().filter(|&at| at <= now);
                last_change = passed.chain(lifecycle::last_change(spec, now)).fold(last_change, Timestamp::max);
                views.push(view);
            }
        }
        let policy_id = of.policy_id;
        let leaf = Arc::new(Leaf { views: views.into(), node, last_change, next_change, policy_id, rollouts });
        self.leaves.insert(id, leaf.clone());
        Ok(leaf)
    }
}

/// Whether a head with a lower revision is so much later that no clock's fault explains it.
fn is_begun_anew(last: &Snapshot, head: &Manifest) -> bool {
    head.revision < last.revision && head.published_at.as_second() > last.published_at.as_second() + CLOCKS_APART
}

/// The rollouts of a leaf's models.
fn within(rollouts: &Rollouts, entries: &[(Arc<str>, Arc<str>)]) -> Box<[(Arc<str>, Arc<RolloutStatus>)]> {
    let ends = entries.first().zip(entries.last());
    let found = ends.map(|((first, _), (last, _))| rollouts::within(rollouts, first, last));
    found.into_iter().flatten().map(|(id, status)| (id.clone(), status.clone())).collect()
}

fn leaf_ids(nodes: &Nodes, id: NodeId, found: &mut Vec<NodeId>) -> Result<(), Missing> {
    match nodes.get(id)?.as_ref() {
        Node::Inner(children) => children.iter().try_for_each(|child| leaf_ids(nodes, child.id, found))?,
        Node::Leaf(entries) if !entries.is_empty() => found.push(id),
        Node::Leaf(_) => {}
    }
    Ok(())
}

/// A tree that is rendered is loaded before; anything else must not pass for an empty catalogue.
fn not_loaded(ids: &[NodeId]) -> StoreError {
    StoreError::Corrupt { key: format!("chunk#{ids:?}"), message: "it is not loaded".to_owned() }
}

impl Snapshot {
    pub(crate) fn empty(now: Timestamp) -> Self {
        Self {
            revision: 0,
            commit: None,
            bundle: None,
            policy: Arc::new(Policy::default()),
            published_at: now,
            roots: Roots::empty(),
            policy_id: None,
            rollouts: Arc::default(),
            models: Vec::new(),
            tombstones: Vec::new(),
            aliases: HashMap::new(),
            visible: 0,
            epoch: Timestamp::UNIX_EPOCH,
            next_change: None,
            places: OnceLock::new(),
            finder: OnceLock::new(),
        }
    }

    /// What it was made of, time aside; the same on every instance, and never the same for two things.
    #[must_use]
    pub fn version(&self) -> String {
        match (&self.bundle, self.policy_id) {
            (None, _) => self.revision.to_string(),
            // A bundle keeps no policy of its own revision: it is read with the newest.
            (Some(digest), None) => format!("bundle {digest}"),
            (Some(digest), Some(policy)) => format!("bundle {digest} {policy}"),
        }
    }

    /// Since when time alone has not changed it; the same on every instance.
    #[must_use]
    pub fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// What it is a rendering of.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            revision: self.revision,
            commit: self.commit.clone(),
            roots: self.roots,
            // Nothing that is shown depends on it.
            api_models: 0,
            policy: self.policy_id,
            published_at: self.published_at,
        }
    }

    /// What listings ask of it.
    pub fn finder(&self) -> &Finder {
        self.finder.get_or_init(|| Finder::of(self))
    }

    /// The position of the model with this id, removed ones included.
    #[must_use]
    pub fn position(&self, id: &str) -> Option<u32> {
        let places = self.places();
        let at = places.binary_search_by(|place| self.at(*place).id.as_str().cmp(id)).ok()?;
        u32::try_from(at).ok()
    }

    /// Ids of models that may be shown otherwise than in another snapshot: those in leaves that the two do not share.
    #[must_use]
    pub fn ids_unlike<'s>(&'s self, other: &'s Self) -> BTreeSet<&'s ModelId> {
        let leaves = |snapshot: &'s Self| snapshot.models.iter().chain(&snapshot.tombstones);
        let [ours, theirs]: [HashSet<*const Leaf>; 2] = [self, other].map(|of| leaves(of).map(Arc::as_ptr).collect());
        let shared = |leaf: &&Arc<Leaf>| !(ours.contains(&Arc::as_ptr(leaf)) && theirs.contains(&Arc::as_ptr(leaf)));
        let unshared = leaves(self).chain(leaves(other)).filter(shared);
        unshared.flat_map(|leaf| leaf.views.iter()).map(|view| &view.id).collect()
    }

    /// Where all views are, by id.
    fn places(&self) -> &[Place] {
        self.places.get_or_init(|| {
            let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let leaves = self.models.iter().chain(&self.tombstones).enumerate();
            let mut places: Vec<Place> = leaves
                .flat_map(|(leaf, of)| (0..of.views.len()).map(move |at| Place { leaf: number(leaf), at: number(at) }))
                .collect();
            // Two runs that are sorted already: those of live and those of removed models.
            places.sort_by(|one, other| self.at(*one).id.cmp(&self.at(*other).id));
            places.into()
        })
    }

    fn at(&self, place: Place) -> &View {
        let leaf = place.leaf as usize;
        let of = self.models.get(leaf).unwrap_or_else(|| &self.tombstones[leaf - self.models.len()]);
        &of.views[place.at as usize]
    }

    /// Live models by id, archived ones included.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        self.models.iter().flat_map(|leaf| leaf.views.iter())
    }

    /// A live model by its id, else by an alias.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&View> {
        find(&self.models, name).or_else(|| find(&self.models, self.aliases.get(name)?.as_str()))
    }

    /// A model whose file is gone.
    #[must_use]
    pub fn tombstone(&self, id: &str) -> Option<&View> {
        find(&self.tombstones, id)
    }

    /// All that is published of a live model, read anew each time: for what is asked of few models, or seldom.
    #[must_use]
    pub fn spec(&self, view: &View) -> Option<Model> {
        let at = self.models.partition_point(|leaf| leaf.views.last().is_some_and(|last| last.id < view.id));
        let Node::Leaf(entries) = self.models.get(at)?.node.as_ref() else { return None };
        let found = entries.binary_search_by(|(id, _)| id.as_ref().cmp(view.id.as_str())).ok()?;
        serde_json::from_str(&entries[found].1).ok().map(|published: Published| published.spec)
    }

    /// How far the version of a model is that comes; none where it did not begin.
    #[must_use]
    pub fn rollout(&self, id: &ModelId) -> Option<&RolloutStatus> {
        self.rollouts.get(id.as_str()).map(AsRef::as_ref)
    }

    /// Models whose file is gone, by id.
    pub fn tombstones(&self) -> impl Iterator<Item = &View> {
        self.tombstones.iter().flat_map(|leaf| leaf.views.iter())
    }

    /// How many live models are not archived.
    #[must_use]
    pub fn visible_count(&self) -> usize {
        self.visible
    }

    /// Whether time alone has not changed it since it was rendered.
    pub(crate) fn is_current_at(&self, now: Timestamp) -> bool {
        self.next_change.is_none_or(|at| now < at)
    }

    /// Whether it shows a revision as that is or was at a time.
    pub(crate) fn shows(&self, revision: u64, at: Timestamp) -> bool {
        self.revision == revision && self.epoch <= at && self.is_current_at(at)
    }
}

impl Views for Snapshot {
    fn count(&self) -> usize {
        self.models.iter().chain(&self.tombstones).map(|leaf| leaf.views.len()).sum()
    }

    fn view(&self, position: u32) -> &View {
        self.at(self.places()[position as usize])
    }

    fn is_removed(&self, position: u32) -> bool {
        self.places()[position as usize].leaf as usize >= self.models.len()
    }
}

fn find<'l>(leaves: &'l [Arc<Leaf>], id: &str) -> Option<&'l View> {
    let at = leaves.partition_point(|leaf| leaf.views.last().is_some_and(|view| view.id.as_str() < id));
    let views = &leaves.get(at)?.views;
    views.binary_search_by(|view| view.id.as_str().cmp(id)).ok().map(|at| &views[at])
}
