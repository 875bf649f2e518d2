//! The gateway: HTTP in front of the functions, as API Gateway is.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use roster_http::{Caller, Cors, Problem, Reply, Request};
use tokio::net::TcpListener;

use crate::hosts::{CallError, Callee, Hosts};
use crate::router::{Found, Router};
use crate::stack::StackError;
use crate::stop::{Stop, Tasks};
use crate::template::Template;

/// The most that any function takes, which is a webhook's delivery. API Gateway takes 10 MB and hands on 6.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// How long a shutdown waits for requests under way.
const GRACE: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves the template's routes.
pub struct Gateway {
    url: String,
    tasks: Tasks,
}

/// What a route leads to.
#[derive(Clone)]
struct Target {
    callee: Callee,
    resource: Arc<str>,
    cors: Arc<Cors>,
}

struct Service {
    router: Router<Target>,
    url: String,
    /// What the paths begin with: a slash and the stage, or nothing.
    prefix: String,
    requests: AtomicU64,
}

impl Gateway {
    /// Serves on a port of this machine only; 0 takes a free one. Below the stage, where there is one, as API Gateway's
    /// own domain does.
    ///
    /// # Errors
    /// [`StackError`] when a route cannot be served, or the port is taken.
    pub async fn start(template: &Template, hosts: &Hosts, port: u16, stage: Option<&str>) -> Result<Self, StackError> {
        let mut routes = Vec::new();
        for function in &template.functions {
            let cors = Arc::new(Cors::from_env(&template.env_of(function)));
            let callee = hosts.callee(function)?;
            let route = |route: &crate::template::Route| {
                let resource = route.path.to_string().into();
                let target = Target { callee: callee.clone(), resource, cors: cors.clone() };
                (route.method.clone(), route.path.clone(), target)
            };
            routes.extend(function.routes.iter().map(route));
        }
        let router = Router::new(routes).map_err(StackError::Routes)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|source| StackError::Port { port, source })?;
        let address = listener.local_addr().map_err(|source| StackError::Port { port, source })?;
        let prefix = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
        let url = format!("http://{address}{prefix}");
        let service = Arc::new(Service { router, url: url.clone(), prefix, requests: AtomicU64::new(0) });
        let mut tasks = Tasks::new();
        tasks.spawn(|stop| accept(listener, service, stop));
        Ok(Self { url, tasks })
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops listening, and waits for the requests under way.
    pub async fn shutdown(self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, service: Arc<Service>, stop: Stop) {
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.requested() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Too many open files, say: what is open may close meanwhile.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                stop.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        let serve = service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.serve(request, peer.ip()).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), serve);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way when the gateway stopped");
    }
}

impl Service {
    /// Where the API is, by the name that the client called this machine.
    fn url_of(&self, host: Option<&str>) -> String {
        match host.and_then(|host| host.strip_prefix("localhost:")) {
            Some(port) if self.url.contains(&format!(":{port}")) => self.url.replacen("127.0.0.1", "localhost", 1),
            _ => self.url.clone(),
        }
    }

    /// Answers a request, and logs it.
    async fn serve(&self, request: http::Request<Incoming>, peer: IpAddr) -> http::Response<Full<Bytes>> {
        let started = Instant::now();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("{:x}-{number:x}", Timestamp::now().as_microsecond());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reply = self.reply(request, peer, &request_id).await;
        let reply = reply.unwrap_or_else(|problem| problem.into_reply(&request_id));
        let (status, bytes) = (reply.status.as_u16(), reply.body.len());
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(request_id, %method, path, status, bytes, micros, "request");
        response(reply, &method, &request_id)
    }

    async fn reply(&self, request: http::Request<Incoming>, peer: IpAddr, request_id: &str) -> Result<Reply, Problem> {
        let (parts, body) = request.into_parts();
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let path =
            parts.uri.path().strip_prefix(&*self.prefix).filter(|path| path.starts_with('/')).unwrap_or_default();
        let found = self.router.find(&parts.method, path);
        let mut request = Request {
            method: parts.method,
            path: path.to_owned(),
            path_parameters: BTreeMap::new(),
            query: query(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body: Bytes::new(),
            source_ip: Some(peer.to_string()),
            api_url: Some(self.url_of(host.as_deref())),
            caller: Caller::default(),
            request_id: request_id.to_owned(),
            now: Timestamp::now(),
        };
        let target = match found {
            Found::Route(target, parameters) => {
                request.path_parameters = parameters;
                target
            }
            Found::OtherMethods(routes) => {
                // The functions of one path let the same origins in, so any of them can say which.
                let preflight = routes.first().and_then(|(_, target)| target.cors.preflight(&request));
                return preflight.ok_or_else(|| other_methods(routes));
            }
            Found::Nothing => {
                let detail = "no route serves this path";
                return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-route", "No such route", detail));
            }
        };
        request.body = read(body).await?;
        let answered = target.callee.request(request, target.resource.clone(), target.cors.clone()).await;
        answered.map_err(|error| problem(&error, target, request_id))
    }
}

fn other_methods(routes: &[(Method, Target)]) -> Problem {
    let allowed: BTreeSet<&str> = routes.iter().map(|(method, _)| method.as_str()).collect();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let detail = "the path is served with other methods only: see the Allow header";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
    match HeaderValue::try_from(allowed) {
        Ok(allowed) => problem.with_header(ALLOW, allowed),
        Err(_) => problem,
    }
}

fn problem(error: &CallError, target: &Target, request_id: &str) -> Problem {
    tracing::error!(function = &*target.callee.name, request_id, %error, "a function did not answer");
    match error {
        CallError::TimedOut(_) => {
            let detail = "the function did not answer in time: try again";
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed-out", "Timed out", detail)
        }
        _ => Problem::internal(),
    }
}

/// The query's parameters in order. As at API Gateway, a plus is a space.
fn query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::payload_too_large(MAX_BODY_BYTES)),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-body", "Bad body", "the body ended early")),
    }
}

fn response(mut reply: Reply, method: &Method, request_id: &str) -> http::Response<Full<Bytes>> {
    // The answer to a HEAD request says how long the body would be, also where its function sends none.
    let is_said = *method == Method::HEAD && reply.headers.contains_key(CONTENT_LENGTH);
    if !is_said && reply.status != StatusCode::NO_CONTENT && reply.status != StatusCode::NOT_MODIFIED {
        reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        reply.headers.insert(REQUEST_ID, id);
    }
    let body = if method == Method::HEAD { Bytes::new() } else { reply.body };
    let mut response = http::Response::new(Full::new(body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
