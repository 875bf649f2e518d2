//! What a token's claims (RFC 7519, section 4) have to say here, and whom they make the caller.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::auth::{Caller, Role};
use crate::env::{Env, EnvError};
use crate::token::Refusal;

/// How far two clocks may be apart, in seconds.
const LEEWAY: f64 = 60.0;

/// How claims are read.
#[derive(Debug)]
pub(crate) struct ClaimRules {
    issuer: Option<String>,
    audience: Option<String>,
    subject: ClaimName,
    roles: ClaimName,
    tier: ClaimName,
}

/// Where a claim is.
#[derive(Debug)]
enum ClaimName {
    /// At the top, under exactly this name: many issuers use URLs, or names with colons.
    Top(String),
    /// Where a JSON Pointer (RFC 6901) points.
    Pointer(String),
}

impl ClaimRules {
    /// The rules that the environment configures.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            issuer: env.optional("JWT_ISSUER").map(str::to_owned),
            audience: env.optional("JWT_AUDIENCE").map(str::to_owned),
            subject: ClaimName::from_env(env, "JWT_SUBJECT_CLAIM", "sub")?,
            roles: ClaimName::from_env(env, "JWT_ROLES_CLAIM", "roles")?,
            tier: ClaimName::from_env(env, "JWT_TIER_CLAIM", "tier")?,
        })
    }

    /// Whom the claims of a verified token are about.
    pub(crate) fn caller(&self, claims: &Value, now: Timestamp) -> Result<Caller, Refusal> {
        check_times(claims, now)?;
        if let Some(issuer) = &self.issuer {
            check_issuer(claims, issuer)?;
        }
        if let Some(audience) = &self.audience {
            check_audience(claims, audience)?;
        }
        let tier = self.tier.text(claims)?;
        Ok(Caller {
            subject: self.subject.text(claims)?.map(str::to_owned),
            roles: self.roles.roles(claims)?,
            tier: tier.map(str::parse).transpose()?,
        })
    }
}

impl ClaimName {
    fn from_env(env: &Env, name: &'static str, default: &str) -> Result<Self, EnvError> {
        let text = env.optional(name).unwrap_or(default);
        if !text.starts_with('/') {
            return Ok(Self::Top(text.to_owned()));
        }
        // Only `~0` and `~1` are escapes (RFC 6901, section 3).
        if text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) {
            Ok(Self::Pointer(text.to_owned()))
        } else {
            Err(EnvError::Invalid { name, expected: "a claim's name or a JSON Pointer" })
        }
    }

    fn of<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let claim = match self {
            Self::Top(name) => claims.get(name),
            Self::Pointer(pointer) => claims.pointer(pointer),
        };
        // Some issuers write null for what they have no value of, and so do our own development tokens.
        claim.filter(|value| !value.is_null())
    }

    fn text<'a>(&self, claims: &'a Value) -> Result<Option<&'a str>, Refusal> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| self.is_not("a string"));
        self.of(claims).map(text).transpose()
    }

    fn roles(&self, claims: &Value) -> Result<BTreeSet<Role>, Refusal> {
        let is_not = || self.is_not("an array of strings or a string of names");
        // An unknown role is another service's: it gives nothing here.
        match self.of(claims) {
            None => Ok(BTreeSet::new()),
            Some(Value::String(names)) => Ok(names.split(' ').filter_map(Role::from_name).collect()),
            Some(Value::Array(names)) => {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                Ok(names.ok_or_else(is_not)?.into_iter().filter_map(Role::from_name).collect())
            }
            Some(_) => Err(is_not()),
        }
    }

    fn is_not(&self, expected: &'static str) -> Refusal {
        let (Self::Top(name) | Self::Pointer(name)) = self;
        Refusal::ClaimType { claim: name.clone(), expected }
    }
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), Refusal> {
    let now = now.as_duration().as_secs_f64();
    if seconds(claims, "exp")?.ok_or(Refusal::NoClaim("exp"))? + LEEWAY <= now {
        return Err(Refusal::Expired);
    }
    if seconds(claims, "nbf")?.is_some_and(|from| now + LEEWAY < from) {
        return Err(Refusal::NotYet);
    }
    Ok(())
}

/// A time, which may have a fraction (RFC 7519, section 2).
fn seconds(claims: &Value, name: &'static str) -> Result<Option<f64>, Refusal> {
    let is_not = || Refusal::ClaimType { claim: name.to_owned(), expected: "a number of seconds" };
    let time = claims.get(name).filter(|value| !value.is_null());
    time.map(|value| value.as_f64().ok_or_else(is_not)).transpose()
}

/// Issuers are compared character by character (RFC 7519, sections 2 and 4.1.1).
fn check_issuer(claims: &Value, issuer: &str) -> Result<(), Refusal> {
    match claims.get("iss") {
        None | Some(Value::Null) => Err(Refusal::NoClaim("iss")),
        Some(Value::String(claimed)) if claimed == issuer => Ok(()),
        Some(Value::String(_)) => Err(Refusal::Issuer),
        Some(_) => Err(Refusal::ClaimType { claim: "iss".to_owned(), expected: "a string" }),
    }
}

/// One audience is a string, several are an array (RFC 7519, section 4.1.3).
fn check_audience(claims: &Value, audience: &str) -> Result<(), Refusal> {
    let is_not = || Refusal::ClaimType { claim: "aud".to_owned(), expected: "a string or an array of strings" };
    let claimed: Vec<&str> = match claims.get("aud") {
        None | Some(Value::Null) => return Err(Refusal::NoClaim("aud")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(is_not)?,
        Some(_) => return Err(is_not()),
    };
    if claimed.contains(&audience) { Ok(()) } else { Err(Refusal::Audience) }
}
