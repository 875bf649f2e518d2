//! A client of the API, for commands that ask a deployment, and for the dashboard.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;

use crate::issuer_keys::trustworthy;

/// A little more than the gateway's own limit.
const TIMEOUT: Duration = Duration::from_secs(35);
/// More than Lambda can answer.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Connections, which clients share. TLS is set up by the first that needs it: whoever never asks starts without.
#[derive(Clone, Default)]
pub struct Connections(Arc<OnceLock<reqwest::Client>>);

/// A client of one deployment, with one token.
pub struct Client {
    base: Url,
    token: String,
    connections: Connections,
}

/// What is asked of the API.
pub struct Call<'c> {
    /// The method.
    pub method: Method,
    /// The path, percent-encoded, without the stage.
    pub path: &'c str,
    /// The query's parameters.
    pub query: &'c [(&'c str, &'c str)],
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

/// What the API answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
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

impl Connections {
    fn client(&self, url: &str) -> Result<&reqwest::Client, ClientError> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        // A redirect could lead the token elsewhere.
        let client = reqwest::Client::builder().user_agent("roster").timeout(TIMEOUT).redirect(Policy::none());
        let client = client.build().map_err(|error| unreachable(url.to_owned(), error))?;
        Ok(self.0.get_or_init(|| client))
    }

    /// The JSON that a server of another kind answers: an OpenID provider, say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn json(&self, url: &str, form: Option<String>) -> Result<serde_json::Value, ClientError> {
        let asked = trustworthy(url).ok_or(ClientError::Url)?;
        let request = match form {
            None => self.client(url)?.get(asked),
            Some(form) => {
                self.client(url)?.post(asked).header("content-type", "application/x-www-form-urlencoded").body(form)
            }
        };
        let answer = read(url, request.header(ACCEPT, "application/json")).await?;
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == StatusCode::OK && value.is_object() {
            return Ok(value);
        }
        let detail = value["error_description"].as_str().or(value["error"].as_str()).unwrap_or("it says no more");
        Err(ClientError::Refused { url: url.to_owned(), status: answer.status.as_u16(), detail: detail.to_owned() })
    }
}

impl Client {
    /// A client that asks nothing yet.
    ///
    /// # Errors
    /// [`ClientError`] for a URL or a token that cannot be used.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        Self::over(&Connections::default(), url, token)
    }

    /// The same, over connections that others use too.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn over(connections: &Connections, url: &str, token: &str) -> Result<Self, ClientError> {
        let base = trustworthy(url.trim_end_matches('/')).ok_or(ClientError::Url)?;
        let token = token.trim();
        if token.is_empty() || !token.chars().all(|character| character.is_ascii_graphic()) {
            return Err(ClientError::Token);
        }
        Ok(Self { base, token: token.to_owned(), connections: connections.clone() })
    }

    /// What the API answers, whatever its status.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let mut url = self.base.clone();
        // The base may end in the stage of a gateway, which `join` would take away.
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        let asked = url.to_string();
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let request = self.connections.client(&asked)?.request(call.method, url).headers(call.headers).body(call.body);
        read(&asked, request.bearer_auth(&self.token)).await
    }

    /// The text of an answer that is a success.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)], accept: &str) -> Result<String, ClientError> {
        let accept = HeaderValue::try_from(accept).unwrap_or(HeaderValue::from_static("*/*"));
        let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
        let answer = self.call(Call { method: Method::GET, path, query, headers, body: Bytes::new() }).await?;
        if answer.status == StatusCode::OK {
            return Ok(String::from_utf8_lossy(&answer.body).into_owned());
        }
        let Told { detail } = serde_json::from_slice(&answer.body).unwrap_or_default();
        let detail = if detail.is_empty() { "it says no more".to_owned() } else { detail };
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Err(ClientError::Refused { url, status: answer.status.as_u16(), detail })
    }
}

fn unreachable(url: String, error: reqwest::Error) -> ClientError {
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    ClientError::Unreachable { url, reason: causes.map(ToString::to_string).collect::<Vec<_>>().join(": ") }
}

async fn read(url: &str, request: reqwest::RequestBuilder) -> Result<Answer, ClientError> {
    let failed = |error| unreachable(url.to_owned(), error);
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BYTES {
            let reason = format!("the answer is larger than {MAX_BYTES} bytes");
            return Err(ClientError::Unreachable { url: url.to_owned(), reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: std::mem::take(response.headers_mut()), body: body.into() })
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
