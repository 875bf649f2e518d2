//! Who calls: JSON Web Tokens, verified against the keys that the environment configures.
//!
//! | variable | what it is |
//! |---|---|
//! | `JWKS_URL` | where the issuer's key set (RFC 7517) is: an `https` URL, or an `http` one of this machine |
//! | `JWKS_FILE` | or a local file with the key set |
//! | `JWT_ISSUER` | the `iss` that tokens have to have; required with a key set |
//! | `JWT_AUDIENCE` | the `aud` that tokens have to have or to contain; required with a key set |
//! | `JWT_SUBJECT_CLAIM` | the claim that names the caller; `sub` by default |
//! | `JWT_ROLES_CLAIM` | the claim with the roles, an array or one string of words; `roles` by default |
//! | `JWT_TIER_CLAIM` | the claim with the tier; `tier` by default |
//! | `DEV_JWT_SECRET` | the secret of tokens for development; ignored with a key set |
//!
//! The name of a claim is the exact name of a top-level claim, or a JSON Pointer (RFC 6901) when it begins
//! with a slash, such as `/realm_access/roles`. With a key set tokens are signed with RS256, ES256 or EdDSA,
//! whichever the key is for; HS256 is for development only.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::AUTHORIZATION;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use roster_core::tier::Tier;
use serde_json::json;

use crate::claims::ClaimRules;
use crate::env::{Env, EnvError};
use crate::issuer_keys::IssuerKeys;
use crate::jwks;
use crate::problem::Problem;
use crate::request::Request;
use crate::token::{Refusal, SignedToken};

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
    rules: ClaimRules,
}

/// Where the keys come from that tokens are verified with.
enum Keys {
    /// Nowhere: every caller is anonymous.
    None,
    /// One shared secret, for development.
    DevSecret(DecodingKey),
    /// Whoever issues our callers' tokens.
    Issuer(IssuerKeys),
}

impl Authenticator {
    /// An authenticator with the keys that the environment configures: an issuer's, those of `DEV_JWT_SECRET`,
    /// or none. It reads and fetches nothing yet.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used, or one that an issuer's keys require is missing.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        const SECRET: &str = "DEV_JWT_SECRET";
        let secret = env.optional(SECRET);
        let keys = match IssuerKeys::from_env(env)? {
            Some(keys) => {
                // An issuer signs for other services too: their tokens are not ours (RFC 8725, sections 3.8 and 3.9).
                env.required("JWT_ISSUER")?;
                env.required("JWT_AUDIENCE")?;
                if secret.is_some() {
                    tracing::warn!("DEV_JWT_SECRET is ignored, for a key set is configured");
                }
                Keys::Issuer(keys)
            }
            None => match secret {
                None => Keys::None,
                Some(secret) if secret.len() < MIN_SECRET_BYTES => {
                    return Err(EnvError::Invalid { name: SECRET, expected: "at least 32 bytes long" });
                }
                Some(secret) => Keys::DevSecret(DecodingKey::from_secret(secret.as_bytes())),
            },
        };
        Ok(Self { keys, rules: ClaimRules::from_env(env)? })
    }

    /// Who sent a request; anonymous when it brings no token.
    ///
    /// # Errors
    /// 401 when it brings a token that is not good now; 503 when the keys to tell are out of reach.
    pub async fn authenticate(&self, request: &Request) -> Result<Caller, Problem> {
        match bearer(request)? {
            None => Ok(Caller::default()),
            Some(token) => Ok(self.verify(token, request.now).await?),
        }
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let claims = match &self.keys {
            Keys::None => return Err(Refusal::NoKey),
            Keys::DevSecret(key) => {
                let token = SignedToken::parse(token)?;
                if token.algorithm != "HS256" {
                    return Err(Refusal::Algorithm);
                }
                token.claims(key, Algorithm::HS256)?
            }
            Keys::Issuer(keys) => {
                let token = SignedToken::parse(token)?;
                let algorithm = jwks::accepted(&token.algorithm).ok_or(Refusal::Algorithm)?;
                let key = keys.key(token.key_id.as_deref(), algorithm, now).await?;
                token.claims(&key, algorithm)?
            }
        };
        self.rules.caller(&claims, now)
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
    use crate::testing::{KeyServer, Log, RSA_PUBLIC_DER, TestKey, ec, ed, key_set, other_ec, rsa, sign, with};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use http::{HeaderValue, StatusCode};
    use serde_json::Value;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const HOUR: Duration = Duration::from_secs(3600);
    const ISSUER: &str = "https://issuer.example/";
    const AUDIENCE: &str = "roster";

    fn env(variables: &[(&str, &str)]) -> Env {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn authenticator(variables: &[(&str, &str)]) -> Authenticator {
        Authenticator::from_env(&env(variables)).unwrap()
    }

    fn dev() -> Authenticator {
        authenticator(&[("DEV_JWT_SECRET", SECRET)])
    }

    /// An authenticator with the file that its keys are in.
    struct WithFile {
        authenticator: Authenticator,
        _file: tempfile::NamedTempFile,
    }

    impl std::ops::Deref for WithFile {
        type Target = Authenticator;

        fn deref(&self) -> &Authenticator {
            &self.authenticator
        }
    }

    /// An authenticator of an issuer that has three keys, `rsa`, `ec` and `ed`, and more variables.
    fn with_issuer(more: &[(&str, &str)]) -> WithFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), key_set(&[rsa().jwk("rsa"), ec().jwk("ec"), ed().jwk("ed")])).unwrap();
        let path = file.path().to_str().unwrap();
        let variables = [("JWKS_FILE", path), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)];
        WithFile { authenticator: authenticator(&[&variables, more].concat()), _file: file }
    }

    /// The claims of a good token, and others.
    fn claims(more: &Value) -> Value {
        with(json!({"iss": ISSUER, "aud": AUDIENCE, "exp": get("/").now.as_second() + 60}), more)
    }

    /// A token for development with any claims.
    fn dev_token(claims: &Value) -> String {
        hs256(SECRET.as_bytes(), claims)
    }

    fn hs256(secret: &[u8], claims: &Value) -> String {
        sign(&json!({"alg": "HS256", "kid": "rsa"}), claims, &EncodingKey::from_secret(secret), Algorithm::HS256)
    }

    fn request(authorization: &str) -> Request {
        let mut request = get("/");
        request.headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        request
    }

    async fn authorized(authenticator: &Authenticator, authorization: &str) -> Result<Caller, String> {
        authenticator.authenticate(&request(authorization)).await.map_err(|problem| {
            let reply = problem.into_reply("r");
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
            assert_eq!(reply.headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["detail"].as_str().unwrap().to_owned()
        })
    }

    async fn bearing(authenticator: &Authenticator, token: &str) -> Result<Caller, String> {
        authorized(authenticator, &format!("Bearer {token}")).await
    }

    /// Why a token is refused.
    async fn refusal(authenticator: &Authenticator, token: &str) -> String {
        bearing(authenticator, token).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_token_that_we_issue_is_taken() {
        let now = get("/").now;
        let roles = BTreeSet::from([Role::Service, Role::SuperAdmin]);
        let issued = issue_dev_token(SECRET, "ada", &roles, Some(Tier::ProMax), HOUR, now).unwrap();
        for scheme in ["Bearer", "bearer"] {
            let caller = authorized(&dev(), &format!("{scheme} {issued}")).await.unwrap();
            assert!(caller.is_admin());
            let expected = Caller { subject: Some("ada".to_owned()), roles: roles.clone(), tier: Some(Tier::ProMax) };
            assert_eq!(caller, expected);
        }
        let issued = issue_dev_token(SECRET, "ada", &BTreeSet::new(), None, HOUR, now).unwrap();
        let caller = bearing(&dev(), &issued).await.unwrap();
        assert_eq!(caller.tier, None);
        assert!(!caller.is_admin());
    }

    #[tokio::test]
    async fn an_issuers_token_is_taken_with_each_algorithm() {
        let authenticator = with_issuer(&[]);
        let claims = claims(&json!({"sub": "ada", "roles": ["admin", "root"], "tier": "pro_max"}));
        let expected =
            Caller { subject: Some("ada".to_owned()), roles: BTreeSet::from([Role::Admin]), tier: Some(Tier::ProMax) };
        for (id, key) in [("rsa", rsa()), ("ec", ec()), ("ed", ed())] {
            assert_eq!(bearing(&authenticator, &key.token(id, &claims)).await, Ok(expected.clone()), "{id}");
            // Without a `kid` too, for each is the only one that fits.
            let token = key.sign(&json!({"alg": key.algorithm(), "typ": "at+jwt"}), &claims);
            assert_eq!(bearing(&authenticator, &token).await, Ok(expected.clone()), "{id}");
        }
    }

    #[tokio::test]
    async fn a_call_without_a_token_is_anonymous() {
        let (dev, none, issuer) = (dev(), authenticator(&[]), with_issuer(&[]));
        for authenticator in [&dev, &none, &issuer] {
            assert_eq!(authenticator.authenticate(&get("/")).await.unwrap(), Caller::default());
        }
    }

    #[tokio::test]
    async fn a_changed_token_is_refused() {
        let authenticator = with_issuer(&[]);
        for (id, key) in [("rsa", rsa()), ("ec", ec()), ("ed", ed())] {
            let good = key.token(id, &claims(&json!({"sub": "ada"})));
            assert!(bearing(&authenticator, &good).await.is_ok());
            let parts: Vec<&str> = good.split('.').collect();
            let payload = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "eve"})).to_string());
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": key.algorithm(), "kid": id, "x": 1}).to_string());
            let other_parts = key.token(id, &claims(&json!({"sub": "bob"})));
            let (_, other_signature) = other_parts.rsplit_once('.').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            bytes[7] ^= 1;
            let flipped = URL_SAFE_NO_PAD.encode(&bytes);
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1]);
            let zeros = URL_SAFE_NO_PAD.encode(vec![0; bytes.len()]);
            let changed = [
                format!("{}.{payload}.{}", parts[0], parts[2]),
                format!("{header}.{}.{}", parts[1], parts[2]),
                format!("{}.{}.{other_signature}", parts[0], parts[1]),
                format!("{}.{}.{flipped}", parts[0], parts[1]),
                format!("{}.{}.{cut}", parts[0], parts[1]),
                format!("{}.{}.{zeros}", parts[0], parts[1]),
                format!("{}.{}.", parts[0], parts[1]),
            ];
            for token in changed {
                assert_eq!(refusal(&authenticator, &token).await, Refusal::Signature.to_string(), "{id} {token}");
            }
        }
        let token = other_ec().token("ec", &claims(&json!({})));
        assert_eq!(refusal(&authenticator, &token).await, Refusal::Signature.to_string());
    }

    #[tokio::test]
    async fn the_key_says_the_algorithm() {
        let authenticator = with_issuer(&[]);
        let claims = claims(&json!({"roles": ["admin"]}));
        let signed = |key: TestKey, header: Value| key.sign(&header, &claims);
        for (token, expected) in [
            (signed(rsa(), json!({"alg": "RS256", "kid": "ec"})), Refusal::OtherAlgorithm),
            (signed(rsa(), json!({"alg": "RS256", "kid": "ed"})), Refusal::OtherAlgorithm),
            (signed(rsa(), json!({"alg": "ES256", "kid": "ec"})), Refusal::Signature),
            (signed(ec(), json!({"alg": "ES256", "kid": "rsa"})), Refusal::OtherAlgorithm),
            (signed(ec(), json!({"alg": "EdDSA", "kid": "ed"})), Refusal::Signature),
            (signed(ed(), json!({"alg": "EdDSA", "kid": "ec"})), Refusal::OtherAlgorithm),
            (signed(rsa(), json!({"alg": "RS256", "kid": "made-up"})), Refusal::UnknownKey),
            (
                signed(rsa(), json!({"alg": "RS256", "kid": "made-up", "jwk": rsa().jwk("made-up")})),
                Refusal::UnknownKey,
            ),
            (signed(rsa(), json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": 1})), Refusal::Critical),
            (signed(rsa(), json!({"alg": "RS256", "kid": "rsa", "crit": []})), Refusal::Critical),
            (signed(rsa(), json!({"alg": "RS256", "kid": 7})), Refusal::Malformed),
            (signed(rsa(), json!({"kid": "rsa"})), Refusal::Malformed),
        ] {
            assert_eq!(refusal(&authenticator, &token).await, expected.to_string(), "{token}");
        }
        for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
            let header = json!({"alg": format!("{algorithm:?}"), "kid": "rsa"});
            let token = sign(&header, &claims, rsa().private(), algorithm);
            assert_eq!(refusal(&authenticator, &token).await, Refusal::Algorithm.to_string(), "{algorithm:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_unsigned_or_signed_with_a_public_key() {
        let authenticator = with_issuer(&[("DEV_JWT_SECRET", SECRET)]);
        let claims = claims(&json!({"roles": ["admin"]}));
        let good = rsa().token("rsa", &claims);
        let (_, payload_and_signature) = good.split_once('.').unwrap();
        let (payload, _) = payload_and_signature.split_once('.').unwrap();
        for algorithm in ["none", "None", "NONE", "nOnE", "rs256", "HS256", "ES384", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "kid": "rsa"}).to_string());
            for token in [format!("{header}.{payload}."), format!("{header}.{payload_and_signature}")] {
                assert_eq!(refusal(&authenticator, &token).await, Refusal::Algorithm.to_string(), "{algorithm}");
            }
        }
        let der = STANDARD.decode(RSA_PUBLIC_DER).unwrap();
        let lines: Vec<&str> = RSA_PUBLIC_DER.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let jwk = rsa().jwk("rsa");
        let modulus = jwk["n"].as_str().unwrap();
        let secrets = [
            pem.as_bytes().to_vec(),
            pem.trim_end().as_bytes().to_vec(),
            der,
            jwk.to_string().into_bytes(),
            modulus.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(modulus).unwrap(),
            SECRET.as_bytes().to_vec(),
            Vec::new(),
        ];
        for secret in secrets {
            assert_eq!(refusal(&authenticator, &hs256(&secret, &claims)).await, Refusal::Algorithm.to_string());
            // Nor where the header lies about what it is.
            let header = json!({"alg": "RS256", "kid": "rsa"});
            let token = sign(&header, &claims, &EncodingKey::from_secret(&secret), Algorithm::HS256);
            assert_eq!(refusal(&authenticator, &token).await, Refusal::Signature.to_string());
        }
    }

    #[tokio::test]
    async fn a_token_is_for_us_and_from_our_issuer() {
        let authenticator = with_issuer(&[]);
        let with = async |more: Value| bearing(&authenticator, &ec().token("ec", &claims(&more))).await;
        assert!(with(json!({"aud": ["other", AUDIENCE]})).await.is_ok());
        for audience in [json!("other"), json!("roste"), json!("Roster"), json!(["other"]), json!([]), json!("")] {
            assert_eq!(with(json!({"aud": audience})).await, Err(Refusal::Audience.to_string()), "{audience}");
        }
        for issuer in ["https://issuer.example", "https://other.example/", "https://ISSUER.example/", ""] {
            assert_eq!(with(json!({"iss": issuer})).await, Err(Refusal::Issuer.to_string()), "{issuer}");
        }
        assert_eq!(with(json!({"aud": null})).await.unwrap_err(), "the token has no aud claim");
        assert_eq!(with(json!({"iss": null})).await.unwrap_err(), "the token has no iss claim");
        let text = "the token's aud claim is not a string or an array of strings";
        assert_eq!(with(json!({"aud": [AUDIENCE, 7]})).await.unwrap_err(), text);
        assert_eq!(with(json!({"aud": {AUDIENCE: true}})).await.unwrap_err(), text);
        assert_eq!(with(json!({"iss": [ISSUER]})).await.unwrap_err(), "the token's iss claim is not a string");
        let bare = ec().token("ec", &json!({"exp": get("/").now.as_second() + 60}));
        assert_eq!(refusal(&authenticator, &bare).await, "the token has no iss claim");
    }

    #[tokio::test]
    async fn times_count_with_a_minute_of_leeway() {
        let now = get("/").now.as_second();
        let (dev, issuer) = (dev(), with_issuer(&[]));
        for (times, expected) in [
            (json!({"exp": now - 60}), Err("the token has expired")),
            (json!({"exp": now - 59}), Ok(())),
            (json!({"exp": now as f64 - 59.5}), Ok(())),
            (json!({"exp": now as f64 - 60.5}), Err("the token has expired")),
            (json!({"exp": now + 60, "nbf": now + 60}), Ok(())),
            (json!({"exp": now + 99, "nbf": now + 61}), Err("the token is not valid yet")),
            (json!({"exp": now + 99, "nbf": "soon"}), Err("the token's nbf claim is not a number of seconds")),
            (json!({"exp": null}), Err("the token has no exp claim")),
            (json!({"exp": "soon"}), Err("the token's exp claim is not a number of seconds")),
        ] {
            let claims = claims(&times);
            let outcomes =
                [bearing(&dev, &dev_token(&claims)).await, bearing(&issuer, &ed().token("ed", &claims)).await];
            for outcome in outcomes {
                assert_eq!(outcome.map(drop), expected.map_err(str::to_owned), "{times}");
            }
        }
        assert_eq!(refusal(&dev, &dev_token(&json!({"sub": "ada"}))).await, "the token has no exp claim");
        let huge = "{\"exp\": 1e999}";
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode("{\"alg\": \"HS256\"}"), URL_SAFE_NO_PAD.encode(huge));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        let refusal = refusal(&dev, &format!("{message}.{signature}")).await;
        assert_eq!(refusal, "the token's exp claim is not a number of seconds");
    }

    #[tokio::test]
    async fn claims_that_say_nothing_here() {
        let dev = dev();
        let with = async |more: Value| bearing(&dev, &dev_token(&claims(&more))).await;
        let caller = with(json!({"roles": ["root", "admin"], "aud": "other", "iss": 7, "x": {}})).await.unwrap();
        assert_eq!(caller.roles, BTreeSet::from([Role::Admin]));
        assert_eq!(with(json!({"sub": null, "roles": null, "tier": null})).await, Ok(Caller::default()));
    }

    #[tokio::test]
    async fn claims_of_the_wrong_type_are_refused() {
        let dev = dev();
        let with = async |more: Value| bearing(&dev, &dev_token(&claims(&more))).await;
        assert!(with(json!({"tier": "gold"})).await.unwrap_err().contains("\"gold\" is no tier"));
        assert_eq!(with(json!({"tier": 3})).await.unwrap_err(), "the token's tier claim is not a string");
        assert_eq!(with(json!({"sub": 3})).await.unwrap_err(), "the token's sub claim is not a string");
        for roles in [json!(3), json!({"admin": true}), json!(["admin", 3]), json!([["admin"]]), json!(true)] {
            let expected = "the token's roles claim is not an array of strings or a string of names";
            assert_eq!(with(json!({"roles": roles})).await.unwrap_err(), expected);
        }
        let caller = with(json!({"roles": "service  admin root"})).await.unwrap();
        assert_eq!(caller.roles, BTreeSet::from([Role::Admin, Role::Service]));
        assert_eq!(with(json!({"roles": "administrator"})).await.unwrap().roles, BTreeSet::new());
        let array = dev_token(&json!([1]));
        assert_eq!(refusal(&dev, &array).await, Refusal::Malformed.to_string());
    }

    #[tokio::test]
    async fn claims_have_the_names_that_are_configured() {
        let claims = claims(&json!({
            "sub": "top", "roles": ["super_admin"], "tier": "free",
            "https://example.com/roles": ["admin"], "cognito:groups": ["service"], "a.b": "ada",
            "a": {"b": "deep"}, "realm_access": {"roles": "admin service"}, "x/y": {"m~n": ["bob", "pro_max"]},
        }));
        let caller = async |subject: &str, roles: &str, tier: &str| {
            let names = [("JWT_SUBJECT_CLAIM", subject), ("JWT_ROLES_CLAIM", roles), ("JWT_TIER_CLAIM", tier)];
            let caller = bearing(&with_issuer(&names), &rsa().token("rsa", &claims)).await.unwrap();
            (caller.subject.unwrap_or_default(), caller.roles.into_iter().collect::<Vec<_>>(), caller.tier)
        };
        let top = ("top".to_owned(), vec![Role::SuperAdmin], Some(Tier::Free));
        assert_eq!(caller("", "", "").await, top);
        assert_eq!(caller("/sub", "/roles", "/tier").await, top);
        let exact = caller("a.b", "https://example.com/roles", "level").await;
        assert_eq!(exact, ("ada".to_owned(), vec![Role::Admin], None));
        let pointed = caller("/a/b", "/realm_access/roles", "/x~1y/m~0n/1").await;
        assert_eq!(pointed, ("deep".to_owned(), vec![Role::Admin, Role::Service], Some(Tier::ProMax)));
        let nowhere = caller("/a/c", "cognito:groups", "/tier/x").await;
        assert_eq!(nowhere, (String::new(), vec![Role::Service], None));
        let names = [("JWT_ROLES_CLAIM", "/realm_access")];
        let refusal = refusal(&with_issuer(&names), &rsa().token("rsa", &claims)).await;
        assert_eq!(refusal, "the token's /realm_access claim is not an array of strings or a string of names");
        for name in ["JWT_SUBJECT_CLAIM", "JWT_ROLES_CLAIM", "JWT_TIER_CLAIM"] {
            for pointer in ["/a~", "/a~2b", "/a~/b"] {
                let error = Authenticator::from_env(&env(&[(name, pointer)])).err().unwrap();
                assert_eq!(error, EnvError::Invalid { name, expected: "a claim's name or a JSON Pointer" });
            }
        }
    }

    #[tokio::test]
    async fn a_development_token_is_signed_with_the_secret() {
        let claims = claims(&json!({"roles": ["admin"]}));
        let dev = dev();
        let good = dev_token(&claims);
        assert!(bearing(&dev, &good).await.is_ok());
        let other = hs256(SECRET.replace('0', "1").as_bytes(), &claims);
        assert_eq!(refusal(&dev, &other).await, Refusal::Signature.to_string());
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let hs512 = sign(&json!({"alg": "HS512"}), &claims, &key, Algorithm::HS512);
        assert_eq!(refusal(&dev, &hs512).await, Refusal::Algorithm.to_string());
        assert_eq!(refusal(&dev, &rsa().token("rsa", &claims)).await, Refusal::Algorithm.to_string());
        let critical = sign(&json!({"alg": "HS256", "crit": ["b64"]}), &claims, &key, Algorithm::HS256);
        assert_eq!(refusal(&dev, &critical).await, Refusal::Critical.to_string());
        let (_, payload_and_signature) = good.split_once('.').unwrap();
        let (payload, _) = payload_and_signature.split_once('.').unwrap();
        for algorithm in ["none", "None", "NONE", "RS256", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "typ": "JWT"}).to_string());
            for token in [format!("{header}.{payload}."), format!("{header}.{payload_and_signature}")] {
                assert_eq!(refusal(&dev, &token).await, Refusal::Algorithm.to_string(), "{algorithm}");
            }
        }
        let four_parts =
            format!("{good}.{}", jsonwebtoken::crypto::sign(good.as_bytes(), &key, Algorithm::HS256).unwrap());
        for token in ["", ".", "..", "a.b", "a.b.c.d", payload, &four_parts, &format!("{good}=")] {
            assert_eq!(refusal(&dev, token).await, Refusal::Malformed.to_string(), "{token}");
        }
    }

    #[tokio::test]
    async fn a_development_token_has_the_issuer_and_the_audience_that_are_configured() {
        let exp = get("/").now.as_second() + 60;
        let plain = json!({"exp": exp});
        let (from, to) = (with(plain.clone(), &json!({"iss": ISSUER})), with(plain.clone(), &json!({"aud": AUDIENCE})));
        let both = with(from.clone(), &to);
        for (variables, good, bad) in [
            (&[][..], vec![&plain, &from, &to, &both], vec![]),
            (&[("JWT_ISSUER", ISSUER)][..], vec![&from, &both], vec![&plain, &to]),
            (&[("JWT_AUDIENCE", AUDIENCE)][..], vec![&to, &both], vec![&plain, &from]),
            (&[("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)][..], vec![&both], vec![&plain, &from, &to]),
        ] {
            let authenticator = authenticator(&[&[("DEV_JWT_SECRET", SECRET)], variables].concat());
            for claims in good {
                assert!(bearing(&authenticator, &dev_token(claims)).await.is_ok(), "{variables:?} {claims}");
            }
            for claims in bad {
                assert!(bearing(&authenticator, &dev_token(claims)).await.is_err(), "{variables:?} {claims}");
            }
        }
    }

    #[tokio::test]
    async fn a_key_set_makes_the_secret_void() {
        let (log, _guard) = Log::start();
        drop(dev());
        assert_eq!(log.lines(), [""; 0]);
        let authenticator = with_issuer(&[("DEV_JWT_SECRET", SECRET)]);
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("DEV_JWT_SECRET is ignored"), "{lines:?}");
        assert!(!lines[0].contains(SECRET), "{lines:?}");
        let claims = claims(&json!({"roles": ["admin"]}));
        assert_eq!(refusal(&authenticator, &dev_token(&claims)).await, Refusal::Algorithm.to_string());
        assert!(bearing(&authenticator, &ed().token("ed", &claims)).await.is_ok());
    }

    #[tokio::test]
    async fn other_credentials_are_refused() {
        assert_eq!(authorized(&dev(), "Basic YTpi").await.unwrap_err(), Refusal::Scheme.to_string());
        assert_eq!(authorized(&dev(), "Bearer").await.unwrap_err(), Refusal::Scheme.to_string());
        assert_eq!(refusal(&authenticator(&[]), "a.b.c").await, Refusal::NoKey.to_string());
        let mut request = get("/");
        request.headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        request.headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        assert!(dev().authenticate(&request).await.is_err());
    }

    #[tokio::test]
    async fn a_long_token_is_refused_unread() {
        let server = KeyServer::start(&[ed().jwk("ed")]).await;
        let variables = [("JWKS_URL", server.url.as_str()), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)];
        let authenticator = authenticator(&variables);
        let padded = |bytes: usize| ed().token("ed", &claims(&json!({"x": "y".repeat(bytes)})));
        // Base64 takes four characters for three bytes.
        let room = (16 * 1024 - padded(0).len()) / 4 * 3;
        let (fits, long) = (padded(room - 3), padded(room + 3));
        assert!(fits.len() <= 16 * 1024 && long.len() > 16 * 1024);
        let expected = "the token is longer than 16384 bytes";
        assert_eq!(refusal(&authenticator, &long).await, expected);
        assert_eq!(refusal(&authenticator, &"x".repeat(16 * 1024 + 1)).await, expected);
        assert_eq!(server.fetches(), 0);
        assert!(bearing(&authenticator, &fits).await.is_ok());
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn keys_out_of_reach_are_not_the_callers_fault() {
        let server = KeyServer::start(&[]).await;
        server.reply("500 Internal Server Error", "");
        let variables = [("JWKS_URL", server.url.as_str()), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)];
        let authenticator = authenticator(&variables);
        let token = ed().token("ed", &claims(&json!({})));
        let problem = authenticator.authenticate(&request(&format!("Bearer {token}"))).await.unwrap_err();
        let reply = problem.into_reply("r");
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers[RETRY_AFTER], "5");
        assert!(!reply.headers.contains_key(WWW_AUTHENTICATE));
        // A token that no key could make good is refused all the same, and asks nobody.
        assert_eq!(refusal(&authenticator, &dev_token(&claims(&json!({})))).await, Refusal::Algorithm.to_string());
        assert_eq!(authenticator.authenticate(&get("/")).await.unwrap(), Caller::default());
        assert_eq!(server.fetches(), 1);
    }

    #[test]
    fn what_cannot_be_configured() {
        let error = |variables: &[(&str, &str)]| Authenticator::from_env(&env(variables)).err().unwrap();
        let invalid = |error: EnvError| match error {
            EnvError::Invalid { name, .. } => name,
            EnvError::Missing(name) => panic!("{name} is missing"),
        };
        assert_eq!(invalid(error(&[("DEV_JWT_SECRET", "short")])), "DEV_JWT_SECRET");
        let (file, url) = (("JWKS_FILE", "keys.json"), ("JWKS_URL", "https://issuer.example/keys"));
        let (issuer, audience) = (("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE));
        assert_eq!(invalid(error(&[file, url, issuer, audience])), "JWKS_FILE");
        for source in [file, url] {
            assert_eq!(error(&[source, audience]), EnvError::Missing("JWT_ISSUER"));
            assert_eq!(error(&[source, issuer]), EnvError::Missing("JWT_AUDIENCE"));
            assert!(Authenticator::from_env(&env(&[source, issuer, audience])).is_ok());
        }
    }

    #[test]
    fn an_authenticator_is_shared_between_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        fn sent<T: Send>(_: T) {}
        let (authenticator, request) = (dev(), get("/"));
        shared(&authenticator);
        sent(authenticator.authenticate(&request));
    }
}
