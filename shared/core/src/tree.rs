//! A sorted map kept as content-addressed nodes: Git's own idea, for a catalogue.
//!
//! A tree is a function of its entries alone: however it came about, equal entries make equal
//! nodes and an equal root. Where a node ends is decided by its own keys, so a changed entry
//! rewrites its leaf and the path to the root, at any size. (The structure is known as a
//! prolly tree or Merkle search tree; <https://docs.dolthub.com/architecture/storage-engine/prolly-tree>.)
//!
//! Nodes live elsewhere. Operations work on the nodes that are loaded and answer [`Missing`]
//! with the ids of those that are not: the caller loads them and asks again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::canonical;

/// A node's address: the SHA-256 of its encoded content, cut to 160 bits.
///
/// As long as Git's own ids: references are most of what a commit rewrites, and do not compress.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId([u8; 20]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canonical::hex(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl NodeId {
    /// The address of encoded content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut id = [0; 20];
        id.copy_from_slice(&Sha256::digest(content)[..20]);
        Self(id)
    }

    fn to_base64(self) -> String {
        STANDARD_NO_PAD.encode(self.0)
    }

    fn from_base64(text: &str) -> Option<Self> {
        STANDARD_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_base64(&text).ok_or_else(|| serde::de::Error::custom("not a node id"))
    }
}

/// A tree: where its top node is, how high it stands, how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The top node.
    pub id: NodeId,
    /// The top node's level; a leaf's is 0.
    pub level: u8,
    /// Entries in the whole tree.
    pub count: u64,
}

/// A reference from an inner node to a node one level below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The first key below.
    pub first: Arc<str>,
    /// Where the node is.
    pub id: NodeId,
    /// Entries below.
    pub count: u64,
}

/// A node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Keys and values, by ascending key.
    Leaf(Entries),
    /// References to nodes one level below, by ascending first key.
    Inner(Vec<Child>),
}

/// Bytes that are not a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tree node: {0}")]
pub struct InvalidNode(String);

#[derive(Serialize, Deserialize)]
enum Encoded {
    #[serde(rename = "leaf")]
    Leaf(Entries),
    #[serde(rename = "inner")]
    Inner(Vec<(Arc<str>, NodeId, u64)>),
}

impl Node {
    /// The node as bytes: JSON, so that what is stored can be read by eye.
    ///
    /// # Errors
    /// Whatever `serde_json` says when it cannot write.
    pub fn encode(&self) -> Result<Vec<u8>, InvalidNode> {
        let encoded = match self {
            Self::Leaf(entries) => Encoded::Leaf(entries.clone()),
            Self::Inner(children) => {
                Encoded::Inner(children.iter().map(|child| (child.first.clone(), child.id, child.count)).collect())
            }
        };
        serde_json::to_vec(&encoded).map_err(|error| InvalidNode(error.to_string()))
    }

    /// Reads what [`Node::encode`] wrote.
    ///
    /// # Errors
    /// [`InvalidNode`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidNode> {
        let encoded = serde_json::from_slice(bytes).map_err(|error| InvalidNode(error.to_string()))?;
        Ok(match encoded {
            Encoded::Leaf(entries) => Self::Leaf(entries),
            Encoded::Inner(children) => {
                Self::Inner(children.into_iter().map(|(first, id, count)| Child { first, id, count }).collect())
            }
        })
    }
}

/// How large the nodes of one kind of tree are, in entries.
///
/// A node never ends before `min` entries; from there its end grows ever more likely, decided
/// by the key, and it never goes beyond `max`.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The fewest entries of a leaf that is not the last.
    pub min: u64,
    /// The most entries of a leaf.
    pub max: u64,
}

impl Shape {
    /// Leaves of models: about 2 KB compressed, one or two write units each.
    pub const MODELS: Self = Self { min: 6, max: 16 };
    /// Leaves of the index, whose entries are short.
    pub const INDEX: Self = Self { min: 24, max: 64 };
    const INNER: Self = Self { min: 40, max: 112 };

    fn at(self, level: u8) -> Self {
        if level == 0 { self } else { Self::INNER }
    }

    /// Whether a node of `size` entries ends with `key`.
    fn ends(self, level: u8, key: &str, size: u64) -> bool {
        let Self { min, max } = self.at(level);
        if size < min {
            return false;
        }
        if size >= max {
            return true;
        }
        let digest = Sha256::new().chain_update([level]).chain_update(key.as_bytes()).finalize();
        let draw = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        draw * (max - min + 1) < (size - min + 1) << 32
    }
}

/// Nodes that an operation needs and that are not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Vec<NodeId>);

/// What an edit came to.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The tree after the edit.
    pub root: Root,
    /// The nodes that the tree has now and did not have before.
    pub fresh: Vec<(NodeId, Arc<Node>)>,
}

/// The nodes that are loaded. The node of an empty tree is always there and is never written.
#[derive(Clone, Debug)]
pub struct Nodes(HashMap<NodeId, Arc<Node>>);

impl Default for Nodes {
    fn default() -> Self {
        Self(HashMap::from([empty_node()]))
    }
}

/// Keys and values, by ascending key.
pub type Entries = Vec<(Arc<str>, Arc<str>)>;

/// Changes to a tree: a value to set, or `None` to remove the key.
pub type Edits = BTreeMap<Arc<str>, Option<Arc<str>>>;

#[derive(Clone, PartialEq)]
enum Entry {
    Value(Arc<str>),
    Child { id: NodeId, count: u64 },
}

type LevelEdits = BTreeMap<Arc<str>, Option<Entry>>;

impl Nodes {
    /// Adds a loaded node.
    pub fn insert(&mut self, id: NodeId, node: Arc<Node>) {
        self.0.insert(id, node);
    }

    /// Adds the nodes that are loaded elsewhere.
    pub fn adopt(&mut self, other: &Self) {
        for (id, node) in &other.0 {
            self.0.entry(*id).or_insert_with(|| node.clone());
        }
    }

    /// Whether a node is loaded.
    #[must_use]
    pub fn contains(&self, id: &NodeId) -> bool {
        self.0.contains_key(id)
    }

    /// How many nodes are loaded.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets every node that none of the trees reaches.
    pub fn retain_reachable(&mut self, roots: &[Root]) {
        let mut reached = HashSet::new();
        let mut open: Vec<NodeId> = roots.iter().map(|root| root.id).collect();
        while let Some(id) = open.pop() {
            if let Some(node) = self.0.get(&id)
                && reached.insert(id)
                && let Node::Inner(children) = node.as_ref()
            {
                open.extend(children.iter().map(|child| child.id));
            }
        }
        reached.insert(empty_node().0);
        self.0.retain(|id, _| reached.contains(id));
    }

    /// The node with this id.
    ///
    /// # Errors
    /// [`Missing`] when it is not loaded.
    pub fn get(&self, id: NodeId) -> Result<&Arc<Node>, Missing> {
        self.0.get(&id).ok_or_else(|| Missing(vec![id]))
    }

    /// The value at a key.
    ///
    /// # Errors
    /// [`Missing`] when a node on the way is not loaded.
    pub fn lookup(&self, root: &Root, key: &str) -> Result<Option<Arc<str>>, Missing> {
        let mut node = self.get(root.id)?;
        loop {
            match node.as_ref() {
                Node::Leaf(entries) => {
                    let found = entries.binary_search_by(|(other, _)| other.as_ref().cmp(key));
                    return Ok(found.ok().map(|at| entries[at].1.clone()));
                }
                Node::Inner(children) => match children.get(child_for(children, key)) {
                    Some(child) => node = self.get(child.id)?,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Every entry whose key begins with `prefix`, in order.
    ///
    /// # Errors
    /// [`Missing`] with every node that is known to be needed and is not loaded.
    pub fn with_prefix(&self, root: &Root, prefix: &str) -> Result<Entries, Missing> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        self.collect(root.id, prefix, &mut found, &mut missing);
        if missing.is_empty() { Ok(found) } else { Err(Missing(missing)) }
    }

    fn collect(&self, id: NodeId, prefix: &str, found: &mut Entries, missing: &mut Vec<NodeId>) {
        match self.0.get(&id).map(Arc::as_ref) {
            None => missing.push(id),
            Some(Node::Leaf(entries)) => {
                let from = entries.partition_point(|(key, _)| key.as_ref() < prefix);
                found.extend(entries[from..].iter().take_while(|(key, _)| key.starts_with(prefix)).cloned());
            }
            Some(Node::Inner(children)) => {
                let from = child_for(children, prefix);
                let until =
                    children.partition_point(|child| child.first.as_ref() < prefix || child.first.starts_with(prefix));
                for child in children.get(from..until.max(from + 1)).unwrap_or_default() {
                    self.collect(child.id, prefix, found, missing);
                }
            }
        }
    }

    /// The nodes that `keys` lead to and that are not loaded, as far as the loaded ones tell.
    fn missing_for<'k>(&self, root: &Root, keys: impl Iterator<Item = &'k str>) -> Vec<NodeId> {
        let mut missing = HashSet::new();
        for key in keys {
            if let Err(Missing(ids)) = self.lookup(root, key) {
                missing.extend(ids);
            }
        }
        missing.into_iter().collect()
    }

    /// The tree with some entries set or removed.
    ///
    /// # Errors
    /// [`Missing`] with every node that is known to be needed and is not loaded.
    pub fn edit(&self, root: &Root, shape: Shape, edits: &Edits) -> Result<Edited, Missing> {
        let missing = self.missing_for(root, edits.keys().map(AsRef::as_ref));
        if !missing.is_empty() {
            return Err(Missing(missing));
        }
        let mut made = HashMap::new();
        let mut pending: LevelEdits =
            edits.iter().map(|(key, value)| (key.clone(), value.clone().map(Entry::Value))).collect();
        for level in 0..root.level {
            pending = self.rewrite_level(root, shape, level, pending, &mut made)?;
            if pending.is_empty() {
                return Ok(Edited { root: *root, fresh: Vec::new() });
            }
        }
        let top = merge(entries_of(self.get(root.id)?), &mut pending.into_iter().peekable(), None);
        let new_root = self.raise(shape, root.level, top, &mut made)?;
        let fresh = self.reachable_of(&new_root, &made);
        Ok(Edited { root: new_root, fresh })
    }

    /// Applies edits to the nodes of one level below the root; answers the edits of the level above.
    fn rewrite_level(
        &self,
        root: &Root,
        shape: Shape,
        level: u8,
        edits: LevelEdits,
        made: &mut HashMap<NodeId, Arc<Node>>,
    ) -> Result<LevelEdits, Missing> {
        let mut above = LevelEdits::new();
        let mut edits = edits.into_iter().peekable();
        while let Some((key, _)) = edits.peek() {
            // A run begins where an edit falls and goes on until a new end of node meets an old one.
            let (mut here, mut next) = self.locate(root, level, key)?;
            let mut chunker = Chunker::new(shape, level);
            loop {
                above.entry(here.first.clone()).or_insert(None);
                for (key, entry) in merge(entries_of(self.get(here.id)?), &mut edits, next.as_ref()) {
                    chunker.push(key, entry);
                }
                match next {
                    Some(following) if !chunker.at_boundary() => {
                        (here, next) = self.locate(root, level, &following.first)?;
                    }
                    _ => break,
                }
            }
            for (first, id, node, count) in chunker.finish() {
                made.insert(id, node);
                above.insert(first, Some(Entry::Child { id, count }));
            }
        }
        // A node that came out as it was is no change to the level above.
        let mut unchanged = Vec::new();
        for (first, entry) in &above {
            let (old, _) = self.locate(root, level, first)?;
            let same = matches!(entry, Some(Entry::Child { id, .. }) if old.first == *first && old.id == *id);
            if same {
                unchanged.push(first.clone());
            }
        }
        for first in unchanged {
            above.remove(&first);
        }
        Ok(above)
    }

    /// Makes levels above `entries` until one node holds everything, then drops levels that hold one node only.
    fn raise(
        &self,
        shape: Shape,
        mut level: u8,
        mut entries: Vec<(Arc<str>, Entry)>,
        made: &mut HashMap<NodeId, Arc<Node>>,
    ) -> Result<Root, Missing> {
        loop {
            if level > 0
                && let [(_, Entry::Child { id, count })] = entries.as_slice()
            {
                let (mut root, mut node) = (Root { id: *id, level: level - 1, count: *count }, made.get(id).cloned());
                loop {
                    let current = match node {
                        Some(node) => node,
                        None => self.get(root.id)?.clone(),
                    };
                    match current.as_ref() {
                        Node::Inner(children) if children.len() == 1 => {
                            root = Root { id: children[0].id, level: root.level - 1, count: children[0].count };
                            node = made.get(&root.id).cloned();
                        }
                        _ => return Ok(root),
                    }
                }
            }
            let mut chunker = Chunker::new(shape, level);
            for (key, entry) in entries {
                chunker.push(key, entry);
            }
            let mut chunks = chunker.finish();
            if chunks.is_empty() {
                return Ok(empty());
            }
            for (_, id, node, _) in &chunks {
                made.insert(*id, node.clone());
            }
            if chunks.len() == 1 {
                let (_, id, _, count) = chunks.remove(0);
                return Ok(Root { id, level, count });
            }
            entries = chunks.into_iter().map(|(first, id, _, count)| (first, Entry::Child { id, count })).collect();
            level += 1;
        }
    }

    /// The node of a level that `key` falls into, and the node after it.
    fn locate(&self, root: &Root, level: u8, key: &str) -> Result<(Child, Option<Child>), Missing> {
        let mut here = Child { first: "".into(), id: root.id, count: root.count };
        let mut next: Option<Child> = None;
        for _ in level..root.level {
            if let Some(following) = &next {
                next = match self.get(following.id)?.as_ref() {
                    Node::Inner(children) => children.first().cloned(),
                    Node::Leaf(_) => None,
                };
            }
            let Node::Inner(children) = self.get(here.id)?.as_ref() else { break };
            let at = child_for(children, key);
            next = children.get(at + 1).cloned().or(next);
            match children.get(at) {
                Some(child) => here = child.clone(),
                None => break,
            }
        }
        Ok((here, next))
    }

    /// The nodes of the new tree that were made now; what was made on the way and dropped again is left out.
    fn reachable_of(&self, root: &Root, made: &HashMap<NodeId, Arc<Node>>) -> Vec<(NodeId, Arc<Node>)> {
        let mut fresh = Vec::new();
        let mut open = vec![root.id];
        while let Some(id) = open.pop() {
            if self.contains(&id) {
                continue;
            }
            if let Some(node) = made.get(&id) {
                if let Node::Inner(children) = node.as_ref() {
                    open.extend(children.iter().map(|child| child.id));
                }
                fresh.push((id, node.clone()));
            }
        }
        fresh
    }
}

/// The tree of these entries.
#[must_use]
pub fn build(shape: Shape, entries: &Edits) -> Edited {
    // Nothing can be missing of an empty tree.
    Nodes::default()
        .edit(&empty(), shape, entries)
        .unwrap_or_else(|Missing(_)| Edited { root: empty(), fresh: Vec::new() })
}

/// The tree without entries.
#[must_use]
pub fn empty() -> Root {
    Root { id: empty_node().0, level: 0, count: 0 }
}

fn empty_node() -> (NodeId, Arc<Node>) {
    let node = Node::Leaf(Vec::new());
    (NodeId::of(&node.encode().unwrap_or_default()), Arc::new(node))
}

/// Where in an inner node's children a key falls.
fn child_for(children: &[Child], key: &str) -> usize {
    children.partition_point(|child| child.first.as_ref() <= key).saturating_sub(1)
}

fn entries_of(node: &Node) -> Vec<(Arc<str>, Entry)> {
    match node {
        Node::Leaf(entries) => entries.iter().map(|(key, value)| (key.clone(), Entry::Value(value.clone()))).collect(),
        Node::Inner(children) => children
            .iter()
            .map(|child| (child.first.clone(), Entry::Child { id: child.id, count: child.count }))
            .collect(),
    }
}

/// Entries with those edits applied that fall before the `next` node.
fn merge(
    entries: Vec<(Arc<str>, Entry)>,
    edits: &mut std::iter::Peekable<impl Iterator<Item = (Arc<str>, Option<Entry>)>>,
    next: Option<&Child>,
) -> Vec<(Arc<str>, Entry)> {
    let mut merged = Vec::with_capacity(entries.len());
    let mut entries = entries.into_iter().peekable();
    let mut edit = || edits.next_if(|(key, _)| next.is_none_or(|next| *key < next.first));
    while let Some((key, change)) = edit() {
        while let Some(before) = entries.next_if(|(other, _)| *other < key) {
            merged.push(before);
        }
        entries.next_if(|(other, _)| *other == key);
        if let Some(entry) = change {
            merged.push((key, entry));
        }
    }
    merged.extend(entries);
    merged
}

/// A leaf ends once it has this many bytes: with one more file of 256 KiB it still fits an item of 400 KB.
const MAX_OPEN_BYTES: usize = 96 * 1024;

/// Cuts a run of entries into nodes.
struct Chunker {
    shape: Shape,
    level: u8,
    open: Vec<(Arc<str>, Entry)>,
    open_bytes: usize,
    done: Vec<(Arc<str>, NodeId, Arc<Node>, u64)>,
}

impl Chunker {
    fn new(shape: Shape, level: u8) -> Self {
        Self { shape, level, open: Vec::new(), open_bytes: 0, done: Vec::new() }
    }

    fn at_boundary(&self) -> bool {
        self.open.is_empty()
    }

    fn push(&mut self, key: Arc<str>, entry: Entry) {
        if let Entry::Value(value) = &entry {
            self.open_bytes += key.len() + value.len();
        }
        let is_large = self.open_bytes >= MAX_OPEN_BYTES;
        let ends = is_large || self.shape.ends(self.level, &key, self.open.len() as u64 + 1);
        self.open.push((key, entry));
        if ends {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let entries = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        let Some((first, _)) = entries.first() else { return };
        let first = first.clone();
        let mut count = 0;
        let mut values = Vec::new();
        let mut children = Vec::new();
        for (key, entry) in entries {
            match entry {
                Entry::Value(value) => {
                    count += 1;
                    values.push((key, value));
                }
                Entry::Child { id, count: below } => {
                    count += below;
                    children.push(Child { first: key, id, count: below });
                }
            }
        }
        let node = if self.level == 0 { Node::Leaf(values) } else { Node::Inner(children) };
        // Strings and numbers always encode.
        let id = NodeId::of(&node.encode().unwrap_or_default());
        self.done.push((first, id, Arc::new(node), count));
    }

    fn finish(mut self) -> Vec<(Arc<str>, NodeId, Arc<Node>, u64)> {
        self.cut();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(pairs: impl IntoIterator<Item = (u32, u32)>) -> Edits {
        pairs.into_iter().map(|(key, value)| (format!("k{key:06}").into(), Some(value.to_string().into()))).collect()
    }

    fn load(edited: &Edited, nodes: &mut Nodes) {
        for (id, node) in &edited.fresh {
            nodes.insert(*id, node.clone());
        }
    }

    /// Edits as a caller would: with no node at hand but what is asked for.
    fn edit_lazily(all: &Nodes, root: &Root, edits: &Edits) -> (Edited, usize) {
        let mut loaded = Nodes::default();
        loop {
            match loaded.edit(root, Shape::MODELS, edits) {
                Ok(edited) => return (edited, loaded.len()),
                Err(Missing(ids)) => {
                    assert!(!ids.is_empty());
                    for id in ids {
                        assert!(!loaded.contains(&id), "asked twice");
                        loaded.insert(id, all.get(id).unwrap().clone());
                    }
                }
            }
        }
    }

    #[test]
    fn finds_what_was_put() {
        let tree = build(Shape::MODELS, &entries((0..5000).map(|n| (n * 2, n))));
        let mut nodes = Nodes::default();
        load(&tree, &mut nodes);
        assert_eq!(tree.root.count, 5000);
        assert!(tree.root.level >= 2);
        for n in [0, 1, 777, 4999] {
            assert_eq!(
                nodes.lookup(&tree.root, &format!("k{:06}", n * 2)).unwrap().as_deref(),
                Some(n.to_string().as_str())
            );
            assert_eq!(nodes.lookup(&tree.root, &format!("k{:06}", n * 2 + 1)).unwrap(), None);
        }
        assert_eq!(nodes.lookup(&tree.root, "a").unwrap(), None);
        assert_eq!(nodes.with_prefix(&tree.root, "k0001").unwrap().len(), 50);
        assert_eq!(nodes.with_prefix(&tree.root, "").unwrap().len(), 5000);
        assert_eq!(nodes.with_prefix(&tree.root, "x").unwrap().len(), 0);
    }

    #[test]
    fn one_change_touches_one_path_at_any_size() {
        for (size, levels) in [(100, 1), (1_000, 2), (10_000, 2), (100_000, 3)] {
            let tree = build(Shape::MODELS, &entries((0..size).map(|n| (n, n))));
            let mut nodes = Nodes::default();
            load(&tree, &mut nodes);
            assert_eq!(tree.root.level, levels, "{size}");
            for n in [0, size / 2, size - 1] {
                let (edited, loaded) = edit_lazily(&nodes, &tree.root, &entries([(n, 999_999)]));
                assert_eq!(edited.fresh.len(), usize::from(levels) + 1);
                assert!(loaded <= usize::from(levels) * 2 + 2, "{loaded} nodes loaded of {size} entries");
            }
        }
    }

    #[test]
    fn a_tree_without_entries() {
        let root = empty();
        let mut nodes = Nodes::default();
        assert_eq!(nodes.lookup(&root, "a").unwrap(), None);
        let filled = nodes.edit(&root, Shape::MODELS, &entries([(1, 1)])).unwrap();
        load(&filled, &mut nodes);
        let emptied = nodes.edit(&filled.root, Shape::MODELS, &BTreeMap::from([("k000001".into(), None)])).unwrap();
        assert_eq!(emptied.root, root);
        assert_eq!(build(Shape::MODELS, &Edits::new()).root, root);
    }

    #[test]
    fn nodes_survive_encoding() {
        let tree = build(Shape::MODELS, &entries((0..500).map(|n| (n, n))));
        for (id, node) in &tree.fresh {
            let bytes = node.encode().unwrap();
            assert_eq!(NodeId::of(&bytes), *id);
            assert_eq!(&Node::decode(&bytes).unwrap(), node.as_ref());
        }
        assert!(Node::decode(b"{}").is_err());
    }

    #[test]
    fn reachable_nodes_are_kept() {
        let tree = build(Shape::MODELS, &entries((0..500).map(|n| (n, n))));
        let mut nodes = Nodes::default();
        load(&tree, &mut nodes);
        let before = nodes.len();
        let edited = nodes.edit(&tree.root, Shape::MODELS, &entries([(250, 1)])).unwrap();
        load(&edited, &mut nodes);
        nodes.retain_reachable(&[edited.root]);
        assert_eq!(nodes.len(), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// However a tree came about, equal entries make an equal root.
        #[test]
        fn history_leaves_no_trace(
            start in prop::collection::btree_map(0u32..3000, 0u32..5, 0..900),
            steps in prop::collection::vec(
                prop::collection::btree_map(0u32..3000, prop::option::of(0u32..5), 0..80), 1..5),
        ) {
            let mut expected = entries(start);
            let mut tree = build(Shape::MODELS, &expected);
            let mut nodes = Nodes::default();
            load(&tree, &mut nodes);
            for step in steps {
                let edits: Edits = step
                    .into_iter()
                    .map(|(key, value)| (format!("k{key:06}").into(), value.map(|v| v.to_string().into())))
                    .collect();
                for (key, value) in &edits {
                    match value {
                        Some(_) => expected.insert(key.clone(), value.clone()),
                        None => expected.remove(key),
                    };
                }
                tree = edit_lazily(&nodes, &tree.root, &edits).0;
                load(&tree, &mut nodes);
                let whole = build(Shape::MODELS, &expected);
                prop_assert_eq!(tree.root, whole.root);
                let listed: Edits =
                    nodes.with_prefix(&tree.root, "").unwrap().into_iter().map(|(k, v)| (k, Some(v))).collect();
                prop_assert_eq!(&listed, &expected);
            }
        }
    }
}
