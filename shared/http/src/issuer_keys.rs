//! The keys of the issuer of our callers' tokens: read once a token needs them, and kept.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use http::header::ACCEPT;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use crate::env::{Env, EnvError};
use crate::jwks::{KeySet, NoKey, NotAKeySet};
use crate::token::Refusal;

/// A key that the issuer took back is accepted this much longer, as long as the issuer answers.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);
/// Anybody can make up a `kid`: this keeps them from making us ask the issuer again and again.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// Without any keys nobody is let in, so the pause is no longer than what the 503 says in `Retry-After`.
const PAUSE_WITHOUT_KEYS: SignedDuration = SignedDuration::from_secs(5);
/// How long an answer may take, for a request waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How much of an answer is read; real key sets take a few KiB.
const MAX_KEY_SET_BYTES: usize = 256 * 1024;

/// The keys of an issuer, wherever they come from.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    source: Source,
    loaded: RwLock<Option<Loaded>>,
    /// When keys were last asked for, whether they came or not. Whoever asks, asks alone; the others wait for
    /// what it brings.
    attempted: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
enum Source {
    Url(Url),
    File(PathBuf),
}

#[derive(Clone, Debug)]
struct Loaded {
    keys: Arc<KeySet>,
    at: Timestamp,
}

/// Why keys could not be loaded. The URL is not told: it may have a secret in it.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}")]
    Request(String),
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("it is larger than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    #[error("{0}")]
    NotAKeySet(#[from] NotAKeySet),
}

impl From<reqwest::Error> for LoadError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        // The cause, such as a refused connection, is in the sources only.
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self::Request(text)
    }
}

impl IssuerKeys {
    /// The keys where the environment says they are: behind `JWKS_URL` or in `JWKS_FILE`, if either is set.
    pub(crate) fn from_env(env: &Env) -> Result<Option<Self>, EnvError> {
        let source = match (env.optional("JWKS_URL"), env.optional("JWKS_FILE")) {
            (None, None) => return Ok(None),
            (Some(url), None) => Source::Url(trustworthy(url).ok_or(EnvError::Invalid {
                name: "JWKS_URL",
                expected: "an https URL, or an http one of 127.0.0.1 or localhost",
            })?),
            (None, Some(path)) => Source::File(path.into()),
            (Some(_), Some(_)) => {
                let expected = "the only source of keys: JWKS_URL is set too";
                return Err(EnvError::Invalid { name: "JWKS_FILE", expected });
            }
        };
        Ok(Some(Self { source, loaded: RwLock::default(), attempted: Mutex::default() }))
    }

    /// The key that a token of this header has to be signed with.
    pub(crate) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<DecodingKey, Refusal> {
        let keys = self.keys(|loaded| apart(loaded.at, now) < MAX_AGE, now).await?;
        let found = match keys.find(id, algorithm) {
            Err(NoKey::Unknown) => {
                let is_known = |loaded: &Loaded| loaded.keys.find(id, algorithm).err() != Some(NoKey::Unknown);
                self.keys(is_known, now).await?.find(id, algorithm).cloned()
            }
            found => found.cloned(),
        };
        found.map_err(|reason| match reason {
            NoKey::Unknown => Refusal::UnknownKey,
            NoKey::OtherAlgorithm => Refusal::OtherAlgorithm,
            NoKey::Ambiguous => Refusal::AmbiguousKey,
        })
    }

    /// The keys, asked for again first when they do not suffice and the last attempt is long enough ago.
    async fn keys(&self, suffice: impl FnOnce(&Loaded) -> bool, now: Timestamp) -> Result<Arc<KeySet>, Refusal> {
        if let Some(loaded) = self.loaded().filter(suffice) {
            return Ok(loaded.keys);
        }
        let mut attempted = self.attempted.lock().await;
        // Whoever waited here finds the attempt, and what it brought.
        let pause = if self.loaded().is_some() { PAUSE } else { PAUSE_WITHOUT_KEYS };
        if attempted.is_none_or(|at| apart(at, now) >= pause) {
            // The attempt counts even when the caller goes away before the answer comes.
            *attempted = Some(now);
            self.load(now).await;
        }
        self.loaded().map(|loaded| loaded.keys).ok_or(Refusal::KeysOutOfReach)
    }

    async fn load(&self, now: Timestamp) {
        match self.source.load().await {
            Ok(keys) => {
                let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
                *loaded = Some(Loaded { keys: Arc::new(keys), at: now });
            }
            Err(error) if self.loaded().is_some() => {
                tracing::warn!(%error, "the key set cannot be loaded again: the last one goes on being used");
            }
            Err(error) => tracing::error!(%error, "the key set cannot be loaded: no token can be verified"),
        }
    }

    fn loaded(&self) -> Option<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How far two times are apart, whichever is first: concurrent requests bring theirs in any order, and a clock
/// that was set back may not keep old keys.
fn apart(one: Timestamp, other: Timestamp) -> SignedDuration {
    one.duration_since(other).abs()
}

impl Source {
    async fn load(&self) -> Result<KeySet, LoadError> {
        let text = match self {
            Self::Url(url) => fetch(url).await?,
            Self::File(path) => read(path)?,
        };
        Ok(KeySet::parse(&text)?)
    }
}

/// Whoever can change the answer can sign tokens, so it has to come over TLS, or from this machine.
pub(crate) fn trustworthy(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    (url.scheme() == "https" || (url.scheme() == "http" && is_local)).then_some(url)
}

async fn fetch(url: &Url) -> Result<Vec<u8>, LoadError> {
    // A client each time: between two fetches Lambda may freeze the process, which a kept connection would not
    // outlive. A redirect could lead away from TLS.
    let mut client = Client::builder().user_agent("roster").timeout(TIMEOUT).redirect(Policy::none());
    if url.scheme() == "http" {
        // It is this machine's: it needs no certificates, and no proxy may come between.
        client = client.tls_certs_only([]).no_proxy();
    }
    let request = client.build()?.get(url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(LoadError::Status(response.status()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if text.len() + chunk.len() > MAX_KEY_SET_BYTES {
            return Err(LoadError::TooLarge);
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_KEY_SET_BYTES { Err(LoadError::TooLarge) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KeyServer, Log, ec, ed, key_set, rsa};
    use futures::future::join_all;
    use std::time::Instant;

    fn env(variables: &[(&str, &str)]) -> Env {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn keys_at(url: &str) -> IssuerKeys {
        IssuerKeys::from_env(&env(&[("JWKS_URL", url)])).unwrap().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// What asking for a key comes to, some seconds after the start.
    async fn ask(keys: &IssuerKeys, id: &str, second: i64) -> Result<(), String> {
        let algorithm = if id.starts_with("rsa") { Algorithm::RS256 } else { Algorithm::ES256 };
        keys.key(Some(id), algorithm, at(second)).await.map(drop).map_err(|refusal| refusal.to_string())
    }

    fn refused<T>(refusal: &Refusal) -> Result<T, String> {
        Err(refusal.to_string())
    }

    #[tokio::test]
    async fn keys_are_fetched_once_a_token_needs_them() {
        let server = KeyServer::start(&[rsa().jwk("rsa"), ec().jwk("ec")]).await;
        let keys = keys_at(&server.url);
        assert_eq!(server.fetches(), 0);
        let asked = join_all((0..20).map(|second| ask(&keys, if second % 2 == 0 { "rsa" } else { "ec" }, second % 3)));
        assert_eq!(asked.await, vec![Ok(()); 20]);
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn an_unknown_key_asks_again_once_a_minute() {
        let server = KeyServer::start(&[rsa().jwk("rsa")]).await;
        let keys = keys_at(&server.url);
        let mut fetches = Vec::new();
        for second in [0, 1, 59, 60, 60, 119, 120, 121] {
            let asked = join_all((0..5).map(|_| ask(&keys, "rsa-made-up", second)));
            assert_eq!(asked.await, vec![refused(&Refusal::UnknownKey); 5]);
            assert_eq!(ask(&keys, "rsa", second).await, Ok(()));
            fetches.push(server.fetches());
        }
        assert_eq!(fetches, [1, 1, 1, 2, 2, 2, 3, 3]);
        server.reply("500 Internal Server Error", "");
        for second in [180, 181, 239] {
            assert_eq!(ask(&keys, "rsa-made-up", second).await, refused(&Refusal::UnknownKey));
            assert_eq!(server.fetches(), 4);
        }
    }

    #[tokio::test]
    async fn a_key_of_another_type_does_not_ask_again() {
        let server = KeyServer::start(&[rsa().jwk("rsa"), ec().jwk("ec")]).await;
        let keys = keys_at(&server.url);
        assert_eq!(ask(&keys, "rsa", 0).await, Ok(()));
        let wrong = keys.key(Some("ec"), Algorithm::RS256, at(90)).await;
        assert!(matches!(wrong, Err(Refusal::OtherAlgorithm)));
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn a_new_key_is_accepted_after_one_fetch() {
        let server = KeyServer::start(&[rsa().jwk("rsa")]).await;
        let keys = keys_at(&server.url);
        assert_eq!(ask(&keys, "ec", 0).await, refused(&Refusal::UnknownKey));
        server.publish(&[rsa().jwk("rsa"), ec().jwk("ec")]);
        for second in [70, 71, 72] {
            assert_eq!(ask(&keys, "ec", second).await, Ok(()));
            assert_eq!(ask(&keys, "rsa", second).await, Ok(()));
        }
        assert_eq!(server.fetches(), 2);
    }

    #[tokio::test]
    async fn a_key_that_was_taken_back_is_refused_after_ten_minutes() {
        let server = KeyServer::start(&[rsa().jwk("rsa"), ec().jwk("ec")]).await;
        let keys = keys_at(&server.url);
        assert_eq!(ask(&keys, "ec", 0).await, Ok(()));
        server.publish(&[rsa().jwk("rsa")]);
        assert_eq!(ask(&keys, "ec", 599).await, Ok(()));
        assert_eq!(server.fetches(), 1);
        assert_eq!(ask(&keys, "ec", 600).await, refused(&Refusal::UnknownKey));
        assert_eq!(ask(&keys, "rsa", 600).await, Ok(()));
        assert_eq!(server.fetches(), 2);
        // A clock that was set back may not keep old keys alive.
        assert_eq!(ask(&keys, "rsa", -3600).await, Ok(()));
        assert_eq!(server.fetches(), 3);
    }

    #[tokio::test]
    async fn old_keys_go_on_being_used_when_the_issuer_fails() {
        let (log, _guard) = Log::start();
        let server = KeyServer::start(&[rsa().jwk("rsa")]).await;
        let keys = keys_at(&server.url);
        assert_eq!(ask(&keys, "rsa", 0).await, Ok(()));
        server.reply("503 Service Unavailable", "");
        for second in [600, 601, 630, 659] {
            let asked = join_all((0..5).map(|_| ask(&keys, "rsa", second)));
            assert_eq!(asked.await, vec![Ok(()); 5]);
            assert_eq!(server.fetches(), 2);
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("503 Service Unavailable"), "{lines:?}");
        assert_eq!(ask(&keys, "rsa", 660).await, Ok(()));
        assert_eq!((server.fetches(), log.lines().len()), (3, 2));
        server.publish(&[ec().jwk("ec")]);
        assert_eq!(ask(&keys, "rsa", 720).await, refused(&Refusal::UnknownKey));
    }

    #[tokio::test]
    async fn without_any_keys_nothing_is_verified() {
        let (log, _guard) = Log::start();
        let server = KeyServer::start(&[rsa().jwk("rsa")]).await;
        server.reply("500 Internal Server Error", "");
        let keys = keys_at(&server.url);
        for second in [0, 1, 4] {
            let asked = join_all((0..5).map(|_| ask(&keys, "rsa", second)));
            assert_eq!(asked.await, vec![refused(&Refusal::KeysOutOfReach); 5]);
            assert_eq!((server.fetches(), log.lines().len()), (1, 1));
        }
        server.publish(&[rsa().jwk("rsa")]);
        assert_eq!(ask(&keys, "rsa", 5).await, Ok(()));
        assert_eq!(server.fetches(), 2);
    }

    #[tokio::test]
    async fn answers_that_are_no_key_set() {
        let server = KeyServer::start(&[]).await;
        let other = KeyServer::start(&[rsa().jwk("rsa")]).await;
        let good = key_set(&[rsa().jwk("rsa")]);
        let huge = format!("{good}{}", " ".repeat(MAX_KEY_SET_BYTES + 1 - good.len()));
        let chunked = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{huge}");
        let redirect = format!("HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {}\r\n\r\n", other.url);
        let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
        let answers = [
            (chunked, "it is larger than 262144 bytes"),
            (redirect, "the answer's status is 302 Found"),
            (
                format!("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{good}"),
                "the answer's status is 404 Not Found",
            ),
            (
                format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{good}"),
                "end of file before message length reached",
            ),
            ("no HTTP".to_owned(), "invalid HTTP version"),
            (ok(""), "it is not a JSON Web Key Set"),
            (ok("<html>"), "it is not a JSON Web Key Set"),
            (ok("{}"), "it is not a JSON Web Key Set"),
            (ok("{\"keys\": {}}"), "it is not a JSON Web Key Set"),
            (ok("{\"keys\": \"secret\"}"), "it is not a JSON Web Key Set"),
        ];
        for (answer, reason) in answers {
            let (log, _guard) = Log::start();
            server.reply_raw(&answer);
            assert_eq!(ask(&keys_at(&server.url), "rsa", 0).await, refused(&Refusal::KeysOutOfReach), "{reason}");
            let lines = log.lines();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("ERROR") && lines[0].contains(reason), "{reason}: {lines:?}");
            assert!(!lines[0].contains("/keys") && !lines[0].contains("secret"), "{lines:?}");
        }
        assert_eq!(other.fetches(), 0);
        server.reply("200 OK", &huge[..MAX_KEY_SET_BYTES]);
        assert_eq!(ask(&keys_at(&server.url), "rsa", 0).await, Ok(()));
    }

    #[tokio::test]
    async fn an_issuer_that_does_not_answer_is_waited_for_two_seconds() {
        let answers = ["", "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{\"keys\": ["];
        let waited = join_all(answers.map(async |answer| {
            let server = KeyServer::start(&[]).await;
            server.stall_after(answer);
            let (keys, started) = (keys_at(&server.url), Instant::now());
            let asked = join_all((0..5).map(|_| ask(&keys, "rsa", 0))).await;
            assert_eq!(asked, vec![refused(&Refusal::KeysOutOfReach); 5]);
            assert_eq!(server.fetches(), 1);
            started.elapsed()
        }));
        for waited in waited.await {
            assert!(waited >= TIMEOUT && waited < 2 * TIMEOUT, "{waited:?}");
        }
    }

    #[tokio::test]
    async fn a_fetch_that_nobody_waits_for_any_more_counts() {
        let server = KeyServer::start(&[]).await;
        server.stall_after("");
        let keys = keys_at(&server.url);
        assert!(tokio::time::timeout(Duration::from_millis(200), ask(&keys, "rsa", 0)).await.is_err());
        assert_eq!(ask(&keys, "rsa", 1).await, refused(&Refusal::KeysOutOfReach));
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn an_https_url_is_not_fetched_without_tls() {
        let server = KeyServer::start(&[rsa().jwk("rsa")]).await;
        let keys = keys_at(&server.url.replace("http://", "https://"));
        assert_eq!(ask(&keys, "rsa", 0).await, refused(&Refusal::KeysOutOfReach));
        assert_eq!(server.fetches(), 0);
    }

    #[tokio::test]
    async fn a_file_is_read_as_a_server_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let keys = IssuerKeys::from_env(&env(&[("JWKS_FILE", path.to_str().unwrap())])).unwrap().unwrap();
        assert_eq!(ask(&keys, "rsa", 0).await, refused(&Refusal::KeysOutOfReach));
        std::fs::write(&path, key_set(&[rsa().jwk("rsa"), ed().jwk("ed")])).unwrap();
        assert_eq!(ask(&keys, "rsa", 5).await, Ok(()));
        assert!(keys.key(Some("ed"), Algorithm::EdDSA, at(5)).await.is_ok());
        std::fs::write(&path, key_set(&[ec().jwk("ec")])).unwrap();
        assert_eq!(ask(&keys, "rsa", 604).await, Ok(()));
        assert_eq!(ask(&keys, "rsa", 605).await, refused(&Refusal::UnknownKey));
        assert_eq!(ask(&keys, "ec", 605).await, Ok(()));
        std::fs::write(&path, " ".repeat(MAX_KEY_SET_BYTES + 1)).unwrap();
        assert!(matches!(keys.source.load().await, Err(LoadError::TooLarge)));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ask(&keys, "ec", 1300).await, Ok(()));
    }

    #[test]
    fn where_keys_may_come_from() {
        let source = |variables: &[(&str, &str)]| IssuerKeys::from_env(&env(variables)).map(|keys| keys.is_some());
        assert_eq!(source(&[]), Ok(false));
        assert_eq!(source(&[("JWKS_URL", ""), ("JWKS_FILE", "")]), Ok(false));
        assert_eq!(source(&[("JWKS_FILE", "keys.json")]), Ok(true));
        let good =
            ["https://issuer.example/keys", "HTTPS://issuer.example", "http://127.0.0.1:1/", "http://localhost/k"];
        for url in good {
            assert_eq!(source(&[("JWKS_URL", url)]), Ok(true), "{url}");
        }
        let bad = [
            "http://issuer.example/keys",
            "http://127.0.0.1.example/keys",
            "http://localhost.example/keys",
            "http://127.0.0.1@issuer.example/keys",
            "file:///keys.json",
            "issuer.example/keys",
            "keys.json",
        ];
        for url in bad {
            let error = source(&[("JWKS_URL", url)]).unwrap_err();
            assert!(matches!(error, EnvError::Invalid { name: "JWKS_URL", .. }), "{url}");
            assert!(!error.to_string().contains(url));
        }
        let error = source(&[("JWKS_URL", good[0]), ("JWKS_FILE", "keys.json")]).unwrap_err();
        let expected = "environment variable JWKS_FILE is not the only source of keys: JWKS_URL is set too";
        assert_eq!(error.to_string(), expected);
    }
}
