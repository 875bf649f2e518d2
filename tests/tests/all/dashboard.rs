//! The dashboard: in Debian's Chromium, with an OpenID provider, and with as many models as there will be.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use roster_http::Role;
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, token};
use serde_json::{Value, json};

/// The browser; none, and a line that says so, where it is not. CI installs it.
fn installed() -> Option<PathBuf> {
    let browser = std::env::var_os("BROWSER").map(PathBuf::from);
    if browser.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must name a Chromium in BROWSER");
        #[expect(clippy::print_stdout, reason = "whoever reads a test's output learns why it did nothing")]
        {
            println!("not run: BROWSER names no Chromium; ./scripts/test installs it and names it");
        }
    }
    browser
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// Runs a script of `tests/browser`, which ends in its own summary.
async fn passes(script: &str, variables: Vec<(&'static str, String)>) {
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec", script]).current_dir(directory()).envs(variables);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}:\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_do_their_work_in_a_browser() {
    let Some(browser) = installed() else { return };
    let stack = TestStack::below(Some("prod"), &[]).await;
    let named = |id: &str, name: &str| model(id, |value| value["meta"]["displayName"] = name.into());
    stack.repository.put(&named("p/one", "One"));
    stack.repository.put(&named("p/two", "Two"));
    stack.repository.put(&named("p/script", "<script>globalThis.wasRun = 1</script>"));
    stack.repository.put(&model("p/rolling", |value| {
        value["versions"] = json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"}]);
    }));
    stack.repository.commit("The catalogue");
    assert_eq!(stack.sync().await["state"], "applied");
    let mut ours = named("acme/ours", "Ours");
    ours["id"] = "ours".into();
    ours["reason"] = "A model of the API".into();
    let made = stack.admin("POST /admin/models", &ours).await;
    assert_eq!(made.status, 201, "{}", made.text);
    stack.event("evaluate-rollouts").await;
    stack.settle().await;
    passes(
        "dashboard.mjs",
        vec![
            ("ROSTER_URL", stack.url().to_owned()),
            ("ROSTER_ADMIN", token("ann", &[Role::Admin])),
            ("ROSTER_SUPER", token("sue", &[Role::Admin, Role::SuperAdmin])),
            ("ROSTER_REPOSITORY", stack.repository.path().display().to_string()),
            ("BROWSER", browser.display().to_string()),
        ],
    )
    .await;
    stack.close().await;
}

/// An OpenID provider, which ends with its test.
struct Issuer {
    url: String,
    process: Child,
}

impl Issuer {
    fn start() -> Self {
        let mut command = Command::new("node");
        command.arg("issuer.mjs").current_dir(directory()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let url = greeting.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { url, process }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // Its standard input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_the_issuer() {
    let Some(browser) = installed() else { return };
    let issuer = Issuer::start();
    let jwks = format!("{}/jwks", issuer.url);
    let stack = TestStack::below(
        Some("prod"),
        &[
            ("JWKS_URL", &jwks),
            ("JWT_ISSUER", &issuer.url),
            ("JWT_AUDIENCE", "roster"),
            ("OIDC_CLIENT_ID", "dashboard"),
            ("OIDC_SCOPES", "openid roles"),
        ],
    )
    .await;
    stack.repository.put(&model("p/one", |_| {}));
    stack.repository.commit("The catalogue");
    stack.sync().await;
    let variables = vec![("ROSTER_URL", stack.url().to_owned()), ("BROWSER", browser.display().to_string())];
    passes("provider.mjs", variables).await;
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_screen_of_many_models_is_one_small_answer() {
    const MODELS: usize = 5_000;
    let stack = TestStack::new().await;
    for n in 0..MODELS {
        stack.repository.put(&model(&format!("p/a-model-with-a-long-name-{n:04}"), |value| {
            value["meta"]["displayName"] = format!("A model whose name is rather long, number {n}").into();
        }));
    }
    stack.repository.commit("Many models");
    assert_eq!(stack.sync().await["state"], "applied");
    let cookie = format!("roster_session={}", token("ann", &[Role::Admin]));
    let page = async |path: &str| stack.send(&format!("GET {path}"), "", &[("cookie", &cookie)], None).await;
    let first = page("/ui").await;
    assert_eq!(first.status, 200);
    assert!(first.text.contains("<strong>5,000 models</strong>") && first.text.contains("number 49</a>"));
    assert!(first.text.len() < 100 * 1024, "{} bytes", first.text.len());
    let next = first.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let next = page(&next.unwrap().replace("&#38;", "&")).await;
    assert!(next.text.contains("number 50</a>") && !next.text.contains("number 49</a>"), "{}", next.text);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_guarded_and_what_they_are_made_of_is_kept() {
    let stack = TestStack::new().await;
    let first = stack.send("GET /ui", "", &[], None).await;
    assert_eq!((first.status, first.text.as_str()), (200, first.text.as_str()), "the client follows to the sign-in");
    assert!(first.text.contains("<h1>Sign in</h1>"));
    for (header, part) in [
        ("content-security-policy", "default-src 'none'; script-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert!(first.headers[header].contains(part), "{header}: {}", first.headers[header]);
    }
    let assets: Vec<&str> = first.text.split('"').filter(|part| part.starts_with("/ui/assets/")).collect();
    assert_eq!(assets.len(), 4, "{assets:?}");
    for asset in assets {
        let answer = stack.send(&format!("GET {asset}"), "", &[], None).await;
        assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable", "{asset}");
    }
    let old = stack.send("GET /ui/assets/style.000000000000.css", "", &[], None).await;
    assert_eq!(old.status, 404);
    // A page that has not changed is not sent again, and one who is no admin sees none.
    let cookie = format!("roster_session={}", token("ann", &[Role::Admin]));
    let seen = stack.send("GET /ui", "", &[("cookie", &cookie)], None).await;
    let version = seen.text.split("\"X-Live\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let again = stack.send("GET /ui", "", &[("cookie", &cookie), ("x-live", version)], None).await;
    assert_eq!((again.status, again.text.as_str()), (204, ""));
    let reader = format!("roster_session={}", token("bob", &[]));
    let refused = stack.send("GET /ui/operations", "", &[("cookie", &reader)], None).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_foreseen_and_nothing_is_written() {
    let stack = TestStack::new().await;
    stack.repository.put(&model("p/one", |value| value["protected"] = json!(true)));
    stack.repository.commit("The catalogue");
    stack.sync().await;
    let mut ours = model("acme/ours", |_| {});
    ours["id"] = "ours".into();
    let foreseen = stack.admin("POST /admin/models?dry_run=true", &ours).await.json();
    assert_eq!(foreseen["data"]["operations"], json!([{"operation": "create"}]), "{foreseen}");
    assert_eq!(stack.admin("GET /admin/models/ours", &Value::Null).await.status, 404);
    assert_eq!(stack.admin("POST /admin/models", &ours).await.status, 201);
    let reason = json!({"reason": "to see"});
    let archived = stack.admin("POST /admin/models/p%2Fone/archive?dry_run=true&mode=propose", &reason).await.json();
    let data = &archived["data"];
    assert_eq!(
        (&data["path"], &data["operations"]),
        (&json!("catalog/models/p/one.json"), &json!([{"operation": "archive"}]))
    );
    assert!(data["diff"].as_str().unwrap().contains("+  \"isArchived\": true"), "{data}");
    assert!(data["holds"][0]["message"].is_string(), "{data}");
    let refused = stack.admin("POST /admin/models/p%2Fone/archive?dry_run=true", &reason).await;
    assert_eq!(refused.json()["type"], "urn:roster:problem:managed-by-git");
    let invalid = stack.admin("PATCH /admin/models/ours?dry_run=true", &json!({"meta": {"contextLength": 0}})).await;
    assert_eq!((invalid.status, &invalid.json()["errors"][0]["pointer"]), (422, &json!("/meta/contextLength")));
    stack.settle().await;
    assert_eq!(stack.repository.git(&["branch", "--list", "roster/*"]), "");
    let history = stack.admin("GET /admin/models/p%2Fone/history", &Value::Null).await.json();
    assert_eq!(history["data"]["entries"].as_array().unwrap().len(), 1);
    let audit = stack.admin("GET /admin/audit?operation=write_refused", &Value::Null).await.json();
    assert_eq!(audit["data"]["entries"], json!([]), "a question is no attempt");
    let records = stack.admin("GET /admin/models?id=ours&id=p%2Fone&id=nobody", &Value::Null).await.json();
    let owners: Vec<_> = records["data"]["models"].as_array().unwrap().iter().map(|m| &m["origin"]["source"]).collect();
    assert_eq!(owners, ["api", "git"]);
    stack.close().await;
}
