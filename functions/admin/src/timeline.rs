//! The audit by time: which stretch of it a request asks for, which entries, and from where.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::audit::{AuditEntry, Filter, Severity};
use roster_http::fingerprint::fingerprint;
use roster_http::{Problem, Query, Request};
use roster_store::audit::{AuditRange, Order, Position};
use serde::{Deserialize, Serialize};

use crate::App;

/// The longest stretch, in days: as long as revisions are kept by default.
const MAX_DAYS: i64 = 400;
/// The stretch that is meant when none is named, in days.
const DEFAULT_DAYS: i64 = 30;
/// Days that one call to the table looks at, each with a query of its own.
const DAYS_A_CALL: usize = 31;
/// Entries of one call to the table: an answer may end before it has used them all.
const ENTRIES_A_CALL: usize = 200;
/// Entries that one answer looks at: filters that take few do not make it wait for long.
const MAX_LOOKED_AT: usize = 5_000;
/// No cursor of ours is longer.
const MAX_CURSOR: usize = 2_048;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Which entries.
    pub(crate) filter: Filter,
    /// From when to when.
    pub(crate) range: AuditRange,
    position: Option<Position>,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    key: String,
    from: Timestamp,
    to: Timestamp,
    position: Position,
}

impl Timeline {
    /// Reads the parameters that every view of the audit has, and finishes the query.
    ///
    /// # Errors
    /// 400 with every parameter that is unknown or cannot be used.
    pub(crate) fn read(
        mut query: Query<'_>,
        request: &Request,
        order: Order,
        has_pages: bool,
    ) -> Result<Self, Problem> {
        let mut filter = Filter {
            model: query.one("model", ModelId::parse),
            actor: query.text("actor").map(str::to_owned),
            operation: query.text("operation").map(str::to_owned),
            severity: query.one("severity", str::parse),
            source: query.text("source").map(str::to_owned),
            from: None,
            to: None,
        };
        let (from, to) = (query.one("from", time), query.one("to", time));
        let view = query.one("view", |view| match view {
            "recent" | "critical" => Ok(view),
            _ => Err(format!("\"{view}\" is no view: there are recent and critical")),
        });
        let cursor = match has_pages {
            true => query.one("cursor", |text| decode(text).ok_or("is no cursor of the audit")),
            false => None,
        };
        query.finish()?;
        if view == Some("critical") {
            filter.severity = Some(Severity::Critical);
        }
        let key = fingerprint([format!("{order:?} {filter:?}").as_str()]);
        if let Some(Token { key: other, from, to, position }) = cursor {
            if other != key {
                return Err(Problem::bad_parameter("cursor", "the cursor was made for other filters"));
            }
            check_range(from, to)?;
            return Ok(Self { filter, range: AuditRange { from, to, order }, position: Some(position), key });
        }
        // A commit's clock may be ahead of ours.
        let to = to.unwrap_or_else(|| later(request.now, 1));
        let days = if view == Some("recent") { 2 } else { DEFAULT_DAYS + 1 };
        let from = from.unwrap_or_else(|| later(to, -days));
        check_range(from, to)?;
        Ok(Self { filter, range: AuditRange { from, to, order }, position: None, key })
    }

    /// Whether every entry of the models that are shown is asked for.
    pub(crate) fn shows_whole_histories(&self) -> bool {
        let Filter { actor, operation, severity, source, .. } = &self.filter;
        actor.is_none() && operation.is_none() && severity.is_none() && source.is_none()
    }

    /// Hands over the next entries that are asked for, at most `limit`, for as long as `goes_on` says so, and answers
    /// the cursor to go on with. There may be fewer, when many have to be looked at to find them.
    ///
    /// # Errors
    /// 503 when the tables do not answer.
    pub(crate) async fn visit(
        &self,
        app: &App,
        limit: usize,
        mut goes_on: impl FnMut(&AuditEntry) -> bool,
    ) -> Result<Option<String>, Problem> {
        let (mut position, mut found, mut looked_at) = (self.position.clone(), 0, 0);
        loop {
            let wanted = ENTRIES_A_CALL.min(limit - found);
            let page = app.store.audit_page(&self.range, position.as_ref(), wanted, DAYS_A_CALL).await;
            let page = page?;
            for entry in page.entries.iter().filter(|entry| self.filter.takes(entry)) {
                found += 1;
                if !goes_on(entry) {
                    return Ok(Some(self.cursor(Position::after(entry))));
                }
            }
            looked_at += page.entries.len().max(DAYS_A_CALL);
            position = page.next;
            if position.is_none() || found >= limit || looked_at >= MAX_LOOKED_AT {
                return Ok(position.map(|position| self.cursor(position)));
            }
        }
    }

    fn cursor(&self, position: Position) -> String {
        let token = Token { key: self.key.clone(), from: self.range.from, to: self.range.to, position };
        // Strings and times always encode.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

/// A cursor is not signed, so what it brings is checked as what a client brings.
fn check_range(from: Timestamp, to: Timestamp) -> Result<(), Problem> {
    if from >= to {
        return Err(Problem::bad_parameter("from", format!("from {from} is not before to {to}")));
    }
    if later(from, MAX_DAYS + 1) < to {
        let detail = format!("from {from} to {to} is more than {MAX_DAYS} days: ask for a shorter stretch");
        return Err(Problem::bad_parameter("from", detail));
    }
    Ok(())
}

fn decode(text: &str) -> Option<Token> {
    let json = Some(text).filter(|text| text.len() <= MAX_CURSOR).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())?;
    serde_json::from_slice(&json).ok()
}

/// A time, or the beginning of a day in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let read = text.parse::<Timestamp>().or_else(|_| text.parse::<Date>().and_then(midnight));
    read.map_err(|_| format!("\"{text}\" is no time such as 2026-11-21T10:00:00Z and no day such as 2026-11-21"))
}

/// The time some days later, as far as there are times.
fn later(time: Timestamp, days: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(time)
}

/// 422: there is more than one answer can hold.
pub(crate) fn too_much(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-much", "Too much", detail)
}
