//! What became of a commit, as a status on it; and which pull requests it belongs to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{PER_PAGE, Patience};
use crate::error::{Task, shortened};
use crate::{GitHub, GitHubError};

const STATUS: Task = Task { what: "set the status of commits", permission: "statuses: write" };
const PULLS: Task = Task { what: "list the pull requests of a commit", permission: "pull-requests: read" };

/// Under which name the status of a commit stands beside those of others.
pub const CONTEXT: &str = "roster/catalogue";

/// What GitHub takes.
const DESCRIPTION_LIMIT: usize = 140;

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It would be applied.
    Planned,
    /// The guard holds it for approval.
    Held,
    /// It is published.
    Applied,
    /// It asks for nothing that is not so already.
    Unchanged,
    /// It has mistakes.
    Rejected,
    /// It could not be looked at, or not be applied.
    Failed,
    /// A newer commit was applied in its place.
    Superseded,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Planned, Self::Held, Self::Applied, Self::Unchanged, Self::Rejected, Self::Failed, Self::Superseded];

    /// The state's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Held => "held",
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// What is said where nobody says more.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Planned => "planned: would be applied",
            Self::Held => "held for approval",
            Self::Applied => "applied",
            Self::Unchanged => "nothing to change",
            Self::Rejected => "rejected: has mistakes",
            Self::Failed => "failed",
            Self::Superseded => "superseded by a newer commit",
        }
    }

    /// What GitHub calls it. A planned commit has passed all that can be checked before the merge: a branch may
    /// require this status. A superseded one is in the newer commit, which has a status of its own.
    fn on_github(self) -> &'static str {
        match self {
            Self::Planned | Self::Applied | Self::Unchanged | Self::Superseded => "success",
            Self::Held => "pending",
            Self::Rejected => "failure",
            Self::Failed => "error",
        }
    }
}

/// What is said of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// What became of it.
    pub state: State,
    /// One line; what GitHub has no room for is cut off.
    pub description: String,
    /// Where more is to be read.
    pub target_url: Option<String>,
    /// Under which name; [`CONTEXT`] unless there are several catalogues.
    pub context: String,
}

impl CommitStatus {
    /// The state in plain words.
    #[must_use]
    pub fn new(state: State) -> Self {
        let description = state.description().to_owned();
        Self { state, description, target_url: None, context: CONTEXT.to_owned() }
    }

    fn body(&self) -> Value {
        let description = shortened(&self.description, DESCRIPTION_LIMIT);
        let mut body = json!({"state": self.state.on_github(), "description": description, "context": self.context});
        if let Some(url) = &self.target_url {
            body["target_url"] = json!(url);
        }
        body
    }
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
}

impl GitHub {
    /// Sets the status of a commit, unless it is so already. Returns whether it was set.
    ///
    /// # Errors
    /// [`GitHubError`]; the commit is named by its whole id.
    pub async fn set_status(&self, commit: &str, status: &CommitStatus) -> Result<bool, GitHubError> {
        check_commit(commit)?;
        let mut patience = Patience::default();
        loop {
            match self.try_set_status(commit, &status.body()).await {
                Ok(set) => return Ok(set),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    async fn try_set_status(&self, commit: &str, body: &Value) -> Result<bool, GitHubError> {
        // The newest come first. One that a hundred others hide is set again, which harms nobody.
        let route = self.route(format_args!("commits/{commit}/statuses"));
        let statuses: Vec<Value> = self.get(STATUS, &route, PER_PAGE).await?;
        let newest = statuses.iter().find(|status| status["context"] == body["context"]);
        let same = |key: &str| newest.is_some_and(|newest| newest[key] == body[key]);
        if same("state") && same("description") && same("target_url") {
            return Ok(false);
        }
        let route = self.route(format_args!("statuses/{commit}"));
        let _: Value = self.post(STATUS, &route, body).await?;
        Ok(true)
    }

    /// The numbers of the pull requests that a commit came by, or is in.
    ///
    /// # Errors
    /// [`GitHubError`]; the commit is named by its whole id.
    pub async fn pull_requests_of_commit(&self, commit: &str) -> Result<Vec<u64>, GitHubError> {
        check_commit(commit)?;
        let route = self.route(format_args!("commits/{commit}/pulls"));
        let mut patience = Patience::default();
        loop {
            match self.list::<Pull>(PULLS, &route, &[]).await {
                Ok(pulls) => return Ok(pulls.iter().map(|pull| pull.number).collect()),
                Err(error) => patience.wait(error).await?,
            }
        }
    }
}

fn check_commit(commit: &str) -> Result<(), GitHubError> {
    // SHA-1, or SHA-256 where a repository is of that format.
    if matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(GitHubError::Invalid(format!("{commit:?} is not the whole id of a commit")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_what_github_shows() {
        let shown = |state: State| format!("{} {}", state.name(), state.on_github());
        assert_eq!(
            State::ALL.map(shown),
            [
                "planned success",
                "held pending",
                "applied success",
                "unchanged success",
                "rejected failure",
                "failed error",
                "superseded success",
            ]
        );
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(State::from_name("busy"), None);
    }

    #[test]
    fn a_description_is_one_line_that_fits() {
        let mut status = CommitStatus::new(State::Applied);
        status.description = format!("revision 7:\n{}", "ä".repeat(200));
        let body = status.body();
        let description = body["description"].as_str().unwrap();
        assert_eq!(description.chars().count(), 140);
        assert!(description.starts_with("revision 7: ä") && description.ends_with('…'), "{description}");
        assert!(body.get("target_url").is_none());
    }
}
