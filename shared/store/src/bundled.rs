//! The catalogue that a reader carries along, rendered like a published one.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use roster_core::catalogue::{self, Roots};
use roster_core::tree::NodeId;
use roster_core::{Bundle, Policy, canonical};

use crate::client::StoreError;
use crate::reader::{Loader, Snapshot};

/// A bundled catalogue. It is read when it is first needed, for most readers never need it.
pub struct Bundled(Mutex<State>);

enum State {
    Unread(Cow<'static, [u8]>),
    /// There are no models in it: it counts as none.
    Empty,
    Read(Box<Rendered>),
}

struct Rendered {
    loader: Loader,
    roots: Roots,
    digest: Arc<str>,
    policy: Arc<Policy>,
    policy_id: Option<NodeId>,
    /// What was rendered last.
    last: Option<Arc<Snapshot>>,
}

impl fmt::Debug for Bundled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundled").finish_non_exhaustive()
    }
}

impl Bundled {
    /// A bundled catalogue of a document that [`Bundle::parse`] takes; any other counts as none.
    #[must_use]
    pub fn new(document: impl Into<Cow<'static, [u8]>>) -> Self {
        Self(Mutex::new(State::Unread(document.into())))
    }

    /// The bundle as it is at `now`, with the policy of a snapshot, or with its own; `None` when it has no models.
    pub(crate) fn render(&self, policy_of: Option<&Snapshot>, now: Timestamp) -> Option<Arc<Snapshot>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Unread(document) = &*state {
            let read = Rendered::read(document);
            *state = read.map_or(State::Empty, |rendered| State::Read(Box::new(rendered)));
        }
        let State::Read(rendered) = &mut *state else { return None };
        match rendered.render(policy_of, now) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::error!(%error, "the bundled catalogue cannot be rendered");
                None
            }
        }
    }
}

impl Rendered {
    /// Makes the tree that publishing the bundle would make.
    fn read(document: &[u8]) -> Option<Self> {
        let read = || {
            let bundle = Bundle::parse(document).map_err(|error| error.to_string())?;
            let tree = catalogue::models_tree(bundle.models().iter()).map_err(|error| error.to_string())?;
            let policy = bundle.policy().map(canonical::to_string).transpose().map_err(|error| error.to_string())?;
            Ok::<_, String>((bundle, tree, policy))
        };
        let (bundle, tree, policy) = read()
            .inspect_err(|error| tracing::error!(%error, "the bundled catalogue cannot be read: it counts as none"))
            .ok()
            .filter(|(bundle, ..)| !bundle.models().is_empty())?;
        let roots = Roots { models: tree.root, ..Roots::empty() };
        Some(Self {
            loader: Loader::with_nodes(tree.fresh),
            roots,
            digest: roots.digest().into(),
            policy: Arc::new(bundle.policy().cloned().unwrap_or_default()),
            policy_id: policy.map(|text| NodeId::of(text.as_bytes())),
            last: None,
        })
    }

    fn render(&mut self, policy_of: Option<&Snapshot>, now: Timestamp) -> Result<Arc<Snapshot>, StoreError> {
        let (policy, policy_id) = match policy_of {
            Some(snapshot) => (&snapshot.policy, snapshot.policy_id),
            None => (&self.policy, self.policy_id),
        };
        let known = |last: &&Arc<Snapshot>| last.policy_id == policy_id && last.is_current_at(now);
        if let Some(last) = self.last.as_ref().filter(known) {
            return Ok(last.clone());
        }
        let mut of = Snapshot::empty(now);
        of.bundle = Some(self.digest.clone());
        of.roots = self.roots;
        (of.policy, of.policy_id) = (policy.clone(), policy_id);
        let snapshot = self.loader.snapshot(&of, now)?;
        self.last = Some(snapshot.clone());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DOCUMENT: &str = r#"[{
        "id": "m", "name": "m", "provider": "p", "aliases": ["em"],
        "isAvailable": true, "isLegacy": false, "isArchived": false,
        "meta": {
            "displayName": "m", "capabilities": ["text"], "contextLength": 1000,
            "inputCostPerMillionTokens": 1250, "outputCostPerMillionTokens": 10000,
            "priceSchedule": [{"from": "2026-12-01T00:00:00Z", "inputCostPerMillionTokens": 1000}],
            "sunsetDate": "2027-01-01T00:00:00Z",
            "requiredTier": "free", "tierRestrictionMode": "minimum", "allowedTiers": []
        }
    }]"#;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn shown(snapshot: &Snapshot) -> serde_json::Value {
        let mut json = Vec::new();
        snapshot.get("em").unwrap().write(roster_core::tier::Tier::Free, &mut json);
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn time_changes_a_bundle_as_it_changes_a_published_catalogue() {
        let bundled = Bundled::new(DOCUMENT.as_bytes());
        let before = bundled.render(None, at("2026-11-30T00:00:00Z")).unwrap();
        assert_eq!((before.revision, &before.commit, before.visible_count()), (0, &None, 1));
        assert_eq!(shown(&before)["input_cost_per_million_tokens"], 1250);
        assert!(Arc::ptr_eq(&before, &bundled.render(None, at("2026-11-30T00:00:01Z")).unwrap()));
        let repriced = bundled.render(None, at("2026-12-01T00:00:00Z")).unwrap();
        assert_eq!(shown(&repriced)["input_cost_per_million_tokens"], 1000);
        assert!(repriced.epoch() > before.epoch());
        let gone = bundled.render(None, at("2027-01-01T00:00:00Z")).unwrap();
        assert_eq!((gone.visible_count(), &shown(&gone)["is_archived"]), (0, &json!(true)));
    }

    #[test]
    fn another_policy_is_another_version() {
        let bundled = Bundled::new(DOCUMENT.as_bytes());
        let now = at("2026-11-30T00:00:00Z");
        let own = bundled.render(None, now).unwrap();
        let mut policy = Policy::default();
        policy.credits.margin = "5".parse().unwrap();
        let mut published = Snapshot::empty(now);
        (published.policy, published.policy_id) = (Arc::new(policy), Some(NodeId::of(b"policy")));
        let other = bundled.render(Some(&published), now).unwrap();
        assert_eq!(
            (&shown(&own)["credits_per_1k_tokens"], &shown(&other)["credits_per_1k_tokens"]),
            (&json!(28), &json!(56))
        );
        assert_eq!(own.bundle, other.bundle);
        assert_ne!(own.version(), other.version());
        assert_eq!(bundled.render(None, now).unwrap().version(), own.version());
    }

    #[test]
    fn a_bundle_without_models_counts_as_none() {
        for document in ["", "[]", "{", r#"{"models":[]}"#, r#"[{"id":"m"}]"#] {
            assert!(Bundled::new(document.as_bytes()).render(None, at("2026-11-30T00:00:00Z")).is_none(), "{document}");
        }
    }
}
