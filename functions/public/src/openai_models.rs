//! `GET /openai/v1/models` and `/openai/v1/models/{id+}`: the models as OpenAI's clients expect them
//! (<https://platform.openai.com/docs/api-reference/models>).

use http::StatusCode;
use jiff::tz::TimeZone;
use roster_core::view::View;
use roster_http::{Dialect, Problem, Query, Reply, Request};
use roster_store::Appearances;
use serde_json::{Value, json};

use crate::App;
use crate::catalogue::source_headers;
use crate::foreign;

/// How OpenAI tells errors.
pub(crate) static DIALECT: Dialect = Dialect { token_header: None, error };

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    Query::of(&request).finish()?;
    let reading = app.reading(&request, None).await?;
    let (snapshot, headers) = (&reading.snapshot, source_headers(reading.source));
    let appearances = app.appearances(snapshot).await?;
    let body = match request.path_parameter("id") {
        "" => {
            let models: Vec<Value> = foreign::usable(snapshot).map(|view| shown(view, &appearances)).collect();
            json!({"object": "list", "data": models})
        }
        name => match foreign::find(snapshot, name) {
            Ok(view) => shown(view, &appearances),
            Err(problem) => return Err(problem.with_headers(headers)),
        },
    };
    let etag = foreign::tag(snapshot, &appearances, "openai", &request);
    let reply = etag.not_modified(&request);
    let reply = reply.unwrap_or_else(|| Reply::json(StatusCode::OK, body.to_string()).with_etag(&etag));
    Ok(reply.with_headers(headers))
}

fn shown(view: &View, appearances: &Appearances) -> Value {
    json!({
        "id": view.id,
        "object": "model",
        "created": appearances.of(view.id.as_str()).as_second(),
        "owned_by": view.provider,
        "shutdown_date": view.sunset.map(|sunset| sunset.to_zoned(TimeZone::UTC).date()),
    })
}

fn error(status: StatusCode, problem: &Value) -> Value {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "requests",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let param = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE).then_some("model");
    let (message, code) = (foreign::detail(problem), foreign::code(status, problem));
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}
