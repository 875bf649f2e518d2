//! GitHub: every operation against a server that enforces GitHub's own description, faults included.

use std::collections::HashMap;

use roster_github::{CONTEXT, CommitStatus, GitHub, GitHubError, Proposal, Repository, State};
use roster_tests::github::{ADA, BOT, READER, TestGitHub};
use serde_json::{Value, json};

const MARKER: &str = "<!-- roster-plan -->";
const PATH: &str = "catalog/models/acme/a+b:1@x.json";

async fn main_commit(github: &TestGitHub) -> String {
    github.state().await["branches"]["heads/main"]["sha"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_comment_is_kept_among_many() {
    for (token, name) in [(ADA, "comment-ada"), (BOT, "comment-bot")] {
        let Some(github) = TestGitHub::repository(name) else { return };
        github.tell("seed", json!({"strangers": 249})).await;
        // Somebody posts our words: that comment is theirs.
        github.tell("seed", json!({"strangers": 1, "marker": format!("{MARKER}\nforged")})).await;
        let client = github.client(token);
        let first = client.upsert_comment(7, MARKER, "the plan").await.unwrap();
        assert!(first.created && first.changed);
        assert_eq!(first.url, format!("https://github.com/acme/{name}/pull/7#issuecomment-{}", first.id));
        let again = client.upsert_comment(7, MARKER, &format!("{MARKER}\r\nthe plan\n")).await.unwrap();
        assert_eq!((again.id, again.created, again.changed), (first.id, false, false));
        assert_eq!(github.writes().await, 1);
        let edited = client.upsert_comment(7, MARKER, "another plan").await.unwrap();
        assert_eq!((edited.id, edited.created, edited.changed), (first.id, false, true));
        let elsewhere = client.upsert_comment(8, MARKER, "the plan").await.unwrap();
        assert!(elsewhere.created);
        let state = github.state().await;
        let comments = state["comments"].as_array().unwrap();
        assert_eq!((comments.len(), &comments[249]["body"]), (252, &json!(format!("{MARKER}\nforged"))));
        assert_eq!(comments[250]["body"], format!("{MARKER}\nanother plan"));
        // Three pages of a hundred, each time.
        let pages = state["requests"].as_array().unwrap().iter();
        assert_eq!(pages.filter(|request| request.as_str().unwrap().contains("issues/7/comments?")).count(), 9);
    }
}

#[tokio::test]
async fn a_status_is_set_once() {
    let Some(github) = TestGitHub::repository("status") else { return };
    let (client, commit) = (github.client(BOT), main_commit(&github).await);
    let mut status = CommitStatus::new(State::Planned);
    status.target_url = Some("https://example.com/runs/1".to_owned());
    assert!(client.set_status(&commit, &status).await.unwrap());
    assert!(!client.set_status(&commit, &status).await.unwrap());
    for state in State::ALL {
        let status = CommitStatus::new(state);
        assert!(client.set_status(&commit, &status).await.unwrap(), "{state:?}");
        assert!(!client.set_status(&commit, &status).await.unwrap(), "{state:?}");
    }
    let mut long = CommitStatus::new(State::Applied);
    long.description = "ä".repeat(300);
    assert!(client.set_status(&commit, &long).await.unwrap());
    assert!(!client.set_status(&commit, &long).await.unwrap());
    let state = github.state().await;
    let statuses = state["statuses"].as_array().unwrap();
    assert_eq!(statuses.len(), 9);
    assert!(statuses.iter().all(|status| status["context"] == CONTEXT));
    assert_eq!(
        (&statuses[0]["state"], &statuses[0]["target_url"]),
        (&json!("success"), &json!("https://example.com/runs/1"))
    );
    assert_eq!((&statuses[2]["state"], &statuses[2]["description"]), (&json!("pending"), &json!("held for approval")));

    let unknown = client.set_status(&"0".repeat(40), &status).await.unwrap_err();
    let expected =
        format!("GitHub refuses to set the status of commits (422): No commit found for SHA: {}", "0".repeat(40));
    assert_eq!(unknown.to_string(), expected);
    let short = client.set_status("abc", &status).await.unwrap_err();
    assert_eq!(short.to_string(), "\"abc\" is not the whole id of a commit");
}

fn proposal(content: Option<&str>, expected_blob: Option<&str>) -> Proposal {
    Proposal {
        branch: "roster/acme-a".to_owned(),
        base: "main".to_owned(),
        title: "Raise a price".to_owned(),
        body: "Because it rose.".to_owned(),
        path: PATH.to_owned(),
        content: content.map(str::to_owned),
        message: "Raise a price".to_owned(),
        expected_blob: expected_blob.map(str::to_owned),
    }
}

async fn blob(github: &TestGitHub, content: &str) -> String {
    github.state().await["blobs"][content].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_is_proposed_once_and_then_updated() {
    let Some(github) = TestGitHub::repository("propose") else { return };
    let client = github.client(ADA);
    let new = proposal(Some("{\"a\": 1}\n"), None);
    let opened = client.propose(&new).await.unwrap();
    assert_eq!((opened.number, opened.created), (1, true));
    assert_eq!(opened.url, "https://github.com/acme/propose/pull/1");
    let writes = github.writes().await;
    assert_eq!(writes, 3);
    let again = client.propose(&new).await.unwrap();
    assert_eq!((again.number, again.created, github.writes().await), (1, false, writes));

    // Another change of the same file goes to the same pull request.
    let mut other = proposal(Some("{\"a\": 2}\n"), None);
    other.title = "Raise it twice".to_owned();
    assert!(!client.propose(&other).await.unwrap().created);
    let state = github.state().await;
    assert_eq!(state["branches"]["heads/roster/acme-a"]["files"][PATH], "{\"a\": 2}\n");
    assert_eq!(state["branches"]["heads/main"]["files"][PATH], Value::Null);
    assert_eq!((&state["pulls"][0]["title"], state["pulls"].as_array().unwrap().len()), (&json!("Raise it twice"), 1));
    let tip = state["branches"]["heads/roster/acme-a"]["sha"].as_str().unwrap();
    assert_eq!(client.pull_requests_of_commit(tip).await.unwrap(), [1]);
    assert_eq!(client.pull_requests_of_commit(&main_commit(&github).await).await.unwrap(), [1]);
    assert_eq!(client.pull_requests_of_commit(&"0".repeat(40)).await.unwrap(), [0; 0]);

    // Merged: what was seen before is no longer so, and the same again is nothing to propose.
    github.tell("seed", json!({"merge": 1})).await;
    let stale = client.propose(&new).await.unwrap_err();
    assert!(matches!(stale, GitHubError::LostRace(_)), "{stale}");
    let blob = blob(&github, "{\"a\": 2}\n").await;
    let same = client.propose(&proposal(Some("{\"a\": 2}\n"), Some(&blob))).await.unwrap_err();
    assert_eq!(same.to_string(), format!("{PATH} on main is so already: there is nothing to propose"));

    // The branch of the old pull request is begun anew, and a removal is a change too.
    github.tell("seed", json!({"files": {"other.json": "{}"}})).await;
    let removal = proposal(None, Some(&blob));
    let opened = client.propose(&removal).await.unwrap();
    assert_eq!((opened.number, opened.created), (2, true));
    let writes = github.writes().await;
    assert!(!client.propose(&removal).await.unwrap().created);
    assert_eq!(github.writes().await, writes);
    let files = &github.state().await["branches"]["heads/roster/acme-a"]["files"];
    assert_eq!((&files[PATH], &files["other.json"]), (&Value::Null, &json!("{}")));
}

#[tokio::test]
async fn a_lost_race_is_told_and_overwrites_nothing() {
    let lost = async |name: &str, race: Value| {
        let github = TestGitHub::repository(name)?;
        let client = github.client(ADA);
        github.tell("race", race).await;
        let error = client.propose(&proposal(Some("{}\n"), None)).await.unwrap_err();
        assert!(matches!(error, GitHubError::LostRace(_)), "{error}");
        Some((error.to_string(), github.state().await["branches"]["heads/roster/acme-a"]["files"][PATH].clone()))
    };
    let branch = "roster/acme-a";
    let theirs = json!({"method": "PUT", "path": "/contents/", "branch": branch, "file": PATH, "content": "theirs"});
    let Some((error, file)) = lost("race-new-file", theirs).await else { return };
    assert!(error.starts_with(&format!("{PATH} on branch {branch} was changed by another meanwhile")), "{error}");
    assert_eq!(file, "theirs");
    let made = json!({"method": "POST", "path": "/git/refs", "branch": branch, "create": true});
    let (error, _) = lost("race-branch", made).await.unwrap();
    assert!(error.starts_with("branch roster/acme-a was made by another meanwhile"), "{error}");

    // A file that is there is another blob by the time of the commit.
    let github = TestGitHub::repository("race-known-file").unwrap();
    github.tell("seed", json!({"files": {PATH: "old"}})).await;
    let seen = blob(&github, "old").await;
    let theirs = json!({"method": "PUT", "path": "/contents/", "branch": branch, "file": PATH, "content": "theirs"});
    github.tell("race", theirs).await;
    let error = github.client(ADA).propose(&proposal(Some("ours"), Some(&seen))).await.unwrap_err();
    assert!(matches!(error, GitHubError::LostRace(_)), "{error}");
    assert_eq!(github.state().await["branches"]["heads/roster/acme-a"]["files"][PATH], "theirs");
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let Some(github) = TestGitHub::repository("passing") else { return };
    let (client, commit) = (github.client(BOT), main_commit(&github).await);
    let fault = |method: &str, path: &str, times: u32, status: u16, headers: Value, body: Value| json!({"method": method, "path": path, "times": times, "status": status, "headers": headers, "body": body});
    let page = "<html>\n<body>Bad Gateway</body>\n</html>";
    github.tell("fault", fault("POST", "/statuses/", 2, 502, json!({}), json!(page))).await;
    assert!(client.set_status(&commit, &CommitStatus::new(State::Held)).await.unwrap());

    // A secondary limit says when to come back.
    let limited =
        json!({"message": "You have exceeded a secondary rate limit. Please wait.", "documentation_url": "x"});
    let soon = json!({"retry-after": "0"});
    github.tell("fault", fault("GET", "/comments", 2, 403, soon.clone(), limited.clone())).await;
    github.tell("fault", fault("POST", "/comments", 1, 429, soon, limited.clone())).await;
    assert!(client.upsert_comment(7, MARKER, "the plan").await.unwrap().created);

    // A server in trouble for long is given up, with what it said.
    github.tell("fault", fault("GET", "/pulls", 4, 503, json!({}), json!(page))).await;
    let error = client.pull_requests_of_commit(&commit).await.unwrap_err();
    let expected = "GitHub could not be asked to list the pull requests of a commit: it answers 503: \
                    <html> <body>Bad Gateway</body> </html>";
    assert_eq!(error.to_string(), expected);

    // Long waits are for whoever asked to decide about.
    let used_up = json!({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4102444800"});
    github.tell("fault", fault("GET", "/pulls", 1, 403, used_up, limited.clone())).await;
    let error = client.pull_requests_of_commit(&commit).await.unwrap_err();
    let expected =
        "GitHub's rate limit lets nobody with this token list the pull requests of a commit until 2100-01-01T00:00:00Z";
    assert_eq!(error.to_string(), expected);
    github.tell("fault", fault("GET", "/pulls", 1, 403, json!({"retry-after": "3600"}), limited)).await;
    assert!(matches!(client.pull_requests_of_commit(&commit).await.unwrap_err(), GitHubError::RateLimited { .. }));

    // What was refused is not asked again.
    let moved = json!({"message": "Moved Permanently", "url": "x", "documentation_url": "x"});
    github.tell("fault", fault("GET", "/pulls", 1, 301, json!({"location": "/x"}), moved)).await;
    let error = client.pull_requests_of_commit(&commit).await.unwrap_err().to_string();
    assert!(error.ends_with("(301): the repository was renamed or moved; give its new name"), "{error}");
    let broken = json!("{\"truncated\": ");
    github.tell("fault", fault("GET", "/pulls", 1, 200, json!({}), broken)).await;
    assert!(matches!(client.pull_requests_of_commit(&commit).await.unwrap_err(), GitHubError::Unreadable { .. }));
    let state = github.state().await;
    let mut asked: HashMap<&str, usize> = HashMap::new();
    for request in state["requests"].as_array().unwrap() {
        *asked.entry(request.as_str().unwrap().split(' ').next_back().unwrap()).or_default() += 1;
    }
    assert_eq!((asked["502"], asked["503"], asked["403"], asked["429"]), (2, 4, 4, 1), "{asked:?}");
    assert_eq!((state["statuses"].as_array().unwrap().len(), state["comments"].as_array().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_token_that_may_not_is_told_what_it_needs() {
    let Some(github) = TestGitHub::repository("forbidden") else { return };
    let commit = main_commit(&github).await;
    let reader = github.client(READER);
    let error = reader.set_status(&commit, &CommitStatus::new(State::Planned)).await.unwrap_err();
    let expected = "the token in GITHUB_TOKEN may not set the status of commits (403): it needs the permission \
                    statuses: write; GitHub says: Resource not accessible by integration";
    assert_eq!(error.to_string(), expected);
    let errors = [
        reader.upsert_comment(7, MARKER, "x").await.map(drop).unwrap_err().to_string(),
        reader.propose(&proposal(Some("{}"), None)).await.map(drop).unwrap_err().to_string(),
    ];
    assert!(errors[0].contains("pull-requests: write") && errors[1].contains("contents: write"), "{errors:?}");
    assert_eq!(github.writes().await, 3);

    let secret = "ghp_a-token-that-nobody-shall-read";
    let unknown = github.client(secret);
    let error = unknown.upsert_comment(7, MARKER, "x").await.unwrap_err();
    assert!(matches!(error, GitHubError::Unauthorized { .. }), "{error}");
    let elsewhere = GitHub::new(github.url(), ADA, Repository::parse("nobody/nothing").unwrap()).unwrap();
    let missing = elsewhere.propose(&proposal(Some("{}"), None)).await.unwrap_err();
    let expected = "GitHub found nothing when asked to read a branch or a file in nobody/nothing (404): the name is \
                    wrong, or the token in GITHUB_TOKEN lacks access to the repository or the permission contents: read";
    assert_eq!(missing.to_string(), expected);
    let nobody = GitHub::new("http://127.0.0.1:1", secret, Repository::parse("a/b").unwrap()).unwrap();
    let unreachable = nobody.pull_requests_of_commit(&commit).await.unwrap_err();
    assert!(matches!(unreachable, GitHubError::Unavailable { .. }), "{unreachable}");
    for error in [error, unreachable] {
        assert!(!format!("{error} {error:?} {unknown:?}").contains("nobody-shall-read"), "{error:?}");
    }

    // Branches that are not Roster's are not touched.
    let mut foreign = proposal(Some("{}"), None);
    foreign.branch = "release".to_owned();
    assert!(matches!(github.client(ADA).propose(&foreign).await.unwrap_err(), GitHubError::Invalid(_)));
    assert!(matches!(github.client(ADA).upsert_comment(7, "a plan", "x").await.unwrap_err(), GitHubError::Invalid(_)));
}
