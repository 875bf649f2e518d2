//! What was published at a time, by a commit, or as a revision.
//!
//! The manifest of each revision is kept for policy's retention, and so is the revision of each commit, so the past
//! is loaded and never worked out. It is loaded under a lock of its own and out of what the newest catalogue has in
//! memory already; a few snapshots of it are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader};
use crate::published::{Manifest, commit_pk};
use crate::reader::{Loader, Reader, Snapshot};

/// Snapshots of the past that are kept, and how many models they may have together.
const MAX_SNAPSHOTS: usize = 4;
const MAX_MODELS: usize = 60_000;
/// Manifests that are remembered for finding what was live at a time.
const MAX_MANIFESTS: usize = 4_096;

/// A point in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// A revision, as at its publication.
    Revision(u64),
    /// What was live at a time, as at that time.
    Time(Timestamp),
    /// The revision that a commit made, or left as it was, as at its publication.
    Commit(String),
}

/// Why there is nothing to show of a point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// It is not past.
    Future,
    /// Nothing was published yet.
    NothingYet,
    /// It is past its retention.
    Expired,
    /// No revision is known of the commit.
    UnknownCommit,
}

/// What is in memory of the past.
#[derive(Debug)]
pub(crate) struct Past {
    loader: Loader,
    manifests: BTreeMap<u64, Manifest>,
}

impl Default for Past {
    fn default() -> Self {
        Self { loader: Loader::keeping(MAX_SNAPSHOTS, MAX_MODELS), manifests: BTreeMap::new() }
    }
}

impl Past {
    /// A revision's manifest. What was read once is remembered: it never changes.
    async fn manifest(&mut self, store: &Store, revision: u64) -> Result<Option<Manifest>, StoreError> {
        if let Some(manifest) = self.manifests.get(&revision) {
            return Ok(Some(manifest.clone()));
        }
        let manifest = store.revision(revision).await?;
        if let Some(manifest) = &manifest {
            if self.manifests.len() >= MAX_MANIFESTS {
                self.manifests.pop_first();
            }
            self.manifests.insert(revision, manifest.clone());
        }
        Ok(manifest)
    }

    /// The revision that was live at a time before the newest one.
    async fn live_at(
        &mut self,
        store: &Store,
        newest: u64,
        at: Timestamp,
    ) -> Result<Result<Manifest, Unkept>, StoreError> {
        // Between the last revision that had begun by then and the first that had not, or whose manifest is gone.
        let (mut begun, mut later) = (0, newest);
        while later - begun > 1 {
            let middle = begun.midpoint(later);
            match self.manifest(store, middle).await? {
                Some(manifest) if manifest.published_at > at => later = middle,
                // What is gone is older than what is kept.
                _ => begun = middle,
            }
        }
        if begun == 0 {
            return Ok(Err(Unkept::NothingYet));
        }
        let found = self.manifest(store, begun).await?;
        Ok(found.filter(|manifest| manifest.published_at <= at).ok_or(Unkept::Expired))
    }
}

impl Reader {
    /// A snapshot of a retained revision, as it is or was at a time; `None` when it is unknown or past its retention.
    ///
    /// # Errors
    /// [`StoreError`] when the table is out of reach.
    pub async fn at_revision(&self, revision: u64, at: Timestamp) -> Result<Option<Arc<Snapshot>>, StoreError> {
        if let Some(snapshot) = self.in_memory(revision, at) {
            return Ok(Some(snapshot));
        }
        let mut past = self.past.lock().await;
        match self.manifest(&mut past, revision).await? {
            Some(manifest) => self.load_past(&mut past, &manifest, at).await.map(Some),
            None => Ok(None),
        }
    }

    /// What was published at a point in the past, exactly as it was then.
    ///
    /// # Errors
    /// [`StoreError`] when the table is out of reach.
    pub async fn as_of(&self, as_of: &AsOf, now: Timestamp) -> Result<Result<Arc<Snapshot>, Unkept>, StoreError> {
        let newest = self.current(now).await?.snapshot;
        let newest = match newest.bundle {
            None => newest.revision,
            // A bundle has no past, and may be served only for want of the table: then that is told.
            Some(_) => self.store.head(false).await?.map_or(0, |head| head.revision),
        };
        let (revision, is_named) = match as_of {
            AsOf::Time(at) if *at > now => return Ok(Err(Unkept::Future)),
            AsOf::Time(at) => return self.live_at(newest, *at).await,
            AsOf::Revision(0) => return Ok(Err(Unkept::NothingYet)),
            AsOf::Revision(revision) => (*revision, true),
            AsOf::Commit(commit) => match self.store.revision_of(commit).await? {
                Some(revision) => (revision, false),
                None => return Ok(Err(Unkept::UnknownCommit)),
            },
        };
        let mut past = self.past.lock().await;
        match self.manifest(&mut past, revision).await? {
            Some(manifest) => self.load_past(&mut past, &manifest, manifest.published_at).await.map(Ok),
            // Another instance may have seen a newer revision than this one, but then its manifest is there.
            None if is_named && revision > newest => Ok(Err(Unkept::Future)),
            None => Ok(Err(Unkept::Expired)),
        }
    }

    async fn live_at(&self, newest: u64, at: Timestamp) -> Result<Result<Arc<Snapshot>, Unkept>, StoreError> {
        if newest == 0 {
            return Ok(Err(Unkept::NothingYet));
        }
        let mut past = self.past.lock().await;
        let found = match self.manifest(&mut past, newest).await? {
            Some(manifest) if manifest.published_at <= at => Ok(manifest),
            _ => past.live_at(&self.store, newest, at).await?,
        };
        match found {
            Ok(manifest) => self.load_past(&mut past, &manifest, at).await.map(Ok),
            Err(unkept) => Ok(Err(unkept)),
        }
    }

    /// The manifest of a revision; the newest one's may be past its retention while it is live.
    async fn manifest(&self, past: &mut Past, revision: u64) -> Result<Option<Manifest>, StoreError> {
        match self.newest_in_memory().filter(|snapshot| snapshot.revision == revision) {
            Some(snapshot) => Ok(Some(snapshot.manifest())),
            None => past.manifest(&self.store, revision).await,
        }
    }

    async fn load_past(
        &self,
        past: &mut Past,
        manifest: &Manifest,
        at: Timestamp,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let known = self.in_memory(manifest.revision, at);
        let is_known = |snapshot: &&Arc<Snapshot>| snapshot.shows(manifest.revision, at);
        if let Some(snapshot) = known.or_else(|| past.loader.recent.iter().find(is_known).cloned()) {
            return Ok(snapshot);
        }
        past.loader.adopt(&*self.loader.lock().await);
        past.loader.load(&self.store, manifest, at).await
    }
}

impl Store {
    /// The revision that a commit made, or left as it was; `None` when it is unknown or past its retention.
    async fn revision_of(&self, commit: &str) -> Result<Option<u64>, StoreError> {
        // What was written a moment ago may be absent from an eventually consistent read.
        let item = match self.published_item(commit_pk(commit), false).await? {
            Some(item) => Some(item),
            None => self.published_item(commit_pk(commit), true).await?,
        };
        item.map(|item| ItemReader::new(&item).number("revision")).transpose()
    }

    /// The item that says which revision a commit made, or left as it was.
    pub(crate) fn commit_item(commit: &str, revision: u64, at: Timestamp, retention_seconds: i64) -> Item {
        let expires = at.as_second().saturating_add(retention_seconds);
        Builder::keyed(commit_pk(commit)).number("revision", revision).number("expiresAt", expires).build()
    }
}
