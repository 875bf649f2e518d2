//! The command as people run it: real processes, a real repository, real HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall fail")]

mod readme;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use roster_core::ModelId;
use roster_local::{DataDir, DynamoDb, LocalValues, Template};
use roster_tests::github::{BOT, TestGitHub};
use roster_tests::repository::{TestRepository, model};
use roster_tests::tables::lose_history;
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

/// Works by hand on the tables of a data directory.
fn on_tables(data: &Path, work: impl AsyncFnOnce(&DynamoDb, &Template)) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let dynamodb = DataDir::create(data).unwrap().open().await.unwrap();
        work(&dynamodb, &Template::load(&LocalValues::default()).unwrap()).await;
        dynamodb.shutdown().await;
    });
}

#[test]
fn verify_proves_that_the_history_is_whole() {
    let repository = three_models();
    let data = tempfile::tempdir().unwrap();
    let (path, data_argument) = (repository.path().to_str().unwrap(), data.path().to_str().unwrap());
    let sync = ["sync", "--no-guard", "--repo", path, "--data", data_argument];
    let verify = ["audit", "verify", "--data", data_argument];
    let raise = |price: &str| {
        let price: serde_json::Number = price.parse().unwrap();
        repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = price.clone().into()));
        repository.commit(price.as_str());
        printed(&sync);
    };
    printed(&sync);
    assert_eq!(printed(&verify), "3 models, 3 entries: complete");
    raise("1300");
    raise("1300.0");
    repository.remove("acme/old");
    repository.commit("remove");
    printed(&sync);
    assert_eq!(printed(&verify), "3 models, 6 entries: complete");
    let json: Value = serde_json::from_str(&printed(&[&verify[..], &["--json"]].concat())).unwrap();
    assert_eq!(
        json,
        json!({"complete": true, "models": 3, "entries": 6, "late": 0, "waitedSeconds": 0.0, "findings": []})
    );

    // What is only late is waited for.
    on_tables(data.path(), async |dynamodb, template| {
        let (store, old) = (dynamodb.store(template).await.unwrap(), ModelId::parse("acme/old").unwrap());
        let newest = store.history(&old, None, 1).await.unwrap();
        lose_history(dynamodb.endpoint(), &template.table_names.history, "acme/old", 2).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        let verifying = command.args(verify).stdout(Stdio::piped()).spawn().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        store.put_history(&newest).await.unwrap();
        let output = verifying.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("3 models, 6 entries: complete; waited ") && output.status.success(), "{said}");
    });
    let lose = |id: &str, seq: u64| {
        on_tables(data.path(), async |dynamodb, template| {
            lose_history(dynamodb.endpoint(), &template.table_names.history, id, seq).await;
        });
    };
    let failed = |arguments: &[&str]| {
        let output = roster(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    // An entry in the middle is missed at once; the newest one is waited for first.
    lose("acme/b", 2);
    let started = Instant::now();
    assert_eq!(failed(&verify), "model acme/b: seq 2 is missing\n3 models, 5 entries: 1 finding\n");
    assert!(started.elapsed() < Duration::from_secs(8), "nobody brings what is missing between others");
    let json: Value = serde_json::from_str(&failed(&[&verify[..], &["--json"]].concat())).unwrap();
    let finding = json!({"model": "acme/b", "seq": 2, "message": "model acme/b: seq 2 is missing"});
    assert_eq!((&json["complete"], &json["findings"]), (&json!(false), &json!([finding])));
    lose("acme/old", 2);
    let said = failed(&verify);
    let told = "model acme/b: seq 2 is missing\nmodel acme/old: seq 2, the newest, is missing\n\
                3 models, 4 entries: 2 findings; waited 10";
    assert!(said.starts_with(told) && said.ends_with(" s for the newest entries of 1 model\n"), "{said}");
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
    assert!(markdown.starts_with("<!-- roster-plan -->\n### Roster plan: would be applied"), "{markdown}");
    assert!(markdown.contains("| input | $1.25 (1250) | $1.30 (1300) | +4.0% |"), "{markdown}");
    let json: Value = serde_json::from_str(&printed(&[&plan[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!((&json["plan"]["steps"][0]["id"], &json["revision"]), (&json!("acme/b"), &json!(0)));
    let hash = json["hash"].as_str().unwrap();
    assert!(markdown.contains(hash));
    let of_revision: Value =
        serde_json::from_str(&printed(&[&plan[..], &["--json", "--revision", "3"]].concat())).unwrap();
    assert_ne!(of_revision["hash"], hash);

    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(-1)));
    let invalid = roster(&["validate", path]);
    assert_eq!(invalid.status.code(), Some(1));
    let said = String::from_utf8(invalid.stdout).unwrap();
    assert!(said.contains("acme/b.json:16:5: /meta/inputCostPerMillionTokens: -1 is below the minimum of 0"), "{said}");
    repository.commit("a mistake");
    for format in ["text", "json", "markdown"] {
        let output = roster(&[&plan[..], &["--format", format]].concat());
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("b.json"), "{format}");
    }
}

/// A comment says by itself that a plan is held; whoever reads only the exit code is told by it.
#[test]
fn a_held_plan_fails_unless_it_is_a_comment() {
    let repository = three_models();
    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(99_000)));
    repository.commit("too much");
    let path = repository.path().to_str().unwrap();
    let plan = ["plan", "--repo", path, "--base", "HEAD~1", "--revision", "1"];
    let with = |arguments: &[&str]| {
        let output = roster(&[&plan[..], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (arguments, code, said) in [
        (&["--format", "markdown"][..], 0, "### Roster plan: held for approval"),
        (&["--format", "markdown", "--fail-on-hold"], 1, "Roster-Approve: "),
        (&[], 1, "it would be held for approval"),
        (&["--json"], 1, "\"rule\":\"price_factor\""),
    ] {
        let (exit, text) = with(arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

/// A plan against what is live, the status of what was merged, and no word of the token in all that is logged of it.
#[test]
fn a_live_plan_and_a_status_tell_no_token() {
    let Some(github) = TestGitHub::repository("live-plan") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (repository, directory) = (three_models(), tempfile::tempdir().unwrap());
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let (path, data) = (repository.path().to_str().unwrap(), data.to_str().unwrap());
    runtime.block_on(github.tell("seed", json!({"pushed": [repository.head()]})));
    let file = || std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_roster"))
        .args(["dev", "--port", "0", "--repo", path, "--data", data])
        // What speaks to GitHub tells more than libraries do by themselves.
        .args(["--log", "trace,octocrab=trace,hyper=trace,hyper_util=trace,tower=trace"])
        .env("GIT_TOKEN", BOT)
        .env("GITHUB_API_URL", github.url())
        .env("GITHUB_REPOSITORY", github.name())
        .env("STATUS_CONTEXT", "roster/catalogue")
        .stdout(file())
        .stderr(file())
        .spawn()
        .unwrap();
    let mut dev = Dev { process, address: String::new() };
    let logged = || String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    let deadline = Instant::now() + PATIENCE;
    while dev.address.is_empty() {
        assert!(Instant::now() < deadline, "no greeting");
        let address = logged()
            .split_once("Roster answers at http://")
            .and_then(|(_, rest)| rest.split_once(',').map(|(address, _)| address.to_owned()));
        dev.address = address.unwrap_or_default();
        std::thread::sleep(Duration::from_millis(50));
    }
    dev.wait_for(&repository.head());
    let statuses = || runtime.block_on(github.state())["statuses"].clone();
    while statuses()[0]["description"] != "applied: revision 1, 3 operations" {
        assert!(Instant::now() < deadline, "{}", statuses());
        std::thread::sleep(Duration::from_millis(50));
    }

    repository.git(&["switch", "--quiet", "--create", "pr"]);
    repository.put(&model("acme/b", |value| value["meta"]["inputCostPerMillionTokens"] = json!(1300)));
    let change = repository.commit("raise");
    let admin = printed(&["token", "--role", "admin", "--data", data]);
    let url = format!("http://{}", dev.address);
    let live = |arguments: &[&str], token: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.args(["plan", "--live", &url, "--repo", path]).args(arguments).env("ROSTER_TOKEN", token);
        let output = command.output().unwrap();
        let (said, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.code(), if failed.is_empty() { said } else { failed })
    };
    let (code, text) = live(&[], &admin);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("/meta/inputCostPerMillionTokens: 1250 -> 1300"), "{text}");
    assert!(text.ends_with("2 operations on 1 model: it would be applied\n"), "{text}");
    let json: Value = serde_json::from_str(&live(&["--json", "--head", "pr"], &admin).1).unwrap();
    assert_eq!((&json["head"], &json["revision"], json.get("markdown")), (&json!(change), &json!(1), None));
    let (_, markdown) = live(&["--format", "markdown"], &admin);
    assert!(markdown.starts_with("<!-- roster-plan -->\n### Roster plan: would be applied"), "{markdown}");
    assert!(markdown.contains(json["hash"].as_str().unwrap()), "{markdown}");
    for (arguments, token, told) in [
        (&["--head", "gone"][..], admin.as_str(), "answers 404: repository"),
        (&[], "", "ROSTER_TOKEN is not set"),
        (&[], "forged", "answers 401"),
        (&["--base", "HEAD~1"], admin.as_str(), "cannot be used with"),
    ] {
        let (code, said) = live(arguments, token);
        assert!(code != Some(0) && said.contains(told), "{said}");
    }
    dev.stop();
    let logged = logged();
    assert!(logged.contains("commit reconciled") && logged.contains("TRACE"), "the log is one");
    assert!(!logged.contains(BOT), "a token is logged");
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
fn a_restored_backup_is_the_same_catalogue() {
    let repository = three_models();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (old.path().to_str().unwrap(), new.path().to_str().unwrap());
    let path = repository.path().to_str().unwrap();
    printed(&["sync", "--repo", path, "--data", old]);
    repository.put(&model("acme/b", |value| {
        value["versions"] = json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"}]);
    }));
    repository.remove("acme/old");
    repository.write("catalog/policy.json", r#"{"versions": {"maxCostPerRequest": 0.10}}"#);
    repository.commit("versions and policy");
    printed(&["sync", "--repo", path, "--data", old]);

    let file = format!("{old}/backup.jsonl");
    printed(&["backup", "--data", old, "--out", &file]);
    let whole = std::fs::read_to_string(&file).unwrap();
    assert_eq!(whole.lines().count(), 1 + 3 + 5, "a header, three models and their changes");
    let restored = printed(&["restore", &file, "--data", new]);
    assert!(restored.starts_with("restored 3 models with 5 changes, as revision 2"), "{restored}");
    for same in [&["digest"][..], &["history", "acme/b", "--json"], &["history", "acme/old", "--json"]] {
        let of = |data: &str| printed(&[same, &["--data", data]].concat());
        assert_eq!(of(old), of(new), "{same:?}");
    }
    printed(&["audit", "verify", "--data", new]);
    let sync = printed(&["sync", "--repo", path, "--data", new]);
    assert!(sync.starts_with("unchanged"), "what was restored is what the branch says: {sync}");

    let refused = |text: &str| {
        let (file, data) = (format!("{old}/other.jsonl"), tempfile::tempdir().unwrap());
        std::fs::write(&file, text).unwrap();
        let output = roster(&["restore", &file, "--data", data.path().to_str().unwrap()]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let lines: Vec<&str> = whole.lines().collect();
    assert!(refused(&lines[..8].join("\n")).contains("the backup is not whole"));
    assert!(refused(&lines[1..].join("\n")).contains("this is no backup"));
    assert!(refused(&whole.replace("0.10}", "0.10,}")).contains("line 1: "));
    assert!(refused(&whole.replace("570.0000000000001", "570.0000000000002")).contains("the backup is not whole"));
    let again = roster(&["restore", &file, "--data", new]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("the tables are not empty"));
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
    assert!(said(&["audit", "verify", "--data", path]).contains("holds no tables"));
    assert!(said(&["history", "a b", "--data", path]).contains("is not a model id"));
    assert!(said(&["sync", "--repo", path, "--data", path]).contains("git repository"));
    assert!(said(&["token", "--role", "king", "--data", path]).contains("expected admin, super_admin or service"));
}

/// A table with one column a field, as a database exports it.
const OLD_TABLE: &str = r#"id,provider,name,display_name,description,version,capabilities,context_length,max_output_tokens,input_cost_per_million_tokens,output_cost_per_million_tokens,credits_per_1k_tokens,required_tier,tier_restriction_mode,allowed_tiers,is_deprecated,sunset_date,replacement_model_id,vendor_note
gpt-x,openai,gpt-x,GPT X,"The ""new"" one, large.",2,"{text,vision,tools}",400000,128000,1.25,10,28,pro_max,minimum,"{pro_max,enterprise_pro}",f,,,tier-1 support
meta/gpt-w,openai,,,,,text,128000,,0.0875,NULL,,,,,t,2026-12-11 00:00:00+00,gpt-x,
"#;

const MIGRATED: [(&str, &str); 2] = [
    (
        "models/openai/gpt-x.json",
        r#"{
  "$schema": "../../schema/model.schema.json",
  "id": "gpt-x",
  "name": "gpt-x",
  "provider": "openai",
  "isAvailable": true,
  "isLegacy": false,
  "isArchived": false,
  "meta": {
    "displayName": "GPT X",
    "description": "The \"new\" one, large.",
    "version": "2",
    "capabilities": ["text", "vision", "function_calling"],
    "contextLength": 400000,
    "maxOutputTokens": 128000,
    "inputCostPerMillionTokens": 1250,
    "outputCostPerMillionTokens": 10000,
    "creditsPer1kTokens": 28,
    "requiredTier": "pro_max",
    "tierRestrictionMode": "minimum",
    "allowedTiers": ["pro_max", "enterprise_pro"],
    "providerMetadata": {
      "vendor_note": "tier-1 support"
    }
  }
}
"#,
    ),
    (
        "models/openai/meta/gpt-w.json",
        r#"{
  "$schema": "../../../schema/model.schema.json",
  "id": "meta/gpt-w",
  "name": "meta/gpt-w",
  "provider": "openai",
  "isAvailable": true,
  "isLegacy": true,
  "isArchived": false,
  "meta": {
    "displayName": "meta/gpt-w",
    "capabilities": ["text"],
    "contextLength": 128000,
    "inputCostPerMillionTokens": 87.5,
    "outputCostPerMillionTokens": null,
    "requiredTier": "free",
    "tierRestrictionMode": "minimum",
    "allowedTiers": [],
    "legacyReplacementModelId": "gpt-x",
    "sunsetDate": "2026-12-11T00:00:00Z"
  }
}
"#,
    ),
];

#[test]
fn an_old_table_becomes_a_catalogue_and_nothing_is_lost() {
    let json = json!({"models": [
        {"id": "gpt-x", "provider": "openai", "name": "gpt-x", "display_name": "GPT X",
         "description": "The \"new\" one, large.", "version": "2", "capabilities": ["text", "vision", "tools"],
         "context_length": 400_000, "max_output_tokens": 128_000, "input_cost_per_million_tokens": 1.25,
         "output_cost_per_million_tokens": 10, "credits_per_1k_tokens": 28, "required_tier": "pro_max",
         "tier_restriction_mode": "minimum", "allowed_tiers": ["pro_max", "enterprise_pro"], "is_deprecated": false,
         "vendor_note": "tier-1 support"},
        {"id": "meta/gpt-w", "provider": "openai", "capabilities": "text", "context_length": 128_000,
         "input_cost_per_million_tokens": 0.0875, "output_cost_per_million_tokens": null, "is_deprecated": true,
         "sunset_date": "2026-12-11", "replacement_model_id": "gpt-x"},
    ]});
    let directory = tempfile::tempdir().unwrap();
    for (name, table) in [("old.csv", OLD_TABLE.to_owned()), ("old.json", json.to_string())] {
        let file = directory.path().join(name);
        let out = directory.path().join(format!("{name}.catalog"));
        std::fs::write(&file, table).unwrap();
        let unmapped = [
            "migrate",
            "--from-columns",
            file.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--price-unit",
            "dollars",
        ];
        let refused = roster(&unmapped);
        let said = String::from_utf8(refused.stdout).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("row 1 (gpt-x): column capabilities: \"tools\" is no capability"), "{said}");
        assert!(said.ends_with("2 rows, 1 problem, 0 values lost; nothing was written\n"), "{said}");
        assert!(!out.exists());

        let arguments = [&unmapped[..], &["--map-capability", "tools=function_calling"]].concat();
        let said = printed(&arguments);
        for line in [
            "tierRestrictionMode: 1 row taken from tier_restriction_mode; 1 row had none: minimum",
            "note: column vendor_note is unknown: kept as it is in providerMetadata",
            "2 rows, every value found again",
        ] {
            assert!(said.lines().any(|said| said == line), "{line} not in\n{said}");
        }
        for (path, content) in MIGRATED {
            assert_eq!(std::fs::read_to_string(out.join(path)).unwrap(), content, "{name}");
        }
        assert_eq!(printed(&["validate", out.to_str().unwrap()]), "2 models, all valid");

        let again: Value = serde_json::from_str(&printed(&[&arguments[..], &["--json"]].concat())).unwrap();
        let outcomes: Vec<&Value> = again["files"].as_array().unwrap().iter().map(|file| &file["outcome"]).collect();
        assert_eq!((outcomes, &again["complete"]), (vec![&json!("unchanged"); 2], &json!(true)));
        for (path, content) in MIGRATED {
            assert_eq!(std::fs::read_to_string(out.join(path)).unwrap(), content, "{name}, again");
        }
    }
}

/// `roster` as a workflow of GitHub calls it.
fn in_workflow(github: &TestGitHub, token: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roster"))
        .args(arguments)
        .env("GITHUB_TOKEN", token)
        .env("GITHUB_REPOSITORY", github.name())
        .env("GITHUB_API_URL", github.url())
        .output()
        .unwrap()
}

#[test]
fn a_workflow_reports_and_comments() {
    let Some(github) = TestGitHub::repository("workflow") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let state = || runtime.block_on(github.state());
    let said = |arguments: &[&str]| {
        let output = in_workflow(&github, BOT, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let commit = state()["branches"]["heads/main"]["sha"].as_str().unwrap().to_owned();
    let report = ["report", "--commit", &commit, "--state", "held", "--target-url", "https://example.com/run"];
    assert_eq!(said(&report), format!("{commit} is now held"));
    assert_eq!(said(&report), format!("{commit} was already held"));
    let described = ["--description", "3 models archived", "--json"];
    let json: Value = serde_json::from_str(&said(&[&report[..], &described].concat())).unwrap();
    assert_eq!(json, json!({"commit": commit, "state": "held", "set": true}));

    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.md");
    std::fs::write(&plan, "### Roster plan\n").unwrap();
    let comment = ["comment", "--pull-request", "7", "--file", plan.to_str().unwrap()];
    let written = said(&comment);
    assert!(written.starts_with("written: https://github.com/acme/workflow/pull/7#issuecomment-"), "{written}");
    assert_eq!(said(&comment), written.replace("written", "unchanged"));
    std::fs::write(&plan, "### Another plan\n").unwrap();
    assert_eq!(said(&comment), written.replace("written", "edited"));
    std::fs::write(&plan, "<!-- prices -->\n### Prices\n").unwrap();
    assert_ne!(said(&comment), written);

    let state = state();
    let bodies = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|entry| entry[key].clone()).collect()
    };
    assert_eq!(bodies(&state["statuses"], "description"), ["held for approval", "3 models archived"]);
    let comments = ["<!-- roster-plan -->\n### Another plan\n", "<!-- prices -->\n### Prices\n"];
    assert_eq!(bodies(&state["comments"], "body"), comments);

    let secret = "ghp_nobody-shall-read-this";
    for (token, arguments, expected) in [
        (secret, &report[..], "roster: GitHub does not know the token in GITHUB_TOKEN (401)"),
        ("", &comment[..], "roster: GITHUB_TOKEN is not set, or not a token"),
        (BOT, &["report", "--commit", "HEAD", "--state", "held"], "roster: \"HEAD\" is not the whole id of a commit"),
        (BOT, &["report", "--commit", "x", "--state", "busy"], "error: invalid value 'busy' for '--state <STATE>'"),
    ] {
        let output = in_workflow(&github, token, arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.starts_with(expected), "{told}");
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn an_import_keeps_what_people_edited_and_goes_out_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (out, upstream) = (path("catalog"), path("litellm.json"));
    let file = |price: &str, output: &str| {
        format!(
            r#"{{"sample_spec": {{}}, "gpt-x": {{"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1000,
            "input_cost_per_token": {price}, "output_cost_per_token": {output}, "input_cost_per_image": 0.00100}}}}"#
        )
    };
    std::fs::write(&upstream, file("1.25e-06", "1e-05")).unwrap();
    let arguments = ["import", "--from", "litellm", &upstream, "--out", &out];
    let dry = printed(&[&arguments[..], &["--dry-run"]].concat());
    assert!(
        dry.ends_with("2 entries: 1 created, 0 updated, 0 unchanged, 1 skipped (1 example); nothing was written"),
        "{dry}"
    );
    assert!(!Path::new(&out).exists());
    let first = printed(&arguments);
    assert!(
        first.contains("note: input_cost_per_image has no field here: kept in providerMetadata (1 model)"),
        "{first}"
    );
    assert!(first.contains("skipped sample_spec: explains the format, and is no model"), "{first}");
    assert_eq!(printed(&["validate", &out]), "1 model, all valid");
    let model = path("catalog/models/openai/gpt-x.json");
    let written = std::fs::read_to_string(&model).unwrap();
    assert!(written.contains("\"input_cost_per_image\": \"0.00100\""), "{written}");
    let again = printed(&arguments);
    assert!(again.ends_with("2 entries: 0 created, 0 updated, 1 unchanged, 1 skipped (1 example)"), "{again}");
    assert_eq!(std::fs::read_to_string(&model).unwrap(), written);

    // A person edits one price; upstream changes both prices.
    let edited = written.replace("\"inputCostPerMillionTokens\": 1250,", "\"inputCostPerMillionTokens\": 1300,");
    std::fs::write(&model, &edited).unwrap();
    std::fs::write(&upstream, file("1.5e-06", "2e-05")).unwrap();
    let next = printed(&arguments);
    assert!(next.contains("/meta/inputCostPerMillionTokens is 1300, litellm says 1500: edited by hand"), "{next}");
    let after = std::fs::read_to_string(&model).unwrap();
    let lines: Vec<(&str, &str)> = edited.lines().zip(after.lines()).filter(|(old, new)| old != new).collect();
    let price = |old, new| {
        (format!("\"outputCostPerMillionTokens\": {old},"), format!("\"outputCostPerMillionTokens\": {new},"))
    };
    assert_eq!(lines.len(), 2, "the price, and what is remembered of it: {lines:?}");
    let (old, new) = price(10000, 20000);
    assert!(lines[0].0.ends_with(&old) && lines[0].1.ends_with(&new), "{lines:?}");
    assert_eq!(printed(&["validate", &out]), "1 model, all valid");

    for format in ["roster", "models.dev", "litellm", "csv"] {
        let exported = path("export");
        printed(&["export", "--to", format, "--out", &exported, &out]);
        let back = path(&format!("back-{format}"));
        printed(&["import", "--from", format, &exported, "--out", &back]);
        let there = std::fs::read_to_string(format!("{back}/models/openai/gpt-x.json")).unwrap();
        assert_eq!(there, after, "{format}");
    }
    std::fs::write(&upstream, r#"{"a": 1}"#).unwrap();
    let refused = roster(&arguments);
    assert_eq!(refused.status.code(), Some(1), "nothing could be imported");
}
