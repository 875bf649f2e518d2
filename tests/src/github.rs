//! A GitHub that enforces GitHub's own description of its API: `tests/github/server.mjs`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use roster_github::{GitHub, Repository};
use serde_json::Value;

/// A person's token.
pub const ADA: &str = "token-of-ada";
/// A workflow's own token.
pub const BOT: &str = "token-of-the-bot";
/// A workflow's own token, as a pull request from a fork gets it.
pub const READER: &str = "token-that-only-reads";

/// One repository on the server, which all tests of a process share. It comes to be when it is first asked for.
pub struct TestGitHub {
    server: &'static Server,
    repository: String,
}

impl TestGitHub {
    /// The repository of this name; none, and a line that says so, where the server is not installed. CI installs it.
    #[must_use]
    pub fn repository(name: &str) -> Option<Self> {
        static SERVER: LazyLock<Option<Server>> = LazyLock::new(Server::start);
        let server = SERVER.as_ref()?;
        Some(Self { server, repository: name.to_owned() })
    }

    /// Where the API is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The repository, as the API names it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("acme/{}", self.repository)
    }

    /// A client with this token.
    #[must_use]
    pub fn client(&self, token: &str) -> GitHub {
        GitHub::new(self.url(), token, Repository::parse(&self.name()).expect("a name")).expect("a client")
    }

    /// Tells the server what shall be: `seed` something, play a `fault`, or let somebody win a `race`.
    pub async fn tell(&self, what: &str, how: Value) {
        let url = format!("{}/_control/{}/{what}", self.url(), self.repository);
        let reply = reqwest::Client::new().post(url).body(how.to_string()).send().await.expect("an answer");
        assert!(reply.status().is_success(), "{}", reply.text().await.expect("a text"));
    }

    /// What is in the repository, and what was asked of it. Nothing of that may have broken the description.
    pub async fn state(&self) -> Value {
        let url = format!("{}/_control/{}/state", self.url(), self.repository);
        let text = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(state["violations"], Value::Array(Vec::new()));
        state
    }

    /// How often something else than reading was asked.
    pub async fn writes(&self) -> usize {
        let state = self.state().await;
        let requests = state["requests"].as_array().expect("a list").iter();
        requests.filter(|request| !request.as_str().expect("a line").starts_with("GET")).count()
    }
}

struct Server {
    url: String,
    // The server ends when its standard input does, and that when this process does.
    _process: Child,
}

impl Server {
    #[expect(clippy::print_stdout, reason = "whoever reads a test's output learns why it did nothing")]
    fn start() -> Option<Self> {
        if std::env::var_os("GITHUB_OPENAPI").is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI must name GitHub's description in GITHUB_OPENAPI");
            println!("not run: GITHUB_OPENAPI names no description; ./scripts/test installs it and names it");
            return None;
        }
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("github");
        let mut process = Command::new("node")
            .arg("server.mjs")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs the server");
        let mut greeting = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut greeting).expect("a line");
        let url = greeting.trim().strip_prefix("listening on ").expect("the server says where it listens");
        Some(Self { url: url.to_owned(), _process: process })
    }
}
