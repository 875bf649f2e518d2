//! How long a merge takes to be seen, on the local stack as a process of its own: `scripts/bench visible`.
//!
//! Pushes go over HTTP to `git http-backend`, whose hook signs and delivers; a client asks for the model that changed
//! every few milliseconds. The time begins when the hook starts, which is when the branch has moved.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up shall fail")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use http::StatusCode;
use reqwest::Client;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use roster_core::canonical::hex;
use roster_tests::forge::{SECRET, TestForge};
use roster_tests::repository::{TestRepository, model};
use serde_json::{Value, json};
use tokio::task::block_in_place;

const MODELS: u64 = 5_000;
/// Unless PUSHES says otherwise.
const PUSHES: u64 = 200;
/// Deliveries that get lost.
const LOST: u64 = 3;
/// How often the client asks.
const ASK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(600);

/// `roster dev`, ended when dropped.
struct Roster {
    process: Child,
    url: String,
}

impl Roster {
    async fn start(forge: &TestForge, directory: &Path) -> Self {
        let log = directory.join("log");
        let process = Command::new(std::env::var_os("ROSTER").expect("the binary's path in ROSTER"))
            .args(["dev", "--port", "0", "--repo", &forge.url(), "--data"])
            .arg(directory.join("data"))
            .args(["--log", &std::env::var("ROSTER_LOG").unwrap_or("warn".to_owned())])
            .env("WEBHOOK_SECRET", SECRET)
            .stdout(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut roster = Self { process, url: String::new() };
        let patient = Instant::now() + PATIENCE;
        while roster.url.is_empty() {
            assert!(Instant::now() < patient, "roster dev does not start");
            tokio::time::sleep(ASK).await;
            let said = fs::read_to_string(&log).unwrap();
            let url = said.split_once("Roster answers at ").and_then(|(_, rest)| rest.split_once(", "));
            roster.url = url.map(|(url, _)| url.to_owned()).unwrap_or_default();
        }
        roster
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The id of a model, spread over providers and leaves.
fn id(number: u64) -> String {
    format!("p{}/m{number:05}", number % 10)
}

fn put(repository: &TestRepository, number: u64, price: u64) {
    repository.put(&model(&id(number), |value| {
        value["meta"]["description"] =
            json!(format!("A model with a description of ordinary length, number {number}."));
        value["meta"]["inputCostPerMillionTokens"] = json!(price);
    }));
}

/// Asks for a model until it has a price, and answers when that was, since 1970.
async fn until_visible(client: Client, url: String, price: u64) -> Duration {
    let (patient, mut tag) = (Instant::now() + PATIENCE, HeaderValue::from_static("\"none\""));
    loop {
        let response = client.get(&url).header(IF_NONE_MATCH, tag.clone()).send().await.unwrap();
        if response.status() == StatusCode::OK {
            tag = response.headers()[ETAG].clone();
            let model: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            if model["input_cost_per_million_tokens"] == price {
                return SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            }
        }
        assert!(Instant::now() < patient, "{url} has not the price {price}");
        tokio::time::sleep(ASK).await;
    }
}

/// A push of a certain size, as GitHub tells it: the commits and their files are what makes one large.
fn push(forge: &TestForge, number: u64, bytes: usize) -> String {
    let home = forge.url();
    let start = format!(
        r#"{{"ref":"refs/heads/main","after":"{number:040x}","repository":{{"clone_url":"{home}"}},"commits":[{{"added":["#
    );
    let end = "\"catalog/models/last.json\"]}]}";
    let file = |number| format!(r#""catalog/models/p{}/m{number:05}.json","#, number % 10);
    let files: String = (0..(bytes - start.len() - end.len()) / file(0).len()).map(|at| file(at % 10_000)).collect();
    let text = format!("{start}{files}{end}");
    text.clone() + &" ".repeat(bytes - text.len())
}

/// How long deliveries of a size are answered in, as who asks sees it: sending the body is in it.
async fn answers(client: &Client, roster: &Roster, forge: &TestForge, count: u64, bytes: usize) -> Vec<Duration> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut times = Vec::new();
    for number in 0..count {
        let body = push(forge, number, bytes);
        let signature = format!("sha256={}", hex(hmac::sign(&key, body.as_bytes()).as_ref()));
        let request = client.post(format!("{}/hooks/github", roster.url)).header("content-type", "application/json");
        let request = request.header("x-github-event", "push").header("x-hub-signature-256", signature).body(body);
        let started = Instant::now();
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        times.push(started.elapsed());
        assert_eq!(status, StatusCode::ACCEPTED, "{text}");
        assert!(text.contains("accepted"), "{text}");
    }
    times
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |part: usize| times[(times.len() * part).div_ceil(100).max(1) - 1].as_secs_f64() * 1e3;
    println!("| {what} | {} | {:.1} | {:.1} | {:.1} |", times.len(), ms(50), ms(99), ms(100));
}

#[tokio::main]
async fn main() {
    let (forge, work, directory) = (TestForge::new(), TestRepository::new(), tempfile::tempdir().unwrap());
    (0..MODELS).for_each(|number| put(&work, number, 1250));
    work.commit("start");
    forge.adopt(&work);
    work.git(&["push", "--quiet", "origin", "main"]);
    let roster = Roster::start(&forge, directory.path()).await;
    let client = Client::new();
    let model_url = |number| format!("{}/v1/models/{}", roster.url, id(number));
    until_visible(client.clone(), model_url(0), 1250).await;
    forge.tell(&format!("{}/hooks/github", roster.url), "github");

    // Merges come when they come: after the last one is seen, and up to a second later.
    let (mut visible, mut answered, mut random) = (Vec::new(), Vec::new(), 0x2545_f491_4f6c_dd1d_u64);
    let mut merge = async |number: u64, price: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(random % 1_000)).await;
        let seen = tokio::spawn(until_visible(client.clone(), model_url(number), price));
        block_in_place(|| {
            put(&work, number, price);
            work.commit("a price");
            work.git(&["push", "--quiet", "origin", "main"]);
        });
        let pushed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (pushed, seen.await.unwrap())
    };
    println!("| {MODELS} models, milliseconds | number | p50 | p99 | longest |\n| --- | --- | --- | --- | --- |");
    let pushes = std::env::var("PUSHES").map_or(PUSHES, |pushes| pushes.parse().unwrap());
    for number in 0..pushes {
        let (_, seen) = merge(number * 23 % MODELS, 1300).await;
        let delivery = forge.deliveries().pop().unwrap();
        assert_eq!(delivery.status, 202, "{}", delivery.answer);
        visible.push(seen.saturating_sub(delivery.began));
        answered.push(delivery.took);
    }
    assert_eq!(forge.deliveries().len() as u64, pushes);
    row("merge to visible, by webhook", visible);
    row("answer to the hook's delivery", answered);
    forge.tell_nobody();
    let mut found = Vec::new();
    for number in 0..LOST {
        let (pushed, seen) = merge(number, 1400).await;
        found.push(seen.saturating_sub(pushed));
    }
    row("merge to visible, the delivery lost", found);
    row("answer to one of 5 MB", answers(&client, &roster, &forge, 100, 5_000_000).await);
    row("answer to one of 25 MB", answers(&client, &roster, &forge, 100, 25_000_000).await);
}
