//! `GET /admin/warnings`: models and versions that end soon, the soonest first, and whether something replaces them.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use roster_core::audit::Severity;
use roster_core::end_of_life::{days_left, severity};
use roster_core::lifecycle::Stage;
use roster_core::view::{EndingVersion, View};
use roster_http::{Problem, Query, Reply, Request};
use roster_store::reader::Snapshot;
use serde_json::{Value, json};

use crate::App;
use crate::listing::{Listing, entry, find};

/// Days before an end at which it is told when policy names none.
const DEFAULT_DAYS: u64 = 90;
/// Days for which a sunset that has passed is still told: clients of it fail since.
const PASSED_DAYS: i64 = 7;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let listing = Listing::read(&mut query);
    let wanted = query.one("severity", str::parse::<Severity>);
    let within = query.number("within_days", 0..=36_500);
    query.finish()?;
    let now = request.now;
    let pinned = listing.pin(app, &request, &format!("warnings {wanted:?} {within:?}")).await?;
    let snapshot = &pinned.snapshot;
    let windows = &snapshot.policy.lifecycle.warning_window_days;
    let within = within.map(|days| days as u64);
    let days = within.or_else(|| windows.iter().max().copied()).unwrap_or(DEFAULT_DAYS);
    let version_days = within.unwrap_or(snapshot.policy.versions.eol_warning_threshold_days);
    let is_near = |end: &End<'_>| {
        let days = if end.version.is_some() { version_days } else { days };
        let ahead = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400);
        end.at.as_second() <= ahead.saturating_add(now.as_second())
    };
    let mut ends: Vec<End<'_>> =
        snapshot.views().filter(|view| listing.takes(view)).flat_map(|v| End::of(v, now)).collect();
    ends.retain(|end| is_near(end) && wanted.is_none_or(|wanted| severity(end.at, now) == wanted));
    ends.sort_by_cached_key(End::key);
    let total = ends.len();
    ends.retain(|end| end.key() > pinned.after);
    let has_next = ends.len() > listing.limit;
    ends.truncate(listing.limit);
    let next = ends.last().filter(|_| has_next).map(|last| pinned.cursor(last.key()));
    let data = json!({
        "warnings": ends.iter().map(|end| end.shown(snapshot, now)).collect::<Vec<_>>(),
        "total": total,
        "withinDays": days,
        "versionsWithinDays": version_days,
        "revision": snapshot.revision,
        "nextCursor": next,
    });
    Ok(Reply::success(StatusCode::OK, "models and versions that end soon", data))
}

/// What ends: a model, or a version of one.
struct End<'v> {
    view: &'v View,
    version: Option<&'v EndingVersion>,
    at: Timestamp,
}

impl<'v> End<'v> {
    /// The ends of a model that are to come, and those that passed while somebody may still count on it.
    fn of(view: &'v View, now: Timestamp) -> impl Iterator<Item = Self> {
        let is_archived = view.stage == Stage::Archived;
        let is_recent = |at: &Timestamp| {
            let forgotten = at.saturating_add(SignedDuration::from_hours(24 * PASSED_DAYS));
            *at <= now && forgotten.is_ok_and(|forgotten| now < forgotten)
        };
        let sunset = view.sunset.filter(|at| !is_archived || is_recent(at));
        let versions = view.ending_versions.iter().filter(move |_| !is_archived);
        let model = sunset.map(|at| Self { view, version: None, at });
        model.into_iter().chain(versions.map(move |version| Self { view, version: Some(version), at: version.end }))
    }

    /// By what the list is ordered: the time to the second, and then names.
    fn key(&self) -> String {
        let version = self.version.map(|version| version.version.to_string()).unwrap_or_default();
        format!("{:.0} {} {version}", self.at, self.view.id)
    }

    fn shown(&self, snapshot: &Snapshot, now: Timestamp) -> Value {
        let mut shown = entry(snapshot, self.view, now);
        shown["endsAt"] = json!(self.at);
        shown["daysLeft"] = days_left(self.at, now).into();
        shown["hasPassed"] = (self.at <= now).into();
        shown["severity"] = json!(severity(self.at, now));
        match self.version {
            Some(EndingVersion { version, replacement, .. }) => {
                shown["subject"] = "version".into();
                shown["version"] = json!(version);
                shown["replacementVersion"] = json!(replacement);
                shown["replacementIsMissing"] = replacement.is_none().into();
            }
            None => {
                let in_use = shown["replacementInUse"].as_str().and_then(|id| find(snapshot, id));
                shown["subject"] = "model".into();
                shown["replacementIsMissing"] = in_use.is_none().into();
                // The end of the chain may be on its way out, too.
                shown["replacementIsGoing"] = in_use.is_some_and(|view| view.is_legacy || view.sunset.is_some()).into();
                shown["replacementSunsetDate"] = json!(in_use.and_then(|view| view.sunset));
            }
        }
        shown
    }
}
