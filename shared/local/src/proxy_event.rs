//! Requests and replies as a REST API of API Gateway hands them to a function and takes them back: the payload of
//! version 1 (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use roster_http::{Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};

/// The event of a request to a resource: a route's pattern.
pub(crate) fn of(request: &Request, resource: &str) -> Value {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &request.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let mut query: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &request.query {
        query.entry(name).or_default().push(value);
    }
    // The gateway leaves parameters of the path as the client sent them.
    let encoded = |value: &String| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let parameters: BTreeMap<&String, String> =
        request.path_parameters.iter().map(|(name, value)| (name, encoded(value))).collect();
    let or_null =
        |value: Value| if value.as_object().is_some_and(serde_json::Map::is_empty) { Value::Null } else { value };
    let last = |values: &BTreeMap<&str, Vec<String>>| -> BTreeMap<String, String> {
        values.iter().filter_map(|(name, values)| Some(((*name).to_owned(), values.last()?.clone()))).collect()
    };
    let query_last: BTreeMap<&str, &str> =
        query.iter().filter_map(|(name, values)| Some((*name, *values.last()?))).collect();
    let api_url = request.api_url.as_deref().unwrap_or_default();
    let host = api_url.split_once("://").map_or("", |(_, rest)| rest);
    let (domain, prefix) = host.split_at(host.find('/').unwrap_or(host.len()));
    json!({
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method.as_str(),
        "headers": last(&headers),
        "multiValueHeaders": headers,
        "queryStringParameters": or_null(json!(query_last)),
        "multiValueQueryStringParameters": or_null(json!(query)),
        "pathParameters": or_null(json!(parameters)),
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "httpMethod": request.method.as_str(),
            "identity": {"sourceIp": request.source_ip},
            "domainName": domain,
            "path": format!("{prefix}{}", request.path),
            "protocol": "HTTP/1.1",
            "requestId": request.request_id,
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "local",
        },
        // Every media type is binary.
        "body": if request.body.is_empty() { Value::Null } else { STANDARD.encode(&request.body).into() },
        "isBase64Encoded": !request.body.is_empty(),
    })
}

/// What a function answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The reply that an answer is; `None` where it is none, which the gateway tells nobody more of.
pub(crate) fn reply(answer: &[u8]) -> Option<Reply> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded { STANDARD.decode(body).ok()? } else { body.into_bytes() };
    let single = answer.headers.into_iter().filter(|(name, _)| !answer.multi_value_headers.contains_key(name));
    let multiple = answer.multi_value_headers.iter();
    let multiple = multiple.flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())));
    let mut headers = HeaderMap::new();
    for (name, value) in single.chain(multiple) {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    let status = StatusCode::from_u16(answer.status_code).ok()?;
    Some(Reply { headers, body: Bytes::from(body), ..Reply::empty(status) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_headers_of_both_kinds() {
        let answer = json!({"statusCode": 200, "headers": {"a": "1", "b": "x"}, "multiValueHeaders": {"b": ["2", "3"]},
                            "body": "e30=", "isBase64Encoded": true});
        let reply = reply(answer.to_string().as_bytes()).unwrap();
        let values: Vec<&str> = reply.headers.get_all("b").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((reply.status, values), (StatusCode::OK, vec!["2", "3"]));
        assert_eq!(reply.headers["a"], "1");
        assert_eq!(reply.body, "{}");
        for wrong in ["", "{}", r#"{"statusCode":99}"#, r#"{"statusCode":200,"body":"?","isBase64Encoded":true}"#] {
            assert!(super::reply(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
