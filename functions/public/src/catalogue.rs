//! The published catalogue as requests need it, and what its state means for a reply.

use http::header::WARNING;
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use roster_core::tier::Tier;
use roster_http::{Caller, Cursor, ETag, Problem, Reply};
use roster_store::StoreError;
use roster_store::reader::{Served, Snapshot, Source};

use crate::App;

impl App {
    /// Loads the catalogue before the first request, which would wait for it. Failing does no harm.
    pub async fn warm(&self, now: Timestamp) {
        if let Err(error) = self.reader.current(now).await {
            tracing::warn!(%error, "the catalogue cannot be loaded yet");
        }
    }

    /// The newest catalogue.
    pub(crate) async fn catalogue(&self, now: Timestamp) -> Result<Served, Problem> {
        self.reader.current(now).await.map_err(unavailable)
    }

    /// The catalogue that a listing goes on in; without a cursor it begins in the newest.
    pub(crate) async fn catalogue_of(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<Served, Problem> {
        let Some(Cursor { revision, .. }) = cursor else { return self.catalogue(now).await };
        match self.reader.at_revision(*revision, now).await.map_err(unavailable)? {
            Some(snapshot) => Ok(Served { snapshot, source: Source::Live }),
            None => Err(revision_expired(*revision)),
        }
    }
}

/// The tier that a caller's answers are made for.
pub(crate) fn tier_of(caller: &Caller, snapshot: &Snapshot) -> Tier {
    caller.tier.unwrap_or(snapshot.policy.anonymous_tier)
}

/// The tag of an answer out of a snapshot: time alone may change one, so the revision does not name it.
pub(crate) fn etag(snapshot: &Snapshot, view: &[&str]) -> ETag {
    let (revision, epoch) = (snapshot.revision.to_string(), snapshot.epoch().to_string());
    ETag::of([revision.as_str(), &epoch].into_iter().chain(view.iter().copied()))
}

/// A reply that says where its catalogue comes from, unless it is the newest.
pub(crate) fn from_source(source: Source, reply: Reply) -> Reply {
    match source {
        Source::Live => reply,
        Source::Stale => reply
            .with_header(WARNING, HeaderValue::from_static("110 - \"Response is Stale\""))
            .with_header(HeaderName::from_static("x-roster-source"), HeaderValue::from_static(source_name(source))),
    }
}

/// A source's name on the wire.
pub(crate) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Live => "live",
        Source::Stale => "stale",
    }
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(%error, "the catalogue is out of reach");
    Problem::unavailable()
}

fn revision_expired(revision: u64) -> Problem {
    let detail =
        format!("revision {revision}, which this listing began in, is no longer kept: start again without the cursor");
    Problem::new(StatusCode::GONE, "revision-expired", "Revision expired", detail).with("revision", revision)
}
