//! A Git server for tests: `git http-backend`, behind the smallest HTTP server that it can stand behind.
#![expect(clippy::unwrap_used, reason = "a test whose server cannot be set up shall fail")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Serves every repository below a directory on a free port until the process ends.
pub struct Server {
    /// Where it answers.
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    requests: AtomicUsize,
    rule: Mutex<Rule>,
}

/// What the server does instead of answering.
#[derive(Clone)]
pub enum Rule {
    /// Nothing: it answers.
    Serve,
    /// Only whoever sends this `Authorization` header is let in.
    RequireAuthorization(String),
    /// Everyone gets this status line and these header lines.
    Answer(&'static str),
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Server {
    /// Serves what is below `root`.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { root: root.to_owned(), requests: AtomicUsize::new(0), rule: Mutex::new(Rule::Serve) });
        let server = Self { url, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.answer(stream.unwrap()));
            }
        });
        server
    }

    /// From now on the server does this.
    pub fn rule(&self, rule: Rule) {
        *self.shared.rule.lock().unwrap() = rule;
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) {
        let Some(request) = Request::read(&stream) else {
            return;
        };
        self.requests.fetch_add(1, Ordering::SeqCst);
        let rule = self.rule.lock().unwrap().clone();
        let response = match rule {
            Rule::Answer(head) => close(head),
            Rule::RequireAuthorization(header) if request.header("authorization") != header => {
                close("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"")
            }
            Rule::Serve | Rule::RequireAuthorization(_) => self.backend(&request),
        };
        // The client may have gone away, which is its own business.
        let _ = stream.write_all(&response);
    }

    fn backend(&self, request: &Request) -> Vec<u8> {
        let mut child = git_command(&self.root)
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_PROTOCOL", request.header("git-protocol"))
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", &request.path)
            .env("QUERY_STRING", &request.query)
            .env("CONTENT_TYPE", request.header("content-type"))
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let body = request.body.clone();
        let writer = thread::spawn(move || stdin.write_all(&body));
        let output = child.wait_with_output().unwrap().stdout;
        let _ = writer.join().unwrap();

        let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output[..end]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        let mut response = format!("HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\n\r\n").into_bytes();
        response.extend_from_slice(&output[end + 4..]);
        response
    }
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request =
            Self { method, path: path.to_owned(), query: query.to_owned(), headers: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if request.header("transfer-encoding") == "chunked" {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).ok()?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).ok()?;
                request.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
            reader.read_exact(&mut request.body).ok()?;
        }
        Some(request)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

fn close(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A git that no configuration or environment of the machine changes.
#[must_use]
pub fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("GIT_") {
            command.env_remove(key);
        }
    }
    command
        .current_dir(dir)
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ada"),
            ("GIT_AUTHOR_EMAIL", "ada@example.com"),
            ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05+02:00"),
            ("GIT_COMMITTER_NAME", "Merge Bot"),
            ("GIT_COMMITTER_EMAIL", "bot@example.com"),
            ("GIT_COMMITTER_DATE", "2026-01-03T00:00:00Z"),
        ])
        .args(["-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"])
        .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"]);
    command
}
