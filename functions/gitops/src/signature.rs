//! Whether a delivery comes from the forge: each forge proves that it knows the secret in its own way.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use roster_core::canonical::sha256_hex;
use roster_http::Problem;
use sha2::Sha256;

/// GitHub's, and for its users' sake Gitea's and Forgejo's too: `sha256=` and the HMAC of the body.
const GITHUB: &str = "x-hub-signature-256";
/// Gitea's and Forgejo's own: the HMAC of the body.
const GITEA: &str = "x-gitea-signature";
/// GitLab's: the secret itself. It does not cover the body, so who has seen one delivery can write another; what that
/// gets them is a look at the branch.
const GITLAB: &str = "x-gitlab-token";

/// Checks that a body was sent by who knows the secret. Every proof that is there has to be good.
///
/// The answer is the digest by which a delivery is known again: the SHA-256 of its HMAC, so a body of 25 MB is hashed
/// once, and who reads the table finds no signature.
///
/// # Errors
/// 401 when one is not, or there is none.
pub(crate) fn check(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let proofs: Vec<(&str, Proof, &[u8])> = [(GITHUB, github as Proof), (GITEA, gitea), (GITLAB, gitlab)]
        .into_iter()
        .flat_map(|(name, proof)| headers.get_all(name).iter().map(move |value| (name, proof, value.as_bytes())))
        .collect();
    if proofs.is_empty() {
        return Err(refusal(format!("the delivery is not signed: send {GITHUB}, {GITEA} or {GITLAB}")));
    }
    // A key of any length is one.
    let signature = sign(secret, body).ok_or_else(|| refusal("the secret is no key".into()))?;
    if let Some((name, ..)) = proofs.iter().find(|(_, is_good, value)| !is_good(secret, value, &signature)) {
        return Err(refusal(format!("the header {name} does not prove that the sender knows the secret")));
    }
    Ok(sha256_hex(&signature.finalize().into_bytes()))
}

/// Whether a header's value proves that its sender knows the secret, given the body's HMAC.
type Proof = fn(&str, &[u8], &Hmac<Sha256>) -> bool;

fn github(secret: &str, value: &[u8], signature: &Hmac<Sha256>) -> bool {
    value.strip_prefix(b"sha256=").is_some_and(|value| gitea(secret, value, signature))
}

/// Takes the same time wherever the two differ.
fn gitea(_: &str, value: &[u8], signature: &Hmac<Sha256>) -> bool {
    // Whether a text is 64 hex digits is no secret.
    decoded(value).is_some_and(|value| signature.clone().verify(&value.into()).is_ok())
}

/// Comparing signatures instead of the tokens keeps also the secret's length out of the time it takes.
fn gitlab(secret: &str, token: &[u8], _: &Hmac<Sha256>) -> bool {
    let expected = sign(secret, secret.as_bytes()).map(Hmac::finalize);
    expected.is_some() && sign(secret, token).map(Hmac::finalize) == expected
}

fn sign(secret: &str, text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    hmac.update(text);
    Some(hmac)
}

fn decoded(hex: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn refusal(detail: String) -> Problem {
    Problem::new(http::StatusCode::UNAUTHORIZED, "bad-signature", "Bad signature", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, StatusCode};

    /// The example of GitHub's documentation
    /// (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn outcome(headers: &[(&'static str, &str)], body: &[u8]) -> Result<(), StatusCode> {
        digest(headers, body).map(drop)
    }

    fn digest(headers: &[(&'static str, &str)], body: &[u8]) -> Result<String, StatusCode> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        check(SECRET, &map, body).map_err(|problem| problem.status())
    }

    #[test]
    fn each_forge_proves_itself_in_its_own_way() {
        let github = format!("sha256={SIGNATURE}");
        let upper = SIGNATURE.to_ascii_uppercase();
        for headers in [
            &[(GITHUB, github.as_str())][..],
            &[(GITEA, SIGNATURE)],
            &[(GITEA, &upper)],
            &[(GITLAB, SECRET)],
            // Gitea sends both of the first.
            &[(GITHUB, &github), (GITEA, SIGNATURE)],
        ] {
            assert_eq!(outcome(headers, BODY), Ok(()), "{headers:?}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_body_whatever_proves_it_and_no_signature() {
        let github = format!("sha256={SIGNATURE}");
        let digests = [&[(GITHUB, github.as_str())][..], &[(GITEA, SIGNATURE)], &[(GITLAB, SECRET)]]
            .map(|headers| digest(headers, BODY).unwrap());
        assert!(digests.iter().all(|digest| *digest == digests[0] && digest != SIGNATURE), "{digests:?}");
        assert_ne!(digest(&[(GITLAB, SECRET)], b"Hello, World").unwrap(), digests[0], "another body");
    }

    #[test]
    fn everything_else_is_refused() {
        let github = format!("sha256={SIGNATURE}");
        let other = SIGNATURE.replacen('7', "8", 1);
        let longer = format!("{SIGNATURE}00");
        for headers in [
            &[][..],
            &[(GITHUB, SIGNATURE)],
            &[(GITHUB, "sha256=")],
            &[(GITHUB, "")],
            &[(GITHUB, "sha1=757107ea0eb2509fc211221cce984b8a37570b6d")],
            &[(GITEA, &other)],
            &[(GITEA, &SIGNATURE[2..])],
            &[(GITEA, &longer)],
            &[(GITEA, &github)],
            &[(GITLAB, "It's a Secret to Everybod")],
            &[(GITLAB, "It's a Secret to Everybody!")],
            &[(GITLAB, "")],
            // A good proof does not mend a bad one.
            &[(GITHUB, &github), (GITEA, &other)],
            &[(GITHUB, &github), (GITHUB, "sha256=00")],
            &[(GITLAB, SECRET), (GITLAB, "other")],
        ] {
            assert_eq!(outcome(headers, BODY), Err(StatusCode::UNAUTHORIZED), "{headers:?}");
        }
        assert_eq!(outcome(&[(GITHUB, &github)], b"Hello, World"), Err(StatusCode::UNAUTHORIZED), "another body");
        assert_eq!(outcome(&[(GITHUB, &github)], b""), Err(StatusCode::UNAUTHORIZED), "no body");
    }
}
