//! Pull requests that propose a change of one file.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Patience;
use crate::comment::same_text;
use crate::error::Task;
use crate::{GitHub, GitHubError};

const READ: Task = Task { what: "read a branch or a file", permission: "contents: read" };
const WRITE: Task = Task { what: "commit to a branch", permission: "contents: write" };
const PROPOSE: Task = Task { what: "open pull requests", permission: "pull-requests: write" };

/// What the branches of proposals begin with. These are Roster's own: one without an open pull request is
/// begun anew from its base, whatever an old proposal left there.
pub const BRANCHES: &str = "roster/";

/// What a path keeps as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A change of one file, for review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The branch that holds it, below [`BRANCHES`].
    pub branch: String,
    /// The branch that it is for.
    pub base: String,
    /// The title of the pull request.
    pub title: String,
    /// The text of the pull request.
    pub body: String,
    /// The file.
    pub path: String,
    /// What the file is to hold; none removes it.
    pub content: Option<String>,
    /// The message of the commit.
    pub message: String,
    /// The blob that the file is on the base, as whoever proposes has seen it; none for a file that is new.
    pub expected_blob: Option<String>,
}

/// The pull request of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Where people read it.
    pub url: String,
    /// Whether it is new.
    pub created: bool,
}

/// A file as a branch has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchFile {
    /// The object id of its content.
    pub blob: String,
    /// Its content.
    pub content: Vec<u8>,
}

#[derive(Deserialize)]
struct Ref {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Contents {
    sha: String,
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
}

impl GitHub {
    /// The file at a path of a branch, if there is one.
    ///
    /// # Errors
    /// [`GitHubError`] when GitHub does not tell.
    pub async fn branch_file(&self, branch: &str, path: &str) -> Result<Option<BranchFile>, GitHubError> {
        let mut patience = Patience::default();
        loop {
            match self.try_branch_file(branch, path).await {
                Ok(file) => return Ok(file),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    async fn try_branch_file(&self, branch: &str, path: &str) -> Result<Option<BranchFile>, GitHubError> {
        // A branch that is not there is a mistake; a file that is not there is an answer.
        let commit = self.branch(branch).await?;
        let Some(file) = self.file(path, &commit).await? else { return Ok(None) };
        let content = file.bytes().ok_or(GitHubError::Unreadable {
            what: READ.what,
            reason: format!("{path} is not in base64: it may be too large"),
        })?;
        Ok(Some(BranchFile { blob: file.sha, content }))
    }

    /// Commits the change to its branch and opens a pull request; an open one of the branch is updated instead.
    ///
    /// # Errors
    /// [`GitHubError::LostRace`] when the file is not as it was seen, or changes meanwhile;
    /// [`GitHubError::Invalid`] for a proposal that makes no sense.
    pub async fn propose(&self, proposal: &Proposal) -> Result<PullRequest, GitHubError> {
        if !proposal.branch.starts_with(BRANCHES) || proposal.branch == proposal.base {
            let why = format!("the branch of a proposal begins with {BRANCHES}, which {} does not", proposal.branch);
            return Err(GitHubError::Invalid(why));
        }
        let mut patience = Patience::default();
        loop {
            match self.try_propose(proposal).await {
                Ok(pull_request) => return Ok(pull_request),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    async fn try_propose(&self, proposal: &Proposal) -> Result<PullRequest, GitHubError> {
        let Proposal { branch, base, path, .. } = proposal;
        let base_commit = self.branch(base).await?;
        let on_base = self.file(path, &base_commit).await?;
        if on_base.as_ref().map(|file| &file.sha) != proposal.expected_blob.as_ref() {
            return Err(GitHubError::LostRace(format!("{path} on {base} is not what it was")));
        }
        if holds(on_base.as_ref(), proposal.content.as_deref()) {
            return Err(GitHubError::Invalid(format!("{path} on {base} is so already: there is nothing to propose")));
        }
        let open = self.open_pull(proposal).await?;
        match found(self.branch(branch).await)? {
            None => self.create_branch(branch, &base_commit).await?,
            Some(tip) if open.is_none() && tip != base_commit => {
                let route = self.route(format_args!("git/refs/heads/{}", encoded(branch)));
                let _: Value = self.patch(WRITE, &route, &json!({"sha": base_commit, "force": true})).await?;
            }
            Some(_) => {}
        }
        let on_branch = self.file(path, branch).await?;
        if !holds(on_branch.as_ref(), proposal.content.as_deref()) {
            self.commit(proposal, on_branch.map(|file| file.sha)).await?;
        }
        match open {
            Some(pull) => self.update_pull(proposal, pull).await,
            None => self.create_pull(proposal).await,
        }
    }

    /// The commit of a branch.
    async fn branch(&self, name: &str) -> Result<String, GitHubError> {
        let route = self.route(format_args!("git/ref/heads/{}", encoded(name)));
        Ok(self.get::<Ref>(READ, &route, &[]).await?.object.sha)
    }

    async fn create_branch(&self, name: &str, commit: &str) -> Result<(), GitHubError> {
        let body = json!({"ref": format!("refs/heads/{name}"), "sha": commit});
        match self.post::<Value>(WRITE, &self.route("git/refs"), &body).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_refused_with(422) && found(self.branch(name).await)?.is_some() => {
                Err(GitHubError::LostRace(format!("branch {name} was made by another meanwhile")))
            }
            Err(error) => Err(error),
        }
    }

    /// A file at a commit or on a branch, if there is one.
    async fn file(&self, path: &str, at: &str) -> Result<Option<Contents>, GitHubError> {
        let route = self.route(format_args!("contents/{}", encoded(path)));
        found(self.get(READ, &route, &[("ref", at)]).await)
    }

    /// Writes or removes the file on the branch, if it still is the given blob there.
    async fn commit(&self, proposal: &Proposal, blob: Option<String>) -> Result<(), GitHubError> {
        let Proposal { branch, path, message, .. } = proposal;
        let route = self.route(format_args!("contents/{}", encoded(path)));
        let mut body = json!({"message": message, "branch": branch});
        if let Some(blob) = blob {
            body["sha"] = json!(blob);
        }
        let done: Result<Value, _> = match &proposal.content {
            Some(content) => {
                body["content"] = json!(BASE64_STANDARD.encode(content));
                self.put(WRITE, &route, &body).await
            }
            None => self.delete(WRITE, &route, &body).await,
        };
        let is_lost = match &done {
            Err(error) if error.is_refused_with(409) => true,
            // Where no blob was named, 422 may mean that there is one by now.
            Err(error) if error.is_refused_with(422) && body.get("sha").is_none() => {
                self.file(path, branch).await?.is_some()
            }
            _ => false,
        };
        if is_lost {
            return Err(GitHubError::LostRace(format!("{path} on branch {branch} was changed by another meanwhile")));
        }
        done.map(drop)
    }

    async fn open_pull(&self, proposal: &Proposal) -> Result<Option<Pull>, GitHubError> {
        let head = format!("{}:{}", self.repository.owner(), proposal.branch);
        let query = [("state", "open"), ("head", &head), ("base", &proposal.base)];
        let pulls: Vec<Pull> = self.get(PROPOSE, &self.route("pulls"), &query).await?;
        Ok(pulls.into_iter().next())
    }

    async fn create_pull(&self, proposal: &Proposal) -> Result<PullRequest, GitHubError> {
        let Proposal { branch, base, title, body, .. } = proposal;
        let asked = json!({"title": title, "head": branch, "base": base, "body": body});
        match self.post::<Pull>(PROPOSE, &self.route("pulls"), &asked).await {
            Ok(pull) => Ok(PullRequest { number: pull.number, url: pull.html_url, created: true }),
            Err(error) if error.is_refused_with(422) => match self.open_pull(proposal).await? {
                Some(pull) => {
                    let what =
                        format!("pull request {} of branch {branch} was opened by another meanwhile", pull.number);
                    Err(GitHubError::LostRace(what))
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn update_pull(&self, proposal: &Proposal, pull: Pull) -> Result<PullRequest, GitHubError> {
        let told = |pull: Pull| PullRequest { number: pull.number, url: pull.html_url, created: false };
        if pull.title == proposal.title && same_text(pull.body.as_deref().unwrap_or_default(), &proposal.body) {
            return Ok(told(pull));
        }
        let route = self.route(format_args!("pulls/{}", pull.number));
        let asked = json!({"title": proposal.title, "body": proposal.body});
        Ok(told(self.patch(PROPOSE, &route, &asked).await?))
    }
}

impl Contents {
    fn bytes(&self) -> Option<Vec<u8>> {
        let base64: String = self.content.split_whitespace().collect();
        BASE64_STANDARD.decode(base64).ok()
    }
}

/// None for what is not there.
fn found<T>(answer: Result<T, GitHubError>) -> Result<Option<T>, GitHubError> {
    match answer {
        Ok(thing) => Ok(Some(thing)),
        Err(GitHubError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn encoded(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Whether the file is there with exactly this content, or is not there where there is to be none.
fn holds(file: Option<&Contents>, content: Option<&str>) -> bool {
    match (file, content) {
        (None, None) => true,
        (Some(file), Some(content)) => file.bytes().is_some_and(|bytes| bytes == content.as_bytes()),
        _ => false,
    }
}
