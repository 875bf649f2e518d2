//! How a change is asked for: at once, as a proposal to the repository, or for a time in the place of its file.

use jiff::{SignedDuration, Timestamp};
use roster_core::command;
use roster_core::record::OverrideTerms;
use roster_http::{Problem, Query, Request, Role};
use serde_json::Value;

use crate::body::{Body, invalid};

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once, where the API owns the model.
    Apply,
    /// As a pull request that changes the model's file.
    Propose,
    /// At once and for a time, whatever the model's file says.
    Override(Timestamp),
}

/// What the query asks for, with the end that it names.
pub(crate) struct Wanted {
    mode: Option<Mode>,
    until: Option<Timestamp>,
}

/// Whether a request is one for an override: then its body may hold `until`.
pub(crate) fn is_override(request: &Request) -> bool {
    request.query.iter().any(|(name, value)| name == "mode" && value == "override")
}

impl Wanted {
    pub(crate) fn of(query: &mut Query<'_>) -> Self {
        let mode = query.one("mode", |text| match text {
            "propose" => Ok(Mode::Propose),
            "override" => Ok(Mode::Override(Timestamp::MIN)),
            other => Err(format!("\"{other}\" is neither propose nor override")),
        });
        let until = query.one("until", |text| text.parse().map_err(|_| format!("\"{text}\" is no time of RFC 3339")));
        Self { mode, until }
    }

    /// The mode, if the caller may ask for it so.
    ///
    /// # Errors
    /// 403 without the role, 422 without a reason or an end.
    pub(crate) fn mode(self, request: &Request, body: &Body) -> Result<Mode, Problem> {
        match (self.mode, self.until) {
            (Some(Mode::Override(_)), until) => {
                if !request.caller.roles.contains(&Role::SuperAdmin) {
                    return Err(Problem::forbidden("mode=override is for the role super_admin"));
                }
                let until = match (&body.until, until) {
                    (None, until) => until,
                    (Some(Value::String(text)), None) => text.parse().ok(),
                    (Some(_), _) => None,
                };
                let mut problems = Vec::new();
                if body.reason.trim().is_empty() {
                    problems.push(command::problem("/reason", "an override needs a reason"));
                }
                problems.extend(until_problem(until, request.now).map(|message| command::problem("/until", message)));
                match until.filter(|_| problems.is_empty()) {
                    Some(until) => Ok(Mode::Override(until)),
                    None => Err(invalid(&problems)),
                }
            }
            (_, Some(_)) => Err(Problem::bad_parameter("until", "until is for mode=override")),
            (mode, None) => Ok(mode.unwrap_or(Mode::Apply)),
        }
    }
}

/// What is wrong with the end of an override.
fn until_problem(until: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let latest = now.saturating_add(SignedDuration::from_hours(OverrideTerms::MAX_HOURS)).unwrap_or(now);
    match until {
        None => Some("an override needs one end, in the query or the body: a time of RFC 3339".to_owned()),
        Some(until) if until <= now || until > latest => {
            Some(format!("{until} is not within the next {} days", OverrideTerms::MAX_HOURS / 24))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_ends_within_a_week() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let problem = |until: &str| until_problem(at(until), at("2026-11-25T00:00:00Z").unwrap_or_default());
        assert_eq!(problem("2026-12-02T00:00:00Z"), None);
        for late in ["2026-12-02T00:00:00.000000001Z", "2026-11-25T00:00:00Z", "2026-11-24T00:00:00Z"] {
            assert!(problem(late).is_some_and(|told| told.ends_with("is not within the next 7 days")), "{late}");
        }
        assert!(problem("soon").is_some_and(|told| told.contains("needs one end")));
    }
}
