//! The published catalogue: trees of models, of tombstones and of the index, and lookups in them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::model::{Model, ModelId};
use crate::rollout::RolloutStatus;
use crate::tree::{self, Edited, Edits, Entries, Missing, Node, NodeId, Nodes, Root, Shape};

/// The trees of one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// Models that are in the repository's tree or the API's, by id. Its top node is the digest.
    pub models: Root,
    /// Models whose file is gone, by id.
    pub tombstones: Root,
    /// Names and references, for the rules that look across models.
    pub index: Root,
    /// When each model of the two first appeared, by id; what was published before this was kept has none of it.
    #[serde(default = "tree::empty")]
    pub appearances: Root,
    /// How far the versions are that come, by model; what was published before there were rollouts has none.
    #[serde(default = "tree::empty")]
    pub rollouts: Root,
}

impl Roots {
    /// No models at all.
    #[must_use]
    pub fn empty() -> Self {
        let root = tree::empty();
        Self { models: root, tombstones: root, index: root, appearances: root, rollouts: root }
    }

    /// The trees, for loading and for keeping.
    #[must_use]
    pub fn all(&self) -> [Root; 5] {
        [self.models, self.tombstones, self.index, self.appearances, self.rollouts]
    }

    /// Whether it is not known of some model when it first appeared, once that of `more` is. An id that was once
    /// there stays for good, so counting is enough.
    #[must_use]
    pub fn lacks_appearances(&self, more: usize) -> bool {
        self.appearances.count + (more as u64) < self.models.count + self.tombstones.count
    }

    /// The digest: a name for exactly these specs, whatever the way that led to them.
    ///
    /// It is the Merkle root over the canonical JSON of every spec, by id. Tombstones, revisions
    /// and timestamps, first appearances among them, are outside it, and so are rollouts.
    #[must_use]
    pub fn digest(&self) -> String {
        self.models.id.to_string()
    }
}

/// The digest of a set of specs, made from nothing else; equal to [`Roots::digest`] of its revision.
///
/// # Errors
/// Whatever `serde_json` says when a spec cannot be written as JSON.
pub fn digest<'m>(specs: impl Iterator<Item = &'m Model>) -> Result<String, serde_json::Error> {
    Ok(models_tree(specs)?.root.id.to_string())
}

/// The tree of a set of specs, made from nothing else: the `models` of [`Roots`].
///
/// # Errors
/// Whatever `serde_json` says when a spec cannot be written as JSON.
pub fn models_tree<'m>(specs: impl Iterator<Item = &'m Model>) -> Result<Edited, serde_json::Error> {
    let entries: Edits =
        specs.map(|model| Ok((model.id.as_str().into(), Some(entry(model)?)))).collect::<Result<_, _>>()?;
    Ok(tree::build(Shape::MODELS, &entries))
}

/// A published model: its spec without what only admins may see, which is present by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The spec without internal notes.
    pub spec: Model,
    /// The SHA-256 of the internal notes, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// What is published of a model.
///
/// # Errors
/// Whatever `serde_json` says when the spec cannot be written as JSON.
pub fn entry(model: &Model) -> Result<Arc<str>, serde_json::Error> {
    let mut spec = model.clone();
    let notes = std::mem::take(&mut spec.meta.internal_notes);
    let notes = (!notes.is_empty()).then(|| canonical::sha256_hex(notes.as_bytes()));
    canonical::to_string(&Published { spec, notes }).map(Into::into)
}

/// Who holds a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameHolder {
    /// The model.
    pub id: ModelId,
    /// Its file; absent for a model of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
}

/// What becomes of a model in a revision.
#[derive(Clone, Debug)]
pub enum Change<'m> {
    /// It is there.
    Present {
        /// What it is.
        model: &'m Model,
        /// Its file; absent for a model of the API.
        path: Option<Arc<str>>,
        /// Whether it is known to have been in that file before.
        in_place: bool,
    },
    /// Its file is gone; this is what is remembered.
    Tombstone(&'m Model),
}

/// Lookups in one revision, over the nodes that are loaded.
///
/// A lookup that meets a node that is not loaded remembers its id and answers as if there were
/// nothing: ask everything, then ask [`Catalogue::complete`] whether the answers can be used.
pub struct Catalogue<'a> {
    nodes: &'a Nodes,
    roots: &'a Roots,
    missing: RefCell<Vec<NodeId>>,
}

/// An entry of a published tree that cannot be read: the tree was written by something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("published entry \"{key}\" cannot be read: {message}")]
pub struct CorruptEntry {
    key: String,
    message: String,
}

impl<'a> Catalogue<'a> {
    /// The catalogue of a revision.
    #[must_use]
    pub fn new(nodes: &'a Nodes, roots: &'a Roots) -> Self {
        Self { nodes, roots, missing: RefCell::default() }
    }

    /// Whether every lookup so far found its nodes.
    ///
    /// # Errors
    /// [`Missing`] with the nodes to load before asking again.
    pub fn complete(self) -> Result<(), Missing> {
        let mut missing = self.missing.into_inner();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
    }

    /// Whether a lookup met a node that is not loaded: what is asked next may be in vain.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        !self.missing.borrow().is_empty()
    }

    /// The live model with this id.
    ///
    /// # Errors
    /// [`CorruptEntry`] when what is published cannot be read.
    pub fn model(&self, id: &str) -> Result<Option<Model>, CorruptEntry> {
        let found = self.noting(self.nodes.lookup(&self.roots.models, id)).flatten();
        found.map(|text| read::<Published>(id, &text).map(|published| published.spec)).transpose()
    }

    /// How far the version of a model is that comes.
    ///
    /// # Errors
    /// [`CorruptEntry`] when what is published cannot be read.
    pub fn rollout(&self, id: &str) -> Result<Option<RolloutStatus>, CorruptEntry> {
        let found = self.noting(self.nodes.lookup(&self.roots.rollouts, id)).flatten();
        found.map(|text| read(id, &text)).transpose()
    }

    /// Whether a model had this id, letter case aside, whose file is gone: the id stays its own.
    #[must_use]
    pub fn is_removed(&self, folded: &str) -> bool {
        self.noting(self.nodes.lookup(&self.roots.index, &removed_key(folded))).flatten().is_some()
    }

    /// Who holds a name, letter case aside.
    ///
    /// # Errors
    /// [`CorruptEntry`] when what is published cannot be read.
    pub fn holder(&self, folded: &str) -> Result<Option<NameHolder>, CorruptEntry> {
        let found = self.noting(self.nodes.lookup(&self.roots.index, &name_key(folded))).flatten();
        found.map(|text| read(folded, &text)).transpose()
    }

    /// The models whose replacement is this one.
    #[must_use]
    pub fn replaced_by(&self, id: &str) -> Vec<String> {
        let prefix = replacement_key(id, "");
        let found = self.noting(self.nodes.with_prefix(&self.roots.index, &prefix)).unwrap_or_default();
        found.into_iter().map(|(key, _)| key[prefix.len()..].to_owned()).collect()
    }

    fn noting<T>(&self, result: Result<T, Missing>) -> Option<T> {
        result.map_err(|Missing(ids)| self.missing.borrow_mut().extend(ids)).ok()
    }
}

fn read<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T, CorruptEntry> {
    serde_json::from_str(text).map_err(|error| CorruptEntry { key: key.to_owned(), message: error.to_string() })
}

fn name_key(folded: &str) -> String {
    format!("name\t{folded}")
}

fn removed_key(folded: &str) -> String {
    format!("removed\t{folded}")
}

fn replacement_key(replacement: &str, id: &str) -> String {
    format!("replacement\t{replacement}\t{id}")
}

/// The next revision's trees, and the nodes that they have anew.
#[derive(Debug)]
pub struct NextRoots {
    /// The trees.
    pub roots: Roots,
    /// The nodes to write before the revision is shown.
    pub fresh: Vec<(NodeId, Arc<Node>)>,
}

/// Why the next trees cannot be made (yet).
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Nodes must be loaded first.
    #[error("{} nodes are not loaded", .0.0.len())]
    Missing(Missing),
    /// What is published cannot be read.
    #[error(transparent)]
    Corrupt(#[from] CorruptEntry),
    /// A spec cannot be written.
    #[error("a spec cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<Missing> for EditError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

/// The trees with some models changed.
///
/// # Errors
/// [`EditError::Missing`] until every node on the way is loaded.
pub fn edit(nodes: &Nodes, roots: &Roots, changes: &BTreeMap<ModelId, Change<'_>>) -> Result<NextRoots, EditError> {
    let mut models = Edits::new();
    let mut tombstones = Edits::new();
    let mut index = Edits::new();
    let mut rollouts = Edits::new();
    let catalogue = Catalogue::new(nodes, roots);
    let (mut unmoved, mut returning) = (BTreeSet::new(), BTreeSet::new());
    for (id, change) in changes {
        if let Some(status) = catalogue.rollout(id.as_str())?
            && !matches!(change, Change::Present { model, .. } if status.is_of(model))
        {
            rollouts.insert(id.as_str().into(), None);
        }
        if let Some(before) = catalogue.model(id.as_str())? {
            if let Change::Present { model, in_place: true, .. } = change
                && same_index_entries(&before, model)
            {
                unmoved.insert(id);
                continue;
            }
            index.extend(index_entries(&before, None)?.into_iter().map(|(key, _)| (key, None)));
        } else if catalogue.is_removed(&id.folded()) {
            returning.insert(id);
        }
    }
    catalogue.complete()?;
    for (id, change) in changes {
        let key: Arc<str> = id.as_str().into();
        match change {
            Change::Present { model, path, .. } => {
                models.insert(key.clone(), Some(entry(model)?));
                if unmoved.contains(id) {
                    continue;
                }
                tombstones.insert(key, None);
                if returning.contains(id) {
                    index.insert(removed_key(&id.folded()).into(), None);
                }
                index.extend(index_entries(model, path.clone())?.into_iter().map(|(key, value)| (key, Some(value))));
            }
            Change::Tombstone(model) => {
                models.insert(key.clone(), None);
                index.insert(removed_key(&id.folded()).into(), Some("".into()));
                tombstones.insert(key, Some(entry(model)?));
            }
        }
    }
    let mut missing = Vec::new();
    let mut fresh = Vec::new();
    let mut apply = |root: &Root, shape: Shape, edits: &Edits| match nodes.edit(root, shape, edits) {
        Ok(edited) => {
            fresh.extend(edited.fresh);
            edited.root
        }
        Err(Missing(ids)) => {
            missing.extend(ids);
            *root
        }
    };
    let next = Roots {
        models: apply(&roots.models, Shape::MODELS, &models),
        tombstones: apply(&roots.tombstones, Shape::MODELS, &tombstones),
        index: apply(&roots.index, Shape::INDEX, &index),
        appearances: roots.appearances,
        rollouts: apply(&roots.rollouts, Shape::INDEX, &rollouts),
    };
    if missing.is_empty() {
        Ok(NextRoots { roots: next, fresh })
    } else {
        missing.sort_unstable();
        missing.dedup();
        Err(Missing(missing).into())
    }
}

impl NextRoots {
    /// The trees of a revision, to go on from.
    #[must_use]
    pub fn of(roots: Roots) -> Self {
        Self { roots, fresh: Vec::new() }
    }

    /// Says how far a model's rollout is, or that it has none.
    ///
    /// # Errors
    /// [`EditError::Missing`] until every node on the way is loaded; nothing is said then.
    pub fn set_rollout(
        &mut self,
        nodes: &Nodes,
        id: &ModelId,
        status: Option<&RolloutStatus>,
    ) -> Result<(), EditError> {
        let text = status.map(canonical::to_string).transpose()?;
        let edits = Edits::from([(id.as_str().into(), text.map(Into::into))]);
        let edited = nodes.edit(&self.roots.rollouts, Shape::INDEX, &edits)?;
        self.roots.rollouts = edited.root;
        self.fresh.extend(edited.fresh);
        Ok(())
    }

    /// Adds when these models first appeared.
    ///
    /// # Errors
    /// [`Missing`] until every node on the way is loaded; nothing is added then.
    pub fn note_appearances(&mut self, nodes: &Nodes, appeared: &BTreeMap<ModelId, Timestamp>) -> Result<(), Missing> {
        let edits = appeared.iter().map(|(id, at)| (id.as_str().into(), Some(at.to_string().into()))).collect();
        let edited = nodes.edit(&self.roots.appearances, Shape::INDEX, &edits)?;
        self.roots.appearances = edited.root;
        self.fresh.extend(edited.fresh);
        Ok(())
    }
}

/// Every id that the trees of models and tombstones have.
///
/// # Errors
/// [`Missing`] with the nodes that are known to be needed and are not loaded.
pub fn ids(nodes: &Nodes, roots: &Roots) -> Result<BTreeSet<Arc<str>>, Missing> {
    let all = [&roots.models, &roots.tombstones].map(|root| nodes.with_prefix(root, ""));
    let mut ids = BTreeSet::new();
    for entries in all {
        ids.extend(entries?.into_iter().map(|(id, _)| id));
    }
    Ok(ids)
}

/// Whether the index says the same of two states of a model in one file.
fn same_index_entries(one: &Model, other: &Model) -> bool {
    one.aliases == other.aliases && one.meta.legacy_replacement_model_id == other.meta.legacy_replacement_model_id
}

/// What the index says of a model: its names, and what it refers to.
fn index_entries(model: &Model, path: Option<Arc<str>>) -> Result<Entries, serde_json::Error> {
    let holder: Arc<str> = canonical::to_string(&NameHolder { id: model.id.clone(), path })?.into();
    let names = std::iter::once(&model.id).chain(&model.aliases);
    let mut entries: Entries = names.map(|name| (name_key(&name.folded()).into(), holder.clone())).collect();
    if let Some(replacement) = &model.meta.legacy_replacement_model_id {
        entries.push((replacement_key(replacement.as_str(), model.id.as_str()).into(), "".into()));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use crate::rollout::Attempt;

    #[test]
    fn the_digest_made_step_by_step_is_the_digest_made_at_once() {
        let mut roots = Roots::empty();
        let mut nodes = Nodes::default();
        let models: Vec<Model> = (0..300).map(|n| model(&format!("m{n}"))).collect();
        for model in &models {
            let change = Change::Present { model, path: Some("f".into()), in_place: false };
            let next = edit(&nodes, &roots, &BTreeMap::from([(model.id.clone(), change)])).unwrap();
            next.fresh.into_iter().for_each(|(id, node)| nodes.insert(id, node));
            roots = next.roots;
        }
        assert_eq!(roots.digest(), digest(models.iter()).unwrap());
        let gone = BTreeMap::from([(models[7].id.clone(), Change::Tombstone(&models[7]))]);
        let next = edit(&nodes, &roots, &gone).unwrap();
        let rest = models.iter().filter(|model| model.id != models[7].id);
        assert_eq!(next.roots.digest(), digest(rest).unwrap());
        assert_eq!(next.roots.tombstones.count, 1);
        assert_eq!(next.roots.index.count, 300, "the id stays reserved");
    }

    #[test]
    fn appearances_are_kept_apart_from_the_digest_and_from_edits() {
        let model = model("m");
        let change = Change::Present { model: &model, path: None, in_place: false };
        let present = BTreeMap::from([(model.id.clone(), change)]);
        let mut next = edit(&Nodes::default(), &Roots::empty(), &present).unwrap();
        assert!(next.roots.lacks_appearances(0) && !next.roots.lacks_appearances(1));
        let digest = next.roots.digest();
        let appeared = BTreeMap::from([(model.id.clone(), Timestamp::UNIX_EPOCH)]);
        next.note_appearances(&Nodes::default(), &appeared).unwrap();
        assert_eq!((next.roots.digest(), next.roots.lacks_appearances(0)), (digest, false));
        let mut nodes = Nodes::default();
        next.fresh.into_iter().for_each(|(id, node)| nodes.insert(id, node));
        assert_eq!(ids(&nodes, &next.roots).unwrap(), BTreeSet::from(["m".into()]));
        let gone = BTreeMap::from([(model.id.clone(), Change::Tombstone(&model))]);
        let gone = edit(&nodes, &next.roots, &gone).unwrap().roots;
        assert_eq!((gone.appearances, gone.lacks_appearances(0)), (next.roots.appearances, false));
        let mut old = serde_json::to_value(next.roots).unwrap();
        old.as_object_mut().unwrap().remove("appearances");
        let old: Roots = serde_json::from_value(old).unwrap();
        assert!(old.lacks_appearances(0), "what an older version published can be read");
    }

    #[test]
    fn a_rollout_ends_where_its_model_asks_for_another() {
        let mut one = model("m");
        one.versions =
            serde_json::from_str(r#"[{"version":"1.0.0","status":"active"},{"version":"2.0.0","status":"canary"}]"#)
                .unwrap();
        fn of(model: &Model) -> BTreeMap<ModelId, Change<'_>> {
            BTreeMap::from([(model.id.clone(), Change::Present { model, path: None, in_place: true })])
        }
        let mut next = edit(&Nodes::default(), &Roots::empty(), &of(&one)).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let attempt = Attempt::of(&one, &crate::Policy::default()).unwrap();
        let report = crate::evaluate::evaluate(&crate::measure::Measured::default(), &attempt.limits);
        let seen = crate::rollout::Seen { step: &report, window: &report, refusal: None };
        let status = attempt.next(None, seen, now).unwrap();
        let digest = next.roots.digest();
        next.set_rollout(&Nodes::default(), &one.id, Some(&status)).unwrap();
        assert_eq!((next.roots.digest(), next.roots.rollouts.count), (digest, 1));
        let mut nodes = Nodes::default();
        next.fresh.into_iter().for_each(|(id, node)| nodes.insert(id, node));
        assert_eq!(Catalogue::new(&nodes, &next.roots).rollout("m").unwrap(), Some(status));
        let mut without = NextRoots::of(next.roots);
        without.set_rollout(&nodes, &one.id, None).unwrap();
        assert_eq!(without.roots.rollouts, tree::empty());

        let kept = |model: &Model| edit(&nodes, &next.roots, &of(model)).unwrap().roots.rollouts.count;
        let mut dearer = one.clone();
        dearer.meta.input_cost_per_million_tokens = None;
        assert_eq!(kept(&dearer), 1, "a price is no matter of the rollout");
        let mut other = one.clone();
        other.versions[1].version = "2.0.1".parse().unwrap();
        assert_eq!(kept(&other), 0);
        let gone = edit(&nodes, &next.roots, &BTreeMap::from([(one.id.clone(), Change::Tombstone(&one))])).unwrap();
        assert_eq!(gone.roots.rollouts, tree::empty());
        let mut old = serde_json::to_value(next.roots).unwrap();
        old.as_object_mut().unwrap().remove("rollouts");
        assert_eq!(serde_json::from_value::<Roots>(old).unwrap().rollouts, tree::empty());
    }

    #[test]
    fn internal_notes_are_in_the_digest_and_not_in_the_entry() {
        let plain = model("m");
        let mut noted = plain.clone();
        noted.meta.internal_notes = "margin is thin".to_owned();
        assert!(!entry(&noted).unwrap().contains("thin"));
        assert_ne!(digest([&plain].into_iter()).unwrap(), digest([&noted].into_iter()).unwrap());
    }
}
