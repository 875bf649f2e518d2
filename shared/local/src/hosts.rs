//! The functions that the stack calls, by name.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use roster_http::function::HandlerFuture;
use roster_http::{Cors, Host, Reply, Request, answer};
use serde_json::Value;

use crate::template::{Function, Template};

/// The artifacts, each with its functions.
#[derive(Clone)]
pub struct Hosts(Vec<Arc<dyn Host>>);

/// Where the template and the hosts do not have the same functions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The template promises what nobody does.
    #[error("template.yaml has function {0}, which no artifact has")]
    Unhosted(String),
    /// Deployed, the function would not exist.
    #[error("an artifact has function {0}, which template.yaml does not have")]
    Undeclared(String),
    /// Which of them would answer is not clear.
    #[error("two artifacts have function {0}")]
    Ambiguous(String),
}

/// Why a function gave no answer to an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the function takes no events")]
    NoEvents,
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    #[error("panicked: {0}")]
    Panicked(String),
    #[error("{0}")]
    Failed(String),
}

impl Hosts {
    /// Hosts of all artifacts.
    #[must_use]
    pub fn new(hosts: Vec<Arc<dyn Host>>) -> Self {
        Self(hosts)
    }

    /// Checks that the hosts have exactly the template's functions.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn check(&self, template: &Template) -> Result<(), HostError> {
        let declared = |name: &str| template.functions.iter().any(|function| function.name == name);
        let mut hosted: Vec<&str> = self.0.iter().flat_map(|host| host.names()).collect();
        hosted.sort_unstable();
        if let Some(twice) = hosted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(HostError::Ambiguous(twice[0].to_owned()));
        }
        if let Some(undeclared) = hosted.iter().find(|name| !declared(name)) {
            return Err(HostError::Undeclared((*undeclared).to_owned()));
        }
        match template.functions.iter().find(|function| !hosted.contains(&function.name.as_str())) {
            Some(function) => Err(HostError::Unhosted(function.name.clone())),
            None => Ok(()),
        }
    }

    /// A function, as the stack calls it.
    pub(crate) fn callee(&self, function: &Function) -> Result<Callee, HostError> {
        let has = |host: &&Arc<dyn Host>| host.names().contains(&function.name.as_str());
        let host = self.0.iter().find(has).ok_or_else(|| HostError::Unhosted(function.name.clone()))?;
        Ok(Callee { name: function.name.as_str().into(), host: Arc::clone(host), timeout: function.timeout })
    }
}

/// One function with its time limit. Each call is a task of its own, so that a caller who goes
/// away does not cut it short: Lambda would finish it too.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) name: Arc<str>,
    host: Arc<dyn Host>,
    pub(crate) timeout: Duration,
}

impl Callee {
    pub(crate) async fn request(&self, request: Request, cors: Arc<Cors>) -> Result<Reply, CallError> {
        let Self { host, name, .. } = self.clone();
        self.within_limits(async move { answer(&*host, &name, request, &cors).await }).await
    }

    pub(crate) async fn event(&self, event: Value) -> Result<Value, CallError> {
        let Self { host, name, .. } = self.clone();
        let handled = async move {
            let future: HandlerFuture<'_, _> = host.event(&name, event).ok_or(CallError::NoEvents)?;
            future.await.map_err(|error| CallError::Failed(error.to_string()))
        };
        self.within_limits(handled).await?
    }

    async fn within_limits<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CallError> {
        let mut task = tokio::spawn(call);
        match tokio::time::timeout(self.timeout, &mut task).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallError::Panicked(match error.try_into_panic() {
                Ok(payload) => message(payload),
                Err(error) => error.to_string(),
            })),
            Err(_) => {
                task.abort();
                Err(CallError::TimedOut(self.timeout))
            }
        }
    }
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(String::new, |message| (*message).to_owned()),
    }
}
