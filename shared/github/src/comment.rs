//! The one comment that Roster keeps on a pull request.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Patience;
use crate::error::Task;
use crate::{GitHub, GitHubError};

const COMMENT: Task = Task { what: "comment on pull requests", permission: "pull-requests: write" };

/// The comment as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Where people read it.
    pub url: String,
    /// Whether it is new.
    pub created: bool,
    /// Whether it is new, or says something else than before.
    pub changed: bool,
}

#[derive(Deserialize)]
struct Posted {
    id: u64,
    html_url: String,
    #[serde(default)]
    body: Option<String>,
    // None for an account that is gone.
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    login: String,
    #[serde(rename = "type", default)]
    kind: String,
}

/// Whose token it is.
enum Me {
    /// A person's.
    Login(String),
    /// A workflow's or an app's, which may not ask for its own name.
    Bot,
}

impl Me {
    fn wrote(&self, posted: &Posted) -> bool {
        match (self, &posted.user) {
            (Self::Login(login), Some(user)) => user.login == *login,
            (Self::Bot, Some(user)) => user.kind == "Bot",
            (_, None) => false,
        }
    }
}

impl GitHub {
    /// Edits our comment on the pull request, or writes it. It begins with the marker, an HTML comment, which is put
    /// before a body that lacks it. The same words written by others are theirs, and stay as they are.
    ///
    /// # Errors
    /// [`GitHubError`]; the marker has to be an HTML comment on one line.
    pub async fn upsert_comment(&self, pull_request: u64, marker: &str, body: &str) -> Result<Comment, GitHubError> {
        if !marker.starts_with("<!--") || !marker.ends_with("-->") || marker.contains('\n') {
            return Err(GitHubError::Invalid("the marker of a comment is an HTML comment on one line".to_owned()));
        }
        let body = if body.starts_with(marker) { body.to_owned() } else { format!("{marker}\n{body}") };
        let mut patience = Patience::default();
        loop {
            match self.try_upsert_comment(pull_request, marker, &body).await {
                Ok(comment) => return Ok(comment),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    async fn try_upsert_comment(&self, pull_request: u64, marker: &str, body: &str) -> Result<Comment, GitHubError> {
        let route = self.route(format_args!("issues/{pull_request}/comments"));
        let me = self.me().await?;
        let comments: Vec<Posted> = self.list(COMMENT, &route, &[]).await?;
        let begins = |posted: &Posted| posted.body.as_deref().is_some_and(|body| body.starts_with(marker));
        let told = |posted: Posted, created, changed| Comment { id: posted.id, url: posted.html_url, created, changed };
        match comments.into_iter().find(|posted| begins(posted) && me.wrote(posted)) {
            None => Ok(told(self.post(COMMENT, &route, &json!({"body": body})).await?, true, true)),
            Some(posted) if posted.body.as_deref().is_some_and(|old| same_text(old, body)) => {
                Ok(told(posted, false, false))
            }
            Some(posted) => {
                let route = self.route(format_args!("issues/comments/{}", posted.id));
                Ok(told(self.patch(COMMENT, &route, &json!({"body": body})).await?, false, true))
            }
        }
    }

    async fn me(&self) -> Result<Me, GitHubError> {
        match self.get::<User>(COMMENT, "/user", &[]).await {
            Ok(user) => Ok(Me::Login(user.login)),
            Err(GitHubError::Forbidden { .. }) => Ok(Me::Bot),
            Err(error) => Err(error),
        }
    }
}

/// Whether a reader sees the same: line ends and what surrounds a text may change on the way.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    one.trim().lines().eq(other.trim().lines())
}
