//! The functions that the stack calls, by name.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use roster_http::function::HandlerFuture;
use roster_http::{Cors, Host, Reply, Request, answer};
use serde_json::Value;

use crate::lambda::{Lambda, Pool};
use crate::proxy_event;
use crate::template::{Function, Template};

/// What runs the functions.
#[derive(Clone)]
pub enum Hosts {
    /// This process: the artifacts, each with its functions.
    Here(Vec<Arc<dyn Host>>),
    /// Processes of the real artifacts.
    Lambda(Arc<Lambda>),
}

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
pub enum CallError {
    /// It answers requests.
    #[error("the function takes no events")]
    NoEvents,
    /// It took longer than the template lets it.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// It panicked, in this process.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It failed, as it says.
    #[error("{0}")]
    Failed(String),
}

impl Hosts {
    /// Checks that the hosts have exactly the template's functions, which processes are asked for only once they start.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn check(&self, template: &Template) -> Result<(), HostError> {
        let Self::Here(hosts) = self else { return Ok(()) };
        let declared = |name: &str| template.functions.iter().any(|function| function.name == name);
        let mut hosted: Vec<&str> = hosts.iter().flat_map(|host| host.names()).collect();
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
        let run = match self {
            Self::Here(hosts) => hosts.iter().find(has).map(|host| Run::Here(Arc::clone(host))),
            Self::Lambda(lambda) => lambda.pool(&function.name).map(Run::Process),
        };
        let run = run.ok_or_else(|| HostError::Unhosted(function.name.clone()))?;
        Ok(Callee { name: function.name.as_str().into(), run, timeout: function.timeout })
    }

    /// Calls a function with an event, whatever it is called by.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn event(&self, template: &Template, name: &str, event: Value) -> Result<Value, CallError> {
        let function = template.functions.iter().find(|function| function.name == name);
        let callee = function.and_then(|function| self.callee(function).ok());
        callee.ok_or(CallError::NoEvents)?.event(event).await
    }
}

/// One function with its time limit. Each call is a task of its own, so that a caller who goes
/// away does not cut it short: Lambda would finish it too.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) name: Arc<str>,
    run: Run,
    pub(crate) timeout: Duration,
}

/// Where a function runs.
#[derive(Clone)]
enum Run {
    Here(Arc<dyn Host>),
    Process(Arc<Pool>),
}

impl Callee {
    /// Has a request to a resource answered: to a route, as the template has it.
    pub(crate) async fn request(
        &self,
        request: Request,
        resource: Arc<str>,
        cors: Arc<Cors>,
    ) -> Result<Reply, CallError> {
        let name = self.name.clone();
        match self.run.clone() {
            Run::Here(host) => {
                // Functions know no HEAD: it is a GET whose body is not sent.
                let method = if request.method == Method::HEAD { Method::GET } else { request.method };
                let request = Request { method, ..request };
                self.within_limits(async move { answer(&*host, &name, request, &cors).await }).await
            }
            Run::Process(pool) => {
                let event = proxy_event::of(&request, &resource).to_string();
                let answer = self.within_limits(async move { pool.call(event.into()).await }).await??;
                proxy_event::reply(&answer).ok_or_else(|| CallError::Failed("the answer is no reply".to_owned()))
            }
        }
    }

    pub(crate) async fn event(&self, event: Value) -> Result<Value, CallError> {
        let name = self.name.clone();
        match self.run.clone() {
            Run::Here(host) => {
                let handled = async move {
                    let future: HandlerFuture<'_, _> = host.event(&name, event).ok_or(CallError::NoEvents)?;
                    future.await.map_err(|error| CallError::Failed(error.to_string()))
                };
                self.within_limits(handled).await?
            }
            Run::Process(pool) => {
                let answer = self.within_limits(async move { pool.call(event.to_string().into()).await }).await??;
                serde_json::from_slice(&answer).map_err(|error| CallError::Failed(error.to_string()))
            }
        }
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
