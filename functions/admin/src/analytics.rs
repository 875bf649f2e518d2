//! `GET /admin/analytics`: usage, cost, latency and errors by model, version, provider or day.

use http::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use roster_core::ModelId;
use roster_core::usage::{GroupBy, Usage};
use roster_http::{Problem, Query, Reply, Request};
use serde_json::json;

use crate::{App, timeline};

/// The most days of one answer.
const MAX_DAYS: usize = 92;
/// The days that are meant when none are named, today included.
const DEFAULT_DAYS: i32 = 30;
const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 200;
/// Windows that one answer puts together: the days of a catalogue, or of a few models of a large one.
const MAX_WINDOWS: usize = 100_000;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let (from, to) = (query.one("from", day), query.one("to", day));
    let by = query.one("group_by", group_by).unwrap_or(GroupBy::Model);
    let model = query.one("model", ModelId::parse);
    let version = query.one("version", str::parse::<semver::Version>);
    let provider = query.text("provider");
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    query.finish()?;
    let days = days(from, to, request.now)?;
    let snapshot = app.reader.current(request.now).await?.snapshot;
    let find = |name: &str| snapshot.get(name).or_else(|| snapshot.tombstone(name));
    let model = model.map(|name| find(name.as_str()).map_or_else(|| name.clone(), |view| view.id.clone()));
    let (mut usage, mut windows) = (Usage::by(by), 0);
    let each = |day, subject: roster_core::window::Subject, measured| {
        windows += 1;
        // Results are of models that were in the catalogue, and a model is never taken out of it whole.
        let of = find(subject.model.as_str()).map_or("", |view| &view.provider);
        let is_asked = provider.is_none_or(|provider| provider == of)
            && version.as_ref().is_none_or(|version| subject.version.as_ref() == Some(version));
        if is_asked {
            usage.add(day, &subject, of, &measured);
        }
        windows < MAX_WINDOWS
    };
    app.store.usage(&days, model.as_ref(), each).await?;
    if windows >= MAX_WINDOWS {
        let detail = format!("there are {MAX_WINDOWS} windows and more: ask for fewer days, or for one model");
        return Err(timeline::too_much(detail));
    }
    let data = json!({
        "from": days.first(), "to": days.last(), "groupBy": by.name(),
        "total": usage.total(), "groups": usage.groups(limit), "groupCount": usage.group_count(),
    });
    Ok(Reply::success(StatusCode::OK, &format!("usage by {}", by.name()), data))
}

fn group_by(text: &str) -> Result<GroupBy, String> {
    let known = || GroupBy::ALL.map(GroupBy::name).join(", ");
    let found = GroupBy::ALL.into_iter().find(|by| by.name() == text);
    found.ok_or_else(|| format!("\"{text}\" is nothing to group by: there are {}", known()))
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no day such as 2026-11-21"))
}

/// The days from one to another, both included; by default the last ones up to today.
fn days(from: Option<Date>, to: Option<Date>, now: Timestamp) -> Result<Vec<Date>, Problem> {
    let to = to.unwrap_or_else(|| TimeZone::UTC.to_datetime(now).date());
    let from = from.unwrap_or_else(|| to.saturating_sub((DEFAULT_DAYS - 1).days()));
    let days: Vec<Date> = from.series(1.day()).take_while(|day| *day <= to).take(MAX_DAYS + 1).collect();
    match days.len() {
        0 => Err(Problem::bad_parameter("from", format!("from {from} is after to {to}"))),
        count if count > MAX_DAYS => {
            let detail = format!("from {from} to {to} is more than {MAX_DAYS} days: ask for fewer");
            Err(Problem::bad_parameter("from", detail))
        }
        _ => Ok(days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_both_included_and_bounded() {
        let now = "2026-11-26T01:00:00Z".parse().unwrap();
        let asked = |from: &str, to: &str| days(from.parse().ok(), to.parse().ok(), now);
        let told = |days: Vec<Date>| (days.len(), days[0].to_string(), days[days.len() - 1].to_string());
        assert_eq!(told(asked("", "").unwrap()), (30, "2026-10-28".into(), "2026-11-26".into()));
        assert_eq!(told(asked("2026-11-26", "").unwrap()), (1, "2026-11-26".into(), "2026-11-26".into()));
        assert_eq!(asked("2026-09-01", "2026-12-01").unwrap().len(), 92);
        assert!(asked("2026-08-31", "2026-12-01").is_err() && asked("2026-11-27", "").is_err());
        assert!(asked("-009999-01-01", "9999-12-31").is_err() && asked("", "-009999-01-01").is_ok());
    }
}
