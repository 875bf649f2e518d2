//! When models first appeared: published beside the catalogue, and loaded for those who ask.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use roster_core::tree::{Missing, NodeId, Nodes, Root};

use crate::client::{Store, StoreError};

/// When each model first appeared.
#[derive(Debug, Default)]
pub struct Appearances {
    tree: Option<NodeId>,
    times: HashMap<Arc<str>, Timestamp>,
}

impl Appearances {
    /// When a model first appeared; the epoch where that is not known.
    #[must_use]
    pub fn of(&self, id: &str) -> Timestamp {
        self.times.get(id).copied().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// A name for exactly these times.
    #[must_use]
    pub fn version(&self) -> String {
        self.tree.map(|tree| tree.to_string()).unwrap_or_default()
    }
}

/// What was loaded last.
#[derive(Debug, Default)]
pub(crate) struct Appeared {
    nodes: Nodes,
    last: Arc<Appearances>,
}

impl Appeared {
    /// Those of a tree. A time never changes once it is known, so the last ones are good where this cannot be loaded.
    pub(crate) async fn of(&mut self, store: &Store, root: &Root) -> Result<Arc<Appearances>, StoreError> {
        if root.count == 0 {
            // A bundle has none, and must not push out those of the published catalogue.
            return Ok(Arc::default());
        }
        if self.last.tree != Some(root.id) {
            match self.load(store, root).await {
                Ok(loaded) => self.last = Arc::new(loaded),
                Err(error) if self.last.tree.is_some() => {
                    tracing::warn!(%error, "the newest appearances are out of reach");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.last.clone())
    }

    async fn load(&mut self, store: &Store, root: &Root) -> Result<Appearances, StoreError> {
        let corrupt = |message: String| StoreError::Corrupt { key: format!("chunk#{}", root.id), message };
        store.load_tree(root, &mut self.nodes).await?;
        self.nodes.retain_reachable(&[*root]);
        let entries = self.nodes.with_prefix(root, "");
        let entries = entries.map_err(|Missing(ids)| corrupt(format!("{ids:?} are not loaded")))?;
        let read = |(id, at): (Arc<str>, Arc<str>)| at.parse().map(|at| (id, at));
        let times = entries.into_iter().map(read).collect::<Result<_, _>>();
        Ok(Appearances { tree: Some(root.id), times: times.map_err(|error: jiff::Error| corrupt(error.to_string()))? })
    }
}
