//! The catalogue that a request reads, and what its source means for a reply.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use metrics::{counter, histogram};
use roster_core::tier::Tier;
use roster_http::fingerprint::fingerprint;
use roster_http::{Caller, Cursor, ETag, Problem, Request};
use roster_store::reader::{Served, Snapshot, Source};
use roster_store::{Appearances, AsOf, Unkept};

use crate::App;
use crate::selection::Listing;

/// What one request reads.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The catalogue that it is answered from.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Where that comes from.
    pub(crate) source: Source,
    /// What the other source shows, where the request is one of those that compare.
    pub(crate) other: Option<Arc<Snapshot>>,
}

impl Reading {
    /// What is read of the past.
    pub(crate) fn of_past(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, source: Source::Live, other: None }
    }
}

impl App {
    /// Loads the catalogue before the first request, which would wait for it. Failing does no harm.
    pub async fn warm(&self, now: Timestamp) {
        match self.reader.current(now).await {
            Ok(Served { snapshot, .. }) => {
                let policy = &snapshot.policy.read_source;
                if policy.table_percent < 100 || policy.shadow_percent > 0 {
                    // Rendered once, it stays so.
                    drop(self.reader.bundled(&snapshot, now));
                }
            }
            Err(error) => tracing::warn!(%error, "the catalogue cannot be loaded yet"),
        }
    }

    /// The newest catalogue.
    pub(crate) async fn catalogue(&self, now: Timestamp) -> Result<Served, Problem> {
        let served = self.reader.current(now).await.map_err(Problem::from)?;
        if served.snapshot.bundle.is_none() {
            histogram!("RevisionAge").record(now.duration_since(served.snapshot.published_at).as_secs_f64().max(0.0));
        }
        if is_degraded(served.source) {
            counter!("StaleReads").increment(1);
        }
        Ok(served)
    }

    /// When the models of a catalogue first appeared.
    pub(crate) async fn appearances(&self, snapshot: &Snapshot) -> Result<Arc<Appearances>, Problem> {
        self.reader.appearances(snapshot).await.map_err(Problem::from)
    }

    /// The catalogue that a listing asks for.
    pub(crate) async fn reading_for(&self, request: &Request, listing: &Listing<'_>) -> Result<Reading, Problem> {
        let cursor = listing.cursor.as_ref();
        // What time will change is not to be seen before.
        if cursor.is_some_and(|cursor| cursor.at > request.now) {
            return Err(Cursor::of_another_listing());
        }
        if let Some(as_of) = &listing.as_of {
            let snapshot = self.past("as_of", as_of, request.now).await?;
            let is_of_it = |cursor: &Cursor| (cursor.revision, cursor.at) == (snapshot.revision, snapshot.epoch());
            return match cursor.is_none_or(is_of_it) {
                true => Ok(Reading::of_past(snapshot)),
                false => Err(Cursor::of_another_listing()),
            };
        }
        if listing.changed_since.is_some() && cursor.is_none() {
            // Changes are those of what is published, wherever the caller reads the rest.
            let Served { snapshot, source } = self.catalogue(request.now).await?;
            return Ok(Reading { snapshot, source, other: None });
        }
        self.reading(request, cursor).await
    }

    /// What was published at the point in the past that a parameter names.
    pub(crate) async fn past(&self, name: &str, as_of: &AsOf, now: Timestamp) -> Result<Arc<Snapshot>, Problem> {
        let unkept = match self.reader.as_of(as_of, now).await? {
            Ok(snapshot) => return Ok(snapshot),
            Err(unkept) => unkept,
        };
        let point = match as_of {
            AsOf::Revision(revision) => format!("revision {revision}"),
            AsOf::Time(at) => at.to_string(),
            AsOf::Commit(commit) => format!("commit {commit}"),
        };
        Err(match (unkept, name) {
            (Unkept::Future, _) => Problem::bad_parameter(name, format!("{name} is {point}, which is still to come")),
            (Unkept::NothingYet, _) => {
                let detail = format!("{name} is {point}, when nothing was published yet");
                Problem::new(StatusCode::NOT_FOUND, "nothing-published", "Nothing published", detail)
            }
            (Unkept::UnknownCommit, _) => Problem::not_found(format!(
                "{name} is {point}, of which no revision is known: those are that the sync has gone through one by \
                 one and that are not past their retention; what it jumped over has none"
            )),
            (Unkept::Expired, "changed_since") => {
                expired(format!("{point} is past its retention: list all models anew, without changed_since"))
            }
            (Unkept::Expired, _) => expired(format!("{point} is past its retention: ask for a later one")),
        })
    }

    /// The catalogue for a caller, by the newest policy: published, or as it was bundled at build.
    ///
    /// A listing goes on where it began, wherever its caller belongs by now.
    pub(crate) async fn reading(&self, request: &Request, cursor: Option<&Cursor>) -> Result<Reading, Problem> {
        let newest = self.catalogue(request.now).await?;
        let policy = &newest.snapshot.policy.read_source;
        let bundled = || self.reader.bundled(&newest.snapshot, request.now);
        let is_published = newest.snapshot.bundle.is_none();
        let (snapshot, source) = match cursor {
            Some(Cursor { bundle: Some(digest), .. }) => {
                let same = bundled().filter(|bundled| bundled.bundle.as_deref() == Some(digest));
                let source = if is_published { Source::Bundled } else { newest.source };
                (same.ok_or_else(bundle_replaced)?, source)
            }
            Some(Cursor { revision, bundle: None, at, .. }) => {
                let kept = self.reader.at_revision(*revision, *at).await?;
                (kept.ok_or_else(|| revision_expired(*revision))?, Source::Live)
            }
            None if is_published && !is_within(policy.table_percent, caller_key(request)) => match bundled() {
                Some(snapshot) => (snapshot, Source::Bundled),
                None => (newest.snapshot.clone(), newest.source),
            },
            None => (newest.snapshot.clone(), newest.source),
        };
        let compares = is_published && is_within(policy.shadow_percent, ["shadow", &request.request_id]);
        let other = match (compares, snapshot.bundle.is_some()) {
            (false, _) => None,
            (true, true) => Some(newest.snapshot.clone()),
            (true, false) => bundled(),
        };
        Ok(Reading { snapshot, source, other })
    }
}

/// Who a caller is, for as long as can be: the token's subject, else the address that they call from.
fn caller_key(request: &Request) -> [&str; 2] {
    match (&request.caller.subject, &request.source_ip) {
        (Some(subject), _) => ["subject", subject],
        (None, Some(address)) => ["address", address],
        // Nothing tells such callers apart: their requests are shared out one by one.
        (None, None) => ["request", &request.request_id],
    }
}

/// Whether a key is among the first `percent` of all. What is among the first 10 is among the first 50 too,
/// on every instance and in every version: nobody goes back while the percentage rises.
fn is_within(percent: u64, key: [&str; 2]) -> bool {
    match percent {
        0 => false,
        100.. => true,
        _ => {
            let print = fingerprint(key);
            let draw = print.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
            (draw * 100) >> 32 < percent
        }
    }
}

/// The tier that a caller's answers are made for.
pub(crate) fn tier_of(caller: &Caller, snapshot: &Snapshot) -> Tier {
    caller.tier.unwrap_or(snapshot.policy.anonymous_tier)
}

/// The tag of an answer out of a snapshot: time alone may change one, so its version does not name it.
pub(crate) fn etag(snapshot: &Snapshot, view: &[&str]) -> ETag {
    let (version, epoch) = (snapshot.version(), snapshot.epoch().to_string());
    ETag::of([version.as_str(), &epoch].into_iter().chain(view.iter().copied()))
}

/// What a reply out of the past says of how long it may be kept: a revision is what it was for good.
pub(crate) fn past_headers(as_of: Option<&AsOf>) -> HeaderMap {
    let kept = HeaderValue::from_static("private, max-age=86400, immutable");
    matches!(as_of, Some(AsOf::Revision(_))).then_some((CACHE_CONTROL, kept)).into_iter().collect()
}

/// What a reply says of where its catalogue comes from, unless it is the newest.
pub(crate) fn source_headers(source: Source) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if source != Source::Live {
        let name = HeaderValue::from_static(source_name(source));
        headers.insert(HeaderName::from_static("x-roster-source"), name);
    }
    if is_degraded(source) {
        headers.insert(WARNING, HeaderValue::from_static("110 - \"Response is Stale\""));
    }
    headers
}

/// Whether the catalogue is another than it should be.
pub(crate) fn is_degraded(source: Source) -> bool {
    match source {
        Source::Live | Source::Bundled => false,
        Source::Stale | Source::Fallback => true,
    }
}

/// A source's name on the wire.
pub(crate) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Live => "live",
        Source::Stale => "stale",
        Source::Bundled | Source::Fallback => "bundled",
    }
}

fn revision_expired(revision: u64) -> Problem {
    let detail =
        format!("revision {revision}, which this listing began in, is no longer kept: start again without the cursor");
    expired(detail).with("revision", revision)
}

fn bundle_replaced() -> Problem {
    let detail = "the bundled catalogue that this listing began in is no longer served: start again without the cursor";
    expired(detail).with("revision", 0)
}

fn expired(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::GONE, "revision-expired", "Revision expired", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::get;

    #[test]
    fn callers_are_known_by_their_token_then_by_their_address() {
        let mut request = get("/");
        assert_eq!(caller_key(&request), ["request", "request-1"]);
        request.source_ip = Some("192.0.2.1".to_owned());
        assert_eq!(caller_key(&request), ["address", "192.0.2.1"]);
        request.caller.subject = Some("ada".to_owned());
        assert_eq!(caller_key(&request), ["subject", "ada"]);
    }

    #[test]
    fn who_is_within_a_percentage_stays_within_a_larger_one() {
        let mut before = 0;
        for percent in 0..=100 {
            let names: Vec<String> = (0..1000).map(|n| format!("caller-{n}")).collect();
            let within = names.iter().filter(|name| is_within(percent, ["subject", name]));
            let share = within.inspect(|name| assert!(is_within(percent + 1, ["subject", name]))).count();
            assert!(share >= before && share.abs_diff(percent as usize * 10) <= 40, "{share} of 1000 at {percent}");
            before = share;
        }
        assert_eq!(before, 1000);
    }

    #[test]
    fn the_draw_is_the_same_in_every_version() {
        let draws = ["ada", "bob", "eve"].map(|name| (0..=100).find(|&percent| is_within(percent, ["subject", name])));
        assert_eq!(draws, [Some(45), Some(25), Some(19)]);
    }
}
