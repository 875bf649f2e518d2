//! A signed token in its compact form (RFC 7515, section 3.1), and why a token is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use roster_core::tier::UnknownTier;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// A token beyond this is refused before any of it is parsed; real ones take a tenth.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the Authorization header is not one \"Bearer <token>\"")]
    Scheme,
    #[error("no key is configured to verify tokens with: only anonymous calls are answered")]
    NoKey,
    #[error("the keys to verify tokens with are out of reach")]
    KeysOutOfReach,
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the token is malformed")]
    Malformed,
    #[error("the token has a crit header, and no extension is known here")]
    Critical,
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    #[error("the token is signed with another algorithm than its key is for")]
    OtherAlgorithm,
    #[error("the token is signed with a key that is not known here")]
    UnknownKey,
    #[error("the token has no kid header, and more than one key may have signed it")]
    AmbiguousKey,
    #[error("the token has a bad signature")]
    Signature,
    #[error("the token has no {0} claim")]
    NoClaim(&'static str),
    #[error("the token's {claim} claim is not {expected}")]
    ClaimType { claim: String, expected: &'static str },
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is from another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token's tier claim cannot be used: {0}")]
    Tier(#[from] UnknownTier),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // The caller can do nothing about it: the token may be as good as any.
            Refusal::KeysOutOfReach => Self::unavailable(),
            refusal => Self::unauthorized(refusal.to_string()),
        }
    }
}

/// A token, split but not verified: its header is what anybody may have written.
#[derive(Debug)]
pub(crate) struct SignedToken<'a> {
    /// The header's `alg`.
    pub(crate) algorithm: String,
    /// The header's `kid`.
    pub(crate) key_id: Option<String>,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> SignedToken<'a> {
    /// Splits a token and reads its header.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        // A fourth part would leave a dot in the payload, which base64 has none of.
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let mut header = object(header)?;
        // An extension that has to be understood is not (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Refusal::Critical);
        }
        let algorithm = text(header.remove("alg"))?.ok_or(Refusal::Malformed)?;
        let key_id = text(header.remove("kid"))?;
        Ok(Self { algorithm, key_id, message, payload, signature })
    }

    /// The claims, when the key made the signature with this algorithm. The algorithm is the key's: the
    /// header only had the chance to name the same one (RFC 8725, section 3.1).
    pub(crate) fn claims(&self, key: &DecodingKey, algorithm: Algorithm) -> Result<Value, Refusal> {
        match jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, algorithm) {
            Ok(true) => Ok(Value::Object(object(self.payload)?)),
            Ok(false) => Err(Refusal::Signature),
            Err(_) => Err(Refusal::Malformed),
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}

fn text(member: Option<Value>) -> Result<Option<String>, Refusal> {
    match member {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::Malformed),
    }
}
