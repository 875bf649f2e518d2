//! The client: one repository, one token, bounded patience.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use octocrab::{Octocrab, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Task;
use crate::{GitHubError, Repository};

/// Where GitHub's API is.
pub const DEFAULT_API_URL: &str = "https://api.github.com";

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often an operation is begun at most.
const ATTEMPTS: u32 = 4;

/// A longer wait is for whoever asked to decide about.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a list holds per page, at most.
pub(crate) const PER_PAGE: &[(&str, &str)] = &[("per_page", "100")];

/// One repository on GitHub.
pub struct GitHub {
    crab: Octocrab,
    api: String,
    pub(crate) repository: Repository,
}

impl GitHub {
    /// A client of the repository, which asks nothing yet. It is made inside an async runtime.
    ///
    /// # Errors
    /// [`GitHubError::Invalid`] for a URL or a token that cannot be used.
    pub fn new(api_url: &str, token: &str, repository: Repository) -> Result<Self, GitHubError> {
        let invalid = |why: &str| GitHubError::Invalid(why.to_owned());
        let api = api_url.trim_end_matches('/');
        if !is_safe(api) {
            return Err(invalid("GITHUB_API_URL is not an https URL, or an http one of this machine"));
        }
        if api == DEFAULT_API_URL && !matches!(repository.host(), "github.com" | "www.github.com" | "ssh.github.com") {
            let host = repository.host();
            let why = format!("{repository} is on {host}, not on github.com: name its API in GITHUB_API_URL");
            return Err(GitHubError::Invalid(why));
        }
        let token = token.trim();
        if token.is_empty() || !token.chars().all(|character| character.is_ascii_graphic()) {
            return Err(invalid("GITHUB_TOKEN is not set, or not a token"));
        }
        let build = || Octocrab::builder().base_uri(api)?.personal_token(token).build();
        // Nothing that the client says of a URL or of root certificates holds the token.
        let crab = build().map_err(|error| GitHubError::Invalid(format!("no client for GitHub: {error}")))?;
        Ok(Self { crab, api: api.to_owned(), repository })
    }

    /// A client of the repository with the token and the URL that the environment names.
    ///
    /// # Errors
    /// [`GitHubError::Invalid`] when a variable cannot be used, or `GITHUB_TOKEN` is not set.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>, repository: Repository) -> Result<Self, GitHubError> {
        let api = variable("GITHUB_API_URL").filter(|url| !url.is_empty());
        let token = variable("GITHUB_TOKEN").unwrap_or_default();
        Self::new(api.as_deref().unwrap_or(DEFAULT_API_URL), &token, repository)
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The path of something in the repository.
    pub(crate) fn route(&self, rest: impl fmt::Display) -> String {
        format!("/repos/{}/{rest}", self.repository)
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<T, GitHubError> {
        self.ask(task, self.crab.get(route, Some(query))).await
    }

    /// Every page of a list.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, GitHubError> {
        let query = [PER_PAGE, query].concat();
        let mut page: Page<T> = self.ask(task, self.crab.get(route, Some(&query))).await?;
        let mut all = page.take_items();
        while let Some(mut next) = self.ask(task, self.crab.get_page(&page.next)).await? {
            all.append(&mut next.take_items());
            page = next;
        }
        Ok(all)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GitHubError> {
        self.ask(task, self.crab.post(route, Some(body))).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GitHubError> {
        self.ask(task, self.crab.patch(route, Some(body))).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GitHubError> {
        self.ask(task, self.crab.put(route, Some(body))).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GitHubError> {
        self.ask(task, self.crab.delete(route, Some(body))).await
    }

    async fn ask<T>(&self, task: Task, answer: impl Future<Output = octocrab::Result<T>>) -> Result<T, GitHubError> {
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => {
                answer.map_err(|error| GitHubError::explain(&error, task, &self.repository, Timestamp::now()))
            }
            Err(_) => {
                let reason = format!("no answer from {} within {} s", self.api, TIMEOUT.as_secs());
                Err(GitHubError::Unavailable { what: task.what, reason })
            }
        }
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GitHub").field("api", &self.api).field("repository", &self.repository).finish()
    }
}

/// A token goes over TLS, or stays on this machine.
fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split('/').next().unwrap_or_default();
    // What stands before an @ is a name and a password, not the host.
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    !authority.contains('@') && matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// How much longer an operation is tried.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// Waits until the failure may have passed.
    ///
    /// # Errors
    /// The failure itself, when waiting does not help, would be too long, or was tried too often.
    pub(crate) async fn wait(&mut self, error: GitHubError) -> Result<(), GitHubError> {
        self.failures += 1;
        let wait = error.passes_after(self.failures, Timestamp::now());
        let Some(wait) = wait.filter(|wait| self.failures < ATTEMPTS && *wait <= LONGEST_WAIT) else {
            return Err(error);
        };
        tracing::warn!(%error, attempt = self.failures, seconds = wait.as_secs_f64(), "GitHub will be asked again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(api: &str, token: &str, repository: &str) -> Result<GitHub, String> {
        GitHub::new(api, token, Repository::parse(repository).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_cannot_be_configured() {
        for (api, token, repository, expected) in [
            (DEFAULT_API_URL, "", "a/b", "GITHUB_TOKEN is not set"),
            (DEFAULT_API_URL, "se\ncret", "a/b", "GITHUB_TOKEN is not set, or not a token"),
            ("http://api.github.com", "t", "a/b", "GITHUB_API_URL is not an https URL"),
            ("http://localhost.evil.example", "t", "a/b", "GITHUB_API_URL is not an https URL"),
            ("http://127.0.0.1@evil.example", "t", "a/b", "GITHUB_API_URL is not an https URL"),
            ("http://127.0.0.1:1@evil.example", "t", "a/b", "GITHUB_API_URL is not an https URL"),
            ("api.github.com", "t", "a/b", "GITHUB_API_URL is not an https URL"),
            (DEFAULT_API_URL, "t", "git@gitlab.com:a/b", "a/b is on gitlab.com, not on github.com"),
        ] {
            let error = client(api, token, repository).unwrap_err();
            assert!(error.contains(expected), "{api} {repository}: {error}");
            assert!(!error.contains("cret"), "{error}");
        }
        for (api, repository) in [
            (DEFAULT_API_URL, "ssh://git@ssh.github.com:443/a/b"),
            ("https://api.github.com/", "a/b"),
            ("https://git.example.com/api/v3", "https://git.example.com/a/b"),
            ("http://127.0.0.1:9", "a/b"),
            ("http://[::1]:9", "a/b"),
        ] {
            let github = client(api, " very-secret\n", repository).unwrap();
            assert!(!format!("{github:?}").contains("secret"));
        }
    }

    #[tokio::test]
    async fn the_environment_configures_it() {
        let repository = Repository::parse("a/b").unwrap();
        let with = |pairs: &'static [(&str, &str)]| {
            let variable =
                |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            GitHub::from_env(variable, repository.clone())
        };
        assert!(with(&[]).is_err());
        assert_eq!(with(&[("GITHUB_TOKEN", "t"), ("GITHUB_API_URL", "")]).unwrap().api, DEFAULT_API_URL);
        let local = with(&[("GITHUB_TOKEN", "t"), ("GITHUB_API_URL", "http://localhost:1/")]).unwrap();
        assert_eq!(local.api, "http://localhost:1");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let passing = || GitHubError::Unavailable { what: "x", reason: String::new() };
        let mut patience = Patience::default();
        for _ in 1..ATTEMPTS {
            patience.wait(passing()).await.unwrap();
        }
        assert!(patience.wait(passing()).await.is_err());
        let until = Timestamp::now().checked_add(Duration::from_secs(90)).unwrap();
        let limited = GitHubError::RateLimited { what: "x", until };
        assert!(Patience::default().wait(limited).await.is_err());
        assert!(Patience::default().wait(GitHubError::LostRace(String::new())).await.is_err());
    }

    #[test]
    fn operations_can_be_sent_between_threads() {
        fn sent<T: Send>(_: impl FnOnce(&'static GitHub) -> T) {}
        sent(|github| github.pull_requests_of_commit(""));
        sent(|github| github.upsert_comment(7, "", ""));
        sent(|github| github.branch_file("", ""));
        sent(|github| async { github.set_status("", &crate::CommitStatus::new(crate::State::Held)).await });
    }
}
