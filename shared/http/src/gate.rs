//! What is decided about a request before its function sees it: who calls, whether the function is for them, and
//! whether they call too often.
//!
//! Every function says in its registry whom it is for, so that none can forget to ask.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use roster_core::Policy;
use roster_store::{Limiter, Store, Units, limiter};

use crate::auth::{Authenticator, Caller, Role};
use crate::env::{Env, EnvError};
use crate::function::HandlerFuture;
use crate::limit;
use crate::problem::Problem;
use crate::request::Request;

/// Whom a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone, without a look at a token: for probes.
    Open,
    /// Everyone; a caller without a token is anonymous.
    Everyone,
    /// Callers with one of these roles.
    Roles(&'static [Role]),
}

impl Access {
    /// Admins of either kind.
    pub const ADMINS: Self = Self::Roles(&[Role::Admin, Role::SuperAdmin]);
}

/// A request that may go on.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Who calls.
    pub caller: Caller,
    /// What the reply shall tell the caller, whatever else it says.
    pub headers: HeaderMap,
}

/// Lets requests in, for all functions of an artifact.
pub trait Gatekeeper: Send + Sync {
    /// What the artifact consumed of the tables so far.
    fn consumed(&self) -> Units {
        Units::default()
    }

    /// Lets a request in. An artifact that does not say how lets nobody in.
    ///
    /// # Errors
    /// 401 for a bad token or none, 403 for a lacking role.
    fn admit<'a>(&'a self, _: Access, _: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async { Err(Problem::forbidden("no function of this artifact takes requests")) })
    }
}

/// Looks at tokens, roles and rate limits.
pub struct Gate {
    authenticator: Authenticator,
    limiter: Option<Limiter>,
}

impl Gate {
    /// A gate with the keys that the environment configures, and without rate limits.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self { authenticator: Authenticator::from_env(env)?, limiter: None })
    }

    /// The same gate, holding callers to the rate limits of the policy with buckets in these tables. A bucket that
    /// does not answer within `RATE_LIMIT_TIMEOUT_MS` holds nobody up.
    ///
    /// # Errors
    /// [`EnvError`] when the variable cannot be used.
    pub fn with_limits(self, env: &Env, store: Store) -> Result<Self, EnvError> {
        let patience = env.number("RATE_LIMIT_TIMEOUT_MS", limiter::PATIENCE_MS)?;
        let limiter = Limiter::new(store).with_patience(Duration::from_millis(patience));
        Ok(Self { limiter: Some(limiter), ..self })
    }

    /// Who sent a request, whatever it is for: nothing is counted.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub async fn caller(&self, request: &Request) -> Result<Caller, Problem> {
        self.authenticator.authenticate(request).await
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// 401 for a bad token or none, 403 for a lacking role, 429 beyond the limit of the caller's tier. The first two
    /// are not counted: they cost little, and would tell strangers how much of a limit is used.
    ///
    /// `policy` is asked for only once the caller is known to be let in, so that strangers cost no read.
    pub async fn admit(
        &self,
        access: Access,
        request: &Request,
        policy: impl Future<Output = Result<Arc<Policy>, Problem>>,
    ) -> Result<Admission, Problem> {
        if access == Access::Open {
            return Ok(Admission::default());
        }
        let caller = self.authenticator.authenticate(request).await?;
        if let Access::Roles(roles) = access {
            check_role(&caller, roles, request)?;
        }
        let headers = match &self.limiter {
            Some(limiter) => limit::hold(limiter, &caller, request, &*policy.await?).await?,
            None => HeaderMap::new(),
        };
        Ok(Admission { caller, headers })
    }
}

fn check_role(caller: &Caller, roles: &[Role], request: &Request) -> Result<(), Problem> {
    if roles.iter().any(|role| caller.roles.contains(role)) {
        return Ok(());
    }
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let names = names.join(" or ");
    // Without any credentials the answer names no error (RFC 6750, section 3.1).
    Err(match request.headers.contains_key(http::header::AUTHORIZATION) {
        true => Problem::forbidden(format!("this takes a token with the role {names}")),
        false => Problem::unauthorized(format!("this takes a token with the role {names}: send it as a bearer token"))
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
    })
}

#[cfg(test)]
impl Gatekeeper for () {
    fn admit<'a>(&'a self, _: Access, _: &'a Request) -> HandlerFuture<'a, Result<Admission, Problem>> {
        Box::pin(async { Ok(Admission::default()) })
    }
}
