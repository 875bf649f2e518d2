//! Functions as Lambda runs them: processes of the real artifacts, asked over the Runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
//!
//! A process answers one call at a time, and is kept for the next one. Where none is idle another is started, up to a
//! limit. One that ends, answers too much or takes too long fails its call, and the next call starts anew.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::hosts::CallError;
use crate::template::{Function, Template};

/// Processes of one function at a time; a call beyond them waits.
const MAX_INSTANCES: usize = 10;
/// What Lambda takes of an answer, in bytes
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MAX_ANSWER_BYTES: usize = 6 * 1024 * 1024 + 100;
/// How long a process may take to end once it is asked to.
const GRACE: Duration = Duration::from_millis(500);
/// What starts the paths of the Runtime API.
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";

/// What every function is told besides the template's variables.
#[derive(Clone, Debug)]
pub struct LambdaOptions {
    /// The folder with a folder for each artifact, and its `bootstrap` in there.
    pub artifacts: PathBuf,
    /// Where DynamoDB answers.
    pub endpoint: String,
    /// Where the functions' logs go, one line after the other; else to this process's standard error.
    pub log: Option<mpsc::UnboundedSender<String>>,
}

/// The functions of a template as processes.
pub struct Lambda(BTreeMap<String, Arc<Pool>>);

/// An artifact that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: there is no such artifact: build it with scripts/artifacts", path.display())]
pub struct NoArtifact {
    /// Where it should be.
    pub path: PathBuf,
}

impl Lambda {
    /// The functions of a template. None is started before it is called.
    ///
    /// # Errors
    /// [`NoArtifact`].
    pub fn new(template: &Template, options: &LambdaOptions) -> Result<Self, NoArtifact> {
        let pool = |function: &Function| {
            let path = options.artifacts.join(&function.artifact).join("bootstrap");
            if !path.is_file() {
                return Err(NoArtifact { path });
            }
            let pool = Pool {
                name: function.name.clone(),
                path,
                environment: template.variables_of(function).collect(),
                endpoint: options.endpoint.clone(),
                log: options.log.clone(),
                timeout: function.timeout,
                idle: Mutex::default(),
                permits: Semaphore::new(MAX_INSTANCES),
                calls: AtomicU64::new(0),
            };
            Ok((function.name.clone(), Arc::new(pool)))
        };
        template.functions.iter().map(pool).collect::<Result<_, _>>().map(Self)
    }

    /// Calls a function with a payload, as Lambda's Invoke does; without a limit of time.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, CallError> {
        self.pool(function)
            .ok_or_else(|| CallError::Failed("there is no such function".to_owned()))?
            .call(payload)
            .await
    }

    pub(crate) fn pool(&self, function: &str) -> Option<Arc<Pool>> {
        self.0.get(function).cloned()
    }

    /// Asks every process that waits for a call to end, and ends those that do not.
    pub async fn shutdown(&self) {
        for pool in self.0.values() {
            let idle = std::mem::take(&mut *pool.idle.lock().unwrap_or_else(PoisonError::into_inner));
            futures::future::join_all(idle.into_iter().map(Instance::end)).await;
        }
    }
}

/// The processes of one function.
pub(crate) struct Pool {
    name: String,
    path: PathBuf,
    environment: BTreeMap<String, String>,
    endpoint: String,
    log: Option<mpsc::UnboundedSender<String>>,
    timeout: Duration,
    idle: Mutex<Vec<Instance>>,
    permits: Semaphore,
    calls: AtomicU64,
}

impl Pool {
    /// Calls the function with a payload, and answers what it answers. Whoever does not wait for that ends the process,
    /// as Lambda does with a call that takes too long.
    pub(crate) async fn call(&self, payload: Bytes) -> Result<Bytes, CallError> {
        let failed = |error: io::Error| CallError::Failed(format!("{}: {error}", self.path.display()));
        let _permit = self.permits.acquire().await.map_err(|error| CallError::Failed(error.to_string()))?;
        let mut instance = match self.idle_instance() {
            Some(instance) => instance,
            None => Instance::start(self).await.map_err(failed)?,
        };
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let deadline = Timestamp::now().checked_add(self.timeout).unwrap_or(Timestamp::MAX);
        let invocation = Invocation { id: format!("{}-{number:x}", self.name), payload, deadline, answer: sender };
        let sent = instance.invocations.send(invocation).await;
        let outcome = tokio::select! {
            outcome = receiver => outcome,
            status = instance.process.wait() => {
                let why = instance.api.init_error.lock().unwrap_or_else(PoisonError::into_inner).take();
                let status = || status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(CallError::Failed(match why {
                    Some(why) => format!("the process could not start: {why}"),
                    None => format!("the process ended before it answered: {}", status()),
                }));
            }
        };
        match (sent, outcome) {
            (Ok(()), Ok(Ok(answer))) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
                Ok(answer)
            }
            // A call that failed leaves the process as it is.
            (Ok(()), Ok(Err(error))) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
                Err(CallError::Failed(error))
            }
            _ => Err(CallError::Failed("the process gave no answer".to_owned())),
        }
    }

    /// A process that waits for a call, and has not ended meanwhile.
    fn idle_instance(&self) -> Option<Instance> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find_map(|mut instance| match instance.process.try_wait() {
            Ok(None) => Some(instance),
            _ => None,
        })
    }

    fn command(&self, api: &str, directory: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .envs(&self.environment)
            .env("_HANDLER", &self.name)
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/roster/{}", self.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .env("AWS_REGION", "us-east-1")
            // The name tells a DynamoDB that asks who calls it.
            .env("AWS_ACCESS_KEY_ID", &self.name)
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint)
            // Each instance has its own /tmp.
            .env("GIT_CACHE", directory.join("git"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Where the outcome of a call goes: what the function answers, or why it does not.
type Outcome = oneshot::Sender<Result<Bytes, String>>;

/// A call under way.
struct Invocation {
    id: String,
    payload: Bytes,
    deadline: Timestamp,
    answer: Outcome,
}

/// One process, with the Runtime API that it asks.
struct Instance {
    process: Child,
    invocations: mpsc::Sender<Invocation>,
    api: Arc<RuntimeApi>,
    server: JoinHandle<()>,
    /// What is its own of the file system.
    _directory: TempDir,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Instance {
    async fn start(pool: &Pool) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (invocations, queue) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi {
            function: pool.name.clone(),
            queue: tokio::sync::Mutex::new(queue),
            current: Mutex::default(),
            init_error: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&api)));
        let mut command = pool.command(&address.to_string(), directory.path());
        let piped = pool.log.is_some();
        if piped {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            // What this process prints is for people; the functions' lines go beside it.
            command.stdout(io::stderr());
        }
        let mut process = command.spawn()?;
        if let Some(log) = &pool.log {
            forward(process.stdout.take(), log);
            forward(process.stderr.take(), log);
        }
        Ok(Self { process, invocations, api, server, _directory: directory })
    }

    /// Asks the process to end, and ends it if it does not.
    async fn end(mut self) {
        let pid = self.process.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // One that has ended already is no trouble.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(GRACE, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

fn forward(output: Option<impl tokio::io::AsyncRead + Send + Unpin + 'static>, log: &mpsc::UnboundedSender<String>) {
    use tokio::io::AsyncBufReadExt as _;
    let Some(output) = output else { return };
    let log = log.clone();
    tokio::spawn(async move {
        let mut lines = tokio::io::BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if log.send(line).is_err() {
                return;
            }
        }
    });
}

/// What one process asks.
struct RuntimeApi {
    function: String,
    queue: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    current: Mutex<Option<(String, Outcome)>>,
    /// Why the process cannot take calls, as it says itself.
    init_error: Mutex<Option<String>>,
}

async fn serve(listener: TcpListener, api: Arc<RuntimeApi>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        let answer = service_fn(move |request| {
            let api = Arc::clone(&api);
            async move { api.answer(request).await }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

impl RuntimeApi {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, http::Error> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        match (&parts.method, path.strip_prefix(INVOCATION).map(|rest| rest.split_once('/').unwrap_or((rest, "")))) {
            (&Method::GET, Some(("next", ""))) => self.next().await,
            (&Method::POST, Some((id, "response"))) => match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
                Ok(answer) => self.settle(id, Ok(answer.to_bytes())),
                Err(_) => {
                    let told = "Function.ResponseSizeTooLarge: the answer is larger than Lambda takes".to_owned();
                    self.settle(id, Err(told))?;
                    said(StatusCode::PAYLOAD_TOO_LARGE, r#"{"errorType":"RequestEntityTooLarge"}"#)
                }
            },
            (&Method::POST, Some((id, "error"))) => self.settle(id, Err(told(body).await)),
            (&Method::POST, None) if path == "/2018-06-01/runtime/init/error" => {
                let error = told(body).await;
                *self.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                said(StatusCode::ACCEPTED, "{}")
            }
            _ => said(StatusCode::NOT_FOUND, "{}"),
        }
    }

    /// The next call, however long it takes to come.
    async fn next(&self) -> Result<Response<Full<Bytes>>, http::Error> {
        let Some(Invocation { id, payload, deadline, answer }) = self.queue.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", deadline.as_millisecond())
            .header(
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:us-east-1:000000000000:function:{}", self.function),
            )
            .header("content-type", "application/json")
            .body(Full::new(payload));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, answer));
        response
    }

    fn settle(&self, id: &str, outcome: Result<Bytes, String>) -> Result<Response<Full<Bytes>>, http::Error> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(current, _)| current == id);
        match current {
            Some((_, answer)) => {
                // Whoever asked may be gone.
                let _ = answer.send(outcome);
                said(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
            }
            None => said(StatusCode::BAD_REQUEST, r#"{"errorType":"InvalidRequestID"}"#),
        }
    }
}

fn said(status: StatusCode, body: &'static str) -> Result<Response<Full<Bytes>>, http::Error> {
    Response::builder().status(status).body(Full::from(body))
}

/// What a function says of its failure.
async fn told(body: Incoming) -> String {
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map(Collected::to_bytes).unwrap_or_default();
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    error["errorMessage"].as_str().map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned)
}
