//! What a sync made of each commit, as the commit's status on GitHub.
//!
//! Nothing waits for GitHub but the call of `sync` that set it in motion, after the lease is given back and the wishes
//! are granted, and that for a bounded time. What could not be set is tried again by the next call of this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roster_core::Problem;
use roster_github::{CommitStatus, DEFAULT_API_URL, GitHub, GitHubError, Repository, State};
use roster_http::Env;
use roster_sync::CommitReport;

/// How long a call of `sync` sets statuses.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statuses that wait; of more, the oldest are given up.
const MAX_WAITING: usize = 100;
/// Statuses that are known to be set; beyond, they are looked up again.
const MAX_KNOWN: usize = 1_000;

/// Sets the statuses of one repository's commits.
pub(crate) struct Statuses {
    api: String,
    token: String,
    repository: Repository,
    context: String,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The newest last.
    waiting: Vec<(String, CommitStatus)>,
    /// What each commit's status is known to be: a commit that is held comes again with every look.
    known: HashMap<String, CommitStatus>,
    /// The failure that was logged last: the same one again is no news.
    said: String,
}

/// What became of the commits of one run, oldest first.
#[derive(Default)]
pub(crate) struct Outcomes(Vec<(String, State, String)>);

impl Outcomes {
    /// Takes down what became of a commit.
    pub(crate) fn note(&mut self, report: &CommitReport) {
        let short = report.commit.get(..12).unwrap_or(&report.commit);
        let by = format!("superseded by {short}");
        self.0.extend(report.superseded.iter().map(|commit| (commit.clone(), State::Superseded, by.clone())));
        let state = match report.state {
            roster_sync::State::Planned => return,
            roster_sync::State::Held => State::Held,
            roster_sync::State::Applied => State::Applied,
            roster_sync::State::Rejected => State::Rejected,
            roster_sync::State::Unchanged => State::Unchanged,
        };
        if matches!(state, State::Applied | State::Unchanged) {
            // What was held before it is in it.
            for (_, state, description) in self.0.iter_mut().filter(|(_, state, _)| *state == State::Held) {
                (*state, *description) = (State::Superseded, by.clone());
            }
        }
        self.0.push((report.commit.clone(), state, described(report, state)));
    }

    /// Takes down that a commit could not be brought to an end.
    pub(crate) fn failed(&mut self, commit: String, why: &str) {
        self.0.push((commit, State::Failed, format!("failed: {why}; it is tried again")));
    }
}

/// One line for everybody who may read the repository: who holds and why is for admins.
fn described(report: &CommitReport, state: State) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    match state {
        State::Applied => {
            format!("applied: revision {}, {}", report.revision, counted(report.operations, "operation"))
        }
        State::Unchanged => format!("nothing to change: revision {}", report.revision),
        State::Held => {
            let mut rules: Vec<&str> = report.holds.iter().map(|hold| hold.rule.as_str()).collect();
            rules.dedup();
            format!("held for approval: {}", rules.join(", "))
        }
        State::Rejected => {
            let place = |problem: &Problem| format!(", the first in {}:{}", problem.file, problem.line);
            let first = report.problems.first().filter(|problem| problem.line > 0).map(place).unwrap_or_default();
            format!("rejected: {}{first}", counted(report.problems.len(), "mistake"))
        }
        State::Planned | State::Failed | State::Superseded => state.description().to_owned(),
    }
}

impl Statuses {
    /// Statuses under the name `STATUS_CONTEXT`, with the token that reads the repository. None without either, and for
    /// a repository that is on no GitHub: on github.com, or on the one that `GITHUB_API_URL` is the API of.
    pub(crate) fn from_env(env: &Env, repository: &str) -> Option<Self> {
        let (context, token) = (env.optional("STATUS_CONTEXT")?, env.optional("GIT_TOKEN")?);
        let api = env.optional("GITHUB_API_URL");
        // A path of this machine has a name on GitHub only when it is told.
        let named = env.optional("GITHUB_REPOSITORY").or(Some(repository).filter(|name| name.contains("://")))?;
        let repository = Repository::parse(named).ok()?;
        if api.is_none() && repository.host() != "github.com" {
            return None;
        }
        Some(Self {
            api: api.unwrap_or(DEFAULT_API_URL).to_owned(),
            token: token.to_owned(),
            repository,
            context: context.to_owned(),
            queue: Mutex::default(),
        })
    }

    /// Puts what became of commits in the queue.
    pub(crate) fn add(&self, outcomes: Outcomes) {
        let mut queue = self.queue();
        for (commit, state, description) in outcomes.0 {
            let status = CommitStatus { description, context: self.context.clone(), ..CommitStatus::new(state) };
            queue.waiting.retain(|(other, _)| *other != commit);
            if queue.known.get(&commit) != Some(&status) {
                queue.waiting.push((commit, status));
            }
        }
        let too_many = queue.waiting.len().saturating_sub(MAX_WAITING);
        queue.waiting.drain(..too_many);
    }

    /// Sets what waits, the newest first. It fails for nobody: the sync is done, whatever GitHub says.
    pub(crate) async fn set(&self) {
        if self.queue().waiting.is_empty() {
            return;
        }
        match tokio::time::timeout(PATIENCE, self.set_all()).await {
            Ok(Ok(())) => self.queue().said.clear(),
            Ok(Err(error)) => self.say(error.to_string()),
            Err(_) => self.say(format!("GitHub took more than {} s", PATIENCE.as_secs())),
        }
    }

    async fn set_all(&self) -> Result<(), GitHubError> {
        // A client each time: between two calls Lambda may freeze the process, which no connection outlives.
        let github = GitHub::new(&self.api, &self.token, self.repository.clone())?;
        loop {
            let Some((commit, status)) = self.queue().waiting.last().cloned() else { return Ok(()) };
            match github.set_status(&commit, &status).await {
                Ok(_) => {}
                // GitHub does not take this one: the others are not to wait for it.
                Err(error @ (GitHubError::Refused { .. } | GitHubError::Invalid(_))) => self.say(error.to_string()),
                Err(error) => return Err(error),
            }
            let mut queue = self.queue();
            queue.waiting.retain(|waiting| *waiting != (commit.clone(), status.clone()));
            if queue.known.len() >= MAX_KNOWN {
                queue.known.clear();
            }
            queue.known.insert(commit, status);
        }
    }

    fn say(&self, error: String) {
        let mut queue = self.queue();
        if queue.said != error {
            let waiting = queue.waiting.len();
            tracing::warn!(error, waiting, "statuses of commits could not be set with the token in GIT_TOKEN");
            queue.said = error;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(variables: &[(&str, &str)], repository: &str) -> Option<Statuses> {
        let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Statuses::from_env(&env, repository)
    }

    #[test]
    fn they_are_set_where_there_is_a_github_and_a_token() {
        let (context, token) = (("STATUS_CONTEXT", "roster/catalogue"), ("GIT_TOKEN", "t"));
        let on = "https://github.com/acme/models";
        assert!(statuses(&[context, token], on).is_some());
        assert!(statuses(&[token], on).is_none(), "nobody asked for them");
        assert!(statuses(&[context], on).is_none(), "no token");
        for elsewhere in [".", "acme/models", "file:///srv/models", "https://git.example.com/acme/models"] {
            assert!(statuses(&[context, token], elsewhere).is_none(), "{elsewhere}");
        }
        let server = ("GITHUB_API_URL", "https://git.example.com/api/v3");
        assert!(statuses(&[context, token, server], "https://git.example.com/acme/models").is_some());
        assert!(statuses(&[context, token, ("GITHUB_REPOSITORY", "acme/models")], ".").is_some());
    }

    #[tokio::test]
    async fn a_failure_keeps_what_waits_and_what_is_newer_counts() {
        let nowhere = ("GITHUB_API_URL", "http://127.0.0.1:1");
        let variables = [("STATUS_CONTEXT", "x"), ("GIT_TOKEN", "t"), ("GITHUB_REPOSITORY", "acme/models"), nowhere];
        let statuses = statuses(&variables, ".").unwrap();
        let commit = |number: usize| format!("{number:040}");
        let add = |number: usize, state: State| {
            statuses.add(Outcomes(vec![(commit(number), state, state.name().to_owned())]));
        };
        add(0, State::Held);
        add(0, State::Applied);
        let waiting = || statuses.queue().waiting.clone();
        assert_eq!(waiting().iter().map(|(_, status)| status.state).collect::<Vec<_>>(), [State::Applied]);
        for number in 1..=MAX_WAITING {
            add(number, State::Held);
        }
        assert_eq!((waiting().len(), waiting()[0].0.clone()), (MAX_WAITING, commit(1)), "the oldest is given up");
        // The client would be made, and asked, with what github.com needs.
        assert!(GitHub::new(DEFAULT_API_URL, "t", Repository::parse("acme/models").unwrap()).is_ok());
        statuses.set().await;
        assert_eq!(waiting().len(), MAX_WAITING);
        assert!(!statuses.queue().said.is_empty());
    }
}
