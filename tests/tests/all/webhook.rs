//! Webhooks and wishes. Invariant 6: deliveries lost, doubled or shuffled converge to the branch's tip.
#![expect(clippy::print_stdout, reason = "how many runs a burst causes is worth reading")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use roster_core::canonical::hex;
use roster_gitops::{App, FUNCTIONS};
use roster_http::function::{Host as _, Hosted};
use roster_http::{Caller, Cors, Env, Request, answer};
use roster_store::{Store, Wished, Wishes};
use roster_tests::proxy::{Holding, Proxy};
use roster_tests::repository::{TestRepository, model};
use roster_tests::stack::{Answer, TestStack};
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const SECRET: &str = "a secret that only the forge knows";

/// The HMAC-SHA256 of a body, in hex: by another implementation than the function's.
fn signature(body: &str) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes()).as_ref())
}

/// GitHub's headers of a push.
fn github(body: &str) -> [(&'static str, String); 2] {
    [("x-github-event", "push".to_owned()), ("x-hub-signature-256", format!("sha256={}", signature(body)))]
}

/// A push to `main` as GitHub tells it, one of many.
fn push(number: usize) -> String {
    json!({
        "ref": "refs/heads/main", "before": format!("{number:040x}"), "after": format!("{:040x}", number + 1),
        "repository": {"full_name": "acme/roster", "html_url": "https://github.com/acme/roster"},
        "head_commit": {"message": format!("change {number}")}, "commits": [{"added": ["catalog/x.json"]}],
    })
    .to_string()
}

/// Changes a model so that no guard minds.
fn change(repository: &TestRepository, number: usize) -> String {
    let text = format!("change {number}");
    repository.put(&model("acme/one", |value| value["meta"]["description"] = json!(text)));
    repository.commit(&text)
}

async fn live(store: &Store) -> Option<String> {
    store.head(true).await.unwrap().and_then(|head| head.commit)
}

/// The functions of the artifact on tables whose stream nobody follows: the test calls `sync` itself.
struct Hook {
    tables: TestTables,
    repository: TestRepository,
    store: Store,
    host: Hosted<App>,
}

impl Hook {
    async fn new() -> Self {
        let tables = TestTables::embedded().await;
        let store = tables.store.metered();
        Self::of(tables, store)
    }

    fn of(tables: TestTables, store: Store) -> Self {
        let repository = TestRepository::new();
        repository.commit("nothing yet");
        let path = repository.path().display().to_string();
        let host = host(&path, Some(SECRET), &store);
        Self { tables, repository, store, host }
    }

    /// Delivers a body as GitHub does; answers the status, and `status` of the body.
    async fn deliver(&self, body: &str) -> (u16, String) {
        let (status, body) = post(&self.host, &github(body), body.to_owned()).await;
        (status, body["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Calls `sync` as the table's stream does for a new wish.
    async fn wake(&self) -> Result<Value, String> {
        let run = self.host.event("sync", json!({"Records": [{"eventName": "MODIFY"}]})).unwrap();
        run.await.map_err(|error| error.to_string())
    }

    /// Calls `sync` as the schedule does.
    async fn poll(&self) -> Result<Value, String> {
        let run = self.host.event("sync", json!({"source": "aws.events"})).unwrap();
        run.await.map_err(|error| error.to_string())
    }

    async fn wishes(&self) -> Wishes {
        self.store.wishes().await.unwrap()
    }

    /// Makes the repository unreachable, or reachable again.
    fn move_away(&self, is_away: bool) {
        let (here, there) = (self.repository.path().to_owned(), self.repository.path().with_extension("away"));
        let (from, to) = if is_away { (here, there) } else { (there, here) };
        std::fs::rename(from, to).unwrap();
    }

    async fn close(self) {
        self.tables.check_history().await;
        self.tables.close().await;
    }
}

fn host(repository: &str, secret: Option<&str>, store: &Store) -> Hosted<App> {
    let mut variables = vec![("REPOSITORY", repository), ("BRANCH", "main"), ("SYNC_PACE_MS", "0")];
    variables.extend(secret.map(|secret| ("WEBHOOK_SECRET", secret)));
    let env: Env = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Hosted::new(App::new(&env, store.clone()).unwrap(), FUNCTIONS)
}

async fn post(host: &Hosted<App>, headers: &[(&'static str, String)], body: impl Into<Bytes>) -> (u16, Value) {
    let mut map = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let request = Request {
        method: Method::POST,
        path: "/hooks/github".to_owned(),
        path_parameters: BTreeMap::new(),
        query: Vec::new(),
        headers: map,
        body: body.into(),
        source_ip: None,
        api_url: None,
        caller: Caller::default(),
        request_id: "request-1".to_owned(),
        now: Timestamp::now(),
    };
    let reply = answer(host, "git-webhook", request, &Cors::default()).await;
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap())
}

/// What every DynamoDB must do with wishes.
pub(crate) async fn suite(tables: &TestTables) {
    let (store, now) = (tables.store.metered(), Timestamp::now());
    assert_eq!(store.wishes().await.unwrap(), Wishes::default());
    assert_eq!(store.take_wish(&Wishes::default(), Duration::ZERO, now).await.unwrap(), None, "nobody wished");

    // What is not taken covers what comes; each delivery is remembered once, and a repetition writes nothing.
    let cost = async |digest: &str, expected: Wished| {
        let before = store.consumed();
        assert_eq!(store.deliver(digest, now).await.unwrap(), expected, "{digest}");
        (store.consumed() - before).write
    };
    let costs =
        [cost("a", Wished::Pending(1)).await, cost("b", Wished::Pending(1)).await, cost("b", Wished::Pending(1)).await];
    println!("write units of a delivery: {} the first, {} while one waits, {} repeated", costs[0], costs[1], costs[2]);
    assert_eq!(costs, [2.0, 1.0, 0.0]);
    assert_eq!(store.wish().await.unwrap(), 1);

    // Of two that saw the same, one takes it.
    let seen = store.wishes().await.unwrap();
    let taken = store.take_wish(&seen, Duration::ZERO, now).await.unwrap().unwrap();
    assert_eq!(taken.wish, 1);
    assert_eq!(store.take_wish(&seen, Duration::ZERO, now).await.unwrap(), None);

    // While a run is at work nothing is covered: it may have resolved the branch already.
    assert_eq!(cost("c", Wished::Pending(2)).await, 2.0);
    assert_eq!(cost("a", Wished::Pending(2)).await, 0.0, "not granted yet, and a wish waits");
    store.grant_wish(&taken, "tip").await.unwrap();
    assert_eq!(cost("a", Wished::Known).await, 0.0);
    assert_eq!(cost("c", Wished::Pending(2)).await, 0.0);
    let wishes = store.wishes().await.unwrap();
    assert_eq!((wishes.wished, wishes.started, wishes.done, wishes.is_wanted), (2, 1, 1, true));
    assert!(wishes.is_open());

    // A run that failed leaves its wish open, and a repeated delivery makes another.
    let failed = store.take_wish(&wishes, Duration::ZERO, now).await.unwrap().unwrap();
    assert_eq!(cost("c", Wished::Pending(3)).await, 1.0);
    let overtaking = store.take_wish(&store.wishes().await.unwrap(), Duration::ZERO, now).await.unwrap().unwrap();
    assert_eq!(overtaking.wish, 3);
    store.grant_wish(&overtaking, "tip").await.unwrap();
    store.grant_wish(&failed, "an older tip").await.unwrap();
    let wishes = store.wishes().await.unwrap();
    assert_eq!((wishes.done, wishes.tip.as_str(), wishes.vain), (3, "tip", 1), "an older run grants nothing");
    assert!(!wishes.is_open());
    assert_eq!(store.take_wish(&wishes, Duration::ZERO, now).await.unwrap(), None, "all are granted");
    assert_eq!(cost("c", Wished::Known).await, 0.0);

    // After a week a delivery is new again.
    let later = now + SignedDuration::from_hours(7 * 24);
    assert_eq!(store.deliver("c", later).await.unwrap(), Wished::Pending(4));

    // Any number of deliveries at once make one wish.
    let taken = store.take_wish(&store.wishes().await.unwrap(), Duration::ZERO, now).await.unwrap().unwrap();
    store.grant_wish(&taken, "tip").await.unwrap();
    let digests: Vec<String> = (0..50).map(|number| format!("at once {number}")).collect();
    let all = futures::future::join_all(digests.iter().map(|digest| store.deliver(digest, now))).await;
    assert!(all.into_iter().all(|wished| wished.unwrap() == Wished::Pending(5)));
}

async fn send(stack: &TestStack, headers: &[(&'static str, String)], body: &str) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stack.send("POST /hooks/github", "", &headers, Some(body)).await
}

/// Waits until a commit is live.
async fn until_live(store: &Store, commit: &str) {
    let patient = Instant::now() + Duration::from_secs(60);
    while live(store).await.as_deref() != Some(commit) {
        assert!(Instant::now() < patient, "{commit} is not live: {:?}", store.wishes().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_live_by_its_webhook_alone() {
    let stack = TestStack::with(&[("WEBHOOK_SECRET", SECRET)]).await;
    for number in 0..2 {
        let commit = change(&stack.repository, number);
        let body = push(number);
        let accepted = send(&stack, &github(&body), &body).await;
        assert_eq!((accepted.status, accepted.json()), (202, json!({"status": "accepted", "wish": number + 1})));
        until_live(&stack.store, &commit).await;
    }
    stack.settle().await;
    let body = push(1);
    let known = send(&stack, &github(&body), &body).await;
    assert_eq!((known.status, known.json()), (202, json!({"status": "known"})));

    // By hand, too.
    let commit = change(&stack.repository, 2);
    let asked = stack.admin("POST /admin/sync", &Value::Null).await;
    let expected = json!({"status": "success", "message": "the branch main will be looked at", "data": {"wish": 3}});
    assert_eq!((asked.status, asked.json()), (202, expected));
    until_live(&stack.store, &commit).await;
    let misspelt = stack.admin("POST /admin/sync?now=1", &Value::Null).await;
    assert_eq!(misspelt.status, 400, "{}", misspelt.text);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_forge_is_let_in_and_nobody_else() {
    let stack = TestStack::with(&[("WEBHOOK_SECRET", SECRET)]).await;
    let body = push(0);
    let (good, other) = (signature(&body), signature("another body"));
    let text = str::to_owned;
    let signed = |header, value: &str| vec![("x-github-event", text("push")), (header, text(value))];
    for headers in [
        signed("x-hub-signature-256", &format!("sha256={good}")),
        vec![("x-gitea-event", text("push")), ("x-gitea-signature", good.clone())],
        vec![("x-gitlab-event", text("Push Hook")), ("x-gitlab-token", text(SECRET))],
    ] {
        let answer = send(&stack, &headers, &body).await;
        assert_eq!(answer.status, 202, "{headers:?}: {}", answer.text);
        assert_ne!(answer.json()["status"], "ignored", "{headers:?}: {}", answer.text);
    }
    stack.settle().await;
    let before = stack.store.wishes().await.unwrap();
    for headers in [
        signed("x-hub-signature-256", &format!("sha256={other}")),
        signed("x-hub-signature-256", &good),
        signed("x-gitea-signature", &other),
        signed("x-gitlab-token", "another secret"),
        signed("x-gitlab-token", &good),
        signed("x-hub-signature", &good),
        vec![("x-github-event", text("push"))],
        vec![("x-github-event", text("ping"))],
    ] {
        let answer = send(&stack, &headers, &body).await;
        assert_eq!(answer.status, 401, "{headers:?}: {}", answer.text);
        assert_eq!(answer.json()["type"], "urn:roster:problem:bad-signature");
        assert!(!answer.text.contains(SECRET) && !answer.text.contains(&good), "{}", answer.text);
    }
    assert_eq!(stack.store.wishes().await.unwrap(), before);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_push_to_the_branch_is_not_looked_for() {
    let stack = TestStack::with(&[("WEBHOOK_SECRET", SECRET)]).await;
    let signed = |event: &str, body: &str| {
        [("x-github-event", event.to_owned()), ("x-hub-signature-256", format!("sha256={}", signature(body)))]
    };
    let main = push(0);
    let other = r#"{"ref":"refs/heads/other","repository":null}"#;
    for (event, body, status, expected) in [
        ("ping", "{}", 200, json!({"status": "pong"})),
        ("issues", &main, 202, json!({"status": "ignored", "reason": "the event issues is no push"})),
        ("push", other, 202, json!({"status": "ignored", "reason": "refs/heads/other is not the branch main"})),
    ] {
        let answer = send(&stack, &signed(event, body), body).await;
        assert_eq!((answer.status, answer.json()), (status, expected), "{event}");
    }
    for (body, status, kind) in [
        ("{\"ref\": ", 400, "malformed-body"),
        ("", 400, "malformed-body"),
        ("\u{feff}{}", 400, "malformed-body"),
        ("{}", 422, "invalid"),
        ("{\"ref\": 7}", 422, "invalid"),
    ] {
        let answer = send(&stack, &signed("push", body), body).await;
        assert_eq!(answer.status, status, "{body:?}: {}", answer.text);
        assert_eq!(answer.json()["type"], format!("urn:roster:problem:{kind}"), "{body:?}");
    }
    let nameless = send(&stack, &signed("push", &main)[1..], &main).await;
    assert_eq!(nameless.json(), json!({"status": "ignored", "reason": "the delivery names no event"}));
    let form = "payload=%7B%7D";
    let headers = signed("ping", form);
    let client = reqwest::Client::new().post(format!("{}/hooks/github", stack.url()));
    let client = client.header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = headers.iter().fold(client, |client, (name, value)| client.header(*name, value)).send().await.unwrap();
    assert_eq!(answer.status(), 415);
    assert_eq!(stack.store.wishes().await.unwrap(), Wishes::default());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_nobody_is_let_in() {
    let (stack, body) = (TestStack::new().await, push(0));
    let answer = send(&stack, &github(&body), &body).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "urn:roster:problem:webhook-not-configured");
    assert!(answer.text.contains("WebhookSecretArn") && answer.text.contains("WEBHOOK_SECRET"), "{}", answer.text);
    assert_eq!(stack.store.wishes().await.unwrap(), Wishes::default());
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_repository_is_ignored() {
    // Nothing answers there: whoever is refused or ignored costs the tables nothing.
    let (_, store) = roster_tests::stack::unconnected();
    let host = host("https://bot:token@GitHub.com/acme/roster.git", Some(SECRET), &store);
    let body = push(0).replace("acme/roster", "acme/other");
    let (status, said) = post(&host, &github(&body), body).await;
    let reason = "https://github.com/acme/other is not the repository";
    assert_eq!((status, said), (202, json!({"status": "ignored", "reason": reason})));
    let large = vec![b' '; 25 * 1024 * 1024 + 1];
    let (status, said) = post(&host, &[], large).await;
    assert_eq!((status, &said["type"]), (413, &json!("urn:roster:problem:payload-too-large")));
    let (status, _) = post(&host, &[], vec![b' '; 25 * 1024]).await;
    assert_eq!(status, 401);
}

/// Nothing of the answer waits for Git: here the repository is out of reach.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_does_not_wait_for_the_repository() {
    let cache = tempfile::tempdir().unwrap();
    let (nowhere, cache) = ("http://127.0.0.1:1/acme/roster.git", cache.path().display().to_string());
    let stack = TestStack::with(&[("REPOSITORY", nowhere), ("GIT_CACHE", &cache), ("WEBHOOK_SECRET", SECRET)]).await;
    let push = push(0).replace("https://github.com", "http://127.0.0.1:1");
    let answer = send(&stack, &github(&push), &push).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"status": "accepted", "wish": 1})));
    stack.settle().await;
    let wishes = stack.store.wishes().await.unwrap();
    assert!(wishes.is_open() && wishes.done == 0, "{wishes:?}");
    stack.close().await;
}

/// GitHub's largest delivery gets past the gateway to where its signature is checked, and not a byte more.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_taken_up_to_githubs_limit() {
    let stack = TestStack::with(&[("WEBHOOK_SECRET", SECRET)]).await;
    let unsigned = [("x-github-event", "push".to_owned())];
    let limit = 25 * 1024 * 1024;
    for (bytes, status, kind) in [(limit, 401, "bad-signature"), (limit + 1, 413, "payload-too-large")] {
        let answer = send(&stack, &unsigned, &" ".repeat(bytes)).await;
        assert_eq!(answer.status, status, "{bytes} bytes: {}", answer.text);
        assert_eq!(answer.json()["type"], format!("urn:roster:problem:{kind}"));
    }
    stack.close().await;
}

/// A delivery whose run fails is not lost: neither when it is repeated, nor when the schedule comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_loses_no_delivery() {
    let hook = Hook::new().await;
    for (number, is_first) in [(0, true), (1, false)] {
        let commit = change(&hook.repository, number);
        assert_eq!(hook.deliver(&push(number)).await, (202, "accepted".to_owned()));
        hook.move_away(true);
        // The first time the repository cannot even be opened.
        assert!(hook.wake().await.is_err(), "is_first: {is_first}");
        assert!(hook.poll().await.is_err());
        assert!(hook.wishes().await.is_open());
        hook.move_away(false);
        if is_first {
            // The forge repeats it. The failed run took the wish, so this is a new one, and the stream tells of it.
            let before = hook.wishes().await;
            assert_eq!(hook.deliver(&push(number)).await, (202, "accepted".to_owned()));
            assert_eq!(hook.wishes().await.wished, before.wished + 1);
            assert_eq!(hook.wake().await.unwrap()["commit"], json!(commit));
        } else {
            assert_eq!(hook.poll().await.unwrap()["commit"], json!(commit));
        }
        assert_eq!(live(&hook.store).await, Some(commit));
        assert!(!hook.wishes().await.is_open());
        assert_eq!(hook.deliver(&push(number)).await, (202, "known".to_owned()));
        assert_eq!(hook.wake().await.unwrap(), json!({"state": "idle"}));
    }
    hook.close().await;
}

/// A look that finds something to refuse is a look: the delivery is done, and causes no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_commit_is_an_answer() {
    let hook = Hook::new().await;
    hook.repository.write("catalog/models/acme/one.json", "{");
    hook.repository.commit("broken");
    assert_eq!(hook.deliver(&push(0)).await, (202, "accepted".to_owned()));
    assert_eq!(hook.wake().await.unwrap()["state"], "rejected");
    assert_eq!(hook.deliver(&push(0)).await, (202, "known".to_owned()));
    let commit = change(&hook.repository, 1);
    // Nobody was told of this one, and the poll finds it.
    assert_eq!(hook.wake().await.unwrap(), json!({"state": "idle"}));
    assert_eq!(hook.poll().await.unwrap()["commit"], json!(commit));
    hook.close().await;
}

/// A wish that comes after a run has resolved the branch is granted by the same call, whoever else was turned away.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_during_a_run_is_not_lost() {
    let tables = TestTables::embedded().await;
    let proxy = Proxy::start(tables.endpoint(), Holding::after(0, "TransactWriteItems")).await;
    let store = tables.store_at(&proxy.url);
    let hook = Hook::of(tables, store);
    let first = change(&hook.repository, 0);
    let direct = host(&hook.repository.path().display().to_string(), Some(SECRET), &hook.tables.store);
    let turned_away = async {
        proxy.behaviour.reached().await;
        // The first commit is about to be published.
        let second = change(&hook.repository, 1);
        let body = push(1);
        let (_, said) = post(&direct, &github(&body), body).await;
        assert_eq!(said, json!({"status": "accepted", "wish": 2}));
        let event = direct.event("sync", json!({"Records": []})).unwrap();
        assert_eq!(event.await.unwrap(), json!({"state": "busy"}));
        assert_eq!(live(&hook.tables.store).await, None);
        proxy.behaviour.release();
        second
    };
    assert_eq!(hook.deliver(&push(0)).await, (202, "accepted".to_owned()));
    let (run, second) = tokio::join!(hook.wake(), turned_away);
    assert_eq!(run.unwrap()["commit"], json!(second));
    assert_ne!(first, second);
    assert_eq!(live(&hook.tables.store).await, Some(second));
    let wishes = hook.wishes().await;
    assert_eq!((wishes.wished, wishes.done), (2, 2));
    hook.close().await;
}

/// 2,000 different deliveries, each five times, in any order, from many clients, while 30 commits land.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_deliveries_cause_a_handful_of_runs() {
    const DISTINCT: usize = 2_000;
    const COPIES: usize = 5;
    let stack = TestStack::with(&[("WEBHOOK_SECRET", SECRET)]).await;
    let bodies: Vec<String> = (0..DISTINCT).map(push).collect();
    // The delivery of the last push cannot come before it; all others may come whenever they like.
    let (last, others) = bodies.split_last().unwrap();
    let queue: Vec<String> = others.iter().flat_map(|body| std::iter::repeat_n(body.clone(), COPIES)).collect();
    let queue = Arc::new(Mutex::new(shuffled(queue)));
    let is_complete = Arc::new(AtomicBool::new(false));
    let path = stack.repository.path().display().to_string();
    let started = Instant::now();
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let (queue, is_complete) = (queue.clone(), is_complete.clone());
            // An instance of the function for each client; one sync follows the stream for all of them.
            let host = host(&path, Some(SECRET), &stack.store);
            tokio::spawn(async move {
                let mut sent = Vec::new();
                loop {
                    let next = queue.lock().unwrap().pop();
                    let Some(body) = next else {
                        if is_complete.load(Ordering::SeqCst) {
                            return sent;
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    };
                    let begun = Instant::now();
                    let (status, said) = post(&host, &github(&body), body).await;
                    assert_eq!(status, 202, "{said}");
                    sent.push((begun.elapsed(), said["status"] == "known"));
                }
            })
        })
        .collect();
    let mut tip = String::new();
    for number in 0..30 {
        tip = tokio::task::block_in_place(|| change(&stack.repository, number));
    }
    let landed = started.elapsed();
    {
        let mut queue = queue.lock().unwrap();
        queue.extend(std::iter::repeat_n(last.clone(), COPIES));
        *queue = shuffled(std::mem::take(&mut *queue));
    }
    is_complete.store(true, Ordering::SeqCst);
    let mut sent: Vec<(Duration, bool)> =
        futures::future::join_all(senders).await.into_iter().flat_map(Result::unwrap).collect();
    let elapsed = started.elapsed();
    until_live(&stack.store, &tip).await;
    stack.settle().await;
    sent.sort();
    assert_eq!(sent.len(), DISTINCT * COPIES);
    let wishes = stack.store.wishes().await.unwrap();
    let runs = wishes.wished;
    println!(
        "10,000 deliveries in {elapsed:.1?}, 30 commits landed within {landed:.1?}: {runs} runs; {} known at once; \
         p50 {:.1?}, p99 {:.1?} with 32 clients at once in a debug build",
        sent.iter().filter(|(_, is_known)| *is_known).count(),
        sent[sent.len() / 2].0,
        sent[sent.len() * 99 / 100].0,
    );
    assert_eq!((wishes.done, wishes.is_open()), (runs, false));
    // A few at once and one a second while the branch moves, then fewer.
    assert!(runs <= 6 + landed.as_secs() + elapsed.as_secs() / 4, "{runs} runs");
    assert_eq!(live(&stack.store).await, Some(tip));
    let nobody_waits = stack.sync().await;
    assert_eq!(nobody_waits["state"], "unchanged");
    stack.close().await;
}

/// The same texts in another order, the same one every time.
fn shuffled(mut texts: Vec<String>) -> Vec<String> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for at in (1..texts.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        texts.swap(at, usize::try_from(random % (at as u64 + 1)).unwrap());
    }
    texts
}

/// What can happen to deliveries.
#[derive(Clone, Debug)]
enum Step {
    Commit,
    Deliver(Index),
    Lose(Index),
    Duplicate(Index),
    Shuffle,
    /// The stream tells of a wish, where there is one that it has not told of.
    Wake,
    /// The same, while the repository cannot be reached.
    Fail,
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Commit),
        6 => any::<Index>().prop_map(Step::Deliver),
        2 => any::<Index>().prop_map(Step::Lose),
        2 => any::<Index>().prop_map(Step::Duplicate),
        1 => Just(Step::Shuffle),
        4 => Just(Step::Wake),
        1 => Just(Step::Fail),
        1 => Just(Step::Poll),
    ];
    prop::collection::vec(step, 1..25)
}

async fn check(steps: Vec<Step>, ends_with_poll: bool) {
    let hook = Hook::new().await;
    let (mut number, mut tip) = (0, change(&hook.repository, 0));
    let mut under_way = vec![push(0)];
    // Up to which wish the stream has told of.
    let mut told = 0;
    let wake = async |told: &mut u64| {
        let wished = hook.wishes().await.wished;
        let is_news = std::mem::replace(told, wished) < wished;
        if is_news { hook.wake().await.map(drop) } else { Ok(()) }
    };
    for step in &steps {
        let at = |index: &Index| (!under_way.is_empty()).then(|| index.index(under_way.len()));
        match step {
            Step::Commit => {
                number += 1;
                tip = change(&hook.repository, number);
                under_way.push(push(number));
            }
            Step::Deliver(index) => {
                if let Some(at) = at(index) {
                    assert_eq!(hook.deliver(&under_way.remove(at)).await.0, 202);
                }
            }
            Step::Lose(index) => drop(at(index).map(|at| under_way.remove(at))),
            Step::Duplicate(index) => {
                if let Some(at) = at(index) {
                    under_way.push(under_way[at].clone());
                }
            }
            Step::Shuffle => under_way = shuffled(under_way),
            Step::Wake => wake(&mut told).await.unwrap(),
            Step::Fail => {
                hook.move_away(true);
                let _ = wake(&mut told).await;
                hook.move_away(false);
            }
            Step::Poll => drop(hook.poll().await.unwrap()),
        }
    }
    if ends_with_poll {
        hook.poll().await.unwrap();
    } else {
        // Whatever became of the others: the newest push is delivered, perhaps not for the first time.
        assert_eq!(hook.deliver(&push(number)).await.0, 202);
        wake(&mut told).await.unwrap();
    }
    assert_eq!(live(&hook.store).await, Some(tip), "{:?}", hook.wishes().await);
    hook.close().await;
}

#[test]
fn random_deliveries_converge_to_the_tip() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(steps(), any::<bool>()), |(steps, ends_with_poll)| {
            runtime.block_on(check(steps, ends_with_poll));
            Ok(())
        })
        .unwrap();
}
