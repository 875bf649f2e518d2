//! Which models a listing asks for.

use roster_core::lifecycle::Stage;
use roster_core::meta::Capability;
use roster_core::tier::{AccessStatus, Tier};
use roster_core::view::View;
use roster_http::fingerprint::fingerprint;
use roster_http::{Cursor, Problem, Query, Request};
use roster_store::reader::Snapshot;
use serde::Serialize;

const DEFAULT_LIMIT: usize = 100;
pub(crate) const MAX_LIMIT: usize = 1000;

/// What a model must be like. The default takes every model that is not archived.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Selection<'q> {
    /// Who serves it.
    pub(crate) provider: Option<&'q str>,
    /// What it can do, all of it; sorted.
    pub(crate) capabilities: Vec<Capability>,
    /// Who may use it.
    pub(crate) tier: Option<Tier>,
    /// Whether it can be used now.
    pub(crate) available: Option<bool>,
    /// Whether it is marked legacy.
    pub(crate) legacy: Option<bool>,
    /// Whether archived and removed models count too.
    pub(crate) archived: bool,
}

/// A request for one page of a listing.
#[derive(Debug)]
pub(crate) struct Listing<'q> {
    /// Which models.
    pub(crate) selection: Selection<'q>,
    /// How many on a page.
    pub(crate) limit: usize,
    /// Where the page begins; absent for the first one.
    pub(crate) cursor: Option<Cursor>,
    /// The selection's fingerprint: equal for equal selections, however they were written.
    pub(crate) filters: String,
}

impl<'q> Listing<'q> {
    /// Reads a request's query.
    ///
    /// # Errors
    /// 400 with every parameter that cannot be used, or 403 when one is not for this caller.
    pub(crate) fn read(request: &'q Request) -> Result<Self, Problem> {
        let mut query = Query::of(request);
        let mut selection = Selection {
            provider: query.text("provider"),
            capabilities: query.many("capability", capability),
            tier: query.one("tier", str::parse),
            available: query.flag("available"),
            legacy: query.flag("legacy"),
            archived: query.flag("includeArchived").unwrap_or(false),
        };
        let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let cursor = query.text("cursor");
        query.finish()?;
        if selection.archived && !request.caller.is_admin() {
            return Err(Problem::forbidden("includeArchived is for admins"));
        }
        selection.capabilities.sort_unstable();
        selection.capabilities.dedup();
        // Names and flags always encode.
        let filters = fingerprint([serde_json::to_string(&selection).unwrap_or_default().as_str()]);
        let cursor = cursor.map(|text| Cursor::decode(text, &filters)).transpose()?;
        Ok(Self { selection, limit, cursor, filters })
    }

    /// The last id of the page before; empty for the first page.
    pub(crate) fn after(&self) -> &str {
        self.cursor.as_ref().map_or("", |cursor| &cursor.after)
    }

    /// What the page depends on besides the snapshot and the caller's tier.
    pub(crate) fn key(&self) -> String {
        format!("{} {} {}", self.filters, self.limit, self.after())
    }
}

impl Selection<'_> {
    /// The models of a snapshot that match and have a larger id, by id.
    pub(crate) fn matching<'s>(&self, snapshot: &'s Snapshot, after: &str) -> impl Iterator<Item = &'s View> {
        let removed = snapshot.tombstones().take(if self.archived { usize::MAX } else { 0 });
        let removed = removed.skip_while(move |view| view.id.as_str() <= after);
        by_id(snapshot.views_after(after), removed).filter(|view| self.takes(view))
    }

    /// Whether a model matches.
    pub(crate) fn takes(&self, view: &View) -> bool {
        (self.archived || view.stage != Stage::Archived)
            && self.provider.is_none_or(|provider| *view.provider == *provider)
            && self.capabilities.iter().all(|capability| view.capabilities.contains(capability))
            && self.tier.is_none_or(|tier| view.access(tier) == AccessStatus::Allowed)
            && self.available.is_none_or(|available| view.is_available == available)
            && self.legacy.is_none_or(|legacy| view.is_legacy == legacy)
    }
}

fn capability(name: &str) -> Result<Capability, String> {
    Capability::from_name(name).ok_or_else(|| format!("\"{name}\" is no capability"))
}

/// Two lists by id as one.
fn by_id<'v>(
    one: impl Iterator<Item = &'v View>,
    other: impl Iterator<Item = &'v View>,
) -> impl Iterator<Item = &'v View> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if b.id < a.id => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{get, view, view_of};
    use roster_http::{Caller, Role};
    use serde_json::json;

    fn takes(target: &str, view: &View) -> bool {
        let admin = Caller { roles: [Role::Admin].into(), ..Caller::default() };
        let request = Request { caller: admin, ..get(target) };
        Listing::read(&request).unwrap().selection.takes(view)
    }

    #[test]
    fn every_filter_filters() {
        let view = view_of(json!({
            "id": "m", "provider": "p", "isLegacy": true,
            "meta": {"capabilities": ["text", "code"], "requiredTier": "pro"},
        }));
        for target in [
            "/",
            "/?provider=p",
            "/?capability=text",
            "/?capability=code&capability=text",
            "/?tier=pro",
            "/?tier=perpetual",
            "/?available=true",
            "/?legacy=true",
            "/?includeArchived=true",
            "/?provider=p&capability=text&tier=pro&available=true&legacy=true",
        ] {
            assert!(takes(target, &view), "{target}");
        }
        for target in [
            "/?provider=P",
            "/?capability=vision",
            "/?capability=text&capability=vision",
            "/?tier=free",
            "/?available=false",
            "/?legacy=false",
            "/?provider=p&legacy=false",
        ] {
            assert!(!takes(target, &view), "{target}");
        }
    }

    #[test]
    fn archived_models_are_for_admins_that_ask() {
        let view = view_of(json!({"id": "m", "isArchived": true}));
        assert!(!takes("/", &view));
        assert!(!takes("/?includeArchived=false", &view));
        assert!(takes("/?includeArchived=true", &view));
        let problem = Listing::read(&get("/?includeArchived=true")).unwrap_err();
        assert_eq!(problem.status(), http::StatusCode::FORBIDDEN);
        assert!(Listing::read(&get("/?includeArchived=false")).is_ok());
    }

    #[test]
    fn mistakes_are_refused() {
        for target in [
            "/?tier=gold",
            "/?capability=flying",
            "/?limit=0",
            "/?limit=1001",
            "/?limit=-1",
            "/?available=1",
            "/?cursor=x",
            "/?offset=10",
            "/?provider=a&provider=b",
        ] {
            let problem = Listing::read(&get(target)).unwrap_err();
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST, "{target}");
        }
    }

    #[test]
    fn equal_selections_have_equal_fingerprints() {
        let filters = |target: &str| Listing::read(&get(target)).unwrap().filters;
        assert_eq!(filters("/?capability=text&capability=code"), filters("/?capability=code&capability=text&limit=5"));
        assert_eq!(filters("/?includeArchived=false"), filters("/"));
        assert_ne!(filters("/?available=true"), filters("/?legacy=true"));
    }

    #[test]
    fn removed_models_stand_in_their_place() {
        let (live, removed) = (["a", "c", "d"].map(view), ["b", "e"].map(view));
        let ids: Vec<&str> = by_id(live.iter(), removed.iter()).map(|view| view.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    }
}
