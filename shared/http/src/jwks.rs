//! An issuer's public keys: a JSON Web Key Set (RFC 7517), as far as its keys can verify tokens here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The algorithms that an issuer may sign with. `none` signs nothing, and an HMAC would make the public key
/// the secret (RFC 8725, sections 2.1 and 3.1).
const ACCEPTED: [(&str, Algorithm); 3] =
    [("RS256", Algorithm::RS256), ("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA)];
/// Shorter RSA keys are not to be used (RFC 7518, section 3.3), longer ones the cryptography refuses.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// A coordinate on P-256, and a public key of Ed25519.
const COORDINATE_BYTES: usize = 32;

/// The accepted algorithm of this name.
pub(crate) fn accepted(name: &str) -> Option<Algorithm> {
    ACCEPTED.into_iter().find(|(accepted, _)| *accepted == name).map(|(_, algorithm)| algorithm)
}

/// The keys of a set that tokens are verified with.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// None is the token's.
    Unknown,
    /// The one that the token names is for another algorithm.
    OtherAlgorithm,
    /// The token names none, and more than one fits.
    Ambiguous,
}

/// Text that is not a key set. It says no more, for a set may have been written with a secret in it.
#[derive(Debug, thiserror::Error)]
#[error("it is not a JSON Web Key Set")]
pub(crate) struct NotAKeySet;

/// Why a key is of no use here.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it is for another purpose than signatures")]
    Purpose,
    #[error("a member that its type needs is missing or malformed")]
    Malformed,
    #[error("its type, or its curve, is not one that tokens are verified with")]
    Type,
    #[error("its alg is not one that tokens are verified with, or does not fit its type")]
    Algorithm,
    #[error("it is an RSA key of {0} bits")]
    RsaBits(usize),
}

/// A key's members, without those that only private keys have.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// The usable keys of a set; the others are skipped, as RFC 7517, section 5, has it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, NotAKeySet> {
        let JwkSet { keys } = serde_json::from_slice(text).map_err(|_| NotAKeySet)?;
        let usable = |jwk: Value| {
            let id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
            match verifying(jwk) {
                Ok((algorithm, key)) => Some(Key { id, algorithm, key }),
                // Many sets have keys for encryption too.
                Err(Unusable::Purpose) => None,
                Err(reason) => {
                    tracing::warn!(kid = id, %reason, "a key of the key set is skipped");
                    None
                }
            }
        };
        Ok(Self(keys.into_iter().filter_map(usable).collect()))
    }

    /// The key that a token names, or the only one that fits when it names none.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&DecodingKey, NoKey> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        // Keys of different types may share an id (RFC 7517, section 4.5).
        let mut fitting = self.0.iter().filter(named).filter(|key| key.algorithm == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (Some(key), Some(_)) if id.is_some() => Ok(&key.key),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) if id.is_some() && self.0.iter().any(|key| named(&key)) => Err(NoKey::OtherAlgorithm),
            (None, _) => Err(NoKey::Unknown),
        }
    }
}

/// The only algorithm that a key verifies with (RFC 8725, section 3.1), and the key.
fn verifying(jwk: Value) -> Result<(Algorithm, DecodingKey), Unusable> {
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| Unusable::Malformed)?;
    let verifies = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
    if jwk.purpose.as_ref().is_some_and(|purpose| purpose != "sig") || !jwk.key_ops.as_ref().is_none_or(verifies) {
        return Err(Unusable::Purpose);
    }
    let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Algorithm::RS256, rsa(&jwk)?),
        ("EC", Some("P-256")) => (Algorithm::ES256, p256(&jwk)?),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, DecodingKey::from_ed_der(&coordinate(jwk.x.as_deref())?)),
        _ => return Err(Unusable::Type),
    };
    match jwk.alg.as_deref() {
        Some(name) if accepted(name) != Some(algorithm) => Err(Unusable::Algorithm),
        _ => Ok((algorithm, key)),
    }
}

/// RFC 7518, section 6.3.1.
fn rsa(jwk: &Jwk) -> Result<DecodingKey, Unusable> {
    let (modulus, exponent) = (bytes(jwk.n.as_deref())?, bytes(jwk.e.as_deref())?);
    // Some issuers prefix a zero, which the RFC forbids and the cryptography refuses.
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..).unwrap_or_default();
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(Unusable::RsaBits(bits));
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, &exponent))
}

/// The point of an elliptic curve, uncompressed; RFC 7518, section 6.2.1.
fn p256(jwk: &Jwk) -> Result<DecodingKey, Unusable> {
    let mut point = vec![4];
    point.extend(coordinate(jwk.x.as_deref())?);
    point.extend(coordinate(jwk.y.as_deref())?);
    Ok(DecodingKey::from_ec_der(&point))
}

fn coordinate(member: Option<&str>) -> Result<Vec<u8>, Unusable> {
    bytes(member).and_then(|bytes| if bytes.len() == COORDINATE_BYTES { Ok(bytes) } else { Err(Unusable::Malformed) })
}

fn bytes(member: Option<&str>) -> Result<Vec<u8>, Unusable> {
    member.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Unusable::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Log, SMALL_RSA_MODULUS, ec, ed, key_set, other_ec, rsa, with};
    use serde_json::json;

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(key_set(keys).as_bytes()).unwrap()
    }

    fn find(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> Result<(), NoKey> {
        set.find(id, algorithm).map(drop)
    }

    #[test]
    fn a_key_is_for_one_algorithm() {
        let set = set(&[rsa().jwk("one"), ec().jwk("two"), ed().jwk("three")]);
        let fitting = [("one", Algorithm::RS256), ("two", Algorithm::ES256), ("three", Algorithm::EdDSA)];
        for (id, of_key) in fitting {
            for (_, algorithm) in ACCEPTED {
                let expected = if algorithm == of_key { Ok(()) } else { Err(NoKey::OtherAlgorithm) };
                assert_eq!(find(&set, Some(id), algorithm), expected, "{id} {algorithm:?}");
            }
        }
        assert_eq!(find(&set, Some("four"), Algorithm::RS256), Err(NoKey::Unknown));
        assert_eq!(find(&set, Some("ONE"), Algorithm::RS256), Err(NoKey::Unknown));
    }

    #[test]
    fn a_token_that_names_no_key_needs_the_only_one_that_fits() {
        let set = set(&[rsa().jwk("one"), ec().jwk("two"), other_ec().bare_jwk()]);
        assert_eq!(find(&set, None, Algorithm::RS256), Ok(()));
        assert_eq!(find(&set, None, Algorithm::ES256), Err(NoKey::Ambiguous));
        assert_eq!(find(&set, None, Algorithm::EdDSA), Err(NoKey::Unknown));
        assert_eq!(find(&set, Some(""), Algorithm::ES256), Err(NoKey::Unknown));
    }

    #[test]
    fn keys_of_different_types_may_share_an_id() {
        let set = set(&[rsa().jwk("one"), ec().jwk("one")]);
        assert_eq!(find(&set, Some("one"), Algorithm::RS256), Ok(()));
        assert_eq!(find(&set, Some("one"), Algorithm::ES256), Ok(()));
        assert_eq!(find(&set, Some("one"), Algorithm::EdDSA), Err(NoKey::OtherAlgorithm));
    }

    #[test]
    fn what_a_key_need_not_say() {
        // Numbers are where `arbitrary_precision` bites: issuers add members of their own.
        let more = json!({"key_ops": ["sign", "verify"], "x5c": ["AA=="], "iat": 1.5e300, "exp": 1});
        let usable = [rsa().bare_jwk(), with(rsa().bare_jwk(), &more), rsa().jwk("one")];
        for jwk in usable {
            assert_eq!(find(&set(&[jwk]), None, Algorithm::RS256), Ok(()));
        }
    }

    #[test]
    fn keys_of_no_use_are_skipped_and_told() {
        let small = with(rsa().bare_jwk(), &json!({"n": SMALL_RSA_MODULUS}));
        let large = with(rsa().bare_jwk(), &json!({"n": URL_SAFE_NO_PAD.encode([0xff; 1025])}));
        let short = with(ec().bare_jwk(), &json!({"x": URL_SAFE_NO_PAD.encode([1; 31])}));
        let unusable = [
            (json!({"kty": "oct", "k": "hunter2", "alg": "HS256"}), "its type"),
            (with(ec().bare_jwk(), &json!({"crv": "P-384"})), "its type"),
            (with(ec().bare_jwk(), &json!({"crv": "secp256k1"})), "its type"),
            (with(ed().bare_jwk(), &json!({"crv": "Ed448"})), "its type"),
            (with(ed().bare_jwk(), &json!({"kty": "EC"})), "its type"),
            (with(rsa().bare_jwk(), &json!({"kty": "rsa"})), "its type"),
            (small, "an RSA key of 1024 bits"),
            (large, "an RSA key of 8200 bits"),
            (with(rsa().bare_jwk(), &json!({"alg": "RS384"})), "its alg"),
            (with(rsa().bare_jwk(), &json!({"alg": "ES256"})), "its alg"),
            (with(rsa().bare_jwk(), &json!({"alg": "none"})), "its alg"),
            (with(rsa().bare_jwk(), &json!({"alg": "HS256"})), "its alg"),
            (with(rsa().bare_jwk(), &json!({"n": "not base64!"})), "malformed"),
            (with(rsa().bare_jwk(), &json!({"e": null})), "malformed"),
            (with(rsa().bare_jwk(), &json!({"n": 3})), "malformed"),
            (short, "malformed"),
            (json!({}), "malformed"),
            (json!("hunter2"), "malformed"),
        ];
        for (jwk, reason) in unusable {
            let (log, _guard) = Log::start();
            let set = set(&[jwk.clone(), rsa().jwk("good")]);
            assert_eq!(set.0.len(), 1, "{jwk}");
            assert_eq!(find(&set, Some("good"), Algorithm::RS256), Ok(()));
            let lines = log.lines();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("WARN") && lines[0].contains(reason), "{jwk}: {lines:?}");
            assert!(!lines[0].contains("hunter2"), "{lines:?}");
        }
    }

    #[test]
    fn keys_for_other_purposes_are_skipped() {
        let (log, _guard) = Log::start();
        let purposes = [json!({"use": "enc"}), json!({"use": "tls"}), json!({"key_ops": ["encrypt"]})];
        for purpose in purposes {
            assert_eq!(set(&[with(rsa().bare_jwk(), &purpose)]).0.len(), 0, "{purpose}");
        }
        assert_eq!(log.lines(), [""; 0]);
    }

    #[test]
    fn a_modulus_may_begin_with_zeros() {
        let n = rsa().bare_jwk()["n"].as_str().map(|n| URL_SAFE_NO_PAD.decode(n).unwrap()).unwrap();
        let padded = with(rsa().bare_jwk(), &json!({"n": URL_SAFE_NO_PAD.encode([&[0, 0][..], &n].concat())}));
        let (plain, padded) = (set(&[rsa().bare_jwk()]), set(&[padded]));
        let token = rsa().token("one", &json!({}));
        let (message, signature) = token.rsplit_once('.').unwrap();
        for set in [plain, padded] {
            let key = set.find(None, Algorithm::RS256).unwrap();
            assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, Algorithm::RS256).unwrap());
        }
    }
}
