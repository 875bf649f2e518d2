//! The command as people run it: real processes, a real repository, real HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use roster_tests::repository::{TestRepository, model};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn roster(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roster")).args(arguments).output().unwrap()
}

/// What a successful call printed.
fn printed(arguments: &[&str]) -> String {
    let output = roster(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A running `roster dev`.
struct Dev {
    process: Child,
    address: String,
}

impl Dev {
    fn start(repository: &TestRepository, data: &Path) -> Self {
        Self::start_with(repository, data, &[])
    }

    fn start_with(repository: &TestRepository, data: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_roster"))
            .args(["dev", "--port", "0", "--repo"])
            .arg(repository.path())
            .arg("--data")
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let greeting = lines.next().unwrap().unwrap();
        let address = greeting.split("http://").nth(1).unwrap().split(',').next().unwrap().to_owned();
        // Whoever stops reading would block the process once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// Asks until the listing is at a commit.
    fn wait_for(&self, commit: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listing = self.get("/v1/models", &[]).json();
            if listing["commit"] == commit {
                return listing;
            }
            assert!(Instant::now() < deadline, "{commit} is not listed: {listing}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as Ctrl-C does, and checks that it ends well.
    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }
}

fn three_models() -> TestRepository {
    let repository = TestRepository::new();
    repository.put(&model("acme/a", |value| {
        value["meta"]["inputCostPerMillionTokens"] = "570.0000000000001".parse::<serde_json::Number>().unwrap().into();
        value["meta"]["outputCostPerMillionTokens"] = Value::Null;
        value["meta"]["internalNotes"] = json!("planted-secret");
    }));
    repository.put(&model("acme/b", |value| value["aliases"] = json!(["bee"])));
    repository.put(&model("acme/old", |value| {
        value["isArchived"] = json!(true);
        value["isAvailable"] = json!(false);
        value["meta"]["legacyReplacementModelId"] = json!("acme/a");
    }));
    repository.commit("start");
    repository
}

#[test]
fn commits_become_answers_and_reverts_take_them_back() {
    let repository = three_models();
    let data = tempfile::tempdir().unwrap();
    let data_argument = data.path().to_str().unwrap();
    let dev = Dev::start(&repository, data.path());
    let listing = dev.wait_for(&repository.head());
    assert_eq!(
        (&listing["total"], &listing["revision"], &listing["user_tier"]),
        (&json!(2), &json!(1), &json!("free"))
    );
    let first = dev.get("/v1/models?limit=1", &[]);
    assert!(
        first
            .body
            .contains("\"input_cost_per_million_tokens\":570.0000000000001,\"output_cost_per_million_tokens\":null")
    );
    assert!(!first.body.contains("planted-secret"));

    // An ETag spares the body, and a cursor leads on.
    let etag = first.header("etag").unwrap();
    let again = dev.get("/v1/models?limit=1", &[("If-None-Match", etag)]);
    assert_eq!((again.status(), again.body.as_str()), (304, ""));
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = dev.get(&format!("/v1/models?limit=1&cursor={cursor}"), &[]).json();
    assert_eq!((&second["models"][0]["id"], &second["next_cursor"]), (&json!("acme/b"), &Value::Null));
    assert_eq!(dev.get("/v1/models?cursor=nonsense", &[]).status(), 400);
    assert_eq!(dev.get("/v1/models?tier=gold", &[]).status(), 400);
    assert_eq!(dev.get("/v1/model", &[]).status(), 404);

    // One model by id, raw or encoded, and by alias; an archived one is gone, for all but admins.
    for path in ["acme/b", "acme%2Fb", "bee"] {
        assert_eq!(dev.get(&format!("/v1/models/{path}"), &[]).json()["id"], "acme/b");
    }
    let gone = dev.get("/v1/models/acme/old", &[]);
    assert_eq!((gone.status(), &gone.json()["replacement_model_id"]), (410, &json!("acme/a")));
    let archived = "/v1/models?includeArchived=true";
    assert_eq!(dev.get(archived, &[]).status(), 403);
    let admin = format!("Bearer {}", printed(&["token", "--role", "admin", "--data", data_argument]));
    assert_eq!(dev.get(archived, &[("Authorization", &admin)]).json()["total"], 3);
    let forged = format!("{admin}x");
    assert_eq!(dev.get(archived, &[("Authorization", &forged)]).status(), 401);

    // A commit is listed; taking it back leads to the digest before.
    let before = printed(&["digest", "--data", data_argument]);
    let text = std::fs::read_to_string(repository.model_path("acme/b")).unwrap();
    repository.write("catalog/models/acme/b.json", text.replace("1250", "1500"));
    let raised = repository.commit("Merge pull request #7 from ada/raise");
    let listing = dev.wait_for(&raised);
    assert_eq!(listing["models"][1]["input_cost_per_million_tokens"], 1500);
    assert_ne!(printed(&["digest", "--data", data_argument]), before);
    let reverted = repository.revert("HEAD");
    assert_eq!(dev.wait_for(&reverted)["revision"], 3);
    assert_eq!(printed(&["digest", "--data", data_argument]), before);

    // History follows, also for who asks while the stack runs.
    let deadline = Instant::now() + PATIENCE;
    let history = loop {
        let history: Value =
            serde_json::from_str(&printed(&["history", "acme/b", "--json", "--data", data_argument])).unwrap();
        if history.as_array().unwrap().len() == 3 {
            break history;
        }
        assert!(Instant::now() < deadline, "{history}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(history[1]["change"]["pullRequest"], 7);
    assert_eq!(history[1]["changes"], json!([{"path": "/meta/inputCostPerMillionTokens", "old": 1250, "new": 1500}]));

    // It stops cleanly, and goes on from its data.
    dev.stop();
    let dev = Dev::start(&repository, data.path());
    assert_eq!(dev.wait_for(&reverted)["revision"], 3);
    dev.stop();
}

#[test]
fn sync_tells_programs_what_it_did() {
    let repository = three_models();
    let data = tempfile::tempdir().unwrap();
    let arguments =
        ["sync", "--json", "--repo", repository.path().to_str().unwrap(), "--data", data.path().to_str().unwrap()];
    let lines = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let first = lines(&printed(&arguments));
    let total = &first[1];
    assert_eq!((first.len(), &total["state"], &total["operations"]), (2, &json!("applied"), &json!(3)));
    for key in ["state", "revision", "commit", "digest", "commits", "operations", "rejected", "consumed", "seconds"] {
        assert!(!total[key].is_null(), "{key}");
    }
    let again = lines(&printed(&arguments));
    assert_eq!(
        (again.len(), &again[0]["state"], &again[0]["consumed"]["write"]),
        (1, &json!("unchanged"), &json!(0.0))
    );

    repository.write("catalog/models/acme/a.json", "{");
    repository.commit("a mistake");
    let rejected = roster(&arguments);
    assert_eq!(rejected.status.code(), Some(1));
    let rejected = lines(std::str::from_utf8(&rejected.stdout).unwrap());
    assert_eq!((&rejected[1]["state"], &rejected[1]["digest"]), (&json!("rejected"), &total["digest"]));
    assert_eq!(rejected[0]["problems"][0]["line"], 1);

    let planned = [&arguments[..], &["--dry-run", "--to", "HEAD~1"]].concat();
    assert_eq!(lines(&printed(&planned)).last().unwrap()["state"], "unchanged");
}

#[test]
fn validate_and_plan_find_mistakes_before_the_merge() {
    let repository = three_models();
    let path = repository.path().to_str().unwrap();
    assert_eq!(printed(&["validate", path]), "3 models, all valid");
    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(1300)));
    repository.commit("raise");
    let plan = ["plan", "--repo", path, "--base", "HEAD~1", "--head", "HEAD"];
    let text = printed(&plan);
    assert!(text.contains("/meta/inputCostPerMillionTokens: 1250 -> 1300"), "{text}");
    assert!(text.ends_with("2 operations on 1 model: it would be applied"), "{text}");
    let markdown = printed(&[&plan[..], &["--format", "markdown"]].concat());
    assert!(markdown.starts_with("### Roster plan"), "{markdown}");
    let json: Value = serde_json::from_str(&printed(&[&plan[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["plan"]["steps"][0]["id"], "acme/b");

    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(-1)));
    let invalid = roster(&["validate", path]);
    assert_eq!(invalid.status.code(), Some(1));
    let said = String::from_utf8(invalid.stdout).unwrap();
    assert!(said.contains("acme/b.json:16:5: /meta/inputCostPerMillionTokens: -1 is below the minimum of 0"), "{said}");
    repository.commit("a mistake");
    assert_eq!(roster(&plan).status.code(), Some(1));
}

#[test]
fn a_snapshot_is_served_until_policy_moves_its_callers() {
    let repository = three_models();
    let path = repository.path().to_str().unwrap();
    repository.write("catalog/policy.json", r#"{"readSource": {"tablePercent": 0, "shadowPercent": 100}}"#);
    repository.commit("nobody reads the table");
    let document = printed(&["snapshot", path]);
    let snapshot: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&snapshot["models"][0]["id"], snapshot["models"].as_array().unwrap().len()), (&json!("acme/a"), 3));
    assert!(document.contains("570.0000000000001") && !document.contains("planted-secret"));

    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("models.json");
    std::fs::write(&file, document.replace("1250", "1100")).unwrap();
    let dev = Dev::start_with(&repository, data.path(), &["--snapshot", file.to_str().unwrap()]);
    let deadline = Instant::now() + PATIENCE;
    while dev.get("/health", &[]).json()["revision"] != 1 {
        assert!(Instant::now() < deadline, "nothing is published");
        std::thread::sleep(Duration::from_millis(50));
    }
    let bundled = dev.get("/v1/models/acme/b", &[]);
    assert_eq!((bundled.header("x-roster-source"), bundled.header("warning")), (Some("bundled"), None));
    assert_eq!(bundled.json()["input_cost_per_million_tokens"], 1100);
    let shadow = &dev.get("/health", &[]).json()["shadow"];
    assert_eq!(shadow["mismatched"], 1, "{shadow}");
    assert_eq!(shadow["fields"]["input_cost_per_million_tokens"], 1);

    repository.write("catalog/policy.json", "{}");
    let moved = repository.commit("everybody reads the table");
    assert_eq!(dev.wait_for(&moved)["models"][1]["input_cost_per_million_tokens"], 1250);
    dev.stop();

    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(-1)));
    let refused = roster(&["snapshot", path]);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("acme/b.json:16:5: /meta/inputCostPerMillionTokens"));
    std::fs::write(&file, "[{}]").unwrap();
    let refused = roster(&["dev", "--repo", path, "--snapshot", file.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("models.json: models[0]: missing field"), "{said}");
}

#[test]
fn wrong_calls_say_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = roster(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["validate", path]).contains("holds no catalogue"));
    assert!(said(&["digest", "--data", path]).contains("holds no tables"));
    assert!(said(&["history", "a b", "--data", path]).contains("is not a model id"));
    assert!(said(&["sync", "--repo", path, "--data", path]).contains("git repository"));
    assert!(said(&["token", "--role", "king", "--data", path]).contains("expected admin, super_admin or service"));
}
