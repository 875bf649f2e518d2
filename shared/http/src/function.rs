//! Functions by name: one registry for Lambda and for the local stack.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::gate::{Access, Admission, Gatekeeper};
use crate::problem::{ErrorBody, Problem};
use crate::reply::Reply;
use crate::request::Request;

/// What answers a request.
pub type HttpHandler<App> = for<'a> fn(&'a App, Request) -> HandlerFuture<'a, Result<Reply, Problem>>;

/// A future that a handler returns.
pub type HandlerFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One Lambda function of an artifact.
pub struct Function<App: 'static> {
    /// The name, as in the template's `Handler`.
    pub name: &'static str,
    /// What it does.
    pub handler: Handler<App>,
}

/// What a function is called with.
pub enum Handler<App: 'static> {
    /// A request through the gateway, once its caller is known to be one of these.
    Http(Access, HttpHandler<App>),
    /// The same for clients that were made for another API, in its ways.
    Foreign(Access, &'static Dialect, HttpHandler<App>),
    /// Pages for people, which ask the API as their reader: whom they are for is theirs to tell, by a session.
    Pages(HttpHandler<App>),
    /// Any other event: a schedule's, a stream's, or a direct call.
    Event(for<'a> fn(&'a App, Value) -> HandlerFuture<'a, Result<Value, EventError>>),
}

/// The ways of another API.
pub struct Dialect {
    /// The header that brings a token where `Authorization` does not.
    pub token_header: Option<&'static str>,
    /// How it tells an error.
    pub error: ErrorBody,
}

impl Dialect {
    /// The headers of a request as the gate reads them.
    fn translate(&self, headers: &mut HeaderMap) {
        let Some(token) = self.token_header.and_then(|name| headers.get(name)) else { return };
        let bearer = [b"Bearer ", token.as_bytes()].concat();
        if let (false, Ok(bearer)) = (headers.contains_key(AUTHORIZATION), HeaderValue::from_bytes(&bearer)) {
            headers.insert(AUTHORIZATION, bearer);
        }
    }
}

/// An event that failed: logged, and handed back to Lambda's retries.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EventError(pub String);

impl EventError {
    /// The failure that an error is.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// An artifact's functions with the app that they share, whatever its type.
pub trait Host: Send + Sync {
    /// The names of the functions, in the registry's order.
    fn names(&self) -> Vec<&'static str>;
    /// Answers a request; `None` when there is no such function or it takes events.
    fn http(&self, name: &str, request: Request) -> Option<HandlerFuture<'_, Result<Reply, Problem>>>;
    /// Handles an event; `None` when there is no such function or it takes requests.
    fn event(&self, name: &str, event: Value) -> Option<HandlerFuture<'_, Result<Value, EventError>>>;
}

/// A registry with its app.
pub struct Hosted<App: 'static> {
    app: Arc<App>,
    functions: &'static [Function<App>],
}

impl<App: Gatekeeper> Hosted<App> {
    /// Hosts a registry.
    #[must_use]
    pub fn new(app: Arc<App>, functions: &'static [Function<App>]) -> Self {
        Self { app, functions }
    }

    fn find(&self, name: &str) -> Option<&'static Handler<App>> {
        self.functions.iter().find(|function| function.name == name).map(|function| &function.handler)
    }
}

impl<App: Gatekeeper> Host for Hosted<App> {
    fn names(&self) -> Vec<&'static str> {
        self.functions.iter().map(|function| function.name).collect()
    }

    fn http(&self, name: &str, request: Request) -> Option<HandlerFuture<'_, Result<Reply, Problem>>> {
        match self.find(name)? {
            Handler::Http(access, handler) => Some(Box::pin(guarded(&*self.app, *access, *handler, request))),
            Handler::Foreign(access, dialect, handler) => Some(Box::pin(async move {
                let mut request = request;
                dialect.translate(&mut request.headers);
                let outcome = guarded(&*self.app, *access, *handler, request).await;
                outcome.map_err(|problem| problem.told_as(dialect.error))
            })),
            Handler::Pages(handler) => Some(handler(&self.app, request)),
            Handler::Event(_) => None,
        }
    }

    fn event(&self, name: &str, event: Value) -> Option<HandlerFuture<'_, Result<Value, EventError>>> {
        match self.find(name)? {
            Handler::Event(handler) => Some(handler(&self.app, event)),
            Handler::Http(..) | Handler::Foreign(..) | Handler::Pages(_) => None,
        }
    }
}

/// Lets a request in, has it answered, and says on the reply what the gate wants the caller to know.
async fn guarded<App: Gatekeeper>(
    app: &App,
    access: Access,
    handler: HttpHandler<App>,
    mut request: Request,
) -> Result<Reply, Problem> {
    let Admission { caller, headers } = app.admit(access, &request).await?;
    request.caller = caller;
    match handler(app, request).await {
        Ok(reply) => Ok(reply.with_headers(headers)),
        Err(problem) => Err(problem.with_headers(headers)),
    }
}
