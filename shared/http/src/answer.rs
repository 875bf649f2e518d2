//! From a handler's outcome to the reply that leaves: the same for Lambda and for the local stack.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt as _;
use http::header::{CONTENT_LENGTH, ORIGIN};
use http::{HeaderValue, Method, StatusCode};
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::cors::Cors;
use crate::encoding;
use crate::function::Host;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::request::Request;
use crate::{telemetry, traces};

/// Lambda answers at most 6 MB; this leaves room for the headers and the envelope.
const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024 - 64 * 1024;
/// JSON of this length can always be answered: inside Lambda's response no character of it more than doubles.
pub const MAX_JSON_BYTES: usize = MAX_PAYLOAD_BYTES / 2;

/// Calls a function and makes its outcome a reply, whatever happens, and logs it once.
pub async fn answer(host: &dyn Host, function: &str, request: Request, cors: &Cors) -> Reply {
    // Whoever reads the catalogue says which revision it was, and whoever is asked for a trace how it went on.
    let span = tracing::error_span!(
        "request",
        otel.name = function,
        otel.kind = "server",
        function,
        request_id = request.request_id,
        revision = field::Empty,
        commit = field::Empty,
    );
    if let Some(parent) = traces::parent(&request.headers) {
        // It fails where no traces are made.
        let _ = span.set_parent(parent);
    }
    span.set_attribute("http.request.method", request.method.to_string());
    span.set_attribute("url.path", request.path.clone());
    let origin = request.headers.get(ORIGIN).cloned();
    let reply = call(host, function, request).instrument(span.clone()).await;
    span.set_attribute("http.response.status_code", i64::from(reply.status.as_u16()));
    cors.apply(origin.as_ref(), reply)
}

async fn call(host: &dyn Host, function: &str, request: Request) -> Reply {
    let started = Instant::now();
    let (request_id, method, path) = (request.request_id.clone(), request.method.clone(), request.path.clone());
    let headers = request.headers.clone();
    let outcome = match host.http(function, request) {
        Some(future) => AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("the handler panicked");
            Err(Problem::internal())
        }),
        None => {
            tracing::error!("no function of this name takes requests");
            Err(Problem::internal())
        }
    };
    let reply = outcome.and_then(|reply| encoding::apply(&method, &headers, reply)).and_then(within_payload);
    let reply = reply.unwrap_or_else(|problem| problem.into_reply(&request_id));
    let reply = if method == Method::HEAD { without_body(reply) } else { reply };
    let (status, bytes) = (reply.status.as_u16(), reply.body.len());
    let took = started.elapsed();
    telemetry::count_answer(reply.status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, status, bytes, micros, "answered");
    reply
}

/// The answer to a HEAD request: that to a GET, as far as its headers go.
fn without_body(reply: Reply) -> Reply {
    let length = HeaderValue::from(reply.body.len());
    let has_length = !matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let reply = Reply { body: bytes::Bytes::new(), ..reply };
    if has_length { reply.with_header(CONTENT_LENGTH, length) } else { reply }
}

fn within_payload(reply: Reply) -> Result<Reply, Problem> {
    if payload_bytes(&reply.body) <= MAX_PAYLOAD_BYTES {
        return Ok(reply);
    }
    tracing::error!(bytes = reply.body.len(), "the reply is larger than Lambda can answer");
    Err(Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "response-too-large",
        "Response too large",
        "the answer is larger than the service can send: ask for less, with a smaller limit or a narrower filter",
    ))
}

/// What a body takes in Lambda's response, which is JSON: text is escaped, anything else is base64.
fn payload_bytes(body: &[u8]) -> usize {
    // No byte grows more than six times, so most bodies need no counting.
    if body.len() <= MAX_PAYLOAD_BYTES / 6 {
        return body.len();
    }
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    match std::str::from_utf8(body) {
        Ok(text) => text.as_bytes().iter().map(escaped).sum(),
        Err(_) => body.len().div_ceil(3) * 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Function, Handler, Hosted};
    use crate::gate::Access;
    use crate::request::tests::get;
    use std::sync::Arc;

    static FUNCTIONS: &[Function<()>] = &[
        Function { name: "panics", handler: Handler::Http(Access::Open, |(), _| Box::pin(async { panic!("secret") })) },
        Function {
            name: "echoes",
            handler: Handler::Http(Access::Open, |(), request| {
                Box::pin(async move { Ok(Reply::json(StatusCode::OK, request.body)) })
            }),
        },
    ];

    async fn call(function: &str, request: Request) -> (Reply, serde_json::Value) {
        let cors = Cors::from_env(&crate::Env::from_iter([("ALLOWED_ORIGINS".to_owned(), "*".to_owned())]));
        let reply = answer(&Hosted::new(Arc::new(()), FUNCTIONS), function, request, &cors).await;
        assert_eq!(reply.headers[http::header::ACCESS_CONTROL_ALLOW_ORIGIN], HeaderValue::from_static("*"));
        let body = serde_json::from_slice(&reply.body).unwrap();
        (reply, body)
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        for function in ["panics", "absent"] {
            let (reply, body) = call(function, get("/")).await;
            assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(body["type"], "urn:roster:problem:internal");
            assert_eq!(body["request_id"], "request-1");
            assert!(!body.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_head_is_a_get_without_its_body() {
        let request = Request { method: Method::HEAD, body: "{}".into(), ..get("/") };
        let host = Hosted::new(Arc::new(()), FUNCTIONS);
        let reply = answer(&host, "echoes", request, &Cors::default()).await;
        assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
        assert_eq!(reply.headers[CONTENT_LENGTH], "2");
    }

    #[tokio::test]
    async fn a_reply_is_sent_up_to_the_limit_and_told_beyond() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 4));
        let body = text(MAX_PAYLOAD_BYTES);
        let (reply, _) = call("echoes", Request { body: body.clone().into(), ..get("/") }).await;
        assert_eq!(reply.body, body);
        let body = text(MAX_PAYLOAD_BYTES + 1);
        let (reply, problem) = call("echoes", Request { body: body.into(), ..get("/") }).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem["type"], "urn:roster:problem:response-too-large");
    }

    #[test]
    fn what_a_body_takes_is_what_serde_writes() {
        for character in ["x", "\"", "\\", "\n", "\u{1}", "ä"] {
            let body = character.repeat(MAX_PAYLOAD_BYTES);
            assert_eq!(payload_bytes(body.as_bytes()), serde_json::to_string(&body).unwrap().len() - 2, "{character}");
        }
        assert_eq!(payload_bytes(&vec![0xff; MAX_PAYLOAD_BYTES]), MAX_PAYLOAD_BYTES.div_ceil(3) * 4);
    }
}
