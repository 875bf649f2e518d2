//! Why GitHub did not do what was asked, and what to do about it. No message holds the token.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;

/// What is asked of GitHub, and what a token needs for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// After "to": `comment on pull requests`.
    pub(crate) what: &'static str,
    /// As a workflow's `permissions` and a fine-grained token name it.
    pub(crate) permission: &'static str,
}

/// Why GitHub did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// Something was given that GitHub need not be asked about.
    #[error("{0}")]
    Invalid(String),
    /// 401: the token is none.
    #[error(
        "GitHub does not know the token in GITHUB_TOKEN (401): it expired, was revoked, or is for another server; a token to {what} needs the permission {permission}"
    )]
    Unauthorized {
        /// What it was for.
        what: &'static str,
        /// What a token needs.
        permission: &'static str,
    },
    /// 403: the token may not.
    #[error(
        "the token in GITHUB_TOKEN may not {what} (403): it needs the permission {permission}; GitHub says: {message}"
    )]
    Forbidden {
        /// What it was for.
        what: &'static str,
        /// What the token needs.
        permission: &'static str,
        /// GitHub's words.
        message: String,
    },
    /// 404: there is no such thing, or none that the token may see.
    #[error(
        "GitHub found nothing when asked to {what} in {repository} (404): the name is wrong, or the token in GITHUB_TOKEN lacks access to the repository or the permission {permission}"
    )]
    NotFound {
        /// What it was for.
        what: &'static str,
        /// Where.
        repository: String,
        /// What a token needs.
        permission: &'static str,
    },
    /// 403 or 429: too much was asked.
    #[error("GitHub's rate limit lets nobody with this token {what} until {until}")]
    RateLimited {
        /// What it was for.
        what: &'static str,
        /// When to ask again.
        until: Timestamp,
    },
    /// Another was faster.
    #[error("{0}; nothing of theirs was overwritten: look again, and propose anew")]
    LostRace(String),
    /// Any other answer that trying again will not change.
    #[error("GitHub refuses to {what} ({status}): {message}")]
    Refused {
        /// What it was for.
        what: &'static str,
        /// The status of the answer.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// No answer, or one that says that GitHub is in trouble.
    #[error("GitHub could not be asked to {what}: {reason}")]
    Unavailable {
        /// What it was for.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// An answer that is not what GitHub describes.
    #[error("GitHub's answer cannot be read when asked to {what}: {reason}")]
    Unreadable {
        /// What it was for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl GitHubError {
    /// What an error of the client means for whoever asked.
    pub(crate) fn explain(error: &octocrab::Error, task: Task, repository: &dyn ToString, now: Timestamp) -> Self {
        let Task { what, permission } = task;
        let answer = match error {
            octocrab::Error::GitHub { source, .. } => source,
            octocrab::Error::Service { .. } | octocrab::Error::Hyper { .. } => {
                return Self::Unavailable { what, reason: chain(error) };
            }
            _ => return Self::Unreadable { what, reason: chain(error) },
        };
        let status = answer.status_code.as_u16();
        let message = words(answer);
        if let Some(until) = limited_until(answer, now) {
            return Self::RateLimited { what, until };
        }
        match status {
            401 => Self::Unauthorized { what, permission },
            403 => Self::Forbidden { what, permission, message },
            404 => Self::NotFound { what, repository: repository.to_string(), permission },
            500.. => Self::Unavailable { what, reason: format!("it answers {status}: {message}") },
            301 | 302 | 307 | 308 => {
                let message = "the repository was renamed or moved; give its new name".to_owned();
                Self::Refused { what, status, message }
            }
            _ => Self::Refused { what, status, message },
        }
    }

    /// How long to wait before it may have passed; none when waiting will not help.
    pub(crate) fn passes_after(&self, attempt: u32, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Unavailable { .. } => Some(Duration::from_millis(250) * 2_u32.saturating_pow(attempt)),
            Self::RateLimited { until, .. } => Some(Duration::try_from(until.duration_since(now)).unwrap_or_default()),
            _ => None,
        }
    }

    /// Whether GitHub answered so.
    pub(crate) fn is_refused_with(&self, expected: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == expected)
    }
}

/// GitHub asks for a minute where it names no time.
const UNTOLD: Duration = Duration::from_secs(60);

/// Until when a limit holds, when the answer speaks of one.
fn limited_until(answer: &octocrab::GitHubError, now: Timestamp) -> Option<Timestamp> {
    if !matches!(answer.status_code.as_u16(), 403 | 429) {
        return None;
    }
    let header = |name: &str| answer.headers.as_ref()?.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let after = |seconds| now.checked_add(Duration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    if let Some(seconds) = header("retry-after") {
        return Some(after(seconds.unsigned_abs()));
    }
    if header("x-ratelimit-remaining") == Some(0) {
        return header("x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok()).or(Some(after(60)));
    }
    let is_limit = answer.status_code.as_u16() == 429 || answer.message.to_lowercase().contains("rate limit");
    is_limit.then(|| after(UNTOLD.as_secs()))
}

/// GitHub's own words in one line: its message, and what it says of each field.
fn words(answer: &octocrab::GitHubError) -> String {
    let details = answer.errors.iter().flatten().map(|error| {
        let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str);
        match (error.as_str().or_else(|| text("message")), text("field"), text("code")) {
            (Some(message), ..) => message.to_owned(),
            (None, Some(field), Some(code)) => format!("{field}: {code}"),
            _ => error.to_string(),
        }
    });
    let all: Vec<String> = std::iter::once(answer.message.clone()).chain(details).collect();
    shortened(&all.join("; "), 500)
}

/// An error with its causes.
fn chain(error: &octocrab::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    shortened(&text, 500)
}

/// The text in one line of at most so many characters.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    let start: String = line.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened(" a\n b ", 3), "a b");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened(&"x".repeat(141), 140).chars().count(), 140);
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let now = Timestamp::UNIX_EPOCH;
        let unavailable = GitHubError::Unavailable { what: "x", reason: String::new() };
        assert_eq!(unavailable.passes_after(1, now), Some(Duration::from_millis(500)));
        assert_eq!(unavailable.passes_after(2, now), Some(Duration::from_secs(1)));
        let limited = |seconds| GitHubError::RateLimited { what: "x", until: Timestamp::from_second(seconds).unwrap() };
        assert_eq!(limited(9).passes_after(1, now), Some(Duration::from_secs(9)));
        assert_eq!(limited(-9).passes_after(1, now), Some(Duration::ZERO));
        let refused = GitHubError::Refused { what: "x", status: 422, message: String::new() };
        assert_eq!((refused.passes_after(1, now), refused.is_refused_with(422)), (None, true));
    }
}
