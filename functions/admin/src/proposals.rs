//! Where proposals go: pull requests on GitHub, or branches of a repository on this machine.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use roster_github::{DEFAULT_API_URL, GitHub, GitHubError, Proposal, Repository};
use roster_http::{Env, Problem};

/// How long GitHub may take: less than what a function has.
const PATIENCE: Duration = Duration::from_secs(20);

/// The repository that proposals are for, and its branch.
pub(crate) struct Proposals {
    place: Place,
    base: String,
}

enum Place {
    GitHub {
        api: String,
        token: String,
        repository: Repository,
    },
    #[cfg(feature = "local")]
    Local(local::Place),
    /// There is none; what to configure.
    Nowhere(String),
}

/// A file as the branch has it.
pub(crate) struct BaseFile {
    /// The object id of its content.
    pub(crate) blob: String,
    /// Its content.
    pub(crate) content: Vec<u8>,
}

/// What is proposed.
pub(crate) struct Change {
    /// The branch that holds it.
    pub(crate) branch: String,
    /// The title, and the first line of the commit's message.
    pub(crate) title: String,
    /// The text, and the rest of the message.
    pub(crate) body: String,
    /// Who asks for it.
    pub(crate) author: String,
    /// When.
    pub(crate) at: Timestamp,
    /// The file.
    pub(crate) path: String,
    /// What it is to hold.
    pub(crate) content: String,
    /// The blob that it is on the base; `None` when it is new.
    pub(crate) expected: Option<String>,
}

/// A proposal that is there.
pub(crate) struct Opened {
    /// Where people read it, when it is a pull request.
    pub(crate) url: Option<String>,
    /// Its branch.
    pub(crate) branch: String,
    /// Whether it is new.
    pub(crate) created: bool,
}

impl Proposals {
    /// The place that the environment names; what is missing is told when somebody proposes.
    pub(crate) fn from_env(env: &Env) -> Self {
        let base = env.optional("BRANCH").unwrap_or("main").to_owned();
        Self { place: Place::from_env(env), base }
    }

    /// The branch that proposals are for.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The file at a path of the branch.
    ///
    /// # Errors
    /// A problem that says what to configure, or that the repository is out of reach.
    pub(crate) async fn file(&self, path: &str) -> Result<Option<BaseFile>, Problem> {
        match &self.place {
            Place::GitHub { api, token, repository } => {
                let client = client(api, token, repository)?;
                let file = within(client.branch_file(&self.base, path), repository).await?;
                Ok(file.map(|file| BaseFile { blob: file.blob, content: file.content }))
            }
            #[cfg(feature = "local")]
            Place::Local(place) => place.file(&self.base, path).await,
            Place::Nowhere(why) => Err(nowhere(why)),
        }
    }

    /// Opens a proposal, or finds it.
    ///
    /// # Errors
    /// The same, and 409 when the file is not as it was seen.
    pub(crate) async fn open(&self, change: Change) -> Result<Opened, Problem> {
        match &self.place {
            Place::GitHub { api, token, repository } => {
                let client = client(api, token, repository)?;
                let proposal = Proposal {
                    branch: change.branch,
                    base: self.base.clone(),
                    message: format!("{}\n\n{}", change.title, change.body),
                    title: change.title,
                    body: change.body,
                    path: change.path,
                    content: Some(change.content),
                    expected_blob: change.expected,
                };
                let pull_request = within(client.propose(&proposal), repository).await?;
                Ok(Opened { url: Some(pull_request.url), branch: proposal.branch, created: pull_request.created })
            }
            #[cfg(feature = "local")]
            Place::Local(place) => place.open(&self.base, change).await,
            Place::Nowhere(why) => Err(nowhere(why)),
        }
    }
}

impl Place {
    fn from_env(env: &Env) -> Self {
        let Some(address) = env.optional("REPOSITORY") else {
            return Self::Nowhere("REPOSITORY is not set: it names the repository".to_owned());
        };
        let is_remote = ["https://", "http://", "git@", "ssh://"].iter().any(|scheme| address.starts_with(scheme));
        if !is_remote {
            return Self::local(address);
        }
        let Ok(repository) = Repository::parse(address) else {
            return Self::Nowhere(
                "REPOSITORY names no repository of GitHub, as https://github.com/owner/name".to_owned(),
            );
        };
        let Some(token) = env.optional("GIT_TOKEN") else {
            return Self::Nowhere(
                "GIT_TOKEN is not set: give the stack a GitTokenSecretArn, or roster dev the variable".to_owned(),
            );
        };
        let api = env.optional("GITHUB_API_URL").unwrap_or(DEFAULT_API_URL).to_owned();
        Self::GitHub { api, token: token.to_owned(), repository }
    }

    #[cfg(feature = "local")]
    fn local(address: &str) -> Self {
        local::Place::parse(address).map_or_else(Self::Nowhere, Self::Local)
    }

    #[cfg(not(feature = "local"))]
    fn local(_address: &str) -> Self {
        Self::Nowhere("REPOSITORY is a path, and proposals go to a repository of GitHub: give its URL".to_owned())
    }
}

fn client(api: &str, token: &str, repository: &Repository) -> Result<GitHub, Problem> {
    GitHub::new(api, token, repository.clone()).map_err(|error| {
        tracing::error!(%error, "GitHub cannot be asked");
        let (host, hint) = (repository.host(), "GIT_TOKEN a token, and GITHUB_API_URL the API of that host");
        nowhere(&format!("{host} cannot be asked: REPOSITORY must be on GitHub, {hint}"))
    })
}

/// 501, with what to configure.
fn nowhere(why: &str) -> Problem {
    let detail = format!("changes cannot be proposed here: {why}");
    Problem::new(StatusCode::NOT_IMPLEMENTED, "proposals-not-configured", "Proposals not configured", detail)
}

fn moved(detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "branch-moved", "Branch moved", detail)
}

async fn within<T>(asked: impl Future<Output = Result<T, GitHubError>>, repository: &Repository) -> Result<T, Problem> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| told(&error, repository)),
        Err(_) => {
            tracing::error!(seconds = PATIENCE.as_secs(), "GitHub does not answer");
            Err(later("GitHub does not answer"))
        }
    }
}

fn later(why: &str) -> Problem {
    let detail = format!("{why}: the same request again goes on where this one ended");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
        .with_header(RETRY_AFTER, HeaderValue::from_static("60"))
}

/// What a client is told of GitHub's answer; the log is told all of it.
fn told(error: &GitHubError, repository: &Repository) -> Problem {
    if let GitHubError::LostRace(_) = error {
        return moved(error.to_string());
    }
    tracing::error!(%error, "GitHub did not take a proposal");
    let refused =
        |detail: String| Problem::new(StatusCode::BAD_GATEWAY, "proposal-refused", "Proposal refused", detail);
    match error {
        GitHubError::RateLimited { until, .. } => later(&format!("GitHub's rate limit holds until {until}")),
        GitHubError::Unavailable { .. } | GitHubError::Unreadable { .. } => later("GitHub is in trouble"),
        GitHubError::Unauthorized { .. } | GitHubError::Forbidden { .. } | GitHubError::NotFound { .. } => {
            refused(format!(
                "GitHub does not let the token in GIT_TOKEN propose changes to {repository}: it needs the permissions \
             contents: write and pull-requests: write there, and the branch must exist"
            ))
        }
        _ => refused(error.to_string()),
    }
}

/// A repository on this machine, which the local stack follows.
#[cfg(feature = "local")]
mod local {
    use std::path::Path;

    use roster_core::document::MAX_BYTES;
    use roster_git::{Blob, BlobId, GitError, Location, Proposal};
    use roster_http::Problem;

    use super::{BaseFile, Change, Opened, moved};

    pub(super) struct Place(Location);

    impl Place {
        pub(super) fn parse(address: &str) -> Result<Self, String> {
            Location::parse(address).map(Self).map_err(|error| error.to_string())
        }

        pub(super) async fn file(&self, base: &str, path: &str) -> Result<Option<BaseFile>, Problem> {
            let (base, path) = (base.to_owned(), path.to_owned());
            self.with(move |repository| {
                let tip = repository.branch_tip(&base)?;
                let Some(id) = repository.file(tip, &path)? else { return Ok(None) };
                let content = match repository.blob(id, MAX_BYTES)? {
                    Blob::Content(content) => content,
                    Blob::TooLarge { .. } => Vec::new(),
                };
                Ok(Some(BaseFile { blob: id.to_string(), content }))
            })
            .await
        }

        pub(super) async fn open(&self, base: &str, change: Change) -> Result<Opened, Problem> {
            let base = base.to_owned();
            self.with(move |repository| {
                let has_address = change.author.contains('@');
                let proposal = Proposal {
                    branch: change.branch,
                    base,
                    path: change.path,
                    content: change.content,
                    message: format!("{}\n\n{}\n", change.title, change.body),
                    // A subject need not be an address, and a commit needs one.
                    author_email: if has_address {
                        change.author.clone()
                    } else {
                        format!("{}@roster.invalid", change.author)
                    },
                    author_name: change.author,
                    at: change.at,
                    expected: change.expected.as_deref().map(str::parse::<BlobId>).transpose()?,
                };
                let proposed = repository.propose(&proposal)?;
                Ok(Opened { url: None, branch: proposal.branch, created: proposed.created })
            })
            .await
        }

        async fn with<T: Send + 'static>(
            &self,
            work: impl FnOnce(&roster_git::Repository) -> Result<T, GitError> + Send + 'static,
        ) -> Result<T, Problem> {
            let location = self.0.clone();
            let done = tokio::task::spawn_blocking(move || {
                work(&roster_git::Repository::open(&location, Path::new("/nonexistent"))?)
            });
            match done.await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error @ GitError::Moved { .. })) => Err(moved(error.to_string())),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the repository could not be written to");
                    Err(Problem::unavailable())
                }
                Err(error) => {
                    tracing::error!(%error, "a proposal did not come to its end");
                    Err(Problem::internal())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(variables: &[(&str, &str)]) -> String {
        let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let problem = Proposals::from_env(&env).file("f").await.err().map(|problem| problem.into_reply("r"));
        problem.map(|reply| format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))).unwrap_or_default()
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        for (variables, part) in [
            (&[][..], "REPOSITORY is not set"),
            (&[("REPOSITORY", "https://github.com/acme/models")], "GIT_TOKEN is not set"),
            (&[("REPOSITORY", "https://github.com/acme")], "names no repository of GitHub"),
            (
                &[("REPOSITORY", "https://git.example.com/a/b"), ("GIT_TOKEN", "s3cret")],
                "git.example.com cannot be asked",
            ),
        ] {
            let told = refusal(variables).await;
            assert!(told.starts_with("501 ") && told.contains(part) && !told.contains("s3cret"), "{told}");
        }
    }
}
