//! Who calls: JSON Web Tokens, verified against the keys that the environment configures.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::AUTHORIZATION;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use roster_core::tier::{Tier, UnknownTier};
use serde::Deserialize;
use serde_json::json;

use crate::env::{Env, EnvError};
use crate::problem::Problem;
use crate::request::Request;

/// How far two clocks may be apart, in seconds.
const LEEWAY: f64 = 60.0;
/// A shorter secret is weaker than the signatures made with it (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// What a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees and changes the catalogue.
    Admin,
    /// An admin who may also override what Git says.
    SuperAdmin,
    /// A service that reports inference results.
    Service,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::SuperAdmin, Self::Service];

    /// The role's name in a token.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::SuperAdmin => "super_admin",
            Self::Service => "service",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Who calls. The default is anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Whom the token was issued to.
    pub subject: Option<String>,
    /// What the caller may do.
    pub roles: BTreeSet<Role>,
    /// The caller's tier; without one, policy says which.
    pub tier: Option<Tier>,
}

impl Caller {
    /// Whether the caller is an admin of either kind.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin) || self.roles.contains(&Role::SuperAdmin)
    }
}

/// Verifies tokens.
pub struct Authenticator {
    keys: Keys,
}

/// Where the keys come from that tokens are verified with.
enum Keys {
    /// Nowhere: every caller is anonymous.
    None,
    /// One shared secret, for development.
    DevSecret(DecodingKey),
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tier: Option<String>,
    // Both may have a fraction (RFC 7519, section 2).
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the Authorization header is not one \"Bearer <token>\"")]
    Scheme,
    #[error("no key is configured to verify tokens with: only anonymous calls are answered")]
    NoKey,
    #[error("the token is malformed")]
    Malformed,
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    #[error("the token has a bad signature")]
    Signature,
    #[error("the token has no exp claim")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token's tier claim cannot be used: {0}")]
    Tier(#[from] UnknownTier),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::unauthorized(refusal.to_string())
    }
}

impl Authenticator {
    /// An authenticator with the keys that the environment configures: those of `DEV_JWT_SECRET`, or none.
    ///
    /// # Errors
    /// [`EnvError::Invalid`] when the secret is too short.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        const NAME: &str = "DEV_JWT_SECRET";
        let keys = match env.optional(NAME) {
            None => Keys::None,
            Some(secret) if secret.len() < MIN_SECRET_BYTES => {
                return Err(EnvError::Invalid { name: NAME, expected: "at least 32 bytes long" });
            }
            Some(secret) => Keys::DevSecret(DecodingKey::from_secret(secret.as_bytes())),
        };
        Ok(Self { keys })
    }

    /// Who sent a request; anonymous when it brings no token.
    ///
    /// # Errors
    /// 401 when it brings a token that is not good now.
    pub fn authenticate(&self, request: &Request) -> Result<Caller, Problem> {
        match bearer(request)? {
            None => Ok(Caller::default()),
            Some(token) => Ok(self.verify(token)?.caller(request.now)?),
        }
    }

    fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let Keys::DevSecret(key) = &self.keys else { return Err(Refusal::NoKey) };
        let mut validation = Validation::new(Algorithm::HS256);
        // The crate compares times with a clock of its own; ours is the request's.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        // A development token is nobody else's: it names no audience.
        validation.validate_aud = false;
        let token = jsonwebtoken::decode(token, key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Refusal::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidAlgorithmName => {
                Refusal::Algorithm
            }
            _ => Refusal::Malformed,
        })?;
        Ok(token.claims)
    }
}

impl Claims {
    fn caller(self, now: Timestamp) -> Result<Caller, Refusal> {
        let now = now.as_duration().as_secs_f64();
        if self.exp.ok_or(Refusal::NoExpiry)? + LEEWAY <= now {
            return Err(Refusal::Expired);
        }
        if self.nbf.is_some_and(|from| now + LEEWAY < from) {
            return Err(Refusal::NotYet);
        }
        Ok(Caller {
            subject: self.sub,
            // An unknown role is another service's: it gives nothing here.
            roles: self.roles.iter().filter_map(|name| Role::from_name(name)).collect(),
            tier: self.tier.map(|name| name.parse()).transpose()?,
        })
    }
}

/// A token for development cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be signed: {0}")]
pub struct SigningError(#[from] jsonwebtoken::errors::Error);

/// A token as [`Authenticator`] takes it when `DEV_JWT_SECRET` is this secret.
///
/// # Errors
/// [`SigningError`] when the cryptography fails.
pub fn issue_dev_token(
    secret: &str,
    subject: &str,
    roles: &BTreeSet<Role>,
    tier: Option<Tier>,
    ttl: Duration,
    now: Timestamp,
) -> Result<String, SigningError> {
    let issued = now.as_second();
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let expires = issued.saturating_add_unsigned(ttl.as_secs());
    let claims = json!({"sub": subject, "roles": roles, "tier": tier, "iat": issued, "exp": expires});
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

/// The token of a request.
fn bearer(request: &Request) -> Result<Option<&str>, Refusal> {
    let mut fields = request.headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let credentials = field.to_str().ok().filter(|_| fields.next().is_none());
    let (scheme, token) = credentials.and_then(|text| text.split_once(' ')).ok_or(Refusal::Scheme)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(Refusal::Scheme) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::get;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;
    use serde_json::Value;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const HOUR: Duration = Duration::from_secs(3600);

    fn authenticator(secret: &str) -> Authenticator {
        let env = Env::from_iter([("DEV_JWT_SECRET".to_owned(), secret.to_owned())]);
        Authenticator::from_env(&env).unwrap()
    }

    /// A token with any header and claims.
    fn token(secret: &str, algorithm: Algorithm, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn answer(authenticator: &Authenticator, authorization: &str) -> Result<Caller, String> {
        let mut request = get("/");
        request.headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        authenticator.authenticate(&request).map_err(|problem| {
            let reply = problem.into_reply("r");
            assert_eq!(reply.status, http::StatusCode::UNAUTHORIZED);
            assert_eq!(reply.headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["detail"].as_str().unwrap().to_owned()
        })
    }

    fn with(claims: &Value) -> Result<Caller, String> {
        answer(&authenticator(SECRET), &format!("Bearer {}", token(SECRET, Algorithm::HS256, claims)))
    }

    #[test]
    fn a_token_that_we_issue_is_taken() {
        let now = get("/").now;
        let roles = BTreeSet::from([Role::Service, Role::SuperAdmin]);
        let issued = issue_dev_token(SECRET, "ada", &roles, Some(Tier::ProMax), HOUR, now).unwrap();
        for scheme in ["Bearer", "bearer"] {
            let caller = answer(&authenticator(SECRET), &format!("{scheme} {issued}")).unwrap();
            assert!(caller.is_admin());
            let expected = Caller { subject: Some("ada".to_owned()), roles: roles.clone(), tier: Some(Tier::ProMax) };
            assert_eq!(caller, expected);
        }
        let issued = issue_dev_token(SECRET, "ada", &BTreeSet::new(), None, HOUR, now).unwrap();
        let caller = answer(&authenticator(SECRET), &format!("Bearer {issued}")).unwrap();
        assert_eq!(caller.tier, None);
        assert!(!caller.is_admin());
    }

    #[test]
    fn a_call_without_a_token_is_anonymous() {
        assert_eq!(authenticator(SECRET).authenticate(&get("/")).unwrap(), Caller::default());
        assert_eq!(authenticator("").authenticate(&get("/")).unwrap(), Caller::default());
    }

    #[test]
    fn times_count_with_a_minute_of_leeway() {
        let now = get("/").now.as_second();
        assert_eq!(with(&json!({"exp": now - 60})).unwrap_err(), "the token has expired");
        assert!(with(&json!({"exp": now - 59})).is_ok());
        assert!(with(&json!({"exp": now as f64 - 59.5})).is_ok());
        assert!(with(&json!({"exp": now + 60, "nbf": now + 60})).is_ok());
        assert_eq!(with(&json!({"exp": now + 99, "nbf": now + 61})).unwrap_err(), "the token is not valid yet");
        assert_eq!(with(&json!({"sub": "ada"})).unwrap_err(), "the token has no exp claim");
        assert_eq!(with(&json!({"exp": "soon"})).unwrap_err(), "the token is malformed");
    }

    #[test]
    fn claims_that_say_nothing_here() {
        let exp = get("/").now.as_second() + 60;
        let caller = with(&json!({"exp": exp, "roles": ["root", "admin"], "aud": "other", "x": {}})).unwrap();
        assert_eq!(caller.roles, BTreeSet::from([Role::Admin]));
        assert!(with(&json!({"exp": exp, "tier": "gold"})).unwrap_err().contains("\"gold\" is no tier"));
        assert_eq!(with(&json!({"exp": exp, "roles": "admin"})).unwrap_err(), "the token is malformed");
    }

    #[test]
    fn signatures_and_algorithms() {
        let claims = json!({"exp": get("/").now.as_second() + 60, "roles": ["admin"]});
        let refused = |token: &str| answer(&authenticator(SECRET), &format!("Bearer {token}")).unwrap_err();
        let good = token(SECRET, Algorithm::HS256, &claims);
        assert_eq!(
            refused(&token(&SECRET.replace('0', "1"), Algorithm::HS256, &claims)),
            Refusal::Signature.to_string()
        );
        assert_eq!(refused(&token(SECRET, Algorithm::HS512, &claims)), Refusal::Algorithm.to_string());
        let (_, payload_and_signature) = good.split_once('.').unwrap();
        let (payload, _) = payload_and_signature.split_once('.').unwrap();
        for algorithm in ["none", "None", "NONE", "RS256", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "typ": "JWT"}).to_string());
            for token in [format!("{header}.{payload}."), format!("{header}.{payload_and_signature}")] {
                let detail = refused(&token);
                let known = [Refusal::Malformed, Refusal::Algorithm].map(|refusal| refusal.to_string());
                assert!(known.contains(&detail), "{algorithm}: {detail}");
            }
        }
        for token in ["", ".", "..", "a.b", "a.b.c.d", payload] {
            assert_eq!(refused(token), Refusal::Malformed.to_string(), "{token}");
        }
    }

    #[test]
    fn other_credentials_are_refused() {
        let two = answer(&authenticator(SECRET), "Basic YTpi").unwrap_err();
        assert_eq!(two, Refusal::Scheme.to_string());
        assert_eq!(answer(&authenticator(SECRET), "Bearer").unwrap_err(), Refusal::Scheme.to_string());
        assert_eq!(answer(&authenticator(""), "Bearer a.b.c").unwrap_err(), Refusal::NoKey.to_string());
        let mut request = get("/");
        request.headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        request.headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        assert!(authenticator(SECRET).authenticate(&request).is_err());
    }

    #[test]
    fn a_short_secret_is_refused() {
        let env = Env::from_iter([("DEV_JWT_SECRET".to_owned(), "short".to_owned())]);
        assert!(matches!(Authenticator::from_env(&env), Err(EnvError::Invalid { .. })));
    }
}
