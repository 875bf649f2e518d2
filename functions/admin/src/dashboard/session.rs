//! Who is signed in: a token in a cookie that scripts cannot read.

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use roster_core::canonical::sha256_hex;
use roster_http::{Caller, Problem, Request, Role};

use super::Visit;

/// The cookie with the token.
pub(crate) const SESSION: &str = "roster_session";
/// Browsers keep no longer cookie (RFC 6265, section 6.1).
pub(crate) const MAX_COOKIE: usize = 4096;

/// Somebody who is signed in.
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) caller: Caller,
    /// What every form of this session brings, and no other site knows.
    pub(crate) csrf: String,
}

impl Session {
    /// The session of a request; `None` without one that is good now.
    ///
    /// # Errors
    /// 503 when the keys to tell are out of reach.
    pub(crate) async fn of(visit: &Visit<'_>) -> Result<Option<Self>, Problem> {
        match cookie(visit.request, SESSION) {
            Some(token) => Self::begin(visit, token).await,
            None => Ok(None),
        }
    }

    /// A session with a token; `None` when the token is not good now.
    ///
    /// # Errors
    /// 503 when the keys to tell are out of reach.
    pub(crate) async fn begin(visit: &Visit<'_>, token: &str) -> Result<Option<Self>, Problem> {
        let Ok(bearer) = HeaderValue::try_from(format!("Bearer {token}")) else { return Ok(None) };
        let mut request = Request { body: bytes::Bytes::new(), ..visit.request.clone() };
        request.headers.insert(AUTHORIZATION, bearer);
        match visit.app.gate.caller(&request).await {
            Ok(caller) => {
                let csrf = sha256_hex(format!("csrf\0{token}").as_bytes());
                Ok(Some(Self { token: token.to_owned(), caller, csrf }))
            }
            Err(problem) if problem.status().is_server_error() => Err(problem),
            Err(_) => Ok(None),
        }
    }

    /// The name to show.
    pub(crate) fn name(&self) -> &str {
        self.caller.subject.as_deref().unwrap_or("somebody without a name")
    }

    /// Whether the API lets them approve and override.
    pub(crate) fn is_super(&self) -> bool {
        self.caller.roles.contains(&Role::SuperAdmin)
    }
}

/// A cookie of a request.
pub(crate) fn cookie<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let pairs = request.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// A `Set-Cookie` for the pages only; none is kept where the seconds are 0. It comes along when a link of another site
/// leads here, as after signing in, and with nothing that another site sends.
pub(crate) fn set_cookie(visit: &Visit<'_>, name: &str, value: &str, seconds: Option<u32>) -> Option<HeaderValue> {
    let secure = if visit.api_url.starts_with("https:") { "; Secure" } else { "" };
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{name}={value}; Path={}; HttpOnly; SameSite=Lax{secure}{age}", visit.root);
    HeaderValue::try_from(cookie).ok().filter(|_| name.len() + value.len() < MAX_COOKIE)
}

/// Whether a page of ours sent a request, as far as the browser tells (W3C Fetch Metadata; RFC 6454).
pub(crate) fn is_from_here(visit: &Visit<'_>) -> bool {
    let site = visit.request.header("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let origin = visit.request.header(ORIGIN.as_str()).is_none_or(|origin| origin == visit.origin());
    site && origin
}
