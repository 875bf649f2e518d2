use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gix::bstr::ByteSlice;
use gix::url::Scheme;

use crate::GitError;

/// The user name that GitHub, GitLab and Gitea accept with any kind of token.
const TOKEN_USER: &str = "x-access-token";

/// Where a repository is: a path, a `file://` URL, or an `http(s)://` URL with an optional token.
///
/// Neither `Debug` nor `Display` shows the token or a URL's userinfo.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(pub(crate) Place);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Path(PathBuf),
    Http(HttpPlace),
}

/// An address, and apart from it what is needed to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpPlace {
    url: gix::Url,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

impl Location {
    /// Reads a path or URL. Userinfo in an `http(s)` URL becomes the credentials.
    pub fn parse(input: &str) -> Result<Self, GitError> {
        let invalid = |reason| GitError::InvalidLocation { input: without_userinfo(input), reason };
        if input.is_empty() {
            return Err(invalid("it is empty"));
        }
        let mut url = gix::url::parse(input).map_err(|_| invalid("it is neither a path nor a URL"))?;
        match url.scheme {
            Scheme::File if input.contains("://") => {
                let path = gix::path::from_bstr(url.path.as_bstr())
                    .map_err(|_| invalid("its path cannot be represented on this system"))?;
                Ok(Self(Place::Path(path.into_owned())))
            }
            Scheme::File => Ok(Self(Place::Path(PathBuf::from(input)))),
            Scheme::Http | Scheme::Https => {
                if url.host().is_none_or(str::is_empty) {
                    return Err(invalid("the URL has no host"));
                }
                let credentials = Credentials::from_userinfo(url.set_user(None), url.set_password(None));
                Ok(Self(Place::Http(HttpPlace { url, credentials })))
            }
            other => {
                Err(GitError::UnsupportedScheme { input: without_userinfo(input), scheme: other.as_str().to_owned() })
            }
        }
    }

    /// Sends `token` with every request, in place of userinfo from the URL.
    ///
    /// It is sent as HTTP Basic with the user `x-access-token`, over https or to this machine only.
    /// A path needs no token and ignores it.
    #[must_use]
    pub fn with_token(mut self, token: String) -> Self {
        if let Place::Http(place) = &mut self.0 {
            place.credentials = Some(Credentials { user: TOKEN_USER.to_owned(), password: token });
        }
        self
    }
}

impl HttpPlace {
    /// The address without credentials, fit for requests, messages and logs.
    pub(crate) fn url(&self) -> String {
        self.url.to_bstring().to_string()
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The header that carries the credentials, unless it would cross a network in clear text.
    pub(crate) fn authorization(&self) -> Result<Option<String>, GitError> {
        let Some(Credentials { user, password }) = &self.credentials else {
            return Ok(None);
        };
        if self.url.scheme != Scheme::Https && !self.is_this_machine() {
            return Err(GitError::InsecureToken { url: self.url() });
        }
        let basic = STANDARD.encode(format!("{user}:{password}"));
        Ok(Some(format!("Authorization: Basic {basic}")))
    }

    /// A directory name that differs for different addresses and tells people which one it is for.
    pub(crate) fn directory_name(&self) -> Result<String, gix::Error> {
        let url = self.url();
        let digest = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, url.as_bytes())?;
        let name: String = url
            .trim_end_matches('/')
            .trim_end_matches(".git")
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .take(40)
            .collect();
        Ok(format!("{name}-{}.git", digest.to_hex_with_len(16)))
    }

    fn is_this_machine(&self) -> bool {
        self.url.host().is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        })
    }
}

impl Credentials {
    /// `https://<token>@host` and `https://<user>:<password>@host`.
    fn from_userinfo(user: Option<String>, password: Option<String>) -> Option<Self> {
        match (user.filter(|user| !user.is_empty()), password) {
            (Some(user), Some(password)) => Some(Self { user, password }),
            (Some(token), None) => Some(Self { user: TOKEN_USER.to_owned(), password: token }),
            (None, Some(token)) => Some(Self { user: TOKEN_USER.to_owned(), password: token }),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Path(path) => path.display().fmt(f),
            Place::Http(place) => f.write_str(&place.url()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.to_string()).finish()
    }
}

/// For messages about text that could not be parsed: whatever precedes an `@` may be a secret.
fn without_userinfo(input: &str) -> String {
    let (scheme, rest) = input.split_once("://").map_or(("", input), |(scheme, rest)| (scheme, rest));
    let authority_end = rest.find('/').unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) if scheme.is_empty() => rest[at + 1..].to_owned(),
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => input.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(location: &Location) -> &HttpPlace {
        match &location.0 {
            Place::Http(place) => place,
            Place::Path(path) => panic!("{} is a path", path.display()),
        }
    }

    #[test]
    fn paths_and_file_urls_are_paths() {
        for (input, path) in [
            (".", "."),
            ("/srv/catalogue", "/srv/catalogue"),
            ("file:///srv/catalogue", "/srv/catalogue"),
            ("../a:b", "../a:b"),
        ] {
            let location = Location::parse(input).unwrap();
            assert!(location.0 == Place::Path(PathBuf::from(path)), "{input} gave {location}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        for location in [
            Location::parse("https://example.com/o/r.git").unwrap().with_token("s3cret".to_owned()),
            Location::parse("https://s3cret@example.com/o/r.git").unwrap(),
            Location::parse("https://bot:s3cret@example.com/o/r.git").unwrap(),
        ] {
            assert_eq!(location.to_string(), "https://example.com/o/r.git");
            assert_eq!(format!("{location:?}"), r#"Location("https://example.com/o/r.git")"#);
            assert!(http(&location).authorization().unwrap().is_some());
        }
    }

    #[test]
    fn a_token_is_basic_authorization() {
        let location = Location::parse("https://example.com/o/r").unwrap().with_token("t".to_owned());
        let header = http(&location).authorization().unwrap();
        assert_eq!(header.as_deref(), Some("Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA=="));
    }

    #[test]
    fn a_token_is_not_sent_in_clear_text() {
        let remote = Location::parse("http://example.com/o/r").unwrap().with_token("t".to_owned());
        let error = http(&remote).authorization().unwrap_err();
        assert_eq!(error.to_string(), "refusing to send a token to http://example.com/o/r in clear text: use https");
        for local in ["http://localhost:1/r", "http://127.0.0.1:1/r", "http://[::1]:1/r"] {
            let local = Location::parse(local).unwrap().with_token("t".to_owned());
            assert!(http(&local).authorization().is_ok(), "{local}");
        }
    }

    #[test]
    fn other_schemes_are_named() {
        for (input, message) in [
            (
                "ssh://git:s3cret@example.com/r",
                "unsupported scheme `ssh` in repository location `ssh://example.com/r`: use https, file or a path",
            ),
            (
                "git@example.com:o/r.git",
                "unsupported scheme `ssh` in repository location `example.com:o/r.git`: use https, file or a path",
            ),
            ("", "invalid repository location ``: it is empty"),
        ] {
            assert_eq!(Location::parse(input).unwrap_err().to_string(), message);
        }
        for input in ["https://", "https:///path", "http://u:s3cret@:x/"] {
            let message = Location::parse(input).unwrap_err().to_string();
            assert!(message.starts_with("invalid repository location"), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn clones_of_different_addresses_have_different_directories() {
        let name = |url: &str| http(&Location::parse(url).unwrap()).directory_name().unwrap();
        assert_ne!(name("https://a.example/o/r.git"), name("https://b.example/o/r.git"));
        assert!(name("https://a.example/o/r.git").starts_with("r-"));
        assert_eq!(name("https://t@a.example/o/r.git"), name("https://a.example/o/r.git"));
    }
}
