//! A client of the API, for commands that ask a deployment.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::issuer_keys::trustworthy;

/// A little more than the gateway's own limit.
const TIMEOUT: Duration = Duration::from_secs(35);
/// More than Lambda can answer.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A client of one deployment, with one token.
pub struct Client {
    base: Url,
    token: String,
}

/// Why there is no answer. No message holds the token.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used.
    #[error("the API's URL is not an https URL, or an http one of 127.0.0.1 or localhost")]
    Url,
    /// The token cannot be used.
    #[error("the token is empty, or not a token")]
    Token,
    /// The API refuses.
    #[error("{url} answers {status}: {detail}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: u16,
        /// The API's words.
        detail: String,
    },
    /// There is no answer, or none that can be read.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
}

/// What is read of a problem.
#[derive(Default, Deserialize)]
struct Told {
    detail: String,
}

impl Client {
    /// A client that asks nothing yet.
    ///
    /// # Errors
    /// [`ClientError`] for a URL or a token that cannot be used.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        let base = trustworthy(url.trim_end_matches('/')).ok_or(ClientError::Url)?;
        let token = token.trim();
        if token.is_empty() || !token.chars().all(|character| character.is_ascii_graphic()) {
            return Err(ClientError::Token);
        }
        Ok(Self { base, token: token.to_owned() })
    }

    /// The text of an answer that is a success.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)], accept: &str) -> Result<String, ClientError> {
        let mut url = self.base.clone();
        // The base may end in the stage of a gateway, which `join` would take away.
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let asked = url.to_string();
        url.query_pairs_mut().extend_pairs(query);
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let reason = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            ClientError::Unreachable { url: asked.clone(), reason }
        };
        // A redirect could lead the token elsewhere.
        let client = reqwest::Client::builder().user_agent("roster").timeout(TIMEOUT).redirect(Policy::none());
        let client = client.build().map_err(unreachable)?;
        let request = client.get(url).bearer_auth(&self.token).header(ACCEPT, accept);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if text.len() + chunk.len() > MAX_BYTES {
                let reason = format!("the answer is larger than {MAX_BYTES} bytes");
                return Err(ClientError::Unreachable { url: asked, reason });
            }
            text.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        let Told { detail } = serde_json::from_slice(&text).unwrap_or_default();
        let detail = if detail.is_empty() { "it says no more".to_owned() } else { detail };
        Err(ClientError::Refused { url: asked, status: status.as_u16(), detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for url in ["https://api.example.com/prod/", "http://127.0.0.1:9000", "http://localhost:9000/"] {
            assert!(Client::new(url, "t").is_ok(), "{url}");
        }
        for url in ["http://api.example.com", "api.example.com", "", "http://localhost.evil.example"] {
            assert!(matches!(Client::new(url, "t"), Err(ClientError::Url)), "{url}");
        }
        for token in ["", " ", "a b", "a\nb"] {
            assert!(matches!(Client::new("https://api.example.com", token), Err(ClientError::Token)));
        }
    }
}
