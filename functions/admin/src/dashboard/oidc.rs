//! Signing in with an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1;
//! RFC 7636). The token that comes back is what the API takes; nobody keeps a secret of the client.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use roster_core::canonical::sha256;
use roster_http::Env;
use roster_http::client::{ClientError, Connections};
use roster_http::env::EnvError;
use tokio::sync::OnceCell;

/// The issuer that people sign in with.
pub(crate) struct Provider {
    issuer: String,
    client_id: String,
    scopes: String,
    token: &'static str,
    endpoints: OnceCell<Endpoints>,
}

struct Endpoints {
    authorization: String,
    token: String,
}

/// One attempt to sign in, which the browser keeps until it comes back.
pub(crate) struct Attempt {
    pub(crate) state: String,
    verifier: String,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The provider does not answer as one does.
    #[error("the issuer {0} does not answer as an OpenID provider: {1}")]
    Provider(String, String),
    /// It did not let somebody in.
    #[error("the issuer says: {0}")]
    Refused(String),
}

impl Attempt {
    /// A new one.
    ///
    /// # Errors
    /// [`getrandom::Error`] when the system has no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { state: random()?, verifier: random()? })
    }

    /// The one that a cookie keeps.
    pub(crate) fn parse(cookie: &str) -> Option<Self> {
        let (state, verifier) = cookie.split_once('.')?;
        (!state.is_empty()).then(|| Self { state: state.to_owned(), verifier: verifier.to_owned() })
    }

    /// The value of its cookie.
    pub(crate) fn kept(&self) -> String {
        format!("{}.{}", self.state, self.verifier)
    }
}

/// A text that nobody guesses, also long enough for a verifier (RFC 7636, section 4.1).
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Provider {
    /// The provider that the environment names; `None` without a client of it.
    ///
    /// # Errors
    /// [`EnvError`] without its issuer, or for a kind of token that there is not.
    pub(crate) fn from_env(env: &Env) -> Result<Option<Self>, EnvError> {
        let Some(client_id) = env.optional("OIDC_CLIENT_ID") else { return Ok(None) };
        let token = match env.optional("OIDC_TOKEN") {
            None | Some("access_token") => "access_token",
            Some("id_token") => "id_token",
            Some(_) => return Err(EnvError::Invalid { name: "OIDC_TOKEN", expected: "access_token or id_token" }),
        };
        Ok(Some(Self {
            issuer: env.required("JWT_ISSUER")?.to_owned(),
            client_id: client_id.to_owned(),
            scopes: env.optional("OIDC_SCOPES").unwrap_or("openid").to_owned(),
            token,
            endpoints: OnceCell::new(),
        }))
    }

    /// Where a browser is sent to sign in.
    ///
    /// # Errors
    /// [`OidcError::Provider`].
    pub(crate) async fn authorization(
        &self,
        connections: &Connections,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<String, OidcError> {
        let endpoints = self.endpoints(connections).await?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(attempt.verifier.as_bytes()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.scopes)
            .append_pair("state", &attempt.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let mark = if endpoints.authorization.contains('?') { '&' } else { '?' };
        Ok(format!("{}{mark}{query}", endpoints.authorization))
    }

    /// The token for a code.
    ///
    /// # Errors
    /// [`OidcError`].
    pub(crate) async fn token(
        &self,
        connections: &Connections,
        attempt: &Attempt,
        code: &str,
        redirect_uri: &str,
    ) -> Result<String, OidcError> {
        let endpoints = self.endpoints(connections).await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("client_id", &self.client_id)
            .append_pair("code_verifier", &attempt.verifier)
            .finish();
        let answer = connections.json(&endpoints.token, Some(form)).await;
        let answer = answer.map_err(|error| match error {
            ClientError::Refused { detail, .. } => OidcError::Refused(detail),
            error => OidcError::Provider(self.issuer.clone(), error.to_string()),
        })?;
        let token = answer[self.token].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        token.ok_or_else(|| OidcError::Provider(self.issuer.clone(), format!("its answer has no {}", self.token)))
    }

    /// Whether an answer is this issuer's, where it says whose it is (RFC 9207).
    pub(crate) fn is(&self, issuer: &str) -> bool {
        issuer.is_empty() || issuer == self.issuer
    }

    /// What the provider says of itself (OpenID Connect Discovery 1.0, section 4).
    async fn endpoints(&self, connections: &Connections) -> Result<&Endpoints, OidcError> {
        let failed = |why: String| OidcError::Provider(self.issuer.clone(), why);
        let discover = || async {
            let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
            let found = connections.json(&url, None).await.map_err(|error| failed(error.to_string()))?;
            if found["issuer"] != self.issuer.as_str() {
                return Err(failed(format!("{url} says that it is {}", found["issuer"])));
            }
            let text = |key: &str| {
                let endpoint = found[key].as_str().map(str::to_owned);
                endpoint.ok_or_else(|| failed(format!("{url} names no {key}")))
            };
            Ok(Endpoints { authorization: text("authorization_endpoint")?, token: text("token_endpoint")? })
        };
        self.endpoints.get_or_try_init(discover).await
    }
}
