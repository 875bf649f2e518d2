//! Lists of models out of one revision, filtered and page by page.

use std::sync::Arc;

use http::header::LINK;
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use roster_core::end_of_life;
use roster_core::lifecycle::Stage;
use roster_core::meta::Capability;
use roster_core::tier::Tier;
use roster_core::view::{self, View};
use roster_http::fingerprint::fingerprint;
use roster_http::{Cursor, Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use serde_json::{Value, json};

use crate::App;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 200;

/// What every list is asked for.
pub(crate) struct Listing<'q> {
    provider: Option<&'q str>,
    capabilities: Vec<Capability>,
    pub(crate) limit: usize,
    cursor: Option<&'q str>,
}

impl<'q> Listing<'q> {
    /// Reads the parameters that every list has.
    pub(crate) fn read(query: &mut Query<'q>) -> Self {
        Self {
            provider: query.text("provider"),
            capabilities: query.many("capability", |name| {
                Capability::from_name(name).ok_or_else(|| format!("\"{name}\" is no capability"))
            }),
            limit: query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
            cursor: query.text("cursor"),
        }
    }

    /// Reads only where a list of everything goes on.
    pub(crate) fn paged(query: &mut Query<'q>) -> Self {
        Self { provider: None, capabilities: Vec::new(), limit: MAX_LIMIT, cursor: query.text("cursor") }
    }

    /// One page of the models that both this and `takes` take; `key` names what `takes` depends on.
    ///
    /// # Errors
    /// 400 for a cursor of another list, 410 for one of a revision that is no longer kept, 503 without tables.
    pub(crate) async fn page(
        &self,
        app: &App,
        request: &Request,
        key: &str,
        takes: impl Fn(&View) -> bool,
    ) -> Result<Page, Problem> {
        let pinned = self.pin(app, request, key).await?;
        let Pinned { snapshot, after, .. } = &pinned;
        let is_asked = |view: &&View| self.takes(view) && takes(view);
        let mut matching: Vec<&View> = snapshot.views().chain(snapshot.tombstones()).filter(is_asked).collect();
        matching.sort_by(|one, other| one.id.cmp(&other.id));
        let total = matching.len();
        let mut ids: Vec<_> =
            matching.iter().filter(|view| view.id.as_str() > after.as_str()).map(|view| view.id.clone()).collect();
        let has_next = ids.len() > self.limit;
        ids.truncate(self.limit);
        let next = ids.last().filter(|_| has_next).map(|last| pinned.cursor(last.to_string()));
        Ok(Page { ids, total, next, snapshot: pinned.snapshot })
    }

    /// The revision that a list is out of, and where it goes on; `key` names what else is asked for.
    ///
    /// # Errors
    /// As [`Listing::page`].
    pub(crate) async fn pin(&self, app: &App, request: &Request, key: &str) -> Result<Pinned, Problem> {
        let view = fingerprint([key, self.provider.unwrap_or_default(), &format!("{:?}", self.capabilities)]);
        let cursor = self.cursor.map(|text| Cursor::decode(text, &view)).transpose()?;
        let snapshot = match &cursor {
            None => app.reader.current(request.now).await?.snapshot,
            Some(cursor) => {
                let pinned = app.reader.at_revision(cursor.revision, cursor.at).await?;
                pinned.ok_or_else(|| revision_expired(cursor.revision))?
            }
        };
        Ok(Pinned { snapshot, after: cursor.map(|cursor| cursor.after).unwrap_or_default(), view })
    }

    /// Whether the parameters that every list has ask for a model.
    pub(crate) fn takes(&self, view: &View) -> bool {
        self.provider.is_none_or(|provider| *view.provider == *provider)
            && self.capabilities.iter().all(|capability| view.capabilities.contains(capability))
    }
}

/// Where a list begins.
pub(crate) struct Pinned {
    /// The revision that all of it is out of.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The last key of the page before; empty for the first.
    pub(crate) after: String,
    view: String,
}

impl Pinned {
    /// The cursor of the page that begins after a key.
    pub(crate) fn cursor(&self, after: String) -> String {
        let (revision, at) = (self.snapshot.revision, self.snapshot.epoch());
        Cursor { revision, bundle: None, at, after }.encode(&self.view)
    }
}

/// Tells where the next page of a file is.
pub(crate) fn link(reply: &mut Reply, request: &Request, cursor: &str) {
    let mut pairs: Vec<(&str, &str)> =
        request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).filter(|(n, _)| *n != "cursor").collect();
    pairs.push(("cursor", cursor));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let link = HeaderValue::try_from(format!("<?{query}>; rel=\"next\""));
    reply.headers.extend(link.ok().map(|link| (LINK, link)));
    let cursor = HeaderValue::try_from(cursor);
    reply.headers.extend(cursor.ok().map(|cursor| (HeaderName::from_static("x-next-cursor"), cursor)));
}

fn revision_expired(revision: u64) -> Problem {
    let detail = format!("revision {revision}, which this listing began in, is no longer kept: start again");
    Problem::new(StatusCode::GONE, "revision-expired", "Revision expired", detail).with("revision", revision)
}

/// A page of a list.
pub(crate) struct Page {
    /// The models of the page.
    pub(crate) ids: Vec<roster_core::ModelId>,
    /// How many match, on all pages.
    total: usize,
    next: Option<String>,
    /// The revision that all of it is out of.
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Page {
    /// The reply with these entries.
    pub(crate) fn reply(&self, message: &str, entries: Vec<Value>) -> Reply {
        let data = json!({
            "models": entries,
            "total": self.total,
            "revision": self.snapshot.revision,
            "nextCursor": self.next,
        });
        Reply::success(StatusCode::OK, message, data)
    }

    /// A model of the page, live or removed.
    pub(crate) fn view(&self, id: &str) -> Option<&View> {
        find(&self.snapshot, id)
    }
}

pub(crate) fn find<'s>(snapshot: &'s Snapshot, id: &str) -> Option<&'s View> {
    snapshot.get(id).or_else(|| snapshot.tombstone(id))
}

/// What every entry says of its model.
pub(crate) fn entry(snapshot: &Snapshot, view: &View, now: Timestamp) -> Value {
    let mut shown = Vec::with_capacity(view.max_len());
    view.write(Tier::Free, &mut shown);
    // What was rendered is JSON; of it, an admin's list needs no more than this.
    let shown: Value = serde_json::from_slice(&shown).unwrap_or_default();
    let chain = view::replacements(view, |id| find(snapshot, id));
    let in_use = chain.iter().rev().find(|view| view.stage != Stage::Archived).map(|view| view.id.as_str());
    json!({
        "id": view.id,
        "displayName": shown["display_name"],
        "provider": view.provider,
        "capabilities": view.capabilities,
        "isLegacy": view.is_legacy,
        "isAvailable": view.is_available,
        "deprecationNotice": shown["legacy_info"]["deprecation_notice"],
        "sunsetDate": view.sunset,
        "daysLeft": view.sunset.map(|sunset| end_of_life::days_left(sunset, now)),
        "legacyReplacementModelId": view.replacement,
        "replacementChain": chain.iter().map(|view| &view.id).collect::<Vec<_>>(),
        "replacementInUse": in_use,
    })
}
