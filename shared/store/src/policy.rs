//! The policy in force, for functions that need nothing else of what is published.

use std::sync::Arc;

use roster_core::Policy;
use roster_core::tree::NodeId;
use tokio::sync::Mutex;

use crate::client::{Store, StoreError};
use crate::published::Manifest;

/// Keeps the policy that was last in force: it is named by its content, so it is read again only when another is.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<Option<(NodeId, Arc<Policy>)>>);

impl PolicyCache {
    /// The policy in force now, for one read of the head.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the policy cannot be read.
    pub async fn current(&self, store: &Store) -> Result<Arc<Policy>, StoreError> {
        self.of(store, store.head(false).await?.as_ref()).await
    }

    /// The policy of a revision.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or the policy cannot be read.
    pub async fn of(&self, store: &Store, manifest: Option<&Manifest>) -> Result<Arc<Policy>, StoreError> {
        let Some(id) = manifest.and_then(|manifest| manifest.policy) else { return Ok(Arc::default()) };
        let mut known = self.0.lock().await;
        if let Some((_, policy)) = known.as_ref().filter(|(known, _)| *known == id) {
            return Ok(policy.clone());
        }
        let policy = Arc::new(store.policy(Some(id)).await?);
        *known = Some((id, policy.clone()));
        Ok(policy)
    }
}
