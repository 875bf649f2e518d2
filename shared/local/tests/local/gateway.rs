use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roster_local::Gateway;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{Toy, hosts, template};

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        assert_eq!(self.headers.get("content-type").map(String::as_str), Some("application/problem+json"));
        self.json()["type"].as_str().unwrap().trim_start_matches("urn:roster:problem:").to_owned()
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn to(gateway: &Gateway) -> Self {
        Self(BufReader::new(TcpStream::connect(gateway.url().split('/').nth(2).unwrap()).await.unwrap()))
    }

    /// Sends a request as it is written, and reads the answer.
    async fn send(&mut self, head: &str, body: &[u8]) -> Answer {
        let request = format!("{head}\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.write_all(request.as_bytes()).await.unwrap();
        // The gateway may answer before it has read a body that is too large.
        let _ = self.0.write_all(body).await;
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer to {head}")).parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_owned(), value.to_owned()),
                None => break,
            };
        }
        let bytes = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if head.starts_with("HEAD") { 0 } else { bytes }];
        self.0.read_exact(&mut body).await.unwrap();
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }
}

async fn gateway() -> Gateway {
    let mut template = template();
    for function in &mut template.functions {
        function.timeout = Duration::from_secs(if function.name == "get-model" { 1 } else { 60 });
    }
    Gateway::start(&template, &hosts(&Arc::default()), 0, None).await.unwrap()
}

#[tokio::test]
async fn requests_reach_their_function_whole() {
    let gateway = gateway().await;
    // One connection for all: it is kept alive.
    let mut connection = Connection::to(&gateway).await;
    let answer = connection.send("GET /v1/models?q=a+b%26&tag=x&tag=%C3%A4&flag HTTP/1.1", b"body").await;
    assert_eq!(answer.status, 200);
    let query = json!([["q", "a b&"], ["tag", "x"], ["tag", "ä"], ["flag", ""]]);
    assert_eq!(
        answer.json(),
        json!({"method": "GET", "path": "/v1/models", "parameters": {}, "query": query, "bytes": 4})
    );
    assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
    let id = &answer.headers["x-request-id"];
    for path in ["/v1/models/openai/gpt-5", "/v1/models/openai%2Fgpt-5"] {
        let answer = connection.send(&format!("GET {path} HTTP/1.1"), b"").await;
        assert_eq!(answer.json()["parameters"], json!({"id": "openai/gpt-5"}));
        assert_eq!(answer.json()["path"], path);
        assert_ne!(&answer.headers["x-request-id"], id);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn head_is_get_without_its_body_where_it_has_a_route() {
    let gateway = gateway().await;
    let mut connection = Connection::to(&gateway).await;
    let head = connection.send("HEAD /v1/models HTTP/1.1", b"").await;
    let get = connection.send("GET /v1/models HTTP/1.1", b"").await;
    assert_eq!((head.status, get.status), (200, 200));
    assert_eq!(head.headers["content-length"], get.body.len().to_string());
    let unchanged = connection.send("GET /v1/models/unchanged HTTP/1.1", b"").await;
    assert_eq!((unchanged.status, unchanged.headers.get("content-length")), (304, None));
    assert_eq!(connection.send("HEAD /health HTTP/1.1", b"").await.status, 405);
}

#[tokio::test]
async fn what_goes_wrong_is_a_problem() {
    let gateway = gateway().await;
    for (head, status, kind) in [
        ("GET /v1/model HTTP/1.1", 404, "no-such-route"),
        ("POST /v1/models HTTP/1.1", 405, "method-not-allowed"),
        ("OPTIONS /v1/models HTTP/1.1", 405, "method-not-allowed"),
        ("GET /v1/models/absent HTTP/1.1", 404, "not-found"),
        ("GET /v1/models/panic HTTP/1.1", 500, "internal"),
        ("GET /v1/models/slow HTTP/1.1", 504, "timed-out"),
    ] {
        let answer = Connection::to(&gateway).await.send(head, b"").await;
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{head}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.headers.get("x-request-id").map(String::as_str));
        assert!(!answer.body.contains("secret"));
        if status == 405 {
            assert_eq!(answer.headers["allow"], "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let gateway = gateway().await;
    let limit = 25 * 1024 * 1024;
    let answer = Connection::to(&gateway).await.send("GET /health HTTP/1.1", &vec![b'x'; limit]).await;
    assert_eq!((answer.status, answer.json()["bytes"].as_u64()), (200, Some(limit as u64)));
    let answer = Connection::to(&gateway).await.send("GET /health HTTP/1.1", &vec![b'x'; limit + 1]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (413, "payload-too-large"));
}

#[tokio::test]
async fn a_preflight_is_answered_for_the_routes_function() {
    let gateway = gateway().await;
    let ask =
        |origin: &str| format!("OPTIONS /v1/models HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET");
    let mut connection = Connection::to(&gateway).await;
    let answer = connection.send(&ask("https://a.example"), b"").await;
    assert_eq!((answer.status, answer.headers["access-control-allow-origin"].as_str()), (204, "https://a.example"));
    let answer = connection.send(&ask("https://b.example"), b"").await;
    assert_eq!(answer.headers.get("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_shutdown_lets_a_request_end_and_takes_no_other() {
    let gateway = gateway().await;
    let url = gateway.url();
    let mut connection = Connection::to(&gateway).await;
    // An idle connection that is kept alive does not hold the shutdown up.
    connection.send("GET /health HTTP/1.1", b"").await;
    gateway.shutdown().await;
    assert!(TcpStream::connect(url.trim_start_matches("http://")).await.is_err());
}

#[tokio::test]
async fn a_stage_comes_before_every_route() {
    let gateway = Gateway::start(&template(), &hosts(&Arc::default()), 0, Some("prod")).await.unwrap();
    assert!(gateway.url().ends_with("/prod"), "{}", gateway.url());
    let mut connection = Connection::to(&gateway).await;
    let status = async |connection: &mut Connection, path: &str| {
        connection.send(&format!("GET {path} HTTP/1.1"), b"").await.status
    };
    for (path, expected) in
        [("/prod/v1/models", 200), ("/v1/models", 404), ("/production/v1/models", 404), ("/prod", 404)]
    {
        assert_eq!(status(&mut connection, path).await, expected, "{path}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let gateway = gateway().await;
    let port = gateway.url().rsplit(':').next().unwrap().parse().unwrap();
    let error = Gateway::start(&template(), &hosts(&Arc::new(Toy::default())), port, None).await.err().unwrap();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
