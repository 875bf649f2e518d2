//! Who may: every route for admins refuses every token that is not a good admin's.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use roster_tests::stack::{TestStack, unconnected};
use serde_json::{Value, json};

/// An issuer with one key.
struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig", "alg": "EdDSA", "x": x}]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }

    /// An admin's token with some claims set otherwise.
    fn token(&self, changes: Value) -> String {
        let now = Timestamp::now().as_second();
        let mut claims = json!({
            "iss": "https://issuer.example", "aud": "roster", "sub": "ann", "roles": ["admin"],
            "iat": now, "exp": now + 600,
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.sign(&json!({"alg": "EdDSA", "kid": "k1"}), &claims)
    }
}

/// The same token with another payload.
fn tampered(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let claims = URL_SAFE_NO_PAD.decode(&parts[1]).unwrap();
    let claims = String::from_utf8(claims).unwrap().replace("service", "admin");
    parts[1] = URL_SAFE_NO_PAD.encode(claims);
    parts.join(".")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_admin_route_refuses_every_bad_token() {
    let issuer = Issuer::new();
    let directory = tempfile::tempdir().unwrap();
    let jwks = directory.path().join("jwks.json");
    std::fs::write(&jwks, issuer.jwks().to_string()).unwrap();
    let stack = TestStack::with(&[
        ("JWKS_FILE", jwks.to_str().unwrap()),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "roster"),
    ])
    .await;
    let now = Timestamp::now().as_second();
    let admin = issuer.token(json!({}));
    let both = issuer.token(json!({"roles": ["admin", "super_admin"]}));
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "k1"}).to_string());
        let claims = admin.split('.').nth(1).unwrap();
        format!("{header}.{claims}.")
    };
    let bad = [
        ("no token", 401, String::new()),
        ("an expired token", 401, issuer.token(json!({"exp": now - 61}))),
        ("a token that is not valid yet", 401, issuer.token(json!({"nbf": now + 120}))),
        ("another audience's token", 401, issuer.token(json!({"aud": "other"}))),
        ("another issuer's token", 401, issuer.token(json!({"iss": "https://other.example"}))),
        ("a token of a stranger's key", 401, Issuer::new().token(json!({}))),
        ("a tampered token", 401, tampered(&issuer.token(json!({"roles": ["service"]})))),
        ("a token without a signature", 401, unsigned("none")),
        ("a token with an empty signature", 401, unsigned("EdDSA")),
        (
            "a token signed with the development secret",
            401,
            roster_tests::stack::token("ann", &[roster_http::Role::Admin]),
        ),
        ("a service's token", 403, issuer.token(json!({"roles": ["service"]}))),
        ("a token without roles", 403, issuer.token(json!({"roles": []}))),
    ];
    let (template, _) = unconnected();
    let mut routes: BTreeSet<(String, String)> = BTreeSet::new();
    for route in template.functions.iter().flat_map(|function| &function.routes) {
        let path = route.path.to_string();
        if path.starts_with("/admin") {
            routes.insert((route.method.to_string(), path.replace("{id}", "acme%2Fone")));
        }
    }
    assert!(routes.len() >= 12, "{routes:?}");
    for (method, path) in &routes {
        let line = format!("{method} {path}");
        for (what, status, token) in &bad {
            let answer = stack.send(&line, token, &[], Some("{}")).await;
            assert_eq!(answer.status, *status, "{line} with {what}: {}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.headers.contains_key("www-authenticate"), *status == 401, "{line} with {what}");
        }
        let answer = stack.send(&line, &both, &[], Some("{}")).await;
        assert!(![401, 403].contains(&answer.status), "{line} as an admin: {}", answer.text);
    }
    stack.close().await;
}
