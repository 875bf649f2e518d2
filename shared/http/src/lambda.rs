//! The way into Lambda: one binary serves whichever of its functions `_HANDLER` names.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequestContext;
use lambda_http::request::RequestContext;
use lambda_http::{Body, IntoResponse, RequestExt as _};
use lambda_runtime::{LambdaEvent, service_fn};
use percent_encoding::percent_decode_str;
use roster_store::Units;
use serde_json::Value;
use tracing::{Instrument as _, field};

use crate::answer::answer;
use crate::auth::Caller;
use crate::cors::Cors;
use crate::env::{Env, EnvError};
use crate::function::{EventError, Function, Handler, Hosted};
use crate::gate::Gatekeeper;
use crate::reply::Reply;
use crate::request::Request;
use crate::telemetry::Telemetry;

pub use lambda_runtime::Error;

/// Serves the function that `_HANDLER` names until Lambda ends the process.
///
/// # Errors
/// [`EnvError`] when the environment names none of the functions, else what the runtime says.
pub async fn run<App: Gatekeeper + 'static>(
    functions: &'static [Function<App>],
    app: Arc<App>,
    env: &Env,
    telemetry: &Telemetry,
) -> Result<(), Error> {
    let name = env.required("_HANDLER")?;
    let spent = &Spent::default();
    // What the start consumed is the first invocation's.
    let flush = async || telemetry.flush(spent.since(app.consumed())).await;
    let function = functions.iter().find(|function| function.name == name);
    match function.map(|function| &function.handler) {
        None => Err(EnvError::Invalid { name: "_HANDLER", expected: "a function of this artifact" }.into()),
        Some(Handler::Http(..) | Handler::Foreign(..) | Handler::Pages(_)) => {
            let (host, cors) = (&Hosted::new(app.clone(), functions), &Cors::from_env(env));
            let serve = async |event| {
                let reply = answer(host, name, request_of(event, Timestamp::now()), cors).await;
                flush().await;
                Ok::<_, Error>(reply)
            };
            lambda_http::run(service_fn(serve)).await
        }
        Some(Handler::Event(handle)) => {
            let app = &app;
            let serve = async |event: LambdaEvent<Value>| {
                let span = tracing::error_span!(
                    "event",
                    otel.name = name,
                    function = name,
                    request_id = event.context.request_id,
                    revision = field::Empty,
                    commit = field::Empty,
                );
                let outcome = handle(app, event.payload).instrument(span.clone()).await;
                let outcome = outcome.map_err(|EventError(error)| {
                    span.in_scope(|| tracing::error!(error, "the event failed"));
                    error
                });
                drop(span);
                flush().await;
                outcome
            };
            lambda_runtime::run(service_fn(serve)).await
        }
    }
}

/// The units that are accounted for.
#[derive(Default)]
struct Spent(Mutex<Units>);

impl Spent {
    /// What was consumed since this was asked last.
    fn since(&self, total: Units) -> Units {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        total - std::mem::replace(&mut *before, total)
    }
}

/// A request as the REST API's proxy event brings it.
fn request_of(event: lambda_http::Request, now: Timestamp) -> Request {
    let path = event.raw_http_path().to_owned();
    let (gateway_id, source_ip, api_url) = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => {
            (context.request_id.clone(), context.identity.source_ip.clone(), api_url(context))
        }
        _ => (None, None, None),
    };
    let lambda_id = || event.lambda_context_ref().map(|context| context.request_id.clone());
    let request_id = gateway_id.or_else(lambda_id).unwrap_or_default();
    // The gateway decodes the query, but leaves the path and its parameters as the client sent them.
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path_parameters =
        event.path_parameters().iter().map(|(name, value)| (name.to_owned(), decode(value))).collect();
    let mut query: Vec<(String, String)> =
        event.query_string_parameters().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // The event's query is a map: only the order of a key's own values is the client's.
    query.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (parts, body) = event.into_parts();
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    let (method, headers) = (parts.method, parts.headers);
    let caller = Caller::default();
    Request { method, path, path_parameters, query, headers, body, source_ip, api_url, caller, request_id, now }
}

/// Where the API is. The context's path is the client's: what stands in it before the route is the stage, or the base
/// path of a domain of one's own
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>).
fn api_url(context: &ApiGatewayProxyRequestContext) -> Option<String> {
    let (domain, path) = (context.domain_name.as_deref()?, context.path.as_deref()?);
    let route = context.resource_path.as_deref()?;
    let fixed = route.split('{').next().unwrap_or_default().trim_end_matches('/');
    let is_whole = |(at, _): &(usize, &str)| path[at + fixed.len()..].chars().next().is_none_or(|next| next == '/');
    let (at, _) = path.match_indices(fixed).find(is_whole)?;
    // Only this machine's is not behind TLS.
    let is_here = ["127.0.0.1:", "localhost:"].iter().any(|here| domain.starts_with(here));
    let scheme = if is_here { "http" } else { "https" };
    Some(format!("{scheme}://{domain}{}", &path[..at]))
}

impl IntoResponse for Reply {
    fn into_response(self) -> Pin<Box<dyn Future<Output = http::Response<Body>> + Send>> {
        let body = match String::from_utf8(self.body.into()) {
            Ok(text) if text.is_empty() => Body::Empty,
            Ok(text) => Body::Text(text),
            Err(bytes) => Body::Binary(bytes.into_bytes()),
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Box::pin(ready(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use lambda_http::request::from_str;
    use serde_json::json;

    /// A proxy event as a REST API sends it.
    fn event(path: &str, parameters: Value, query: Value, body: Value, is_base64: bool) -> lambda_http::Request {
        let event = json!({
            "resource": "/v1/models/{id+}",
            "path": path,
            "httpMethod": "GET",
            "headers": {"Accept": "application/json"},
            "multiValueHeaders": {"Accept": ["application/json"]},
            "queryStringParameters": null,
            "multiValueQueryStringParameters": query,
            "pathParameters": parameters,
            "stageVariables": null,
            "requestContext": {
                "accountId": "1", "apiId": "a", "httpMethod": "GET", "identity": {"sourceIp": "192.0.2.1"}, "path": format!("/dev{path}"),
                "protocol": "HTTP/1.1", "requestId": "request-1", "resourceId": "r",
                "resourcePath": "/v1/models/{id+}", "stage": "dev",
            },
            "body": body,
            "isBase64Encoded": is_base64,
        });
        from_str(&event.to_string()).unwrap()
    }

    #[test]
    fn an_id_with_a_slash_comes_raw_or_encoded() {
        for id in ["openai/gpt-5", "openai%2Fgpt-5", "openai%2fgpt%2D5"] {
            let event = event(&format!("/v1/models/{id}"), json!({"id": id}), json!(null), json!(null), false);
            let request = request_of(event, Timestamp::UNIX_EPOCH);
            assert_eq!(request.path_parameter("id"), "openai/gpt-5");
            assert_eq!(request.path, format!("/v1/models/{id}"));
            assert_eq!(request.request_id, "request-1");
            assert_eq!(request.source_ip.as_deref(), Some("192.0.2.1"));
            assert_eq!(request.header("accept"), Some("application/json"));
        }
    }

    #[test]
    fn the_api_is_where_the_clients_path_begins_before_the_route() {
        let url = |domain: Value, path: &str, route: &str| {
            let context = json!({
                "accountId": "1", "apiId": "a", "httpMethod": "GET", "identity": {}, "requestId": "r", "stage": "dev",
                "domainName": domain, "path": path, "resourcePath": route,
            });
            api_url(&serde_json::from_value(context).unwrap())
        };
        let amazon = json!("a.execute-api.eu-central-1.amazonaws.com");
        let expected = Some("https://a.execute-api.eu-central-1.amazonaws.com/prod".to_owned());
        for (path, route) in [("/prod/ui", "/ui"), ("/prod/ui/model", "/ui/{path+}"), ("/prod/v1/models", "/v1/models")]
        {
            assert_eq!(url(amazon.clone(), path, route), expected, "{path}");
        }
        let own = |path: &str| url(json!("models.example.com"), path, "/ui/{path+}");
        assert_eq!(own("/ui/model").as_deref(), Some("https://models.example.com"));
        assert_eq!(own("/ui-of-ours/ui/model").as_deref(), Some("https://models.example.com/ui-of-ours"));
        assert_eq!(url(json!("127.0.0.1:9000"), "/ui", "/ui").as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((url(json!(null), "/prod/ui", "/ui"), own("/elsewhere")), (None, None));
    }

    #[test]
    fn a_key_may_repeat_in_the_query() {
        let query = json!({"capability": ["text", "code"], "a": ["1"], "limit": ["5"]});
        let request = request_of(event("/v1/models", json!(null), query, json!(null), false), Timestamp::UNIX_EPOCH);
        let pairs: Vec<(&str, &str)> =
            request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("capability", "text"), ("capability", "code"), ("limit", "5")]);
    }

    #[test]
    fn bodies_come_as_text_or_base64() {
        let body = |body, is_base64| {
            request_of(event("/", json!(null), json!(null), body, is_base64), Timestamp::UNIX_EPOCH).body
        };
        assert_eq!(body(json!("{}"), false), "{}");
        assert_eq!(body(json!("e30="), true), "{}");
        assert_eq!(body(json!(null), false), "");
    }

    #[tokio::test]
    async fn replies_go_as_text_where_they_are_text() {
        let body = async |bytes: &'static [u8]| Reply::json(StatusCode::OK, bytes).into_response().await.into_body();
        assert!(matches!(body(b"{}").await, Body::Text(text) if text == "{}"));
        assert!(matches!(body(b"\xff").await, Body::Binary(_)));
        assert!(matches!(body(b"").await, Body::Empty));
    }
}
